"""An event: one numbered change of a room, as the store keeps it and every page shows it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from .mentions import Mentions, reached, unpack

# The kinds. `post` is what a person wrote; `edit`, `delete`, `react` and `unreact` change one of
# those and are not shown themselves; the others are server lines. Those of the last row
# are named for the field of the room that changes, or the kind it changes to.
POST, START, END = "post", "start", "end"
EDIT, DELETE, REACT, UNREACT = CHANGES = ("edit", "delete", "react", "unreact")
JOIN, ADD, LEAVE, REMOVE = "join", "add", "leave", "remove"
RENAME, ABOUT, OPEN, CLOSE, OWNER = "name", "about", "open", "closed", "owner"
SILENT = (REACT, UNREACT)  # nothing to read: they move no room to the top of a list
# No room is unread for these. Python and the scripts (store.lua) take them from here.
UNCOUNTED = (*CHANGES, JOIN, LEAVE, REMOVE, RENAME, ABOUT, OPEN, CLOSE, OWNER, END)
SAME_AUTHOR_MS = 5 * 60 * 1000  # within which a message is shown without its author's name again
QUOTE_CHARS = 79  # of a message that is answered; with the …, as many as markdown.gist shows
MAX_IMAGE_WIDTH, MAX_IMAGE_HEIGHT = 360, 270  # CSS pixels of an image in a message, at most
MAX_SHOWN_NAMES = 20  # names of those who reacted with one emoji
DELETED = "deleted"  # stands in for a message that was deleted
MAX_CACHED_EVENTS = 4096  # events that are kept as read, ...
MAX_CACHED_CHARS = 1_000  # ... if they are no longer than this: most have a hundred
REACTION_CHARS = 40  # that the id and the name of somebody who reacted count for
UNREADABLE = "unreadable"  # stands in for an event that this version cannot read


class StoredEvent(NamedTuple):
    """The stored and published form of an event: a JSON array of these texts, in this order.

    This declares the order for Python and for the Lua scripts (store.lua). Events that were stored
    by older versions lack the last fields. `number` and the rest are added by scripts/append.lua,
    which describes them."""

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
_DEFAULTS = list(StoredEvent._field_defaults.values())
_REQUIRED = len(StoredEvent._fields) - len(_DEFAULTS)


def authored(
    kind: str, uid: str, name: str, body: str = "", tag: str = "", picture: str = ""
) -> tuple[str, ...]:
    """The AUTHORED fields of a new event, for a script with `@event` (store.lua)."""
    return kind, uid, name, body, tag, picture


def stored_start(kind: str, uid: str) -> str:
    """How the stored form of an event of this kind and person begins."""
    return f'["{kind}","{uid}",'


@dataclass(frozen=True, slots=True)
class Reaction:
    """Who reacted to a message with one emoji, the first one first."""

    emoji: str
    uids: tuple[str, ...]
    names: tuple[str, ...]  # of `uids`

    @property
    def who(self) -> str:
        """The names, the first MAX_SHOWN_NAMES of them, as text."""
        more = len(self.names) - MAX_SHOWN_NAMES
        return ", ".join(self.names[:MAX_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Reactions:
    """All reactions to a message. `seq` is the number of the event that changed them last, `by`
    the id of who that was."""

    all: tuple[Reaction, ...] = ()
    seq: int = 0
    by: str = ""

    def of(self, uid: str) -> list[str]:
        """The emoji with which this person has reacted."""
        return [reaction.emoji for reaction in self.all if uid in reaction.uids]

    @classmethod
    def parse(cls, text: str) -> "Reactions":
        """Build them from what the store keeps beside a message (see scripts/react.lua)."""
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
    """A file of a message. `type` is of our own table (file_types.TYPES); `width` and `height` are
    in pixels, 0 for what is no image. `note` says why an image is kept as a file that is not shown
    (files.NOTES); "" for all others."""

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
        """Width and height of an image in a message, in CSS pixels."""
        scale = min(1.0, MAX_IMAGE_WIDTH / self.width, MAX_IMAGE_HEIGHT / self.height)
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


def pack_files(files: Iterable[File]) -> str:
    """The stored form of the files of a message; "" for none."""
    fields = [[getattr(file, name) for name in File.__slots__] for file in files]
    for values in fields:
        if not values[-1]:
            values.pop()  # a chat of an earlier version knows no notes
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) if fields else ""


@dataclass(frozen=True, slots=True)
class Quote:
    """The beginning of the message that another one answers; all "" when it was deleted."""

    uid: str = ""
    name: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """`seq` counts a room's events from 1 without gaps; `at` is Redis's time in ms since 1970."""

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
    before: int = 0  # when the event before this one was, in ms; 0 for the first
    same: bool = False  # a message that the same author wrote not long after the one before
    edited: bool = False  # a message whose body was changed
    reactions: Reactions = NO_REACTIONS  # to this message, or to the one that was reacted to
    quote: Quote | None = None  # from the message that this one answers
    files: tuple[File, ...] = ()
    mentions: Mentions = ()  # whom this message mentions

    def __hash__(self) -> int:
        # Caches ask for it once for each message of a page; these three nearly always tell.
        return hash((self.room, self.seq, self.at))

    @classmethod
    def parse(cls, room: str, seq: int, at: int, data: str) -> "Event":
        """Build an event from its stored JSON `data` (see `pack`). One that cannot be read
        becomes an UNREADABLE one: the room lives."""
        return (_parsed_once if len(data) <= MAX_CACHED_CHARS else _parsed)(room, seq, at, data)

    @classmethod
    def parse_line(cls, room: str, line: str) -> "Event":
        """Build an event from `<seq> <at> <data>`: what is published, and a room's last line."""
        seq, at, data = line.split(" ", 2)
        return cls.parse(room, int(seq), int(at), data)

    @property
    def about(self) -> int:
        """The number of the message that this event is, or changes."""
        return self.number if self.kind in CHANGES else self.seq

    @property
    def size(self) -> int:
        """About how many characters it holds, for what keeps events or their HTML."""
        size = len(self.body)
        if self.reactions.all:
            size += REACTION_CHARS * sum(len(one.uids) for one in self.reactions.all)
        if self.mentions:
            size += sum(len(name) + len(uids) for name, uids in self.mentions)
        return size

    @property
    def excerpt(self) -> str:
        """The beginning of the body, or the names of the files where there is none, as it is
        quoted."""
        body = self.body or ", ".join(file.name for file in self.files)
        line, _, rest = body.strip().partition("\n")
        return line[:QUOTE_CHARS] + ("…" if rest or len(line) > QUOTE_CHARS else "")

    @property
    def as_quote(self) -> Quote:
        """This message as others quote it."""
        return Quote(self.uid, self.name, self.excerpt)

    @property
    def counts(self) -> bool:
        """True for what makes a room unread."""
        return self.kind not in UNCOUNTED

    @property
    def reaches(self) -> str:
        """The ids of whom this message mentions (mentions.EVERYBODY among them, when it does),
        joined by spaces as an attribute of HTML holds them."""
        return " ".join(reached(self.mentions))

    @property
    def is_silent(self) -> bool:
        """True for an event that is nothing to read."""
        return self.kind in SILENT


class Events(tuple[Event, ...]):
    """Events as the key of a cache. Their number, the first and the last nearly always tell one
    list from another, so that finding it does not ask each event for its hash."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash((len(self), *self[:1], *self[-1:]))


def _parsed(room: str, seq: int, at: int, data: str) -> Event:
    try:
        fields = json.loads(data)
        if set(map(type, fields)) != {str}:
            raise TypeError(data)
        kind, uid, name, body, tag, picture, number, before, same, extra, files, mentions = (
            fields + _DEFAULTS[len(fields) - _REQUIRED :]
        )
        author, numbers = (uid, name, body, tag, picture), (int(number), int(before), bool(same))
        event = Event(room, seq, at, kind, *author, *numbers)
        if files:
            event = replace(event, files=tuple(File(*file) for file in json.loads(files)))
        if mentions:
            event = replace(event, mentions=unpack(mentions))
        if extra and event.is_silent:
            event = replace(event, reactions=Reactions.parse(extra))
        elif extra:
            event = replace(event, quote=Event.parse(room, event.number, 0, extra).as_quote)
        return event
    except (ValueError, TypeError):
        return Event(room, seq, at, UNREADABLE, "", "", "")


_parsed_once = lru_cache(maxsize=MAX_CACHED_EVENTS)(_parsed)


def tombstone(event: Event) -> Event:
    """What stands in the place of the message that the DELETE `event` has deleted."""
    return Event(event.room, event.number, event.at, DELETED, "", "", "")


def unreadable(event: Event) -> Event:
    """What stands in the place of an event that cannot be shown."""
    return replace(event, kind=UNREADABLE, uid="", name="", body="")
