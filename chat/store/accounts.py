"""Accounts: how a person who comes back is known, by login and password or by another site."""

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..domain.errors import Invalid
from . import keys
from .lua import Script
from .people import People
from .person import ADMIN, GUEST, MEMBER, Person
from .unfinished import FIRST_ADMIN, LOGIN, SUBJECT
from .verified import Verified

MAKING = 60  # seconds after which a server that makes an account has died of it
RESET_SECONDS = 24 * 3600  # seconds until a link for a new password is of no use
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
        self._use_reset = Script(client, "use_reset")
        self._verified = Verified(client)

    def create(
        self,
        login: str,
        name: str,
        kept: str,
        guest: Person | None = None,
        role: str = MEMBER,
        nonce: str = "",
    ) -> Person:
        """A new account, with the hash `kept` of its password. A `guest` becomes it and keeps
        id and rooms. Raises Invalid when the login is taken. The same login with the same nonce
        goes on with an account that was not finished."""
        is_guest = guest is not None and guest.role == GUEST
        made = keys.repeatable_id("account", nonce, login) if nonce else keys.new_id()
        uid = guest.uid if guest and is_guest else made
        with self.people.unfinished.change(LOGIN, login, uid):
            # A server that dies before it has made the account leaves the login to others.
            self._verified.one("SET", keys.login(login), uid, "NX", "EX", MAKING)
            if self._verified.one("GET", keys.login(login)) != uid:
                raise Invalid("This login is taken. Choose another.")
            if self._verified.one("HGET", keys.user(uid), "login") == login:
                self.client.persist(keys.login(login))
                raise Invalid("This account was made before. Sign in to it.")
            # The account is there, or is not: login, password and role are written together.
            if guest and is_guest:
                person = self.people.edit(guest, kept, name=name, login=login, role=role)
            else:
                person = self.people.create(name, role, login, uid, password=kept)
            self.client.persist(keys.login(login))
        return person

    def agree_login(self, login: str, uid: str) -> None:
        """A login leads to the person `uid` for good if it is theirs, and otherwise not."""
        is_theirs = self._verified.one("HGET", keys.user(uid), "login") == login
        if is_theirs:
            self.client.set(keys.login(login), uid, nx=True)
        if self._verified.one("GET", keys.login(login)) == uid:
            if is_theirs:
                self.client.persist(keys.login(login))
            else:
                self.client.delete(keys.login(login))

    def create_admin(
        self, login: str, name: str, kept: str, guest: Person | None = None, nonce: str = ""
    ) -> Person:
        """The first account. Raises Invalid when there is an admin (of many at once, one
        succeeds), or as `create` does."""
        with self._first_admin(login):
            return self.create(login, name, kept, guest, ADMIN, nonce)

    def become_first_admin(self, person: Person) -> Person:
        """Give the admin role to somebody in a chat without an admin. Raises Invalid when there is
        one."""
        with self._first_admin(person.login or person.uid):
            admin = self.people.edit(person, role=ADMIN)
        self.people.signal_change(person.uid)
        return admin

    @contextmanager
    def _first_admin(self, who: str) -> Iterator[None]:
        """Claim the place of the first admin; it is free again when that cannot be made."""
        with self.people.unfinished.change(FIRST_ADMIN, who):
            if not self._verified.one("SET", keys.FIRST_ADMIN, who, "NX", "EX", MAKING):
                raise Invalid("This chat has an admin already. Sign in instead.")
            try:
                yield
            except Invalid:
                self.client.delete(keys.FIRST_ADMIN)
                raise
            self._keep_first_admin(who)

    def _keep_first_admin(self, who: str) -> None:
        self.client.set(keys.FIRST_ADMIN, who)
        self.client.delete(keys.SETUP_LINKS)

    def agree_first_admin(self, who: str) -> None:
        """There is an admin, if the person with the login or id `who` is one."""
        person = self.people.get(self.by_login(who)[0] or who)
        if person and person.role == ADMIN:
            self._keep_first_admin(who)

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
        """Set the hash of a person's password. A link for a new one is of no use any more."""
        self.client.hset(keys.user(uid), mapping={"password": kept, "reset": "", "reset_by": ""})

    def of_subject(self, issuer: str, subject: str, name: str) -> Person:
        """The person whom another site knows as `subject`; made when it is the first time."""
        digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()
        key, new = keys.subject(digest), keys.new_id()
        known = self._verified.one("GET", key)
        if known and (person := self.people.get(known)):
            return person
        with self.people.unfinished.change(SUBJECT, digest):
            _, uid = self._verified.ask(("SET", key, new, "NX"), ("GET", key))
            return self.people.create(name, MEMBER, uid=uid)

    def agree_subject(self, digest: str) -> None:
        """What another site knows somebody by leads to a person, or nowhere."""
        uid = self._verified.one("GET", keys.subject(digest))
        if uid and self.people.get(uid) is None:
            self.client.delete(keys.subject(digest))

    def use_once(self, digest: str, seconds: int) -> bool:
        """True for the first who uses what has this digest, within so many seconds."""
        return bool(self._verified.one("SET", keys.used(digest), "", "NX", "EX", seconds))

    def make_admin(self, person: Person) -> Person:
        """Give the admin role to somebody, for good; there is no first account to be made then."""
        who = person.login or person.uid
        with self.people.unfinished.change(FIRST_ADMIN, who):
            admin = self.people.edit(person, role=ADMIN)
            self._keep_first_admin(who)
        self.people.signal_change(person.uid)
        return admin

    def reset_token(self, uid: str, by: str) -> str:
        """The secret of a link with which this person may set a password, once, as long as `by`,
        who makes the link, is an admin. Links that were made before are of no use any more."""
        secret = secrets.token_urlsafe(24)
        made = {"reset": _digest(secret), "reset_by": by}
        self.client.hset(keys.user(uid), mapping=made)
        self.client.set(keys.reset(_digest(secret)), uid, ex=RESET_SECONDS)
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

    def use_reset(self, uid: str, secret: str, kept: str) -> bool:
        """Set the hash of a person's password by a link, which is used up then; False when it was
        used up before."""
        return bool(self._use_reset(user=keys.user(uid), digest=_digest(secret), password=kept))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
