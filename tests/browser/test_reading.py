"""Reading older messages: a person who has scrolled up is not disturbed, and older messages load by
themselves."""

import contextlib
import os
import signal

import pytest
import redis
from playwright.sync_api import expect

from chat.store import Person as Author
from chat.store import Store

from ..running import Server
from .person import Person

pytestmark = pytest.mark.browser


@pytest.fixture
def talk(server: Server):
    """Talks much in a room, past all pages: `talk(rid, texts)`."""
    address = f"unix://{server.data}/valkey/valkey.sock"
    with redis.Redis.from_url(address, decode_responses=True) as client:
        store = Store(client)

        def post(rid: str, texts: list[str]) -> None:
            author = store.people.create("Carl")
            store.rooms.join(rid, Author(author.uid, author.name))
            for text in texts:
                store.messages.post(rid, author, text)

        yield post


@contextlib.contextmanager
def paused(*pids: int):
    """Processes that do nothing for a while: what they are told meanwhile comes all at once."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def lines(count: int) -> list[str]:
    """Messages of different heights."""
    return [f"line {number}" + "\nand more" * (number % 3) for number in range(count)]


def test_new_messages_leave_readers_where_they_are(ann: Person, bob: Person, room: str, talk):
    """Scrolled up, the view stays; at the end, it stays at the end."""
    talk(room, lines(40))
    for person in (ann, bob):
        person.wait_for(lines(40)[-1])
        assert person.look()["from_end"] == 0
    ann.scroll(-600)
    before = ann.look()
    assert before["from_end"] > 100
    for number in range(5):
        bob.send(f"news {number}")
    ann.wait_for("news 4")
    bob.wait_for("news 4")
    after = ann.look()
    assert (after["id"], after["y"]) == (before["id"], pytest.approx(before["y"], abs=1))
    assert bob.look()["from_end"] == 0
    expect(bob.page.locator("#messages").get_by_text("news 4")).to_be_in_viewport()

    ann.scroll(10_000)
    bob.send("the end")
    ann.wait_for("the end")
    assert ann.look()["from_end"] == 0
    expect(ann.page.locator("#messages").get_by_text("the end")).to_be_in_viewport()


def test_older_messages_come_on_scrolling_up(ann: Person, room: str, talk):
    """All 130, in order and once, and the view does not jump."""
    ann.open("/")
    talk(room, lines(130))
    ann.open(f"/rooms/{room}")
    ann.wait_live()
    assert len(ann.seqs()) == 50
    for _ in range(2):
        count = len(ann.seqs())
        oldest = ann.page.locator("#messages > li[id]").first
        name = oldest.get_attribute("id")
        ann.page.locator("#scroll").hover()
        ann.page.mouse.wheel(0, -20_000)
        ann.until(lambda count=count: len(ann.seqs()) > count, "older messages")
        ann.scroll(0)
        box = ann.page.locator(f"#{name}").bounding_box()
        assert box is not None
        # What was the oldest is still at the top, where the wheel took it.
        assert 0 < box["y"] - ann.page.locator("#scroll").bounding_box()["y"] < 120
    ann.until(lambda: len(ann.seqs()) == 133, "all being there")
    assert ann.seqs() == list(range(1, 134))  # with "started" and "joined" twice
    assert ann.messages() == lines(130)
    expect(ann.page.locator(".older")).to_have_count(0)


def test_permalink_shows_a_message_among_others(ann: Person, room: str, talk):
    """The address of an old message leads to it, and one link back to the newest."""
    talk(room, lines(100))
    ann.open(f"/rooms/{room}/messages/20#m-20")
    expect(ann.page.locator("#m-20")).to_be_in_viewport()
    expect(ann.page.locator("#body")).to_have_count(0)
    assert 20 in ann.seqs()
    assert 103 not in ann.seqs()
    ann.page.get_by_role("link", name="Jump to newest").click()
    ann.wait_for(lines(100)[-1])
    expect(ann.page.locator("#body")).to_be_focused()


def test_an_edited_and_a_deleted_message_change_in_place(ann: Person, bob: Person, room: str):
    """While Bob reads; by the way a reader without a script would go, the message's own page."""
    ann.send("teh tea is redy")
    ann.send("a secret")
    bob.wait_for("teh tea is redy", "a secret")
    ann.page.locator(".message__time").first.click()
    ann.page.get_by_text("Message actions").click()
    ann.page.get_by_role("link", name="Edit or delete this message").click()
    ann.page.get_by_label("Message by Ann").fill("the tea is ready")
    ann.page.get_by_role("button", name="Save").click()
    bob.until(lambda: bob.messages() == ["the tea is ready", "a secret"], "the edit at Bob")
    expect(bob.page.locator(".message__edited")).to_have_count(1)
    expect(ann.page.locator(".editor")).to_have_count(0)
    assert ann.messages() == bob.messages()
    ann.page.locator(".message__time").last.click()
    ann.page.get_by_text("Message actions").click()
    ann.page.get_by_role("link", name="Edit or delete this message").click()
    ann.page.get_by_text("Delete…").click()
    ann.page.get_by_role("button", name="Delete for everyone").click()
    bob.until(lambda: bob.messages() == ["the tea is ready"], "the deletion at Bob")
    expect(bob.page.locator("#messages")).to_contain_text("A message was deleted")
    ann.until(lambda: ann.messages() == bob.messages(), "the deletion on that page")
    ann.open(f"/rooms/{room}")
    assert ann.messages() == bob.messages()
    assert bob.seqs() == ann.seqs()


def test_a_message_edited_twice_at_once_says_so_once(
    ann: Person, bob: Person, room: str, server: Server
):
    """Both edits come in one frame, for the process that shows them was stopped meanwhile."""
    ann.send("teh")
    bob.wait_for("teh")
    with server.redis() as client, paused(*server.workers()):
        store = Store(client)
        message = store.messages.newest(room)[-1]
        for text in ("the", "the tea"):
            store.messages.edit(room, Author(message.uid, "Ann"), message.seq, text)
    bob.until(lambda: bob.messages() == ["the tea"], "the edits at Bob")
    expect(bob.page.locator(".message__edited")).to_have_text("edited")
    bob.page.reload()
    expect(bob.page.locator(".message__edited")).to_have_text("edited")


def test_a_page_left_open_stays_light(ann: Person, bob: Person, room: str, talk, server: Server):
    """Old messages leave the list of who is not in it, and come back when asked for; with the
    pointer over the list nothing is taken away. The last of them come all at once."""
    for person in (ann, bob):
        person.page.mouse.move(5, 5)
    bob.page.locator("#scroll").hover()
    for start, count in [(0, 100), (100, 100), (200, 100), (300, 150), (450, 150)]:
        with paused(*server.workers()) if count > 100 else contextlib.nullcontext():
            talk(room, [f"number {number}" for number in range(start, start + count)])
        for person in (ann, bob):
            person.wait_for(f"number {start + count - 1}")
    assert 250 < len(ann.seqs()) <= 351
    assert len(bob.seqs()) > 600
    oldest = ann.seqs()[0]
    expect(ann.page.locator(".older a")).to_have_attribute(
        "href", f"/rooms/{room}/messages?before={oldest}"
    )
    ann.scroll(-100_000)
    expect(ann.page.locator(f"#m-{oldest - 1}")).to_be_attached()
    assert ann.seqs() == list(range(ann.seqs()[0], ann.seqs()[-1] + 1))
    before = len(ann.seqs())
    ann.page.mouse.move(5, 5)
    talk(room, [f"later {number}" for number in range(60)])
    ann.wait_for("later 59")
    assert len(ann.seqs()) >= before, "who has gone back keeps what was fetched"


def test_a_button_leads_to_the_newest(ann: Person, room: str, talk):
    """It is there while the newest are out of sight, and only then."""
    button = ann.page.get_by_role("link", name="Newest messages")
    for count in (30, 1):
        talk(room, lines(count))
        ann.wait_for(lines(count)[-1])
        expect(button).to_be_hidden()
        ann.scroll(-600)
        expect(button).to_be_visible()
        button.click()
        expect(button).to_be_hidden()
        assert ann.look()["from_end"] == 0
