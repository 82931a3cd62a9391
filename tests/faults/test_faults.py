"""The short form of `make faults`, with a fixed seed; and tests of its checker."""

import asyncio
from itertools import pairwise

import pytest

from .checker import GRACE, check
from .deployment import ZONES
from .faults import (
    failover_to_a_replica_that_lags,
    host_cut_from_redis,
    out_of_memory,
    reconnect_storm,
    redis_killed_and_restarted,
    subscribers_cut,
)
from .host_faults import worker_killed
from .people_checks import LATE
from .people_faults import people_leave_and_join, people_rename_themselves
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
    people_rename_themselves,
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "run"
    return asyncio.run(play(folder, SEED, 0, FAULTS, 24, 3, 20, vanish=False))


def test_faults_break_no_promise(run):
    print(table(run))
    assert run.broken == []
    assert run.problems == []
    assert len(run.verdict.acked) > 100
    assert max(one.recovered for one in run.injected) < 30


# The checker finds each kind of error


def broken(run, records):
    return {one.promise for one in check(records, run.streams, run.uids).broken}


def shown(run):
    """Return the places of consecutive events that one page was shown under their stored names, in
    the middle of its records."""
    stored = {(rid, seq): said[2] for rid, events in run.streams.items() for seq, _, said in events}

    def has_name(record):
        name = stored.get((record["room"], record["seq"]))
        return bool(record["label"]) and record["label"].name == name

    own = [
        n
        for n, record in enumerate(run.records)
        if record["who"] == "page1" and record["op"] in ("shown", "reset")
    ]
    pairs = [
        (first, second)
        for first, second in pairwise(own[10:])
        if all(
            run.records[n]["op"] == "shown" and has_name(run.records[n]) for n in (first, second)
        )
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


def test_a_missing_acknowledged_message_is_found(run):
    """Also a message that is stored twice, or that nobody sent."""
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


def test_an_acknowledgement_of_nothing_is_found(run):
    record = {"t": run.records[-1]["t"], "who": "page1", "op": "acked", "nonce": "no-such"}
    assert "I8" in broken(run, [*run.records, record])


def test_a_message_stored_before_an_earlier_one_is_found(run):
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


def test_a_page_that_is_not_reset_after_a_loss_is_found(run):
    """A failover lost an event that a page had shown, and the page was not reset."""
    place, then = shown(run)
    records = list(run.records)
    records[place] = {**records[place], "at": records[place]["at"] - 1}
    records.append({"t": records[then]["t"] + 1, "who": "harness", "op": "lost"})
    assert "I7" in broken(run, records)


def test_a_page_that_shows_a_room_its_person_has_left_is_found(run):
    """There was no reset a moment before, which would allow it."""
    place, then = shown(run)
    left = {**run.records[place], "op": "left"}
    late = {**run.records[then], "t": left["t"] + GRACE + 0.1}
    before = [record for record in run.records if record["t"] < left["t"]]
    assert "I9" in broken(run, [*before, run.records[place], left, late])
    soon = {**late, "t": left["t"] + GRACE - 0.1}
    assert "I9" not in broken(run, [*before, run.records[place], left, soon])


# The checks of what pages show besides messages


def place(run, op, is_wanted=lambda record: True):
    """Return the place of the last record of a kind."""
    return max(n for n, r in enumerate(run.records) if r["op"] == op and is_wanted(r))


def changed(run, n, **fields):
    """Return the records with one of them changed."""
    return [*run.records[:n], {**run.records[n], **fields}, *run.records[n + 1 :]]


def test_an_unconfirmed_message_that_counts_as_read_is_found(run):
    """The page was shown the newest event, and has sent nothing since."""

    def top_of(room, uid):
        posts = (seq for seq, _, f in reversed(run.streams[room]) if f[0] == "post" and f[1] != uid)
        return next(posts, 0)

    confirmed: dict[tuple[str, str], float] = {}  # the newest confirmation, by room and person
    for record in run.records:
        if record["op"] == "confirmed":
            key = record["room"], run.uids[record["who"]]
            if record["seq"] >= top_of(*key) > 0:
                confirmed.setdefault(key, record["t"])

    def has_seen_all(record):
        return confirmed.get((record["room"], record["who"]), record["t"]) < record["t"]

    n = place(run, "read", has_seen_all)
    room, uid = run.records[n]["room"], run.records[n]["who"]
    top = top_of(room, uid)
    records = changed(run, n, seq=top)
    silent = [
        record
        for record in records
        if not (record["op"] == "confirmed" and record["room"] == room and record["seq"] >= top)
    ]
    assert "I10" in broken(run, silent)
    assert "I10" not in broken(run, run.records)


def test_a_page_that_shows_the_wrong_number_online_is_found(run):
    n = place(run, "presence")
    assert "I11" in broken(run, changed(run, n, told=run.records[n]["told"] + 1))
    assert "I11" in broken(run, changed(run, n, told=None))


def test_a_change_of_the_number_online_without_a_cause_is_found(run):
    n = place(run, "here")
    record = run.records[n]
    for really, wrong in ((record["count"], False), (record["count"] + 1, True)):
        steady = {"t": record["t"] - 0.001, "who": "harness", "op": "steady"}
        steady["rooms"] = {record["room"]: really}
        unsteady = {"t": record["t"] + 0.001, "who": "harness", "op": "unsteady"}
        records = [*run.records[:n], steady, record, unsteady, *run.records[n + 1 :]]
        assert ("I11" in broken(run, records)) == wrong


@pytest.mark.parametrize("part", ["name", "whole", "short", "day"])
def test_a_wrong_name_or_time_is_found(run, part):
    n = place(run, "shown", lambda r: r["body"] and r["label"])
    wrong = {"name": "Somebody", "whole": "Monday", "short": "25:00", "day": "Monday"}
    label = run.records[n]["label"]._replace(**{part: wrong[part]})
    assert "I12" in broken(run, changed(run, n, label=label))


def test_a_time_in_a_wrong_zone_is_found(run):
    """The person of the page had a different zone all the time."""
    n = place(run, "shown", lambda r: r["body"] and r["label"])
    uid = run.uids[run.records[n]["who"]]
    had = {r["zone"] for r in run.records if r["op"] == "profile" and r["who"] == uid}
    other = next(zone for zone in ZONES if zone not in had)
    records = [
        {**r, "zone": other} if r["op"] == "profile" and r["who"] == uid else r for r in run.records
    ]
    assert "I12" in broken(run, records)


def test_a_row_of_the_room_list_with_a_wrong_zone_or_name_is_found(run):
    kept = {
        fields[3].partition(" ")[0]
        for events in run.streams.values()
        for _, _, fields in events
        if fields[0] == "post"
    }
    n = place(run, "line", lambda r: r["said"] in kept)
    assert "I12" in broken(run, changed(run, n, time="25:00"))
    assert "I12" in broken(run, changed(run, n, name="Somebody"))


def test_a_message_resent_after_a_failover_may_have_an_earlier_time(run):
    """A failover has lost the message, and its page has sent it again, two minutes later. Pages
    that were shown it before still show its first time."""
    again = {
        room: [(seq, at + 120_000 * (said[0] == "post"), said) for seq, at, said in events]
        for room, events in run.streams.items()
    }
    unseen = [r for r in run.records if r["op"] not in ("shown", "again")]

    def wrong(records):
        found = check(records, again, run.uids).broken
        return [one for one in found if one.promise == "I12" and "has a row at" in one.text]

    assert wrong(run.records) == []
    assert wrong(unseen)


def test_a_message_under_an_old_name_is_found(run):
    """Somebody was renamed long before they posted."""
    post = next(f for events in run.streams.values() for _, _, f in events if f[0] == "post")
    first = next(
        n for n, r in enumerate(run.records) if r["op"] == "profile" and r["who"] == post[1]
    )
    old = run.records[first]
    long_ago = old["t"] - 3 * LATE
    before = {**old, "begun": long_ago, "t": long_ago}
    since = changed(run, first, name="Another", begun=long_ago + 1, t=long_ago + 1)
    assert "I12" in broken(run, [before, *since])


def test_a_page_that_stays_in_a_hub_is_found(run):
    n = place(run, "remains")
    assert run.records[n]["count"] == 0
    assert "I13" in broken(run, changed(run, n, count=1))
