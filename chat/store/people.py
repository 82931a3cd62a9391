"""People: reading them by their ids, finding them by their names, creating and changing them, and
tags for people whose names look the same.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from ..domain import lookalikes
from ..domain.errors import NotFound
from ..domain.events import Event
from . import keys
from .batches import PEOPLE_AT_ONCE, ask_each, batched
from .name_index import add_to_indexes, entries, folded, range_of, remove_from_indexes, uid_of
from .person import ADMIN, FIELDS, GUEST, ROLES, Names, Person, person_of, uids_in, with_names
from .room_kinds import DIRECT
from .unfinished import NAME, Unfinished
from .verified import Verified, check_own, hset

GUEST_SECONDS = 7 * 24 * 3600  # after which a guest who has joined no room is deleted
PAGE_SIZE = 50  # people whom `find` returns, or on a page
MAX_INDEX_READS = 10  # reads of the index, for one page
SCAN_COUNT = 500  # entries in one answer, where all are read


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """`before` and `after` are cursors for the pages before and after this one, "" for none."""

    people: list[Person]
    before: str
    after: str


class People:
    def __init__(self, client: Any, unfinished: Unfinished | None = None) -> None:
        self.client = client
        self.unfinished = unfinished or Unfinished(client)
        self._verified = Verified(client)

    def get(self, uid: str) -> Person | None:
        """The person with this id, or None."""
        return person_of(uid, self._verified.one("HMGET", keys.user(uid), *FIELDS))

    def existing(self, uid: str) -> Person:
        """The person with this id. Raises NotFound."""
        if person := self.get(uid):
            return person
        raise NotFound("There is no such person.")

    def bot(self, uid: str) -> Person:
        """The bot with this id. Raises NotFound."""
        if (person := self.get(uid)) and person.bot:
            return person
        raise NotFound("There is no such bot.")

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
        people = self.several(list(dict.fromkeys(map(uid_of, entries))))
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
        """Return a page of the people with a word in their name that begins with the text, or of
        all people, in order: those after the cursor `after` or before the cursor `before`. On the
        pages of all people, a person whose name looks like two others may appear twice."""
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
        """Return the first entries in a range of an index, or with `back` the last ones, last one
        first. With a `start`, it is the index of words, in which most people have several entries.
        Otherwise it is the index of what names look like, in which hardly anybody has two."""
        key = keys.NAMES if start else keys.LOOKALIKES
        if back:
            return list(self.client.zrevrangebylex(key, high, low, start=0, num=limit))
        return list(self.client.zrangebylex(key, low, high, start=0, num=limit))

    def _of_entries(self, start: str, found: list[str]) -> list[tuple[str, Person]]:
        """The people of some entries. For a person with several words that begin with `start`,
        only the first entry counts."""
        uids = list(dict.fromkeys(map(uid_of, found)))
        people = {person.uid: person for person in self.several(uids)}
        self._forget(found, people.keys())
        pairs = ((entry, people[uid_of(entry)]) for entry in found if uid_of(entry) in people)
        return [pair for pair in pairs if not start or pair[0] == _first_entry(start, pair[1])]

    def tag(self, person: Person) -> str:
        """Return four characters for this person, or "" for a name that looks like nobody else's.
        The first person with a name has no tag. Anybody whose name looks the same later has one,
        and so has anybody with a reserved name or one in mixed scripts."""
        return _own_tag(person) if person.needs_tag or self._looking_like(person, 2) else ""

    def tag_beside_older(self, person: Person) -> str:
        """Return the tag for a person who was created before names were compared by their looks.
        Among people whose names look the same, only the one with the highest role has no tag; among
        equal ones, the one whose id comes first."""
        rank = -ROLES.index(person.role), person.uid
        others = self.several(self._looking_like(person, PAGE_SIZE))
        first = not any((-ROLES.index(other.role), other.uid) < rank for other in others)
        return "" if first and not person.needs_tag else _own_tag(person)

    def _looking_like(self, person: Person, limit: int) -> list[str]:
        """Return the ids of others whose names look like this person's, among the first `limit`
        entries for each form of the name."""
        forms = sorted(lookalikes.keys(person.name))
        asked = ((keys.LOOKALIKES, *range_of(f"{form}\0"), 0, limit) for form in forms)
        answers = ask_each(self.client, "zrangebylex", asked)
        return sorted({uid_of(entry) for some in answers for entry in some} - {person.uid})

    def _forget(self, entries: Sequence[str], there: Collection[str]) -> None:
        """Remove the entries of guests who no longer exist. `Guests.forget` removes those that no
        search finds."""
        gone = [entry for entry in entries if uid_of(entry) not in there]
        if gone:
            self.client.zrem(keys.NAMES, *gone)
            self.client.zrem(keys.LOOKALIKES, *gone)

    def create(
        self, name: str, role: str = GUEST, login: str = "", uid: str = "", **more: str
    ) -> Person:
        """Create a person. `name` is clean already (validation.clean_name) and need not be unique.
        A guest who joins no room is deleted after GUEST_SECONDS. `more` are further fields to
        store. If a person with the id `uid` exists, returns that person unchanged."""
        if uid and (there := self.get(uid)):
            self.agree_names(uid)
            return there
        person = Person(uid or keys.new_id(), name, role, login=login)
        key, uid, tag = keys.user(person.uid), person.uid, self.tag(person)
        fields = {"uid": uid, "name": name, "role": role, "tag": tag, "login": login, **more}
        with self.unfinished.change(NAME, uid, name):
            expiry = [("EXPIRE", key, GUEST_SECONDS)] if role == GUEST else []
            self._verified.ask(hset(key, fields), *expiry)
            self.agree_names(uid)
        return replace(person, tag=tag)

    def edit(self, person: Person, kept: str = "", **fields: str) -> Person:
        """Change stored fields of a person (`off`: "1" if deactivated, or ""), and the hash `kept`
        of their password. Returns the person as they are now. A guest who becomes a member is
        never deleted. Open pages of this person and of others show the change."""
        known = {name: value for name, value in fields.items() if name != "off"}
        changed = replace(person, **known)  # type: ignore[arg-type]
        if "off" in fields:
            changed = replace(changed, deactivated=bool(fields["off"]))
        names = [person.name, changed.name] if changed.name != person.name else []
        if names or changed.needs_tag != person.needs_tag:
            fields["tag"] = self.tag(changed)
            changed = replace(changed, tag=fields["tag"])
        key, password = keys.user(person.uid), {"password": kept} if kept else {}
        keep = [("PERSIST", key)] if changed.role != GUEST else []
        with self.unfinished.change(NAME, person.uid, *names) if names else nullcontext():
            self._verified.ask(hset(key, fields | password), *keep)
            if names:
                self.agree_names(person.uid, *names)
        # This also announces what an earlier attempt changed whose answer was lost.
        if fields.keys().isdisjoint(("name", "tag", "picture", "role")):
            self.signal_change(person.uid)
        else:
            self.signal_profile(person.uid)
        return changed

    def agree_names(self, uid: str, *names: str) -> None:
        """Make the indexes agree with the stored person. They must find the person by the present
        name and by none of the old `names`, and a bot must be in the list of bots."""
        written: Any = None
        while (now := self.client.hmget(keys.user(uid), "name", "bot")) != written:
            name, bot = now
            pipeline = self.client.pipeline(transaction=False)
            for old in names:
                if old != name:
                    remove_from_indexes(pipeline, uid, old)
            if name:
                add_to_indexes(pipeline, uid, name)
            if bot:
                pipeline.sadd(keys.BOTS, uid)
            pipeline.execute()
            written = now

    def signal_profile(self, uid: str) -> None:
        """Announce that a person has another name, tag or picture: to the rooms of that person, and
        to everyone who has a direct room with them, because their room lists show the name."""
        lists, rids = {uid}, self.client.smembers(keys.user_rooms(uid))
        asked = ((keys.room(rid), "kind", "name") for rid in rids)
        for kind, name in ask_each(self.client, "hmget", asked):
            if kind == DIRECT:
                lists.update(name.split(" "))  # the ids of its members
        self.signal_rooms(uid, rids)
        ask_each(self.client, "spublish", ((keys.user_channel(other), "") for other in lists))

    def signal_rooms(self, uid: str, rids: Iterable[str]) -> None:
        """Announce to these rooms that this member has another name, tag or picture."""
        ask_each(self.client, "spublish", ((keys.room_channel(rid), f"~{uid}") for rid in rids))

    def keep(self, uid: str) -> None:
        """Never delete this person, even as a guest who has joined no room."""
        self.client.persist(keys.user(uid))

    def signal_change(self, uid: str) -> None:
        """Announce that something about a person has changed, such as sessions, rooms or role.
        Their open pages are brought up to date."""
        self.client.spublish(keys.user_channel(uid), "")


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
