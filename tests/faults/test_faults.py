"""The short form of `make faults`, with a seed that stays the same, and what its checker finds."""

import asyncio
from itertools import pairwise

import pytest

from .checker import GRACE, check
from .faults import (
    failover_to_a_replica_that_lags,
    host_cut_from_redis,
    out_of_memory,
    people_leave_and_join,
    reconnect_storm,
    redis_killed_and_restarted,
    subscribers_cut,
    worker_killed,
)
from .play import play, table

SEED = 5
FAULTS = [
    redis_killed_and_restarted,
    subscribers_cut,
    out_of_memory,
    failover_to_a_replica_that_lags,
    worker_killed,
    host_cut_from_redis,
    reconnect_storm,
    people_leave_and_join,
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "run"
    return asyncio.run(play(folder, SEED, 0, FAULTS, pages=24, rooms=3, rate=20))


def test_faults_break_no_promise(run):
    print(table(run))
    assert run.broken == []
    assert run.problems == []
    assert len(run.verdict.acked) > 100
    assert max(one.recovered for one in run.injected) < 30


# The checker finds what it is there to find


def broken(run, records):
    return {one.promise for one in check(records, run.streams, run.uids).broken}


def shown(run):
    """Places of what one page was shown one behind the other, in the middle of its records."""
    own = [
        n
        for n, record in enumerate(run.records)
        if record["who"] == "page1" and record["op"] in ("shown", "reset")
    ]
    pairs = [
        (first, second)
        for first, second in pairwise(own[10:])
        if run.records[first]["op"] == run.records[second]["op"] == "shown"
    ]
    return pairs[len(pairs) // 2]


def test_a_message_that_a_page_was_not_shown_is_found(run):
    place, _ = shown(run)
    assert "I3" in broken(run, run.records[:place] + run.records[place + 1 :])


def test_two_messages_in_the_wrong_order_are_found(run):
    records = list(run.records)
    first, second = shown(run)
    records[first] = {**run.records[second], "t": run.records[first]["t"]}
    records[second] = {**run.records[first], "t": run.records[second]["t"]}
    assert "I3" in broken(run, records)


def test_a_message_shown_twice_is_found(run):
    place, _ = shown(run)
    records = run.records[: place + 1] + run.records[place:]
    assert "I3" in broken(run, records)
    again = {**run.records[place], "op": "again"}
    assert "I3" in broken(
        run, [*run.records[: place + 1], *[again] * 99, *run.records[place + 1 :]]
    )


def test_a_message_that_nobody_sent_is_found(run):
    place, _ = shown(run)
    invented = {**run.records[place], "body": "nobody said this"}
    records = [*run.records[:place], invented, *run.records[place + 1 :]]
    assert "I5" in broken(run, records)


def test_a_message_that_is_acknowledged_and_not_there_is_found(run):
    """Also one that is there twice, or that nobody sent."""
    last = max(n for n, record in enumerate(run.records) if record["op"] == "lost")
    acked = next(record for record in run.records[last:] if record["op"] == "acked")
    body = next(r["body"] for r in run.records if r.get("nonce") == acked["nonce"])
    for count, promise in ((0, "I1"), (2, "I2")):
        streams = {
            room: [event for event in events for _ in range(count if body in event[2] else 1)]
            for room, events in run.streams.items()
        }
        found = check(run.records, streams, run.uids).broken
        assert promise in {one.promise for one in found}


def test_a_page_that_is_behind_at_the_end_is_found(run):
    streams = {
        room: [*events, (events[-1][0] + 1, 0, ["join", "x", "x"])]
        for room, events in run.streams.items()
    }
    assert "I6" in {one.promise for one in check(run.records, streams, run.uids).broken}


def test_an_answer_to_nothing_is_found(run):
    record = {"t": run.records[-1]["t"], "who": "page1", "op": "acked", "nonce": "no-such"}
    assert "I8" in broken(run, [*run.records, record])


def test_what_is_sent_later_and_stored_before_is_found(run):
    records = list(run.records)
    acks = [n for n, record in enumerate(records) if record["op"] == "acked"]
    records[acks[-1]] = {**records[acks[-1]], "t": 0.0}
    sent = next(
        n
        for n, record in enumerate(records)
        if record["op"] == "send" and record["nonce"] == records[acks[-1]]["nonce"]
    )
    records[sent] = {**records[sent], "t": 0.0}
    assert "I4" in broken(run, records)


def test_a_loss_that_is_not_told_of_is_found(run):
    """The failover lost something that a page had been shown, and the page went on."""
    place, then = shown(run)
    records = list(run.records)
    records[place] = {**records[place], "at": records[place]["at"] - 1}
    records.append({"t": records[then]["t"] + 1, "who": "harness", "op": "lost"})
    assert "I7" in broken(run, records)


def test_who_is_out_of_a_room_and_is_shown_it_is_found(run):
    """Whatever else the page was told: a reset a moment before would end it."""
    place, then = shown(run)
    left = {**run.records[place], "op": "left"}
    late = {**run.records[then], "t": left["t"] + GRACE + 0.1}
    before = [record for record in run.records if record["t"] < left["t"]]
    assert "I9" in broken(run, [*before, run.records[place], left, late])
    soon = {**late, "t": left["t"] + GRACE - 0.1}
    assert "I9" not in broken(run, [*before, run.records[place], left, soon])
