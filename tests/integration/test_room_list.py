"""The room list of an open page is correct, even 20 ms away from Redis: no list removes an unread
mark, and no event is counted twice."""

import asyncio
import html
import re
import threading

import pytest

from chat.store import Store

from ..proxy import Proxy
from ..running import Server, Visitor, wait_until
from .page import Page

LATENCY = 0.02  # seconds to Redis, each way
ROOMS, MESSAGES = 8, 80  # messages in each; a row has a hundred marks at most


class Line:
    """The way to Redis, on a thread of its own."""

    def __init__(self, socket) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.proxy = Proxy(0, there=str(socket))
        asyncio.run_coroutine_threadsafe(self.proxy.start(), self.loop).result()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.proxy.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def server(valkey, tmp_path_factory):
    line = Line(valkey.socket)
    url = f"redis://127.0.0.1:{line.proxy.port}"
    running = Server(tmp_path_factory.mktemp("chat"), REDIS_URL=url, CHAT_LIMITS="off").start()
    line.proxy.latency = LATENCY
    yield running
    running.clean_up()
    line.close()


@pytest.fixture(scope="module")
def store(valkey):
    """The database without the way to it."""
    import redis

    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield Store(client)


class Listed:
    """A page of `visitor` with its room list, which does what htmx does with it."""

    def __init__(self, visitor: Visitor, *rids: str) -> None:
        self.visitor = visitor
        self.marks = dict.fromkeys(rids, 0)
        self.most = dict.fromkeys(rids, 0)
        self.show(visitor.get("/").text)
        self.page = Page(visitor)
        self.page.say(type="watch", room="", digest=self.digest)
        self.applied = 0

    def show(self, text: str) -> None:
        """A page, or a panel, with a list has come."""
        self.list(text)
        self.digest = re.search(r'name="digest" value="([^"]*)"', text)[1]

    def list(self, text: str) -> None:
        for rid in self.marks:
            row = text.split(f'id="unread-{rid}"')[1].split("</span>")[0]
            self.marks[rid] = row.count("<i")

    def apply(self) -> None:
        """Apply the frames that have come; no list may take back what was told."""
        while self.page.receive(0.001):
            pass
        for text in self.page.frames[self.applied :]:
            if '<hx-partial hx-target="#rooms" hx-swap="innerHTML">' in text:
                self.list(text)
            for rid in re.findall(r'#unread-([\w-]+)" hx-swap="beforeend"><i', html.unescape(text)):
                if rid in self.marks:
                    self.marks[rid] += 1
            assert all(self.marks[rid] >= self.most[rid] for rid in self.marks), "taken away"
            self.most = dict(self.marks)
        self.applied = len(self.page.frames)

    def wait_for(self, marks: dict[str, int]) -> None:
        def are_there():
            self.apply()
            return all(self.marks[rid] >= count for rid, count in marks.items())

        wait_until(are_there, f"{marks}")
        assert self.marks == marks


def test_lists_that_are_sent_while_much_is_said_keep_every_mark(server, store, ann, bob):
    rids = [ann.create_room(f"Room {n}") for n in range(ROOMS)]
    for rid in rids:
        bob.join(rid)
    page, author, uid = Listed(bob, *rids), store.people.get(ann.uid), bob.uid
    before = dict(page.marks)
    for n in range(MESSAGES):
        for rid in rids:
            store.messages.post(rid, author, f"message {n}")
        if n % 5 == 0:
            store.people.signal_change(uid)
        page.apply()
    page.wait_for({rid: count + MESSAGES for rid, count in before.items()})
    store.people.signal_change(uid)
    page.page.wait_for('hx-target="#rooms" hx-swap="innerHTML"')
    page.wait_for({rid: count + MESSAGES for rid, count in before.items()})


def test_pages_that_open_while_much_is_said_have_every_mark(server, store, ann, bob, tea):
    """What is said between the reading of the page, its list and its subscription is in one."""
    author, before = store.people.get(ann.uid), Listed(bob, tea).marks[tea]
    said, is_over = [], threading.Event()

    def talk():
        while len(said) < MESSAGES and not is_over.wait(0.01):
            said.append(store.messages.post(tea, author, "message"))

    talking = threading.Thread(target=talk)
    talking.start()
    pages = [Listed(bob, tea) for _ in range(6)]
    is_over.set()
    talking.join()
    for page in pages:
        page.wait_for({tea: before + len(said)})


def test_a_list_that_comes_with_a_panel_takes_no_mark_away(server, store, ann, bob, tea):
    """It was read before something was pushed, and comes after that."""
    club = ann.create_room("Club")
    bob.join(club)
    page, author = Listed(bob, tea), store.people.get(ann.uid)
    before = page.marks[tea]
    panel = bob.get(f"/rooms/{club}", headers={"HX-Request": "true"}).text
    store.messages.post(tea, author, "meanwhile")
    page.wait_for({tea: before + 1})
    page.most.clear()
    page.show(panel)
    assert page.marks == {tea: before}
    page.most = dict(page.marks)
    page.page.say(type="watch", room=club, after="", digest=page.digest)
    page.wait_for({tea: before + 1})


def test_a_panel_whose_list_is_true_brings_no_other_list(server, store, ann, bob, tea):
    club = ann.create_room("Club")
    bob.join(club)
    page = Listed(bob, tea)
    page.show(bob.get(f"/rooms/{club}", headers={"HX-Request": "true"}).text)
    count = len(page.page.frames)
    page.page.say(type="watch", room=club, after="0", digest=page.digest)
    page.page.wait_for("created this room")
    page.page.post(club, "the end")
    page.page.wait_shown("the end")
    assert not any('"#rooms" hx-swap="innerHTML"' in text for text in page.page.frames[count:])
