"""Waiting for a page's messages: one timer for many waits."""

import asyncio
from types import SimpleNamespace

import pytest

from chat.bridge import WebSocket
from chat.bridge.connection_handler import IdleReceiver
from chat.realtime.packet import Packet


async def heard(receiver: IdleReceiver) -> list:
    """All that comes before it is quiet for too long."""
    said = []
    while (one := await receiver.receive()) is not None:
        said.append(one)
    receiver.close()
    assert asyncio.current_task().cancelling() == 0
    return said


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_silence_ends_the_wait_and_loses_nothing(seconds):
    async def story():
        box: asyncio.Queue = asyncio.Queue()
        for n in range(3):
            box.put_nowait(n)
        assert await heard(IdleReceiver(box.get, seconds)) == [0, 1, 2]
        box.put_nowait(3)
        assert box.get_nowait() == 3, "nobody waits any more"

    asyncio.run(story())


def test_one_timer_serves_many_waits():
    async def story():
        box, timers = asyncio.Queue(), []
        loop = asyncio.get_running_loop()
        later = loop.call_later
        loop.call_later = lambda *args: timers.append(args) or later(*args)
        receiver = IdleReceiver(box.get, 3600)
        for n in range(100):
            loop.call_soon(box.put_nowait, n)
            assert await receiver.receive() == n
        receiver.close()
        assert len(timers) == 1

    asyncio.run(story())


def test_who_is_cancelled_is_cancelled():
    """It is not taken for silence."""

    async def story():
        receiver = IdleReceiver(asyncio.Queue().get, 3600)
        task = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await receiver.receive()
        receiver.close()
        task.uncancel()

    asyncio.run(story())


def test_silence_counts_from_the_last_word():
    """The timer that was set for the first wait finds that somebody has spoken since."""

    async def story():
        box: asyncio.Queue = asyncio.Queue()
        receiver = IdleReceiver(box.get, 3600)
        box.put_nowait("a")
        assert await receiver.receive() == "a"
        waiting = asyncio.ensure_future(receiver.receive())
        await asyncio.sleep(0)
        receiver._check()
        box.put_nowait("b")
        assert await waiting == "b"
        receiver.close()

    asyncio.run(story())


@pytest.mark.parametrize("error", [ValueError("a text"), RuntimeError("a text")])
@pytest.mark.parametrize("fails", ["sending", "asking"])
def test_nothing_is_sent_behind_what_could_not_be_sent(error, fails):
    """Or the client would lack it and not know."""

    async def story():
        sent: list[str] = []

        async def send(message):
            if message["type"] == "websocket.send" and message["text"] == fails_at:
                raise error
            sent.append(message.get("text") or message["type"])

        def ask(confirmed):
            raise error

        fails_at = "<2>" if fails == "sending" else ""
        ws = WebSocket({}, None, send, set())
        ws.accepted = True
        for n in "123":
            ws.push(Packet(f"<{n}>"))
            if n == "2" and fails == "asking":
                ws._pings = SimpleNamespace(ask=ask)
                ws.ping(lambda: None)
        await asyncio.wait({ws._send_queue._task})
        assert not ws.connected
        assert not ws.push(Packet("<4>"))
        await ws.wait_closed()
        assert sent == ["<1>", *(["<2>"] if fails == "asking" else []), "websocket.close"]

    asyncio.run(story())
