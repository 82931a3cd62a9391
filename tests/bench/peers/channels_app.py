"""Django Channels with channels-redis, as in its tutorial, under uvicorn.

Renders one HTML fragment per message with a format string, sends it to the room's group through
Redis, then stores it with XADD. No sign-in, no resume. Started by make bench:

    BENCH_REDIS=redis://… uvicorn tests.bench.peers.channels_app:application
"""

import json
import os
from itertools import count

import redis.asyncio
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter
from django.conf import settings

REDIS = os.environ["BENCH_REDIS"]
FRAGMENT = (
    '<hx-upsert hx-target="#messages" key="data-id" sort><li id="m-{number}" data-id="{number}" '
    'class="message" data-author="u-guest"><b class="message__author">Guest</b> '
    '<time datetime="2026-01-01T12:00:00Z">12:00</time>'
    '<div class="message__body"><p>{body}</p></div></li></hx-upsert>'
)

settings.configure(
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # The default capacity of 100 drops messages where one process has many viewers.
            "CONFIG": {"hosts": [REDIS], "capacity": 10_000},
        }
    }
)

numbers = count(1)
store = redis.asyncio.Redis.from_url(REDIS)


class Room(AsyncWebsocketConsumer):
    """One connection: `watch` joins the room's group, `post` sends to it."""

    watched = None

    async def receive(self, text_data=None, bytes_data=None):
        frame = json.loads(text_data)
        if frame["type"] == "watch":
            self.watched = frame["room"]
            await self.channel_layer.group_add(self.watched, self.channel_name)
            await self.send(text_data="<p>watching</p>")
            return
        text = FRAGMENT.format(number=next(numbers), body=frame["body"])
        await get_channel_layer().group_send(frame["room"], {"type": "shown", "text": text})
        await store.xadd(f"stream:{frame['room']}", {"name": "Guest", "msg": frame["body"]})

    async def shown(self, event):
        """Send a message of the group to this connection."""
        await self.send(text_data=event["text"])

    async def disconnect(self, code):
        if self.watched:
            await self.channel_layer.group_discard(self.watched, self.channel_name)


application = ProtocolTypeRouter({"websocket": Room.as_asgi()})
