"""What people write with Markdown, wherever it is shown."""

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
    page.wait_for("started this room")
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
    assert f'#m-2 .message__body" hx-swap="innerHTML">{shown}</hx-partial>' in frame
    assert f">{shown}</div>" in bob.room(tea)
