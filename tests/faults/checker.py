"""Checks the promises of docs/guarantees.md against the records of the pages and against the
database.

Records (see journal.py), by `op`:

    send     room, nonce, body    Enter was pressed for the first time
    acked    nonce                the page was told that it is stored
    refused  nonce, why           the page was told that it is not, for now
    reset    room                 the page began a list anew, as it was told to
    open                          the socket was opened
    watch    after                the page said the last number it shows
    shown    room, seq, at, author, body, label   an event was put into the list; `label` has the
             name, whole time, short time and day that stand beside it
    again    the same             an event that was in the list came again, and replaced itself;
             which may be where it was on its way when `watch` said that it was not there yet, or
             where its author took another name
    left     room                 the answer to leaving had come; a reset ends it
    end                           the page was there to the last
    lost     -                    (by the harness) a failover to a replica that lagged
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from math import inf

from .journal import Record
from .people_checks import Profiles, check_people
from .verdict import DISORDER, DOUBLED, MISSING, OTHER, Sent, Streams, Verdict

GRACE = 1.0  # seconds after leaving during which events that were on their way may still arrive

# How often a message may be sent again when its author is renamed: each worker may send it twice,
# and the author may be renamed twice.
AFTER_RENAMING = 8


def check(records: Iterable[Record], streams: Streams, uids: dict[str, str]) -> Verdict:
    """Check a run. `uids` has the id of each page's person, by the name of the page."""
    records = sorted(records, key=lambda record: record["t"])
    verdict = Verdict()
    sent = _sent(records, verdict)
    losses = [record["t"] for record in records if record["op"] == "lost"]
    where = {
        (room, fields[3]): (seq, fields[1])
        for room, events in streams.items()
        for seq, _, fields in events
        if fields[0] == "post"
    }
    _durable(sent, where, losses, verdict)
    _unique(sent, streams, uids, verdict)
    _real_time(sent, where, verdict)
    pages = defaultdict(list)
    for record in records:
        pages[record["who"]].append(record)
    bodies = {(one.room, one.body): uids[one.who] for one in sent.values()}
    truth = {
        (room, seq): (at, fields[1] if fields[0] == "post" else "", _body(fields))
        for room, events in streams.items()
        for seq, at, fields in events
    }
    profiles = Profiles(records)
    authors = {
        (room, seq): said[1:3] for room, events in streams.items() for seq, _, said in events
    }

    def renamed(record: Record) -> float:
        """Return how often a page may be sent an event again because its author was renamed."""
        author, stored = authors.get((record["room"], record["seq"]), ("", ""))
        if record["label"] and record["label"][0] != stored:
            return inf  # because names are compared each time a connection is made again
        return AFTER_RENAMING if profiles.changed(author, record["t"]) else 0

    for who in pages.keys() & uids.keys():
        _page(who, pages[who], streams, truth, bodies, losses, renamed, verdict)
    check_people(records, streams, uids, sent, profiles, verdict)
    return verdict


def _sent(records: list[Record], verdict: Verdict) -> dict[str, Sent]:
    """Return what was sent, by nonce. I8: nothing else is acknowledged, and only to its sender."""
    sent: dict[str, Sent] = {}
    for record in records:
        if record["op"] == "send":
            sent[record["nonce"]] = Sent(record["t"], record["who"], record["room"], record["body"])
        elif record["op"] == "acked":
            one = sent.get(record["nonce"])
            if one is None or one.who != record["who"]:
                verdict.add(record["t"], "I8", OTHER, f"an answer to nothing: {record}")
            elif one.acked is None:
                one.acked = record["t"]
                verdict.acked.append(record["t"])
    return sent


def _durable(sent: dict[str, Sent], where: dict, losses: list[float], verdict: Verdict) -> None:
    """I1: every acknowledged message is stored."""
    for one in sent.values():
        if one.acked is not None and (one.room, one.body) not in where:
            if any(one.acked < t for t in losses):
                verdict.lost += 1
            else:
                verdict.add(one.acked, "I1", MISSING, f"acknowledged but missing: {one.body}")


def _unique(
    sent: dict[str, Sent], streams: Streams, uids: dict[str, str], verdict: Verdict
) -> None:
    """I2: each message is stored at most once. I5: its author sent it to this room."""
    times = {(one.room, uids[one.who], one.body): one.t for one in sent.values()}
    for room, events in streams.items():
        seen = set()
        numbers = [seq for seq, _, _ in events]
        if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            verdict.add(0.0, "I3", DISORDER, f"the numbers of {room} have gaps")
        for seq, _, fields in events:
            if fields[0] != "post":
                continue
            message = room, fields[1], fields[3]
            if message not in times:
                verdict.add(0.0, "I5", OTHER, f"nobody sent {seq} of {room}: {fields[3]}")
            if message in seen:
                verdict.add(times.get(message, 0.0), "I2", DOUBLED, f"stored twice: {fields[3]}")
            seen.add(message)


def _real_time(sent: dict[str, Sent], where: dict, verdict: Verdict) -> None:
    """I4: a message that was sent after an acknowledgement has a greater number than the
    acknowledged one."""
    moments = defaultdict(list)
    for one in sent.values():
        if (one.room, one.body) in where:
            seq = where[one.room, one.body][0]
            moments[one.room].append((one.t, 1, seq, one.body))
            if one.acked is not None:
                moments[one.room].append((one.acked, 0, seq, one.body))
    for all_of_room in moments.values():
        highest = 0
        for t, is_send, seq, body in sorted(all_of_room):
            if not is_send:
                highest = max(highest, seq)
            elif seq < highest:
                verdict.add(t, "I4", DISORDER, f"{body} has {seq}, but was sent after {highest}")


def _page(
    who: str,
    records: list[Record],
    streams: Streams,
    truth: dict[tuple[str, int], tuple[int, str, str | None]],
    bodies: dict[tuple[str, str], str],
    losses: list[float],
    renamed: Callable[[Record], float],
    verdict: Verdict,
) -> None:
    """I3, I5, I6, I7 and I9 for one page, which shows one room at a time."""
    room, last, shown, left = "", None, {}, None
    said, came = [], Counter()
    for record in records:
        t = record["t"]
        if record["op"] == "open":
            said, came = [], Counter()
        elif record["op"] == "watch":
            said.append(record["after"])
        elif record["op"] == "again":
            seq = record["seq"]
            came[seq] += 1
            if came[seq] > sum(after < seq for after in said) + renamed(record):
                verdict.add(t, "I3", DOUBLED, f"{who} was shown {seq} of {room} again")
            if shown.get(seq) != _what(record):
                verdict.add(t, "I3", OTHER, f"{who} was shown a different {seq} of {room}")
        elif record["op"] == "reset":
            room, last, shown, left = record["room"], None, {}, None
        elif record["op"] == "left":
            left = t
        elif record["op"] == "shown":
            room, seq, body = record["room"], record["seq"], record["body"]
            if left is not None and t > left + GRACE:
                verdict.add(t, "I9", OTHER, f"{who} has left {room} but was shown {seq}")
            if last is not None and seq != last + 1:
                if seq in shown:
                    verdict.add(t, "I3", DOUBLED, f"{who} was shown {seq} of {room} again")
                elif seq > last:
                    verdict.add(t, "I3", MISSING, f"{who} was shown {seq} of {room} after {last}")
                else:
                    verdict.add(t, "I3", DISORDER, f"{who} was shown {seq} of {room} after {last}")
            if body is not None and bodies.get((room, body)) != record["author"]:
                verdict.add(t, "I5", OTHER, f"{who} was shown what nobody sent: {body}")
            same = truth.get((room, seq)) == _what(record)
            if not same and not any(t < loss for loss in losses):
                verdict.add(t, "I3", OTHER, f"{who} was shown {seq} of {room}, which is not stored")
            if same and last in shown and shown[last] != truth.get((room, last)):
                verdict.add(t, "I7", MISSING, f"{who} was not reset when {last} of {room} was lost")
            last, shown[seq] = seq, _what(record)
        elif record["op"] == "end" and left is None:
            top = streams[room][-1][0] if streams.get(room) else 0
            if last != top:
                verdict.add(t, "I6", MISSING, f"{who} shows {room} up to {last}, not {top}")
            if any(truth.get((room, seq)) != what for seq, what in shown.items()):
                verdict.add(t, "I7", OTHER, f"{who} shows a lost event")


def _what(record: Record) -> tuple[int, str, str | None]:
    return record["at"], record["author"], record["body"]


def _body(fields: list) -> str | None:
    return fields[3] if fields[0] == "post" else None
