"""The subscriber without a link."""

import asyncio

import pytest

from chat.channels import Alone
from chat.subscriber import Subscriber


def test_who_waits_for_a_channel_that_closes_is_told():
    """And is not taken for somebody who was cancelled."""

    async def story():
        subscriber = Subscriber(Alone("redis://127.0.0.1"), None, None, lambda uid: None)
        subscriber.opened("room:tea")
        waiting = asyncio.create_task(subscriber.ready("room:tea"))
        await asyncio.sleep(0)
        subscriber.closed("room:tea")
        with pytest.raises(TimeoutError):
            await waiting

    asyncio.run(story())


def test_waiting_has_an_end():
    async def story():
        subscriber = Subscriber(Alone("redis://127.0.0.1"), None, None, lambda uid: None)
        subscriber.opened("room:tea")
        with pytest.raises(TimeoutError):
            await subscriber.ready("room:tea", 0)
        subscriber.closed("room:tea")

    asyncio.run(story())
