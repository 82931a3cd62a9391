"""Closed pages are freed at once, without the garbage collector. A collection searches all objects
of a process, on the event loop. If each closed page left its connection behind, an hour's worth of
them would block the loop for seconds.
"""

import os
import signal
from pathlib import Path

import pytest

from ..running import ROOT, Server, Visitor, wait_until
from .page import Page

# Of each page, its connection and its request, one at least would be among the garbage.
OURS = {
    *("Connection", "Exchange", "Group", "LiveComposers", "PageConnection", "ReadPosition"),
    *("Viewer", "Waiting", "WebSocket", "WebSocketStream", "TCPTransport"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("garbage")
    running = Server(
        tmp_path_factory.mktemp("chat"),
        CHAT_LIMITS="off",
        CHAT_WORKERS="1",
        PYTHONPATH=f"{Path(__file__).parent / 'garbage'}:{ROOT}",
        GARBAGE=str(folder),
    ).start()
    running.folder = folder
    yield running
    running.clean_up()


def garbage(server) -> set[str]:
    """The names of the classes of what waits for the collector in the worker."""
    (worker,) = server.workers()
    found = server.folder / str(worker)
    found.unlink(missing_ok=True)
    os.kill(worker, signal.SIGUSR2)
    wait_until(found.exists, "the report of the collector")
    return set(found.read_text().split())


@pytest.fixture
def ann(server):
    visitor = Visitor(server.url, "Ann")
    visitor.rid = visitor.create_room("Tea")
    talk(visitor).socket.close()  # the first call of a script is an error, with a traceback
    wait_until(lambda: pages_open(visitor) == 0, "the end of the page")
    garbage(server)
    return visitor


def pages_open(visitor) -> int:
    line = next(
        line
        for line in visitor.get("/metrics").text.splitlines()
        if line.startswith("chat_connections{")
    )
    return int(float(line.split()[-1]))


def talk(visitor) -> Page:
    """A page that does what pages do."""
    page = Page(visitor)
    page.watch(visitor.rid)
    page.post(visitor.rid, "hello")
    page.wait_for("hello")
    page.say(type="typing", room=visitor.rid, nonce="n" * 22, body="and")
    return page


def test_the_report_finds_a_cycle(server, ann):
    ann.get(f"/rooms/{ann.rid}")
    assert "Cycle" in garbage(server)


def test_nothing_of_a_page_that_closed_waits_for_the_collector(server, ann):
    for _ in range(3):
        page = talk(ann)
        page.socket.close()
    wait_until(lambda: pages_open(ann) == 0, "the end of the pages")
    assert not garbage(server) & OURS
