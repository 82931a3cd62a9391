"""How many useless frames an HTTP/2 client may send."""

import struct

import pytest

from chat.bridge.frame_budget import (
    BURST_FRAMES,
    EARNED_FRAMES,
    FRAMES_PER_SECOND,
    FrameBudget,
    FrameReader,
)

DATA, HEADERS, RESET, PING = 0, 1, 3, 6


def frame(kind, flags=0, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, 1) + payload


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def budget(now):
    budget = FrameBudget(lambda: now[0])
    budget.received(b"x" * 24)
    return budget


@pytest.mark.parametrize("size", range(1, 60))
def test_frames_are_found_however_they_are_cut(size):
    sent = [(DATA, 1, b"x" * 300), (PING, 0, b"x" * 8), (HEADERS, 5, b""), (RESET, 0, b"none")]
    data = b"preface" + b"".join(frame(*one) for one in sent)
    reader = FrameReader(7)
    found = [head for n in range(0, len(data), size) for head in reader.read(data[n : n + size])]
    assert found == [(len(payload), kind, flags) for kind, flags, payload in sent]


def test_what_asks_for_nothing_is_spent(budget, now):
    budget.received(frame(PING) * BURST_FRAMES)
    assert not budget.is_spent
    budget.received(frame(PING))
    assert budget.is_spent
    now[0] += 1000
    budget.received(b"")
    assert budget.is_spent, "for good"


def test_so_many_a_second_are_free(budget, now):
    for _ in range(1000):
        now[0] += 1
        budget.received(frame(PING) * FRAMES_PER_SECOND)
    assert not budget.is_spent
    budget.received(frame(PING) * (BURST_FRAMES + 1))
    assert budget.is_spent, "what was not used is not kept beyond a burst"


def test_what_the_server_has_to_reset_is_spent_too(budget):
    budget.sent(frame(RESET) * (BURST_FRAMES + 1))
    assert budget.is_spent


def test_requests_bodies_and_what_is_earned_by_answers(budget):
    budget.received((frame(HEADERS, 4) + frame(DATA, 0, b"x" * 64) + frame(DATA, 1)) * 1000)
    for _ in range(1000):
        budget.received(frame(8) * EARNED_FRAMES)
        budget.sent(frame(DATA, 0, b"x"))
    assert not budget.is_spent
