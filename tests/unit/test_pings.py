"""A pong confirms what was written before its ping, and nothing else."""

import asyncio
from functools import partial

from greenback import with_portal_run_sync
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Ping, Pong

from chat.bridge import WebSocket
from chat.bridge.frames import ping_frame, whole_pong
from chat.bridge.pings import MAX_UNANSWERED, PINGS, Pings
from chat.realtime.packet import Packet


class Line:
    """What was written to a connection, in order, and what was confirmed of it."""

    def __init__(self) -> None:
        self.is_open = True
        self.written: list[bytes] = []
        self.confirmed: list[int] = []
        self.pings = Pings(self.write)

    def write(self, frame: bytes) -> bool:
        if self.is_open:
            self.written.append(frame)
        return self.is_open

    def ask(self) -> bool:
        """Ask for all that was written until now."""
        return self.pings.ask(partial(self.confirmed.append, len(self.written)))


def payload_of(frame: bytes) -> bytes:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frame)
    (ping,) = client.events()
    assert isinstance(ping, Ping)
    return bytes(ping.payload)


STEPS = st.lists(st.one_of(st.sampled_from(["data", "ask"]), st.integers(0, 12)), max_size=60)


@given(STEPS)
def test_nothing_is_confirmed_before_it_was_written_or_without_its_ping(steps):
    """Numbers answer one of the pings there were so far, again or out of order."""
    line, asked, answered = Line(), [], 0
    for step in steps:
        if step == "data":
            line.write(b"data")
        elif step == "ask":
            if line.ask():
                asked.append((payload_of(line.written[-1]), len(line.written) - 1))
        elif step < len(asked):
            payload, upto = asked[step]
            line.pings.answered(payload)
            answered = max(answered, upto)
            assert line.confirmed[-1] == answered
        assert line.confirmed == sorted(line.confirmed)
        assert max(line.confirmed, default=0) <= answered
    assert len(asked) - len(line.confirmed) <= MAX_UNANSWERED


def test_who_does_not_answer_is_not_asked_for_ever():
    line = Line()
    assert [line.ask() for _ in range(MAX_UNANSWERED + 2)] == [True] * MAX_UNANSWERED + [False] * 2
    line.pings.answered(payload_of(line.written[0]))
    assert line.ask()


def test_nothing_is_confirmed_once_the_connection_closes():
    line = Line()
    line.ask()
    line.pings.close()
    line.pings.answered(payload_of(line.written[0]))
    assert line.confirmed == []
    assert not line.ask()


def test_a_payload_that_was_never_sent_confirms_nothing():
    line = Line()
    line.ask()
    for payload in (b"", b"0", b"2", b"-1", b" 1", b"1_0", "١".encode(), b"9" * 125):
        line.pings.answered(payload)
    assert line.confirmed == []


@given(st.binary(max_size=125), st.binary(max_size=4))
def test_a_pong_is_read_as_wsproto_reads_it(payload, rest):
    client = Connection(ConnectionType.CLIENT)
    sent = client.send(Pong(payload))
    assert whole_pong(sent) == payload
    assert whole_pong(sent + rest) == (None if rest else payload)
    assert whole_pong(sent[:-1]) is None
    assert whole_pong(client.send(Ping(payload))) is None
    assert payload_of(ping_frame(payload)) == payload


def test_a_ping_leaves_behind_what_waits_to_be_sent():
    """Where there is no direct way to a connection, as over HTTP/2, messages wait in line."""

    async def story():
        line, taken = Line(), asyncio.Event()

        async def send(message):
            if message["type"] == "websocket.send":
                await taken.wait()
                line.write(message["text"].encode())

        scope = {"extensions": {PINGS: line.pings}}
        ws = WebSocket({"asgi.scope": scope}, asyncio.Queue().get, send, set())
        await with_portal_run_sync(ws.accept)
        ws.push(Packet("<one>"))
        ws.push(Packet("<two>"))
        await asyncio.sleep(0)
        assert ws.ping(lambda: None)
        assert line.written == []
        taken.set()
        await ws._send_queue._task
        assert line.written == [b"<one>", b"<two>", ping_frame(b"1")]

    asyncio.run(story())
