"""Where the frame of pages without JavaScript continues."""

import pytest
from redis.exceptions import RedisError

from chat.web import event_stream
from chat.web.event_stream import StreamPosition, Waiting


def test_what_the_address_said_stays_in_the_address():
    """The epoch comes from the browser, and the refresh is markup."""
    refresh = StreamPosition("room", 7, '"><b>&x').refresh(5)
    assert refresh == (
        '<meta http-equiv="refresh" content="5; '
        'url=/rooms/room/stream?after=7&epoch=%22%3E%3Cb%3E%26x">'
    )


@pytest.mark.parametrize(
    "error", [RedisError(), OSError(), TimeoutError(), ValueError(), KeyError()]
)
def test_whatever_fails_the_frame_comes_back_after_what_it_has(monkeypatch, error):
    def events(room, place, waiting):
        yield "a message"
        place.seq = 7
        raise error

    monkeypatch.setattr(event_stream, "_events", events)
    *pieces, last = event_stream._listen(None, StreamPosition("room", 3, "e"), Waiting(), "<head>")
    assert pieces == ["<head>", "a message"]
    assert last == StreamPosition("room", 7, "e").refresh(event_stream.RETRY_SECONDS)
