"""Input from outside becomes texts that UTF-8 can represent, or is refused with a clear error."""

import io
import json

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from chat.api.schemas import fields, integer, string
from chat.api.validation import body_fields, compiled
from chat.domain.errors import Invalid
from chat.domain.wire_text import (
    MAX_AGENT_CHARS,
    agent_text,
    has_surrogate,
    header_text,
    is_whole,
    without_surrogates,
)
from chat.realtime import client_messages

ANY_TEXT = st.text(st.characters())  # lone surrogates among them
HALVES = st.sampled_from(["\ud800", "\udbff", "\udc00", "\udfff"])
BROKEN_TEXT = st.tuples(ANY_TEXT, HALVES, ANY_TEXT).map(
    lambda parts: parts[0].encode(errors="replace").decode() + parts[1] + "x" + parts[2]
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=20,
)


def can_be_stored(text):
    try:
        return bool(text.encode()) or True
    except UnicodeEncodeError:
        return False


@given(ANY_TEXT)
def test_a_surrogate_is_what_utf_8_cannot_hold(text):
    assert has_surrogate(text) == (not can_be_stored(text))
    assert can_be_stored(without_surrogates(text))
    assert len(without_surrogates(text)) == len(text)
    assert has_surrogate(text) or without_surrogates(text) == text


@given(DOCUMENTS)
def test_a_document_is_whole_when_all_of_it_can_be_stored(document):
    assert is_whole(document) == can_be_stored(json.dumps(document, ensure_ascii=False))


def test_a_deep_document_is_looked_through():
    deep = leaf = {}
    for _ in range(100_000):
        leaf["a"] = leaf = {}
    assert is_whole(deep)
    leaf["\ud800"] = 1
    assert not is_whole(deep)


@given(st.binary())
def test_a_header_is_utf_8_or_nothing(sent):
    said = header_text(sent.decode("latin-1"))
    if said is not None:
        assert said.encode() == sent.strip(b" \t")
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in said)


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000", "\u200b"])
def test_only_space_and_tab_around_a_header_go(space):
    sent = f" \t{space}ann{space}\t ".encode().decode("latin-1")
    assert header_text(sent) == f"{space}ann{space}"


@given(st.binary())
def test_a_user_agent_can_be_kept_and_shown(sent):
    kept = agent_text(sent.decode("latin-1"))
    assert kept.isprintable()
    assert can_be_stored(kept)
    assert len(kept) <= MAX_AGENT_CHARS


# What programs send

SCHEMAS = {
    "text": string(100),
    "texts": {"type": "array", "items": string(64), "maxItems": 5},
    "kind": {"type": "string", "enum": ["open", "closed"]},
    "nonce": string(64, 1, pattern="^[A-Za-z0-9_-]+$"),
    "number": integer(0, 10),
}
CHECK = compiled(fields(SCHEMAS, ()))
app = flask.Flask("test")


def read(sent):
    body = json.dumps(sent).encode()
    with app.test_request_context(data=body, method="POST"):
        sent = body_fields()
        CHECK(sent)
        return sent


@given(st.dictionaries(st.sampled_from(list(SCHEMAS)) | ANY_TEXT, DOCUMENTS, max_size=3))
def test_a_field_of_the_api_can_be_stored_or_is_refused_in_words(sent):
    try:
        said = fields = read(sent)
    except Invalid as refused:
        said, fields = refused.text, {}
    assert is_whole(said)
    assert fields.keys() <= SCHEMAS.keys()


@given(BROKEN_TEXT)
def test_a_lone_surrogate_is_refused_wherever_it_stands(broken):
    for sent in ({"text": broken}, {"texts": ["a", broken]}, {"kind": broken}, {broken: "a"}):
        with pytest.raises(Invalid):
            read(sent)
    with pytest.raises(Invalid, match="lone surrogate"):
        read({"text": broken[:100]} if has_surrogate(broken[:100]) else {"text": "\ud800"})


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff", b"[", b"[" * 50_000, b"[]", b"null", b'"a"'),
        *(b'{"number": %b}' % value for value in (b"9" * 5000, b"1e999", b"NaN", b"-Infinity")),
        *(b'{"number": %b}' % value for value in (b"true", b"-1", b"1.0", b"18446744073709551616")),
        *(b'{"text": "\xed\xa0\x80"}', b'{"text": "\\ud800"}', b'{"\\ud800": 1}'),
    ],
)
def test_a_body_that_cannot_be_used_is_refused(body):
    with app.test_request_context(data=body, method="POST"), pytest.raises(Invalid):
        CHECK(body_fields())


@given(st.binary(), st.binary())
def test_werkzeug_brings_no_surrogates(name, value):
    """Not by a query string, a form of either kind, a name of a file, a cookie or a path."""
    quoted = b"&".join([name + b"=" + value, b"%ED%A0%80=%ED%A0%80", b"a=%ff"]).replace(b"#", b"")
    builder = EnvironBuilder(method="POST", input_stream=io.BytesIO(quoted))
    builder.content_type = "application/x-www-form-urlencoded"
    environ = builder.get_environ()
    environ["CONTENT_LENGTH"] = str(len(quoted))
    ascii_only = bytes(byte for byte in quoted if 32 < byte < 127)
    environ["QUERY_STRING"] = ascii_only.decode()  # the server takes no other
    environ["HTTP_COOKIE"] = quoted.decode("latin-1")
    environ["PATH_INFO"] = "/" + value.decode("latin-1")
    request = Request(environ)
    for pairs in (request.args, request.form, request.cookies):
        assert is_whole(pairs.to_dict(flat=False))
    assert can_be_stored(request.path)


@given(st.binary(), st.binary(), st.sampled_from([b"", b"*"]))
def test_nor_does_a_form_in_parts(name, value, star):
    part = b'form-data; name="' + name + b'"; filename' + star + b'="' + value + b'"'
    extended = b"; filename*=UTF-8''%ED%A0%80"
    for more in (b"", extended):
        body = (
            b"--b\r\nContent-Disposition: " + part + more + b"\r\n\r\n" + value + b"\r\n--b--\r\n"
        )
        environ = EnvironBuilder(method="POST", input_stream=io.BytesIO(body)).get_environ()
        environ |= {"CONTENT_TYPE": "multipart/form-data; boundary=b"}
        environ["CONTENT_LENGTH"] = str(len(body))
        request = Request(environ)
        # What has no name in its part has None for one, and nobody asks for that.
        assert is_whole([[name or "", value] for name, value in request.form.items(multi=True)])
        for field, file in request.files.items(multi=True):
            assert is_whole([field or "", file.filename or ""])
            file.close()


# What pages send


@given(st.dictionaries(st.sampled_from(["type", "room", "body"]) | ANY_TEXT, DOCUMENTS))
def test_a_frame_is_fields_of_texts_that_can_be_stored(sent):
    frame = client_messages.parse(json.dumps(sent))
    for name in frame:
        assert can_be_stored(name)
        assert can_be_stored(client_messages.one(frame, name))
        assert all(map(can_be_stored, client_messages.several(frame, name)))
    assert bool(frame) == isinstance(sent.get("type"), str)
    client_messages.pending(frame)


@given(st.text() | DOCUMENTS.map(json.dumps))
def test_no_frame_raises(sent):
    assert isinstance(client_messages.parse(sent), dict)


@pytest.mark.parametrize("sent", ["", "[", "[" * 50_000, "9" * 5000, "null", '"a"', b"{}", None])
def test_what_is_no_frame_has_no_fields(sent):
    assert client_messages.parse(sent) == {}


def test_of_several_fields_the_last_text_counts():
    frame = client_messages.parse(
        '{"type": "a", "room": ["r", 1, "s", {}], "body": 5, "to": {"a": "b"}}'
    )
    assert client_messages.one(frame, "room") == "s"
    assert client_messages.several(frame, "room") == ["r", "s"]
    assert [client_messages.one(frame, name) for name in ("body", "to", "nothing")] == ["", "", ""]
