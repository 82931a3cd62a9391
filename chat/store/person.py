"""A person: a stable id behind a name, and what they may do."""

from dataclasses import dataclass, fields

from . import keys
from .verified import is_own, refused

# The roles, each with the rights of those before it.
GUEST, MEMBER, MODERATOR, ADMIN = ROLES = ("guest", "member", "moderator", "admin")
STAFF = (MODERATOR, ADMIN)  # who may be called "Admin" without a tag
# Name, tag and picture by the id of a person; None where there is none.
Names = dict[str, list[str | None]]


@dataclass(frozen=True, slots=True)
class Person:
    """`tag` stands beside a name that could be taken for another (`People.tag`), "" for none;
    `picture` names the version of a picture, "" for initials; `login` is the name of an account,
    "" for guests; `deactivated` is stored as `off`; `bot` is the id of who made a bot, ""
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
    deactivated: bool = False
    bot: str = ""
    sound: str = ""

    def is_at_least(self, role: str) -> bool:
        """True when this person has the rights of `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


# Their names in Redis, where `deactivated` is called `off`.
FIELDS = tuple({"deactivated": "off"}.get(one.name, one.name) for one in fields(Person))


def person_of(uid: str, values: list[str | None]) -> Person | None:
    """The person whose stored FIELDS are `values`, or None for nobody's. Raises WrongReply for
    those of somebody else."""
    if not is_own(uid, values, len(FIELDS)):
        raise refused(keys.user(uid))
    _, name, role, tag, picture, about, zone, theme, login, off, bot, sound = (
        value or "" for value in values
    )
    rest = about, zone, theme, login, bool(off), bot, sound
    return Person(uid, name, role or GUEST, tag, picture, *rest) if name else None
