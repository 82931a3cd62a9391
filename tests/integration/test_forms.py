"""Forms and addresses that are expensive for their size are refused before the work is done. Time
is not measured. The tests count what reaches the parser whose work grows with the square of its
input.
"""

from urllib.parse import urlencode

import pytest
import werkzeug.sansio.multipart
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.test import EnvironBuilder

from chat.app import create_app
from chat.config import Settings
from chat.web.form_limits import MAX_FIELDS

from ..bad_values import Wire

FORM = [b"Content-Type: application/x-www-form-urlencoded"]
PARTS = [b"Content-Type: multipart/form-data; boundary=b"]
MUCH = 60_000  # bytes, which any form may have


def part(head, content=b"x"):
    return b"--b\r\n%b\r\n\r\n%b\r\n" % (head, content)


def form(*parts):
    return b"".join(parts) + b"--b--\r\n"


def filled(piece, start=b"Content-Disposition: form-data; name=name; "):
    return start + piece * (MUCH // len(piece))


HEADS = {
    "parameters": filled(b"a=b;"),
    "empty parameters": filled(b";"),
    "quotes": filled(b'\\"', b'Content-Disposition: form-data; name="') + b'"',
    "numbered parts of a name": filled(b"a*1=b;"),
    "headers": filled(b"\r\na: b"),
    "folded lines": filled(b"\r\n b"),
    "one long value": filled(b"x", b"X-Any: "),
    "parameters of a type": filled(b"a=b;", b"Content-Disposition: form-data; name=n\r\nC: "),
}
NAMELESS = {
    "no name": b"Content-Disposition: form-data",
    "a file without a name": b"Content-Disposition: form-data; filename=a",
    "an open quote": b'Content-Disposition: form-data; name="a',
    "another parameter": b"Content-Disposition: form-data; names=a",
    "no form": b"Content-Disposition: attachment",
    "nothing": b"Content-Disposition: ",
    "no disposition": b"Content-Type: text/plain",
}


@pytest.fixture
def wire(server):
    return Wire(server.address, server.port)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("target", [b"/sign-in", b"/me", b"/rooms/x/messages", b"/sign-out"])
def test_long_heads_of_parts(wire, target, head):
    few = part(b"Content-Disposition: form-data; name=a")
    for body in (form(part(head)), form(few, part(head), few)):
        assert wire.ask("POST", target, PARTS, body)[0] == 413


@pytest.mark.parametrize("head", NAMELESS.values(), ids=NAMELESS.keys())
def test_parts_without_a_name(server, wire, head):
    named = part(b"Content-Disposition: form-data; name=name", b"Ann")
    for body in (form(part(head)), form(named, part(head))):
        assert wire.ask("POST", b"/sign-in", PARTS, body)[0] == 400
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("pair", [b"&", b"a&", b"a=&", b"a=b&", b"%61=%62&"])
def test_many_fields(wire, pair):
    few, many = pair * (MAX_FIELDS - 1), pair * MAX_FIELDS
    assert wire.ask("POST", b"/sign-in", FORM, few)[0] == 400  # the token is missing
    assert wire.ask("POST", b"/sign-in", FORM, many)[0] == 413
    assert wire.ask("GET", b"/sign-in?" + few, [])[0] == 200
    assert wire.ask("GET", b"/sign-in?" + many, [])[0] == 414
    assert wire.ask("GET", b"/api/people?" + many, [])[0] == 414


def test_people_are_picked_by_the_hundred(ann, bob):
    """What a page may send is far from the limit."""
    rid = ann.create_room("Tea", members=[bob.uid] * 200)
    assert "Tea" in bob.room(rid)
    assert ann.get("/rooms/new?" + urlencode([("members", bob.uid)] * 200)).status_code == 200


def test_no_long_text_reaches_the_parser_of_parameters(monkeypatch, store):
    """Its work grows with the square of the text."""
    app, asked = create_app(Settings(secret_key="x" * 32), store), []

    def parse(value):
        asked.append(len(value))
        return "form-data", {"name": "a"}

    monkeypatch.setattr(werkzeug.sansio.multipart, "parse_options_header", parse)

    def read(head):
        kind = "multipart/form-data; boundary=b"
        builder = EnvironBuilder(method="POST", data=form(part(head)), content_type=kind)
        return app.request_class(builder.get_environ()).form

    assert read(b"Content-Disposition: form-data; name=a")["a"] == "x"
    for head in HEADS.values():
        with pytest.raises(RequestEntityTooLarge):
            read(head)
    assert asked == [len("form-data; name=a")]
