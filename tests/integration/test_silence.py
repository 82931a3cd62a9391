"""Silent pages: those that still exist stay, and the others are removed, from presence too."""

import time

import pytest

from chat.bridge import ServerSettings
from chat.bridge.sockets import USER_TIMEOUT_MS
from chat.config import Settings
from chat.realtime import presence
from chat.store.presence import PRESENT_SECONDS
from chat.web import event_stream

from ..running import Server, Visitor
from .bridge_client import PING, PONG, TEXT, Raw
from .page import Page


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_PING="1").start()
    yield running
    running.clean_up()


@pytest.fixture
def raw(server):
    """A page of Bob's that does nothing by itself."""
    bob = Visitor(server.url, "Bob")
    with Raw(server) as client:
        client.bob = bob
        status, _ = client.handshake("/live", ["Origin: http://test", f"Cookie: {bob.cookie}"])
        assert status == 101
        yield client


def heard(client):
    """The next frame that is a ping; what else comes is read."""
    while (frame := client.recv_frame()) and frame[0] == TEXT:
        pass
    return frame


def test_the_times_add_up_to_less_than_a_minute():
    """A page that vanishes has been pinged, cut off, no more told of and found gone; one without
    JavaScript has a comment on its line that the network does not take."""
    limit = Settings.ping_seconds + ServerSettings.websocket_pong_timeout
    assert limit + PRESENT_SECONDS + presence.UPDATE_SECONDS < 60
    limit = event_stream.KEEPALIVE_SECONDS + USER_TIMEOUT_MS / 1000
    assert limit + PRESENT_SECONDS + presence.UPDATE_SECONDS < 60
    assert presence.REPORT_ALL_SECONDS + 2 * presence.UPDATE_SECONDS < PRESENT_SECONDS, (
        "who is here is told of in time"
    )


def test_a_page_that_says_nothing_hears_a_ping_at_every_turn_and_stays(raw):
    """So that no proxy takes the line for idle."""
    for _ in range(4):
        began = time.monotonic()
        assert heard(raw) == (PING, b"")
        assert time.monotonic() - began < 1.5
        raw.send_frame(PONG)


def test_a_page_that_does_not_answer_is_gone_and_its_person_with_it(server, raw):
    ann = Visitor(server.url, "Ann")
    rid = ann.create_room("Tea")
    raw.bob.join(rid)
    page = Page(ann).watch(rid)
    page.wait_for("2 online")
    assert heard(raw) == (PING, b"")
    began = time.monotonic()
    assert heard(raw) is None, "cut off"
    assert time.monotonic() - began < 3
    page.wait_for("1 online")
    assert time.monotonic() - began < 2 + PRESENT_SECONDS + 2 * presence.UPDATE_SECONDS + 2
    assert page.code is None, "who answers stays"
