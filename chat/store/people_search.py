"""Reading people by their ids, finding them by their names, present names in events, and tags for
people whose names look the same.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..domain import lookalikes
from ..domain.events import MAX_SHOWN_NAMES, Event, Reaction
from ..runtime.cooperation import in_pieces
from . import keys
from .batches import AT_ONCE, INDEXED_AT_ONCE, PEOPLE_AT_ONCE, ask_each, batched
from .name_index import entries, folded, range_of
from .person import ADMIN, FIELDS, ROLES, Names, Person, person_of
from .verified import Verified, check_own

PAGE_SIZE = 50  # people whom `find` returns, or on a page
MAX_INDEX_READS = 10  # of the index, for one page
SCAN_COUNT = 500  # entries in one answer, where all are read


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """`before` and `after` are cursors for the pages before and after this one, "" for none."""

    people: list[Person]
    before: str
    after: str


class PeopleSearch:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._verified = Verified(client)

    def get(self, uid: str) -> Person | None:
        """The person with this id, or None."""
        return person_of(uid, self._verified.one("HMGET", keys.user(uid), *FIELDS))

    def several(self, uids: Sequence[str]) -> list[Person]:
        """The people with these ids, in this order, without those who do not exist."""
        people: list[Person] = []
        for some in batched(uids, PEOPLE_AT_ONCE):
            answers = ask_each(self.client, "hmget", ((keys.user(uid), FIELDS) for uid in some))
            for uid, values in zip(some, answers, strict=True):
                person = person_of(uid, values)
                if person and values[0] is None:  # a record without its id is read in a safe way
                    person = self.get(uid)
                people += [person] if person else []
        return people

    def bots(self) -> list[Person]:
        """All bots, by name."""
        bots = self.several(sorted(self.client.smembers(keys.BOTS)))
        return sorted(bots, key=lambda bot: bot.name.casefold())

    def exist(self) -> bool:
        """True if anybody has used this chat, even as a guest."""
        return bool(self._verified.one("EXISTS", keys.NAMES))

    def is_active_admin(self, uid: str) -> bool:
        """True for an administrator who is not deactivated. Only as long as this is true, what they
        made for others works: tokens and webhooks of bots, links for a new password."""
        role, off = self._verified.one("HMGET", keys.user(uid), "role", "off")
        return role == ADMIN and not off

    def named(self, events: list[Event]) -> list[Event]:
        """The events with the present names and pictures of their authors, and of the people who
        reacted."""
        return with_names(events, self.names(uids_in(events)))

    def names(self, uids: Sequence[str]) -> Names:
        """The present names, tags and pictures of these people."""
        asked = ((keys.user(uid), "uid", "name", "tag", "picture") for uid in uids)
        found: Names = {}
        for uid, values in zip(uids, ask_each(self.client, "hmget", asked), strict=True):
            check_own(keys.user(uid), uid, values, 4)
            found[uid] = values[1:]
        return found

    def find(
        self, text: str = "", limit: int = PAGE_SIZE, deactivated: bool = False
    ) -> list[Person]:
        """At most `limit` people with a word in their name that begins with the text, ordered by
        name. Deactivated people are among them only if `deactivated`."""
        start = folded(text)
        low, high = range_of(start) if start else ("-", "+")
        entries = self.client.zrangebylex(keys.NAMES, low, high, start=0, num=4 * limit)
        people = self.several(list(dict.fromkeys(map(_uid, entries))))
        self._forget(entries, {person.uid for person in people})
        return [person for person in people if deactivated or not person.deactivated][:limit]

    def page(
        self,
        text: str = "",
        limit: int = PAGE_SIZE,
        after: str = "",
        before: str = "",
        deactivated: bool = True,
    ) -> PeoplePage:
        """A page of the people with a word in their name that begins with the text, or of all
        people, in order: the ones behind the cursor `after` or in front of the cursor `before`.
        On the pages of all people, a person whose name looks like two others may appear twice."""
        start, back = folded(text), bool(before)
        low, high = range_of(start) if start else (b"-", b"+")
        if edge := _entry_at(after or before):
            low, high = (low, b"(" + edge) if back else (b"(" + edge, high)
        found: list[tuple[str, Person]] = []
        seen: set[str] = set()
        some: list[str] = []
        for _ in range(MAX_INDEX_READS):
            some = self._entries(start, low, high, 2 * limit, back)
            for entry, person in self._of_entries(start, some):
                if (deactivated or not person.deactivated) and person.uid not in seen:
                    seen.add(person.uid)
                    found.append((entry, person))
            if not some or len(found) > limit:
                break
            edge = b"(" + some[-1].encode()
            low, high = (low, edge) if back else (edge, high)
        page = found[:limit]
        end = page[-1][0] if len(found) > limit else some[-1] if some else ""
        if back:
            page.reverse()
        first, last = (page[0][0], page[-1][0]) if page else ("", "")
        earlier, later = (end, last or before) if back else (first if after else "", end)
        people = [person for _, person in page]
        return PeoplePage(people, _cursor(earlier), _cursor(later))

    def _entries(self, start: str, low: bytes, high: bytes, limit: int, back: bool) -> list[str]:
        """The first entries in a range of an index, or with `back` the last ones, last one first.
        With a `start`, it is the index of words, which has most people several times. Otherwise
        it is that of what names look like, which has hardly anybody twice."""
        key = keys.NAMES if start else keys.LOOKALIKES
        if back:
            return list(self.client.zrevrangebylex(key, high, low, start=0, num=limit))
        return list(self.client.zrangebylex(key, low, high, start=0, num=limit))

    def _of_entries(self, start: str, found: list[str]) -> list[tuple[str, Person]]:
        """The people of some entries. For a person with several words that begin with `start`,
        only the first entry counts."""
        uids = list(dict.fromkeys(map(_uid, found)))
        people = {person.uid: person for person in self.several(uids)}
        self._forget(found, people.keys())
        pairs = ((entry, people[_uid(entry)]) for entry in found if _uid(entry) in people)
        return [pair for pair in pairs if not start or pair[0] == _first_entry(start, pair[1])]

    def called(self, names: Sequence[str], limit: int) -> list[str]:
        """The ids of at most `limit` people for each of these names. Some may have names that only
        end with it."""
        return self._indexed([range_of(f"{folded(name)}\0") for name in names], limit)

    def beginning(self, text: str, limit: int) -> list[str]:
        """The ids of at most `limit` people with a word in their name that begins with the text."""
        return self._indexed([range_of(folded(text))], limit)

    def _indexed(self, ends: list[tuple[bytes, bytes]], limit: int) -> list[str]:
        """The ids of the first `limit` entries in each of these ranges. All ranges are read in the
        same round trips, about a piece in each."""
        found: list[list[str]] = [[] for _ in ends]
        left = list(range(len(ends)))
        while some := left[:AT_ONCE]:
            step = min(limit, INDEXED_AT_ONCE // len(some))
            asked = ((keys.NAMES, *ends[n], 0, step) for n in some)
            answers = ask_each(self.client, "zrangebylex", asked)
            more = []
            for n, answer in zip(some, answers, strict=True):
                found[n] += answer
                if len(answer) == step and len(found[n]) < limit:
                    ends[n] = b"(" + answer[-1].encode(), ends[n][1]
                    more.append(n)
            left = more + left[len(some) :]
        return list(dict.fromkeys(_uid(entry) for one in found for entry in one[:limit]))

    def tag(self, person: Person) -> str:
        """Four characters for this person, or "" for a name that looks like nobody else's. The
        first person with a name has no tag. Whoever comes later with a name that looks the same
        has one, and so does anybody with a reserved name or one in mixed scripts."""
        return _own_tag(person) if person.needs_tag or self._looking_like(person, 2) else ""

    def tag_beside_older(self, person: Person) -> str:
        """The tag for a person from before names were compared by what they look like. Among
        people whose names look the same, only the one with the highest role has no tag; among
        equal ones, the one whose id comes first."""
        rank = -ROLES.index(person.role), person.uid
        others = self.several(self._looking_like(person, PAGE_SIZE))
        first = not any((-ROLES.index(other.role), other.uid) < rank for other in others)
        return "" if first and not person.needs_tag else _own_tag(person)

    def _looking_like(self, person: Person, limit: int) -> list[str]:
        """The ids of others whose names look like this person's: of the first `limit` entries for
        each form of the name."""
        forms = sorted(lookalikes.keys(person.name))
        asked = ((keys.LOOKALIKES, *range_of(f"{form}\0"), 0, limit) for form in forms)
        answers = ask_each(self.client, "zrangebylex", asked)
        return sorted({_uid(entry) for some in answers for entry in some} - {person.uid})

    def _forget(self, entries: Sequence[str], there: Collection[str]) -> None:
        """Remove the entries of guests who no longer exist. `Guests.forget` removes those that
        nobody comes across."""
        gone = [entry for entry in entries if _uid(entry) not in there]
        if gone:
            self.client.zrem(keys.NAMES, *gone)
            self.client.zrem(keys.LOOKALIKES, *gone)


def _uid(entry: str) -> str:
    """The id of the person whose name the entry of an index is."""
    return entry.rpartition("\0")[2]


def _first_entry(start: str, person: Person) -> str:
    """The first of a person's entries, in order, that begins with `start`; "" for none."""
    its = (entry for entry in entries(person.uid, person.name) if entry.startswith(start))
    return min(its, key=str.encode, default="")


def _cursor(entry: str) -> str:
    """An entry as a cursor, which can be part of a URL."""
    return urlsafe_b64encode(entry.encode()).decode().rstrip("=")


def _entry_at(cursor: str) -> bytes:
    """The entry of a cursor, b"" for none."""
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        return b""


def _own_tag(person: Person) -> str:
    return f"{zlib.crc32(person.uid.encode()) & 0xFFFF:04x}"


# Names in events


def uids_in(events: list[Event]) -> list[str]:
    """The ids of the people whose names these events show, each once."""
    return list({uid for event in events for uid in _uids(event)})


def with_names(events: list[Event], now: Names) -> list[Event]:
    """The events with these names, from `People.names`."""
    return [_named(event, now) for event in in_pieces(events)]


def _uids(event: Event) -> list[str]:
    """The ids of the people whose names an event shows."""
    reacted = [uid for reaction in event.reactions.all for uid in reaction.uids[:MAX_SHOWN_NAMES]]
    quoted = event.quote.uid if event.quote else ""
    return [uid for uid in (event.uid, quoted, *reacted) if uid]


def _named(event: Event, people: Names) -> Event:
    if event.reactions.all:
        every = tuple(_renamed(reaction, people) for reaction in event.reactions.all)
        event = replace(event, reactions=replace(event.reactions, all=every))
    if event.quote:
        called = (people.get(event.quote.uid) or [None])[0] or event.quote.name
        event = replace(event, quote=replace(event.quote, name=called))
    now = people.get(event.uid)
    if not now or now[0] is None:
        return event
    name, tag, picture = now[0], now[1] or "", now[2] or ""
    if (event.name, event.tag, event.picture) == (name, tag, picture):
        return event
    return replace(event, name=name, tag=tag, picture=picture)


def _renamed(reaction: Reaction, people: Names) -> Reaction:
    pairs = zip(reaction.uids, reaction.names, strict=True)
    names = tuple((people.get(uid) or [None])[0] or name for uid, name in pairs)
    return replace(reaction, names=names)
