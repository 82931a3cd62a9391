"""Events: the numbered changes of a room, as the store keeps them and pages show them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from .mentions import Mentions, reached, unpack

# The kinds. `post` is a message; `edit`, `delete`, `react` and `unreact` change a message and are
# not shown themselves; the others are server lines. The kinds in the last row are named after the
# field of the room that changes, or after the new kind of the room.
POST, START, END = "post", "start", "end"
EDIT, DELETE, REACT, UNREACT = CHANGES = ("edit", "delete", "react", "unreact")
JOIN, ADD, LEAVE, REMOVE = "join", "add", "leave", "remove"
RENAME, ABOUT, OPEN, CLOSE, OWNER = "name", "about", "open", "closed", "owner"
SILENT = (REACT, UNREACT)  # nothing to read: they do not move a room to the top of a list
# These do not make a room unread. Python and the scripts (store.lua) both use this list.
UNCOUNTED = (*CHANGES, JOIN, LEAVE, REMOVE, RENAME, ABOUT, OPEN, CLOSE, OWNER, END)
SAME_AUTHOR_MS = 5 * 60 * 1000  # during which the author's name is not shown again
QUOTE_CHARS = 79  # of a quoted message; with the …, as many as markdown.gist shows
MAX_IMAGE_WIDTH, MAX_IMAGE_HEIGHT = 360, 270  # of an image in a message, in CSS pixels
MAX_SHOWN_NAMES = 20  # of people who reacted with one emoji
DELETED = "deleted"  # the kind of the event that replaces a deleted message
MAX_CACHED_EVENTS = 4096  # parsed events that are cached, ...
MAX_CACHED_CHARS = 1_000  # ... if their stored form is no longer than this: most have a hundred
REACTION_CHARS = 40  # for the id and name of each person who reacted, in the size of an event
UNREADABLE = "unreadable"  # the kind of the event that replaces one that this version cannot read


class StoredEvent(NamedTuple):
    """The stored and published form of an event: a JSON array of these texts, in this order.

    This declares the order for Python and for the Lua scripts (store.lua). Events from earlier
    versions lack the last fields. scripts/append.lua adds `number` and the rest, and describes
    them."""

    kind: str
    uid: str
    name: str
    body: str
    tag: str = ""
    picture: str = ""
    number: str = "0"
    before: str = "0"
    same: str = ""
    extra: str = ""
    files: str = ""
    mentions: str = ""


AUTHORED = StoredEvent._fields[:6]  # the fields that the author's process knows


def authored(
    kind: str, uid: str, name: str, body: str = "", tag: str = "", picture: str = ""
) -> tuple[str, ...]:
    """The AUTHORED fields of a new event, for a script with `@event` (store.lua)."""
    return kind, uid, name, body, tag, picture


def stored_start(kind: str, uid: str) -> str:
    """Return the beginning of the stored form of an event of this kind by this person."""
    return f'["{kind}","{uid}",'


@dataclass(frozen=True, slots=True)
class Reaction:
    """The people who reacted to a message with one emoji, in the order in which they did."""

    emoji: str
    uids: tuple[str, ...]
    names: tuple[str, ...]  # of `uids`

    @property
    def who(self) -> str:
        """Return the first MAX_SHOWN_NAMES names as a text."""
        more = len(self.names) - MAX_SHOWN_NAMES
        return ", ".join(self.names[:MAX_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Reactions:
    """All reactions to a message. `seq` is the number of the last event that changed them, `by` the
    id of the person who did."""

    all: tuple[Reaction, ...] = ()
    seq: int = 0
    by: str = ""

    def of(self, uid: str) -> list[str]:
        """The emoji with which a person has reacted."""
        return [reaction.emoji for reaction in self.all if uid in reaction.uids]

    @classmethod
    def parse(cls, text: str) -> "Reactions":
        """Parse the stored form (see scripts/react.lua)."""
        who: dict[str, list[tuple[str, str]]] = {}
        newest, by = 0, ""
        for emoji, uid, name, seq in json.loads(text or "[]"):
            if abs(seq) > newest:
                newest, by = abs(seq), uid
            if seq > 0:
                who.setdefault(emoji, []).append((uid, name))
        found = (Reaction(emoji, *zip(*people, strict=True)) for emoji, people in who.items())
        return cls(tuple(found), newest, by)


NO_REACTIONS = Reactions()


@dataclass(frozen=True, slots=True)
class File:
    """A file of a message. `type` is from our own table (file_types.TYPES). `width` and `height`
    are in pixels, 0 unless it is an image. `note` says why an image is not shown
    (attachments.NOTES), "" for all other files."""

    fid: str
    name: str
    size: int  # bytes
    type: str
    width: int = 0
    height: int = 0
    note: str = ""

    @property
    def is_image(self) -> bool:
        return self.width > 0

    @property
    def shown(self) -> tuple[int, int]:
        """The width and height of an image in a message, in CSS pixels."""
        scale = min(1.0, MAX_IMAGE_WIDTH / self.width, MAX_IMAGE_HEIGHT / self.height)
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


def pack_files(files: Iterable[File]) -> str:
    """The stored form of the files of a message; "" for none."""
    fields = [[getattr(file, name) for name in File.__slots__] for file in files]
    for values in fields:
        if not values[-1]:
            values.pop()  # earlier versions know no notes
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) if fields else ""


@dataclass(frozen=True, slots=True)
class Quote:
    """The beginning of the message that another one answers. All fields are "" if it was
    deleted."""

    uid: str = ""
    name: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """`seq` counts the events of a room from 1, without gaps. `at` is Redis's time, in ms since
    1970."""

    room: str
    seq: int
    at: int
    kind: str
    uid: str
    name: str
    body: str
    tag: str = ""  # of the author, as in person.Person
    picture: str = ""
    number: int = 0  # of members after the event, or of the message that it changes or answers
    before: int = 0  # the time of the previous event in ms; 0 for the first
    same: bool = False  # True if the same author wrote the previous message, not long ago
    edited: bool = False  # True if the body of this message was changed
    reactions: Reactions = NO_REACTIONS  # to this message, or to the one that it is about
    quote: Quote | None = None  # of the message that this one answers
    files: tuple[File, ...] = ()
    mentions: Mentions = ()

    def __hash__(self) -> int:
        # Caches need the hash of each message of a page. These three fields nearly always differ.
        return hash((self.room, self.seq, self.at))

    @classmethod
    def parse(cls, room: str, seq: int, at: int, data: str) -> "Event":
        """Parse the stored form of an event (see StoredEvent). An event that cannot be read becomes
        an UNREADABLE one, so that the rest of the room is shown."""
        return (_parsed_once if len(data) <= MAX_CACHED_CHARS else _parsed)(room, seq, at, data)

    @classmethod
    def parse_line(cls, room: str, line: str) -> "Event":
        """Parse `<seq> <at> <data>`, the published form and the last line of a room."""
        seq, at, data = line.split(" ", 2)
        return cls.parse(room, int(seq), int(at), data)

    @property
    def about(self) -> int:
        """The number of the message that this event is, or changes."""
        return self.number if self.kind in CHANGES else self.seq

    @property
    def size(self) -> int:
        """The approximate number of characters, for caches of events and their HTML."""
        size = len(self.body)
        if self.reactions.all:
            size += REACTION_CHARS * sum(len(one.uids) for one in self.reactions.all)
        if self.mentions:
            size += sum(len(name) + len(uids) for name, uids in self.mentions)
        return size

    @property
    def excerpt(self) -> str:
        """Return the beginning of the body, or the names of the files if there is none, for
        quotes."""
        body = self.body or ", ".join(file.name for file in self.files)
        line, _, rest = body.strip().partition("\n")
        return line[:QUOTE_CHARS] + ("…" if rest or len(line) > QUOTE_CHARS else "")

    @property
    def as_quote(self) -> Quote:
        """This message as a quote in an answer to it."""
        return Quote(self.uid, self.name, self.excerpt)

    @property
    def counts(self) -> bool:
        """True if the event makes a room unread."""
        return self.kind not in UNCOUNTED

    @property
    def reaches(self) -> str:
        """The ids of the people whom this message mentions, and mentions.EVERYBODY if it mentions
        everybody, joined by spaces for an attribute of HTML."""
        return " ".join(reached(self.mentions))

    @property
    def is_silent(self) -> bool:
        """True if the event contains nothing to read."""
        return self.kind in SILENT


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where message `seq` of a room is. Positions are ordered by time (ms since 1970), in the same
    way on every host."""

    at: int
    rid: str
    seq: int


class Events(tuple[Event, ...]):
    """Events as the key of a cache. The hash is made from their number, the first and the last one,
    which nearly always differ; hashing every event would cost more."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash((len(self), *self[:1], *self[-1:]))


def _parsed(room: str, seq: int, at: int, data: str) -> Event:
    try:
        fields = json.loads(data)
        if type(fields) is not list or set(map(type, fields)) != {str}:
            raise TypeError(data)
        stored = StoredEvent(*fields)
        numbers = int(stored.number), int(stored.before), bool(stored.same)
        event = Event(room, seq, at, *stored[:6], *numbers)
        if stored.files:
            files = tuple(File(*file) for file in json.loads(stored.files))
            event = replace(event, files=files)
        if stored.mentions:
            event = replace(event, mentions=unpack(stored.mentions))
        if stored.extra and event.is_silent:
            event = replace(event, reactions=Reactions.parse(stored.extra))
        elif stored.extra:
            quoted = Event.parse(room, event.number, 0, stored.extra)
            event = replace(event, quote=quoted.as_quote)
        return event
    except (ValueError, TypeError):
        return Event(room, seq, at, UNREADABLE, "", "", "")


_parsed_once = lru_cache(maxsize=MAX_CACHED_EVENTS)(_parsed)


def tombstone(event: Event) -> Event:
    """The replacement for the message that the DELETE `event` has deleted."""
    return Event(event.room, event.number, event.at, DELETED, "", "", "")


def unreadable(event: Event) -> Event:
    """The replacement for an event that cannot be shown."""
    return replace(event, kind=UNREADABLE, uid="", name="", body="")
