"""Checks the promises I10 to I13, about what pages show besides messages: what counts as read, who
is online, names and times; and that no closed page stays in a hub.

Records, by `op`, besides those of checker.py:

    clock      wall               (by the harness) the time of day, in seconds since 1970
    profile    name, zone, begun  (of a person) the answer to a change of their profile had come;
                                  what is told may have the new values since `begun`
    confirmed  room, seq          the page said something when it showed events up to this number
    read       room, seq          (of a person) up to this number the room counts as read, by the
                                  database; what the page confirmed before is written down
    here       room, count        the page was told that so many members are here
    presence   room, told, really (of a page) the state when everybody had had a minute
    steady     rooms              (by the harness) from now on so many are here in each room, ...
    unsteady   -                  ... until now
    line       room, said, time, name   a row of the room list; `said` is the message's first word
    remains    host, what, count  what a worker had a minute after all pages had gone
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from math import inf
from zoneinfo import ZoneInfo

from .journal import Record
from .verdict import OTHER, Sent, Streams, Verdict

# Seconds after the answer to a change of a name or zone during which the old one may still be
# shown, because a worker that is stopped or cut off from Redis learns of it only afterwards.
LATE = 30.0
COUNTING = "post", "start", "add"  # kinds of events that make a room unread
# Seconds by which a shown time may differ from the real one: because of caches, the clocks of
# hosts, and the clock of the database, which is set back.
AROUND_MIDNIGHT = -3690.0, -90.0, 90.0


def check_people(
    records: Sequence[Record],
    streams: Streams,
    uids: dict[str, str],
    sent: dict[str, Sent],
    profiles: "Profiles",
    verdict: Verdict,
) -> None:
    """Check a run. `records` are in order of time; `sent` is by nonce."""
    _read(records, streams, uids, verdict)
    _presence(records, verdict)
    _labels(records, streams, uids, sent, profiles, verdict)
    for record in records:
        if record["op"] == "remains" and record["count"]:
            text = f"{record['host']} has {record['count']:.0f} {record['what']} of closed pages"
            verdict.add(record["t"], "I13", OTHER, text)


def _read(
    records: Sequence[Record], streams: Streams, uids: dict[str, str], verdict: Verdict
) -> None:
    """I10: everything that counts as read was confirmed by a page of the person, or written by
    them. Events that make no room unread need no confirmation."""
    unread = {
        room: [(seq, fields[1]) for seq, _, fields in events if fields[0] in COUNTING]
        for room, events in streams.items()
    }
    joined = {
        (room, fields[1]): seq  # the last time of joining; earlier events are not unread
        for room, events in streams.items()
        for seq, _, fields in events
        if fields[0] in ("join", "start")
    }
    losses = [record["t"] for record in records if record["op"] == "lost"]
    confirmed: dict[tuple[str, str], int] = defaultdict(int)
    for record in records:
        if record["op"] == "confirmed":
            key = record["room"], uids[record["who"]]
            confirmed[key] = max(confirmed[key], record["seq"])
        elif record["op"] == "read":
            room, uid, seq = record["room"], record["who"], record["seq"]
            seen = max(confirmed[room, uid], joined.get((room, uid), 0))
            events = unread.get(room, [])
            begin, end = bisect_left(events, (seen + 1, "")), bisect_left(events, (seq + 1, ""))
            by_others = [n for n, author in events[begin:end] if author != uid]
            # Nobody knows which events had these numbers before a failover lost them.
            if by_others and not any(record["t"] < loss for loss in losses):
                text = f"{by_others[0]} of {room} counts as read by {uid}, who confirmed {seen}"
                verdict.add(record["t"], "I10", OTHER, text)


def _presence(records: Sequence[Record], verdict: Verdict) -> None:
    """I11: a minute after a fault every page shows who is online, and that does not change while
    nobody comes or goes."""
    steady: dict[str, int] | None = None
    for record in records:
        if record["op"] == "steady":
            steady = record["rooms"]
        elif record["op"] == "unsteady":
            steady = None
        elif record["op"] == "presence" and record["told"] != record["really"]:
            text = f"{record['who']} shows {record['told']} people online in {record['room']}, "
            verdict.add(record["t"], "I11", OTHER, f"{text}not {record['really']}")
        elif record["op"] == "here" and steady is not None:
            really = steady.get(record["room"], record["count"])
            if record["count"] != really:
                text = f"{record['who']} showed {record['count']} people online, not {really}"
                verdict.add(record["t"], "I11", OTHER, text)


class Profiles:
    """The names and time zones that people had, by time."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._begun: dict[str, list[float]] = defaultdict(list)
        self._answered: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
        for record in records:
            if record["op"] == "profile":
                self._begun[record["who"]].append(record["begun"])
                self._answered[record["who"]].append((record["t"], record["name"], record["zone"]))

    def names(self, uid: str, first: float, last: float) -> set[str]:
        """Return the names that pages may have shown for the person between two times."""
        return {name for name, _ in self._between(uid, first, last)}

    def zones(self, uid: str, first: float, last: float) -> set[str]:
        """Return the time zones that the person's pages may have had between two times."""
        return {zone for _, zone in self._between(uid, first, last)}

    def changed(self, uid: str, t: float) -> bool:
        """Return True if pages may be learning a new name of the person at this time."""
        begun, answered = self._begun[uid], self._answered[uid]
        n = bisect_left(begun, t) - 1
        return n > 0 and t < answered[n][0] + LATE

    def _between(self, uid: str, first: float, last: float) -> set[tuple[str, str]]:
        answered = self._answered[uid]
        end = bisect_left(self._begun[uid], last)
        begin = max(0, bisect_left(answered, (first - LATE, "", "")) - 1)
        return {(name, zone) for _, name, zone in answered[begin:end]}


def _labels(
    records: Sequence[Record],
    streams: Streams,
    uids: dict[str, str],
    sent: dict[str, Sent],
    profiles: Profiles,
    verdict: Verdict,
) -> None:
    """I12: times are in the reader's zone, and names are those that the author has had since the
    message was sent."""
    wall = next((r["wall"] - r["t"] for r in records if r["op"] == "clock"), 0.0)
    said = {one.body.partition(" ")[0]: one for one in sent.values()}
    bodies = {(one.room, one.body): one for one in sent.values()}
    events = {
        (room, seq): (at, fields) for room, found in streams.items() for seq, at, fields in found
    }
    times_of: dict[str, set[int]] = {}  # of messages that a failover lost and pages resent
    for at, fields in events.values():
        if fields[0] == "post":
            times_of.setdefault(fields[3].partition(" ")[0], set()).add(at)
    for record in records:
        if (
            record["op"] == "shown"
            and (shown := (record["body"] or "").partition(" ")[0]) in times_of
        ):
            times_of[shown].add(record["at"])
    for (room, _), (_, fields) in events.items():
        one = bodies.get((room, fields[3])) if fields[0] == "post" else None
        if one and fields[2] not in profiles.names(fields[1], one.t, one.acked or inf):
            text = f"{one.body} is stored under {fields[2]!r}, an old name"
            verdict.add(one.t, "I12", OTHER, text)
    for record in records:
        t, who = record["t"], record["who"]
        if record["op"] in ("shown", "again") and record.get("label"):
            name, whole, short, day = record["label"]
            at, fields = events.get((record["room"], record["seq"]), (0, []))
            one = bodies.get((record["room"], record["body"]))
            if at == record["at"]:
                since = one.t if one else -inf
                _named(t, who, name, profiles.names(fields[1], since, t), verdict)
            zones = profiles.zones(uids[who], t, t)
            said_so = [
                zone
                for zone in zones
                if (whole, short) in texts(record["at"], zone, t + wall)
                and day in ("", date_of(record["at"], zone))
            ]
            if zones and not said_so:
                text = f"{who} shows {whole!r}, {short!r}, {day!r}, wrong in {sorted(zones)}"
                verdict.add(t, "I12", OTHER, text)
        elif record["op"] == "line" and record["said"] in times_of and record["said"] in said:
            one, ats = said[record["said"]], times_of[record["said"]]
            _named(t, who, record["name"], profiles.names(uids[one.who], one.t, t), verdict)
            zones = profiles.zones(uids[who], t, t)
            times = {
                brief for zone in zones for at in ats for _, brief in texts(at, zone, t + wall)
            }
            if zones and record["time"] not in times:
                text = f"{who} has a row at {record['time']!r}, wrong in {sorted(zones)}"
                verdict.add(t, "I12", OTHER, text)


def _named(t: float, who: str, name: str, names: set[str], verdict: Verdict) -> None:
    if names and name not in names:
        verdict.add(t, "I12", OTHER, f"{who} shows the name {name!r}, not {sorted(names)}")


def texts(at: int, zone: str, now: float) -> set[tuple[str, str]]:
    """Return the long and short texts that a page may show for a time (ms since 1970) in a zone, at
    the time `now` (seconds). There are several only around midnight."""
    return {_texts(at // 60_000, zone, day) for day in _today(int(now) // 30, zone)}


def date_of(at: int, zone: str) -> str:
    """Return the day of a time (ms since 1970) in a zone, as shown above a message."""
    return _date(at // 60_000, zone)


@cache
def _today(half_minute: int, zone: str) -> set[date]:
    moments = (30 * half_minute + offset for offset in AROUND_MIDNIGHT)
    return {datetime.fromtimestamp(moment, ZoneInfo(zone)).date() for moment in moments}


@cache
def _texts(minute: int, zone: str, today: date) -> tuple[str, str]:
    then = _local(minute, zone)
    if then.date() == today:
        short = f"{then:%H:%M}"
    else:
        short = f"{then:%-d %b %H:%M}" if then.year == today.year else f"{then:%-d %b %Y}"
    return f"{then:%A, %-d %B %Y, %H:%M %Z}", short


@cache
def _date(minute: int, zone: str) -> str:
    return f"{_local(minute, zone):%A, %-d %B %Y}"


def _local(minute: int, zone: str) -> datetime:
    return datetime.fromtimestamp(60 * minute, UTC).astimezone(ZoneInfo(zone))
