"""A person: a permanent id, a name that can change, and a role."""

from dataclasses import dataclass, fields

from ..domain import lookalikes
from . import keys
from .verified import check_own

# The roles, each with the rights of those before it.
GUEST, MEMBER, MODERATOR, ADMIN = ROLES = ("guest", "member", "moderator", "admin")
STAFF = (MODERATOR, ADMIN)  # may be called "Admin" without a tag
# Name, tag and picture by the id of a person, each None if it is missing.
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
        """True if the name must not be shown without a tag, whoever else is here."""
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
