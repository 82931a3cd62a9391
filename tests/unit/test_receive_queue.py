"""The queue of messages that a websocket has received and nobody has read yet."""

import asyncio

import pytest

from chat.bridge.receive_queue import ReceiveQueue


def test_a_full_queue_makes_the_sender_wait():
    """The sender waits until a message has been read."""

    async def exchange():
        queue = ReceiveQueue(1)
        await queue.put({"n": 1})
        waiting = asyncio.ensure_future(queue.put({"n": 2}))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await queue.get() == {"n": 1}
        await waiting
        assert await queue.get() == {"n": 2}

    asyncio.run(exchange())


def test_a_full_queue_accepts_the_final_message():
    """It wakes the waiting sender, and is read after the messages before it."""

    async def exchange():
        queue = ReceiveQueue(1)
        await queue.put({"n": 1})
        waiting = asyncio.ensure_future(queue.put({"n": 2}))
        await asyncio.sleep(0)
        queue.finish({"end": 1})
        queue.finish({"end": 2})
        await waiting
        assert await queue.get() == {"n": 1}
        assert await queue.get() == {"end": 1}
        assert await queue.get() == {"end": 1}

    asyncio.run(exchange())


def test_a_message_is_kept_when_its_reader_is_cancelled():
    """A reader that is cancelled at the moment a message arrives does not lose it."""

    async def exchange():
        queue = ReceiveQueue(1)
        reading = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        await queue.put({"n": 1})
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await queue.get() == {"n": 1}

    asyncio.run(exchange())
