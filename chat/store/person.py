"""A person: a permanent id, a name that can change, and a role; and the present names of people in
events.
"""

from dataclasses import dataclass, fields, replace

from ..domain import lookalikes
from ..domain.events import MAX_SHOWN_NAMES, Event, Reaction
from ..runtime.cooperation import in_pieces
from . import keys
from .verified import check_own

# The roles, each with the rights of those before it.
GUEST, MEMBER, MODERATOR, ADMIN = ROLES = ("guest", "member", "moderator", "admin")
STAFF = (MODERATOR, ADMIN)  # may be called "Admin" without a tag
# Name, tag and picture of people, by their ids; None for what is missing.
Names = dict[str, list[str | None]]


@dataclass(frozen=True, slots=True)
class Person:
    """tag: shown next to a name that could be mistaken for another one (`People.tag`), or "".
    picture: the version of the profile picture, "" for none (initials are shown).
    login: the name of the account, "" for guests.
    deactivated: stored as `off`.
    bot: for bots, the id of the person who made the bot; "" for people.
    sound: "1" for a person who wants a sound for new messages, else "".
    """

    uid: str
    name: str
    role: str = GUEST
    tag: str = ""
    picture: str = ""
    about: str = ""
    zone: str = ""
    theme: str = ""
    login: str = ""
    deactivated: bool = False
    bot: str = ""
    sound: str = ""

    def is_at_least(self, role: str) -> bool:
        """True when this person has the rights of `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)

    @property
    def needs_tag(self) -> bool:
        """True if the name always needs a tag, whoever else is here."""
        return lookalikes.is_told_apart(self.name, self.role in STAFF)


# Their names in Redis, where `deactivated` is called `off`.
FIELDS = tuple({"deactivated": "off"}.get(one.name, one.name) for one in fields(Person))


def person_of(uid: str, values: list[str | None]) -> Person | None:
    """The person with these stored FIELDS, or None if nobody is stored there. Raises WrongReply if
    they are those of another person."""
    check_own(keys.user(uid), uid, values, len(FIELDS))
    _, name, role, tag, picture, about, zone, theme, login, off, bot, sound = (
        value or "" for value in values
    )
    rest = about, zone, theme, login, bool(off), bot, sound
    return Person(uid, name, role or GUEST, tag, picture, *rest) if name else None


# Names in events


def uids_in(events: list[Event]) -> list[str]:
    """The ids of the people whose names these events show, each once."""
    return list({uid for event in events for uid in _uids(event)})


def with_names(events: list[Event], now: Names) -> list[Event]:
    """Return the events with these names, which `People.names` has returned."""
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
