"""The log while Redis is unavailable."""

import logging

import pytest
from redis.exceptions import ConnectionError as Away

from chat.observability import once_per_minute
from chat.observability.once_per_minute import OutageFilter


@pytest.fixture
def log():
    """A logger whose lines can be read, as a worker has it."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    handler.addFilter(OutageFilter())
    log = logging.Logger("chat.test")
    log.addHandler(handler)
    log.lines = lines
    return log


def test_an_outage_is_one_line_however_many_find_out(log, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(once_per_minute.time, "monotonic", lambda: now[0])
    for _ in range(100):
        log.warning("a page is closed and must reconnect: %s", Away("refused"))
        log.warning("the link is lost (%s)", TimeoutError("silent"))
    assert log.lines == ["a page is closed and must reconnect: refused"]
    now[0] += once_per_minute.MINUTE_SECONDS
    log.warning("cannot tell who is here: %s", Away("refused"))
    assert log.lines[1:] == [
        "cannot tell who is here: refused (and 199 more times since the last line like this)"
    ]


def test_everything_else_is_written(log):
    log.warning("Redis: %s", Away("refused"))
    for _ in range(3):
        log.warning("a token was refused: %s", "old")
        log.error("in the subscriber: %s", Away("refused"))
    assert len(log.lines) == 7
