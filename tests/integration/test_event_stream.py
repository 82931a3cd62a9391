"""The frame of pages without JavaScript continues when its process ends."""

import os
import re
import signal
import threading
from urllib.parse import urljoin

import httpx
import pytest

from chat.bridge import RESTART_SECONDS
from chat.web.event_stream import RELOAD_SECONDS, RETRY_SECONDS

from ..running import Server, Visitor, alive, browser, wait_until
from .bridge_client import Raw
from .page import Page

REFRESH = re.compile(r'<meta http-equiv="refresh" content="(\d+); url=([^"]+)">$')
BODY = re.compile(r">(message \d+)</div>")


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("two"), CHAT_LIMITS="off", CHAT_WORKERS="2").start()
    yield running
    running.clean_up()


class Frame(threading.Thread):
    """What a browser does with the frame: it shows what comes, and follows each refresh (without
    the pause). `problems`: answers that end in any other way."""

    def __init__(self, visitor, rid):
        super().__init__(daemon=True)
        self.visitor, self.address = visitor, f"/rooms/{rid}/stream?after=1"
        self.bodies, self.answers, self.problems, self.over = [], 0, [], False
        self.begun = threading.Event()
        self.start()

    def run(self):
        with browser(self.visitor.url, headers={"Cookie": self.visitor.cookie}) as http:
            while not self.over and not self.problems:
                try:
                    self.read(http)
                except httpx.HTTPError as error:
                    self.problems.append(repr(error))

    def read(self, http):
        text = ""
        with http.stream("GET", self.address) as answer:
            self.answers += 1
            for piece in answer.iter_text():
                text += piece
                self.begun.set()
                if self.over:
                    return
        refresh = REFRESH.search(text)
        if answer.status_code != 200 or refresh is None:
            self.problems.append(f"{answer.status_code} {text[-200:]}")
            return
        self.bodies += BODY.findall(text)
        self.address = refresh[2].replace("&amp;", "&")


def reload(server):
    """New workers take over, and the old ones end."""
    before = server.workers()
    server.forget_log()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "all are new" in server.log(), "the last hand-over")
    wait_until(lambda: not any(map(alive, before)), "the end of the old workers")


def test_every_frame_goes_on_over_reloads_and_shows_each_message_once(two_workers):
    """Some begin while a worker drains, for they follow their refresh at once."""
    ann, bob = Visitor(two_workers.url, "Ann"), Visitor(two_workers.url, "Bob")
    rid = ann.create_room("Tea")
    bob.join(rid)
    frames = [Frame(bob, rid) for _ in range(8)]
    for frame in frames:
        assert frame.begun.wait(30)
    said = []
    for _ in range(2):
        reloading = threading.Thread(target=reload, args=(two_workers,))
        reloading.start()
        while reloading.is_alive():
            said.append(f"message {len(said)}")
            assert ann.post(rid, said[-1]).status_code == 303
        reloading.join()
    counted = [frame.answers for frame in frames]
    assert all(count >= 3 for count in counted), counted
    for frame in frames:
        frame.over = True
    ann.post(rid, "the end")  # a piece for each, so that it ends
    for frame in frames:
        frame.join(30)
        assert not frame.problems
        assert frame.bodies == said[: len(frame.bodies)], "each once and in order"
        assert len(frame.bodies) > 0


def test_a_frame_that_begins_while_the_process_ends_comes_back(mortal_server):
    """On a connection that was open before, to a worker that another one replaces."""
    ann = Visitor(mortal_server.url, "Ann")
    rid = ann.create_room("Tea")
    page = Page(ann).watch(rid)
    page.wait_for("created this room")
    with Raw(mortal_server) as client:
        client.request("GET", "/healthz")
        client.response()
        client.take(3)
        os.kill(mortal_server.workers()[0], signal.SIGHUP)
        assert page.wait_closed() == 1012
        client.request("GET", f"/rooms/{rid}/stream", [f"Cookie: {ann.cookie}"])
        answer = b"".join(iter(client.more, b"")).decode()
    assert f'content="{RELOAD_SECONDS}; url=/rooms/{rid}/stream' in answer
    assert answer.endswith("0\r\n\r\n"), "whole"
    wait_until(mortal_server.is_ready, "another worker")


def test_at_a_stop_a_frame_waits_for_the_next_start(mortal_server):
    ann = Visitor(mortal_server.url, "Ann")
    rid = ann.create_room("Tea")
    with ann.http.stream("GET", f"/rooms/{rid}/stream") as answer:
        pieces = answer.iter_text()
        text = next(pieces)
        mortal_server.process.terminate()
        text += "".join(pieces)
    seconds, address = REFRESH.search(text).groups()
    assert int(seconds) == RESTART_SECONDS
    assert mortal_server.stop() == 0
    mortal_server.start()
    with ann.http.stream("GET", urljoin(mortal_server.url, address)) as answer:
        assert answer.status_code == 200


def test_a_frame_that_cannot_be_served_tries_again(fresh_server):
    """The database is away."""
    ann = Visitor(fresh_server.url, "Ann")
    rid = ann.create_room("Tea")
    os.kill(fresh_server.valkey(), signal.SIGSTOP)
    try:
        answer = ann.get(f"/rooms/{rid}/stream")
    finally:
        os.kill(fresh_server.valkey(), signal.SIGCONT)
    assert answer.status_code == 503
    assert int(answer.headers["refresh"]) >= RETRY_SECONDS
    wait_until(fresh_server.is_ready)


def test_a_frame_whose_messages_cannot_be_read_tries_again(fresh_server):
    """The database answers the first questions, and then no more."""
    ann = Visitor(fresh_server.url, "Ann")
    rid = ann.create_room("Tea")
    with fresh_server.redis() as client:
        client.execute_command("ACL", "SETUSER", "default", "-xrange")
        answer = ann.get(f"/rooms/{rid}/stream?after=1")
        client.execute_command("ACL", "SETUSER", "default", "+xrange")
    assert answer.status_code == 200
    seconds, address = REFRESH.search(answer.text).groups()
    assert int(seconds) == RETRY_SECONDS
    assert "after=1" in address
