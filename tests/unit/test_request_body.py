"""How long the server waits for a request's body."""

import asyncio

import pytest
from werkzeug.exceptions import RequestTimeout

from chat.bridge import http


class Sender:
    """Says its first piece at once, and each further one a turn of the loop later."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.said = 0

    async def receive(self):
        if self.said:
            await asyncio.sleep(0)
        self.said += 1
        more = self.said < len(self.pieces)
        return {"type": "http.request", "body": self.pieces[self.said - 1], "more_body": more}


async def read(body: http._Body) -> bytes:
    data = b""
    while not body.ended:
        data += await body._next()
    return data


@pytest.fixture
def impatient(monkeypatch):
    """No time at all, but for what has come."""
    monkeypatch.setattr(http, "BODY_SECONDS", 0.0)


def test_each_piece_of_a_body_gives_time_for_more(impatient, monkeypatch):
    monkeypatch.setattr(http, "BODY_BYTES_PER_SECOND", 0.001)  # a byte gives a thousand seconds
    sender = Sender(b"a", b"b", b"c")
    assert asyncio.run(read(http._Body(sender.receive, 10, True))) == b"abc"


def test_a_body_that_comes_too_slowly_is_given_up(impatient, monkeypatch):
    monkeypatch.setattr(http, "BODY_BYTES_PER_SECOND", 1e12)
    sender = Sender(b"a", b"b", b"c")
    with pytest.raises(RequestTimeout):
        asyncio.run(read(http._Body(sender.receive, 10, True)))
