"""At a limit the page says why, keeps what was written, and continues by itself."""

import contextlib
import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from ..running import Server, Visitor
from .conftest import People, meet
from .person import BACK, Person

# Press Send once for each refusal.
SEND_AGAIN = """forms => forms.forEach(form => {
    const error = form.querySelector(".error");
    if (!error.dataset.read) form.querySelector("button").click();
    error.dataset.read = "yes";
})"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with the limits that everybody has, and two pages each."""
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_PAGES_PER_PERSON="2").start()
    yield running
    running.clean_up()


@contextlib.contextmanager
def writing_elsewhere(person: Person) -> Iterator[None]:
    """The same person's programs write to another room as fast as they can."""
    visitor, stop = Visitor(person.url), threading.Event()
    for cookie in person.page.context.cookies():
        visitor.http.cookies.set(cookie["name"], cookie["value"])
    rid = visitor.create_room("Elsewhere")
    token = re.search(r'name="csrf_token" value="([^"]+)"', visitor.room(rid))[1]

    def write() -> None:
        while not stop.is_set():
            form = {"csrf_token": token, "body": "more"}
            visitor.http.post(f"/rooms/{rid}/messages", data=form)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_who_writes_too_fast_finds_the_text_and_the_reason_and_sends_it_again(people, server):
    ann, bob = people.come(server.url, "Ann"), people.come(server.url, "Bob")
    meet(ann, bob)
    refused = ann.page.locator(".composer:has(.error):visible")
    sent = 0
    with writing_elsewhere(ann):  # a browser alone may be too slow for it
        while not refused.count() and sent < 60:
            sent += 1
            ann.enter(f"message {sent}", delay=0)
            ann.until(lambda: ann.page.locator("#body").input_value() == "", "an empty composer")
    expect(refused.first.locator(".error")).to_contain_text("You are sending messages too fast")
    # More may have left before the refusal of one arrived.
    sent_texts = [f"message {n}" for n in range(1, sent + 1)]
    assert refused.first.locator(".composer__body").input_value() in sent_texts

    def all_arrived() -> bool:
        refused.evaluate_all(SEND_AGAIN)
        return sorted(bob.messages()) == sorted(sent_texts)

    ann.until(all_arrived, "each of them once at Bob")
    ann.wait_for(*sent_texts)
    assert sorted(ann.messages()) == sorted(sent_texts)


def test_a_page_too_many_says_so_and_goes_on_when_another_is_closed(people: People, server: Server):
    people.may_lose_the_server()  # Chromium calls a refused handshake by that name
    ann = people.come(server.url, "Ann")
    ann.create_room("Tea")
    second = people.tab(ann.page.context, server.url, "Ann's second page")
    second.open("/")
    ann.until(lambda: second.sockets, "its socket")
    third = people.tab(ann.page.context, server.url, "Ann's third page")
    third.open(f"/rooms/{ann.room}")
    connection = third.page.locator("#connection")
    expect(connection).to_contain_text("You have 2 pages open", timeout=60_000)
    second.page.close()
    third.wait_live(BACK)
    third.send("here I am")
    ann.wait_for("here I am")


def test_a_room_that_is_asked_for_too_often_is_told_beside_it(people, server):
    """What is on screen stays, the text in the composer too."""
    people.allowed = ("the server responded with a status of 429",)
    ann = people.come(server.url, "Ann")
    tea, other = ann.create_room("Tea"), ann.create_room("Other")
    ann.wait_live()
    ann.page.locator("#body").fill("not sent yet")
    visitor = Visitor(server.url)
    for cookie in ann.page.context.cookies():
        visitor.http.cookies.set(cookie["name"], cookie["value"])
    while visitor.get("/rooms/new").status_code != 429:
        pass
    uid = ann.page.evaluate("document.documentElement.dataset.uid")
    with server.redis() as client:
        client.set(f"chat:throttle:view:{uid}", 9 * 10**15)  # nothing comes back while we look
    ann.page.locator(f"#room-{tea} a").click()
    said = ann.page.locator("#unloaded").get_by_role("alert")
    expect(said).to_contain_text("You are loading pages too fast")
    assert ann.room == other
    expect(ann.page.locator("#body")).to_have_value("not sent yet")
