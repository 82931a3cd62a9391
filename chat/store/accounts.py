"""Accounts: how a person who comes back is known, by login and password or by another site."""

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import Invalid
from . import keys
from .people import ADMIN, GUEST, MEMBER, People, Person
from .verified import Verified

MAKING = 60  # seconds after which a server that makes an account has died of it
RESET_LASTS = 24 * 3600  # seconds until a link for a new password is of no use
LONGEST_LOGIN = 32  # characters
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")


def clean_login(text: str) -> str:
    """A login as it is kept; raises Invalid."""
    login = text.strip().lower()
    if not _LOGIN.fullmatch(login):
        raise Invalid(
            "A login has 2 to 32 letters a to z, digits, dots, dashes and underscores, "
            "and begins with a letter or a digit."
        )
    return login


class Accounts:
    def __init__(self, client: Any, people: People) -> None:
        self.client = client
        self.people = people
        self._verified = Verified(client)

    def create(self, login: str, name: str, kept: str, guest: Person | None = None) -> Person:
        """A new account, with the hash `kept` of its password. A `guest` becomes it and keeps
        id and rooms. Raises Invalid when the login is taken."""
        uid = guest.uid if guest and guest.role == GUEST else keys.new_id()
        # A server that dies before it has made the account leaves the login to others.
        if not self._verified.one("SET", keys.login(login), uid, "NX", "EX", MAKING):
            raise Invalid("This login is taken. Choose another.")
        fields = {"login": login, "password": kept}
        if guest and guest.uid == uid:
            person = self.people.edit(guest, name=name, login=login, role=MEMBER)
            self.people.keep(uid)
        else:
            person = self.people.create(name, MEMBER, login, uid)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hset(keys.user(uid), mapping=fields)
        pipeline.persist(keys.login(login))
        pipeline.execute()
        return person

    def create_admin(self, login: str, name: str, kept: str, guest: Person | None = None) -> Person:
        """The first account. Raises Invalid when there is an admin (of many at once, one
        succeeds), or as `create` does."""
        with self._first_admin(login):
            return self.people.edit(self.create(login, name, kept, guest), role=ADMIN)

    def become_first_admin(self, person: Person) -> Person:
        """Give the admin role to somebody in a chat without an admin. Raises Invalid when there is
        one."""
        with self._first_admin(person.login or person.uid):
            admin = self.people.edit(person, role=ADMIN)
            self.people.keep(person.uid)
        self.people.look_again(person.uid)
        return admin

    @contextmanager
    def _first_admin(self, who: str) -> Iterator[None]:
        """Claim the place of the first admin; it is free again when that cannot be made."""
        if not self._verified.one("SET", keys.FIRST_ADMIN, who, "NX", "EX", MAKING):
            raise Invalid("This chat has an admin already. Sign in instead.")
        try:
            yield
        except Invalid:
            self.client.delete(keys.FIRST_ADMIN)
            raise
        self.client.set(keys.FIRST_ADMIN, who)
        self.client.delete(keys.SETUP_LINKS)

    def has_admin(self) -> bool:
        """False until somebody has become the first admin."""
        return bool(self._verified.one("EXISTS", keys.FIRST_ADMIN))

    def by_login(self, login: str) -> tuple[str, str]:
        """User id and hash of the password; two "" for nobody's login."""
        uid = self._verified.one("GET", keys.login(login.strip().lower())) or ""
        return uid, self.password(uid) if uid else ""

    def password(self, uid: str) -> str:
        """The hash of a person's password, "" for none."""
        return self._verified.one("HGET", keys.user(uid), "password") or ""

    def set_password(self, uid: str, kept: str) -> None:
        self.client.hset(keys.user(uid), "password", kept)
        self.drop_reset(uid)

    def of_subject(self, issuer: str, subject: str, name: str) -> Person:
        """The person whom another site knows as `subject`; made when it is the first time."""
        key = keys.subject(hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest())
        new = keys.new_id()
        _, uid = self._verified.ask(("SET", key, new, "NX"), ("GET", key))
        return self.people.get(uid) or self.people.create(name, MEMBER, uid=uid)

    def use_once(self, digest: str, seconds: int) -> bool:
        """True for the first who uses what has this digest, within so many seconds."""
        return bool(self._verified.one("SET", keys.used(digest), "", "NX", "EX", seconds))

    def make_admin(self, person: Person) -> Person:
        """Give the admin role to somebody, for good; there is no first account to be made then."""
        admin = self.people.edit(person, role=ADMIN)
        self.people.keep(person.uid)
        self.client.set(keys.FIRST_ADMIN, person.login or person.uid)
        self.client.delete(keys.SETUP_LINKS)
        self.people.look_again(person.uid)
        return admin

    def reset_token(self, uid: str, by: str) -> str:
        """The secret of a link with which this person may set a password, once, as long as `by`,
        who makes the link, is an admin. Links that were made before are of no use any more."""
        secret = secrets.token_urlsafe(24)
        made = {"reset": _digest(secret), "reset_by": by}
        self.client.hset(keys.user(uid), mapping=made)
        self.client.set(keys.reset(_digest(secret)), uid, ex=RESET_LASTS)
        return secret

    def drop_reset(self, uid: str) -> None:
        """Let a link for a new password be of no use any more."""
        self.client.hdel(keys.user(uid), "reset", "reset_by")

    def resetting(self, secret: str) -> Person | None:
        """Whose password the link is for; None when it is used or old, another was made or the
        password was changed since, that person was deactivated, or whoever made it is no admin
        any more."""
        digest = _digest(secret)
        uid = self._verified.one("GET", keys.reset(digest))
        if not uid:
            return None
        newest, by = self._verified.one("HMGET", keys.user(uid), "reset", "reset_by")
        if newest != digest or not self.people.is_active_admin(by or ""):
            return None
        person = self.people.get(uid)
        return None if person is None or person.off else person

    def take_reset(self, secret: str) -> Person | None:
        """As `resetting`, and the link is used."""
        uid = self._verified.one("GETDEL", keys.reset(_digest(secret)))
        return self.people.get(uid) if uid else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
