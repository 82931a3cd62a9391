"""Messages with Markdown, wherever they are shown."""

import re

import pytest

from .page import Page

LISTED = "Bring:\n- **tea**\n- `cups`\n\nsee https://a.org"
SHOWN = (
    '<p dir="auto">Bring:</p><ul dir="auto"><li><strong>tea</strong></li>'
    '<li><code>cups</code></li></ul><p dir="auto">see <a href="https://a.org" target="_blank" '
    'rel="noopener noreferrer nofollow ugc">https://a.org</a></p></div>'
)


@pytest.fixture
def tea(ann, bob):
    return ann.create_room("Tea", "closed", [bob.uid])


@pytest.fixture
def reading(bob, tea):
    """Bob's open page of the room, live."""
    page = Page(bob).watch(tea)
    page.wait_for("created this room")
    return page


def test_a_list_is_a_list_wherever_it_is_shown(ann, bob, tea, reading):
    """On the socket, in the history, on the message's own page, and without JavaScript."""
    with bob.http.stream("GET", f"/rooms/{tea}/stream") as answer:
        pieces = answer.iter_text()
        next(pieces)
        ann.post(tea, LISTED)
        assert SHOWN in next(piece for piece in pieces if "Bring" in piece)
    assert SHOWN in reading.wait_for("Bring:")
    assert SHOWN in bob.room(tea)
    assert SHOWN in bob.get(f"/rooms/{tea}/messages/2").text
    assert SHOWN in bob.get(f"/rooms/{tea}/messages?before=3").text


def test_the_list_of_rooms_says_it_without_markup(ann, bob, tea, reading):
    ann.post(tea, "**Ready**, said `me`\n- and more")
    reading.wait_for("<bdi>Ready, said me</bdi>")
    assert "<bdi>Ready, said me</bdi>" in bob.get("/").text


def test_what_is_changed_is_what_was_written(ann, tea):
    ann.post(tea, LISTED)
    assert f">{LISTED}</textarea>" in ann.get(f"/rooms/{tea}/messages/2/edit").text


def test_an_edit_changes_what_is_shown_in_its_place(ann, bob, tea, reading):
    ann.post(tea, "**one**")
    reading.wait_shown("one")
    at = f"/rooms/{tea}/messages/2/edit"
    assert ann.submit(at, at, body="~~two~~ <b>").status_code == 303
    shown = '<p dir="auto"><s>two</s> &lt;b&gt;</p>'
    frame = reading.wait_for("two")
    assert '#m-2 .message__body" hx-swap="outerSync"><div aria-live="off"' in frame
    assert f" hx-ignore>{shown}</div></hx-partial>" in frame
    assert f">{shown}</div>" in bob.room(tea)


# What is being written

HTMX = {"HX-Request": "true"}


def ask(visitor, path, **fields):
    """What htmx is answered to a composer's button."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', visitor.get("/").text)[1]
    return visitor.http.post(path, data={"csrf_token": token, **fields}, headers=HTMX)


def test_the_field_changes_with_its_text(ann, tea):
    at = f"/rooms/{tea}/composer"
    answer = ask(ann, at, body="a <b>", nonce="n1", lines="1").text
    assert ">a &lt;b&gt;</textarea>" in answer
    assert "<textarea" in ann.room(tea)
    assert "<textarea" in ann.get(f"{at}?after=n1").text
    answer = ask(ann, at, body="a <b>", nonce="n1", lines="").text
    assert 'value="a &lt;b&gt;"' in answer
    assert "<textarea" not in ann.room(tea)
    assert ask(ann, at, body="a", nonce='"><b>', lines="1").status_code == 404


def test_a_text_of_several_lines_keeps_its_field(ann, tea):
    ask(ann, f"/rooms/{tea}/composer", body="", nonce="n1", lines="1")
    answer = ask(ann, f"/rooms/{tea}/composer", body="a\r\nb", nonce="n1", lines="").text
    assert "several lines" in answer
    assert "composer__field" not in answer
    assert "<textarea" in ann.room(tea)


def test_a_preview_is_what_others_would_see(ann, tea):
    answer = ask(ann, f"/rooms/{tea}/preview", body=LISTED.replace("\n", "\r\n")).text
    assert SHOWN in answer
    assert "hx-ignore" in answer
    assert "empty" in ask(ann, f"/rooms/{tea}/preview", body=" ").text


def test_a_preview_without_javascript_gives_the_text_back(ann, tea):
    page = ann.submit(f"/rooms/{tea}/preview", body=LISTED).text
    assert SHOWN in page
    assert f">{LISTED}</textarea>" in page
    page = ann.submit(f"/rooms/{tea}/preview", body="x" * 4001).text
    assert "too long" in page
    assert "x" * 4001 in page


def test_a_refused_text_of_several_lines_comes_back_whole(ann, tea):
    body = "a\n" + "x" * 4000
    answer = ann.post(tea, body)
    assert answer.status_code == 400
    assert f">{body}</textarea>" in answer.text.replace("\r", "")


def test_the_help_shows_every_example(ann):
    page = ann.get("/help/text").text
    for shown in ("<strong>bold</strong>", "<li>of items", "code-string", 'class="emoji"'):
        assert shown in page
