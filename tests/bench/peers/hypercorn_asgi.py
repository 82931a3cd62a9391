"""Stock Hypercorn on uvloop: one ASGI `websocket.send` per viewer and message.

No Redis, no Flask, no history, no sign-in: a message goes from one socket to the room's others in
this process. The chat's own write path is compared with it, although it does less.
"""

import json
import sys
from collections import defaultdict
from itertools import count

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

MESSAGE = (
    '<hx-upsert hx-target="#messages" key="data-id" sort><li id="m-{number}" data-id="{number}" '
    'class="message" data-author="u-guest"><b class="message__author">Guest</b> '
    '<time datetime="2026-01-01T12:00:00Z">12:00</time>'
    '<div class="message__body"><p>{body}</p></div></li></hx-upsert>'
)

rooms = defaultdict(set)
numbers = count(1)


async def app(scope, receive, send):
    """Serve one connection: `watch` joins a room, `post` is sent to all its viewers."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    if scope["type"] != "websocket":
        return None
    watched = None
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        frame = json.loads(event["text"])
        if frame["type"] == "watch":
            watched = rooms[frame["room"]]
            watched.add(send)
            await send({"type": "websocket.send", "text": "<p>watching</p>"})
        else:
            await deliver(frame)
    if watched is not None:
        watched.discard(send)
    return None


async def deliver(frame):
    """Render once, send to each viewer in turn (a gather costs more: a task per viewer)."""
    text = MESSAGE.format(number=next(numbers), body=frame["body"])
    event = {"type": "websocket.send", "text": text}
    for send in tuple(rooms[frame["room"]]):
        await send(event)


async def lifespan(receive, send):
    """Answer Hypercorn's startup and shutdown events."""
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return


if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.backlog = 2048
    config.loglevel = "WARNING"
    uvloop.run(serve(app, config))
