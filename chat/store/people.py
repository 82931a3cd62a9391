"""People: a stable id behind a name, what they may do, and finding them by name."""

import unicodedata
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ..domain import lookalikes
from ..domain.events import SHOWN, Event, Reaction
from ..runtime.cooperation import in_pieces
from . import keys
from .batches import AT_ONCE, INDEXED_AT_ONCE, PEOPLE_AT_ONCE, batched
from .room_kinds import DIRECT
from .unfinished import NAME, Unfinished
from .verified import Verified, is_own, refused

FORGOTTEN = 7 * 24 * 3600  # seconds after which a guest who joined no room is forgotten
MAX_FOLDED_CHARS = 256  # of a text that is searched: a name has fewer
MAX_INDEXED_WORDS = 5  # of a name, from which on it is found
FOUND = 50  # people in one answer of `find`
MOST_LOOKS = 10  # pieces of the index that are read for one page of people
LOOKED_AT = 500  # entries of it in one answer, where all are looked at

# The roles, each with the rights of those before it.
GUEST, MEMBER, MODERATOR, ADMIN = ROLES = ("guest", "member", "moderator", "admin")
STAFF = (MODERATOR, ADMIN)  # who may be called "Admin" without a tag

FIELDS = (
    "uid",
    "name",
    "role",
    "tag",
    "picture",
    "about",
    "zone",
    "theme",
    "login",
    "off",
    "bot",
    "sound",
)


# Name, tag and picture by the id of a person; None where there is none.
Names = dict[str, list[str | None]]


@dataclass(frozen=True, slots=True)
class Person:
    """`tag` stands beside a name that could be taken for another (`People.tag`), "" for none;
    `picture` names the version of a picture, "" for initials; `login` is the name of an account,
    "" for guests; `off` is True for who was deactivated; `bot` is the id of who made a bot, ""
    for people; `sound` is "1" for who wants to hear of what is new."""

    uid: str
    name: str
    role: str = GUEST
    tag: str = ""
    picture: str = ""
    about: str = ""
    zone: str = ""
    theme: str = ""
    login: str = ""
    off: bool = False
    bot: str = ""
    sound: str = ""

    def is_at_least(self, role: str) -> bool:
        """True when this person has the rights of `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """`before` and `after` name the places at its ends where there are more people; "" where there
    are not."""

    people: list[Person]
    before: str
    after: str


class People:
    def __init__(self, client: Any, unfinished: Unfinished | None = None) -> None:
        self.client = client
        self.unfinished = unfinished or Unfinished(client)
        self._verified = Verified(client)

    def create(
        self, name: str, role: str = GUEST, login: str = "", uid: str = "", **more: str
    ) -> Person:
        """A new person; `name` is clean already (text.clean_name) and need not be unique. A
        guest who joins no room is forgotten after FORGOTTEN seconds. `more` is stored too. Where
        there is a person with the id `uid`, it is that one, unchanged."""
        if uid and (there := self.get(uid)):
            self.agree_names(uid)
            return there
        uid = uid or keys.new_id()
        person = Person(uid, name, role, self.tag(uid, name, role), login=login)
        stored = {"uid": uid, "name": name, "role": role, "tag": person.tag, "login": login}
        with self.unfinished.change(NAME, uid, name):
            forgotten = [("EXPIRE", keys.user(uid), FORGOTTEN)] if role == GUEST else []
            words = chain.from_iterable({**stored, **more}.items())
            self._verified.ask(("HSET", keys.user(uid), *words), *forgotten)
            self.agree_names(uid)
        return person

    def get(self, uid: str) -> Person | None:
        """The person with this id, or None."""
        return person_of(uid, self._verified.one("HMGET", keys.user(uid), *FIELDS))

    def several(self, uids: Sequence[str]) -> list[Person]:
        """Those of the people with these ids who are there, in this order."""
        people: list[Person] = []
        for some in batched(uids, PEOPLE_AT_ONCE):
            pipeline = self.client.pipeline(transaction=False)
            for uid in some:
                pipeline.hmget(keys.user(uid), FIELDS)
            for uid, values in zip(some, pipeline.execute(), strict=True):
                person = person_of(uid, values)
                if person and values[0] is None:  # an older record is read in a way that is sure
                    person = self.get(uid)
                people += [person] if person else []
        return people

    def edit(self, person: Person, kept: str = "", **fields: str) -> Person:
        """Change what is known of a person (`off`: "1" or ""; `kept`: the hash of a password);
        returns the person as it is now. Who becomes more than a guest is never forgotten. Every
        process is told, so that the open pages of this person and of others use it."""
        off = bool(fields["off"]) if "off" in fields else person.off
        changed = replace(person, **{**fields, "off": off})  # type: ignore[arg-type]
        if changed.name != person.name or _is_told_apart(changed) != _is_told_apart(person):
            changed = replace(changed, tag=self.tag(person.uid, changed.name, changed.role))
            fields = {**fields, "tag": changed.tag}
        if kept:
            fields = {**fields, "password": kept}
        if changed.name == person.name:
            self._store(changed, fields)
        else:
            with self.unfinished.change(NAME, person.uid, person.name, changed.name):
                self._store(changed, fields)
                self.agree_names(person.uid, person.name, changed.name)
        # What was changed by an earlier try, whose answer was lost, is told of by this one.
        if fields.keys().isdisjoint(("name", "tag", "picture", "role")):
            self.look_again(person.uid)
        else:
            self.tell_profile(person.uid)
        return changed

    def _store(self, person: Person, fields: dict[str, str]) -> None:
        kept = [("PERSIST", keys.user(person.uid))] if person.role != GUEST else []
        words = chain.from_iterable(fields.items())
        self._verified.ask(("HSET", keys.user(person.uid), *words), *kept)

    def agree_names(self, uid: str, *names: str) -> None:
        """The indexes find a person by the name that they have, and not by others of `names`; a bot
        is in the list of bots."""
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

    def tell_profile(self, uid: str) -> None:
        """Tell every process that a person has another name, tag or picture: the rooms of that
        person, and everyone who has a direct room with them, because their lists show the name."""
        lists = {uid}
        for rids in batched(self.client.smembers(keys.user_rooms(uid)), AT_ONCE):
            pipeline = self.client.pipeline(transaction=False)
            for rid in rids:
                pipeline.hmget(keys.room(rid), "kind", "name")
            for kind, name in pipeline.execute():
                if kind == DIRECT:
                    lists.update(name.split(" "))  # which are the ids of those in it
            self.tell_rooms(uid, rids)
        for others in batched(lists, AT_ONCE):
            pipeline = self.client.pipeline(transaction=False)
            for other in others:
                pipeline.spublish(keys.user_channel(other), "")
            pipeline.execute()

    def tell_rooms(self, uid: str, rids: Iterable[str]) -> None:
        """Tell these rooms (at most AT_ONCE at a time) that this member has another name, tag or
        picture."""
        for some in batched(rids, AT_ONCE):
            pipeline = self.client.pipeline(transaction=False)
            for rid in some:
                pipeline.spublish(keys.room_channel(rid), f"~{uid}")
            pipeline.execute()

    def find(self, text: str = "", limit: int = FOUND, off: bool = False) -> list[Person]:
        """People by the beginning of a word of their name, in the order of names; at most
        `limit`. Those who were deactivated only with `off`."""
        start = folded(text)
        low, high = _begins(start) if start else ("-", "+")
        entries = self.client.zrangebylex(keys.NAMES, low, high, start=0, num=4 * limit)
        found = dict.fromkeys(entry.rpartition("\0")[2] for entry in entries)
        people = self.several(list(found))
        self._forget(entries, {person.uid for person in people})
        return [person for person in people if off or not person.off][:limit]

    def page(
        self,
        text: str = "",
        limit: int = FOUND,
        after: str = "",
        before: str = "",
        off: bool = True,
    ) -> "PeoplePage":
        """A page of people by the beginning of a word of their name, or of everybody, in order:
        those behind the place `after` or in front of the place `before`, which pages name. Of all
        people somebody may be on two pages, whose name looks like two others."""
        start, back = folded(text), bool(before)
        low, high = _begins(start) if start else (b"-", b"+")
        if edge := _place_of(after or before):
            low, high = (low, b"(" + edge) if back else (b"(" + edge, high)
        found: list[tuple[str, Person]] = []
        seen: set[str] = set()
        some: list[str] = []
        for _ in range(MOST_LOOKS):
            some = self._entries(start, low, high, 2 * limit, back)
            for entry, person in self._of_entries(start, some):
                if (off or not person.off) and person.uid not in seen:
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
        return PeoplePage(people, _name_of(earlier), _name_of(later))

    def _entries(self, start: str, low: bytes, high: bytes, limit: int, back: bool) -> list[str]:
        """Entries of an index in order; `back`: the last of them, the last one first. In that of
        words everybody is several times, in that of names that look alike hardly anybody."""
        key = keys.NAMES if start else keys.LOOKALIKES
        if back:
            return list(self.client.zrevrangebylex(key, high, low, start=0, num=limit))
        return list(self.client.zrangebylex(key, low, high, start=0, num=limit))

    def _of_entries(self, start: str, found: list[str]) -> list[tuple[str, Person]]:
        """The people of some entries: of those who fit a `start` several times only the first."""
        uids = [entry.rpartition("\0")[2] for entry in found]
        people = {person.uid: person for person in self.several(list(dict.fromkeys(uids)))}
        self._forget(found, people.keys())
        pairs = zip(found, uids, strict=True)
        return [
            (entry, people[uid])
            for entry, uid in pairs
            if uid in people and (not start or entry == _entry(start, people[uid]))
        ]

    def called(self, names: Sequence[str], limit: int) -> list[str]:
        """The ids of at most `limit` people of each of these names, and of some whose name merely
        ends so."""
        ends = [_begins(f"{folded(name)}\0") for name in names]
        return self._indexed(ends, limit)

    def beginning(self, text: str, limit: int) -> list[str]:
        """The ids of at most `limit` people with a word in their name that begins so."""
        start = folded(text)
        return self._indexed([_begins(start)], limit)

    def _indexed(self, ends: list[tuple[bytes, bytes]], limit: int) -> list[str]:
        """The ids behind the first `limit` entries between each of these ends, read in pieces."""
        found: list[list[str]] = [[] for _ in ends]
        going, step = list(range(len(ends))), min(limit, INDEXED_AT_ONCE)
        while going:
            some = going[: max(1, INDEXED_AT_ONCE // step)]
            going = going[len(some) :]
            pipeline = self.client.pipeline(transaction=False)
            for n in some:
                low, high = ends[n]
                low = b"(" + found[n][-1].encode() if found[n] else low
                pipeline.zrangebylex(keys.NAMES, low, high, start=0, num=step)
            for n, entries in zip(some, pipeline.execute(), strict=True):
                found[n] += entries
                if len(entries) == step and len(found[n]) < limit:
                    going.append(n)
        entries = [entry for of_one in found for entry in of_one[:limit]]
        return list(dict.fromkeys(entry.rpartition("\0")[2] for entry in entries))

    def make_bot(self, person: Person, by: str) -> None:
        """Make a new person a bot of the person with the id `by`."""
        with self.unfinished.change(NAME, person.uid):
            self.client.hset(keys.user(person.uid), "bot", by)
            self.agree_names(person.uid)

    def bots(self) -> list[Person]:
        """All bots, by name."""
        bots = self.several(sorted(self.client.smembers(keys.BOTS)))
        return sorted(bots, key=lambda bot: bot.name.casefold())

    def exist(self) -> bool:
        """True when somebody has used this chat, if only as a guest."""
        return bool(self._verified.one("EXISTS", keys.NAMES))

    def is_active_admin(self, uid: str) -> bool:
        """True for an admin who has not been deactivated. What an admin made for others (tokens
        and webhooks of bots, links for a new password) works only as long as this is so."""
        role, off = self._verified.one("HMGET", keys.user(uid), "role", "off")
        return role == ADMIN and not off

    def keep(self, uid: str) -> None:
        """Never forget this person, even a guest who has joined no room."""
        self.client.persist(keys.user(uid))

    def look_again(self, uid: str) -> None:
        """Tell every process that something about the person has changed: sessions, rooms,
        role. The pages of theirs are brought in line with what is stored."""
        self.client.spublish(keys.user_channel(uid), "")

    def named(self, events: list[Event]) -> list[Event]:
        """The events with the names and pictures that their authors, and those who reacted, have
        now."""
        return with_names(events, self.names(uids_in(events)))

    def names(self, uids: Sequence[str]) -> Names:
        """What these people are called now, with tag and picture. One round trip for AT_ONCE of
        them."""
        found: Names = {}
        for some in batched(uids, AT_ONCE):
            pipeline = self.client.pipeline(transaction=False)
            for uid in some:
                pipeline.hmget(keys.user(uid), "uid", "name", "tag", "picture")
            for uid, values in zip(some, pipeline.execute(), strict=True):
                if not is_own(uid, values, 4):
                    raise refused(keys.user(uid))
                found[uid] = values[1:]
        return found

    def tag(self, uid: str, name: str, role: str) -> str:
        """Four letters of this person's own, or "" for a name that looks like nobody else's.

        The first who bears a name goes without; whoever comes later with a name that looks the
        same, or calls themselves by a name that is reserved or of mixed scripts, has a tag."""
        is_told = lookalikes.is_told_apart(name, role in STAFF)
        return _own_tag(uid) if is_told or self._looking_like(uid, name, 2) else ""

    def tag_beside_older(self, person: Person) -> str:
        """The tag for somebody who was here before tags told apart what looks the same: only the
        one with most rights of those who look the same goes without, of equal ones the one whose
        id comes first."""
        rank = -ROLES.index(person.role), person.uid
        others = self.several(self._looking_like(person.uid, person.name, FOUND))
        first = not any((-ROLES.index(other.role), other.uid) < rank for other in others)
        is_told = lookalikes.is_told_apart(person.name, person.role in STAFF)
        return "" if first and not is_told else _own_tag(person.uid)

    def _looking_like(self, uid: str, name: str, limit: int) -> list[str]:
        """The ids of others whose names look like this one, of `limit` found for each form."""
        pipeline = self.client.pipeline(transaction=False)
        for form in sorted(lookalikes.keys(name)):
            low, high = _begins(f"{form}\0")
            pipeline.zrangebylex(keys.LOOKALIKES, low, high, start=0, num=limit)
        found = {entry.rpartition("\0")[2] for some in pipeline.execute() for entry in some}
        return sorted(found - {uid})

    def _forget(self, entries: Sequence[str], there: Collection[str]) -> None:
        """Guests who are forgotten leave their names behind: these entries go as soon as somebody
        sees them, all others when `Guests.forget` comes by."""
        gone = [entry for entry in entries if entry.rpartition("\0")[2] not in there]
        if gone:
            self.client.zrem(keys.NAMES, *gone)
            self.client.zrem(keys.LOOKALIKES, *gone)


def person_of(uid: str, values: list[str | None]) -> Person | None:
    """The person whose stored FIELDS are `values`, or None for nobody's. Raises WrongReply for
    those of somebody else."""
    if not is_own(uid, values, len(FIELDS)):
        raise refused(keys.user(uid))
    _, name, role, tag, picture, about, zone, theme, login, off, bot, sound = (
        value or "" for value in values
    )
    if not name:
        return None
    rest = about, zone, theme, login, bool(off), bot, sound
    return Person(uid, name, role or GUEST, tag, picture, *rest)


def uids_in(events: list[Event]) -> list[str]:
    """The people whose names these events show, each once."""
    return list({uid for event in events for uid in _uids(event)})


def with_names(events: list[Event], now: Names) -> list[Event]:
    """The events with these names of people, as `People.names` has them."""
    return [_named(event, now) for event in in_pieces(events)]


def _uids(event: Event) -> list[str]:
    """The people in an event whose names are shown."""
    reacted = [uid for reaction in event.reactions.all for uid in reaction.uids[:SHOWN]]
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


def folded(text: str) -> str:
    """Text as it is searched: without case and accents, spaces joined. Of a text that is longer
    than any name, the beginning: bringing n marks in order takes normalization n² steps."""
    plain = unicodedata.normalize("NFKD", text[:MAX_FOLDED_CHARS].casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


def _entry(start: str, person: Person) -> str:
    """The first in order of the entries of a person that begin so; "" for none."""
    its = (entry for entry in entries(person.uid, person.name) if entry.startswith(start))
    return min(its, key=str.encode, default="")


def _name_of(entry: str) -> str:
    """An entry as it may stand in an address."""
    return urlsafe_b64encode(entry.encode()).decode().rstrip("=")


def _place_of(name: str) -> bytes:
    """The entry that is named so, b"" for none."""
    try:
        return urlsafe_b64decode(name + "=" * (-len(name) % 4))
    except ValueError:
        return b""


def _begins(start: str) -> tuple[bytes, bytes]:
    """The ends of what begins so in the index, whose order is that of bytes: none of UTF-8 is
    0xFF."""
    return b"[" + start.encode(), b"[" + start.encode() + b"\xff"


def entries(uid: str, name: str) -> list[str]:
    """A name in the index: once from the beginning of each of its first words."""
    return all_entries(uid, name)[:MAX_INDEXED_WORDS]


def all_entries(uid: str, name: str) -> list[str]:
    """Once from the beginning of each of its words, as it was before there was a most."""
    words = folded(name).split(" ")
    return [f"{' '.join(words[n:])}\0{uid}" for n in range(len(words))]


def looks(uid: str, name: str) -> list[str]:
    """A name in the index of what names look like."""
    return [f"{form}\0{uid}" for form in sorted(lookalikes.keys(name))]


def add_to_indexes(pipeline: Any, uid: str, name: str) -> None:
    """Have a person found by a name, and by what it looks like."""
    pipeline.zadd(keys.NAMES, dict.fromkeys(entries(uid, name), 0))
    pipeline.zadd(keys.LOOKALIKES, dict.fromkeys(looks(uid, name), 0))


def remove_from_indexes(pipeline: Any, uid: str, name: str) -> None:
    """The opposite of `add_to_indexes`."""
    pipeline.zrem(keys.NAMES, *all_entries(uid, name))
    pipeline.zrem(keys.LOOKALIKES, *looks(uid, name))


def _own_tag(uid: str) -> str:
    return f"{zlib.crc32(uid.encode()) & 0xFFFF:04x}"


def _is_told_apart(person: Person) -> bool:
    return lookalikes.is_told_apart(person.name, person.role in STAFF)
