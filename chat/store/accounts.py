"""Accounts: how a returning person is recognized, by login and password or by another site; and the
links with which the first admin gets one."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..domain.errors import Invalid
from . import keys
from .clock import Clock
from .lua import Script
from .people import People
from .person import ADMIN, GUEST, MEMBER, Person
from .unfinished import FIRST_ADMIN, LOGIN, SUBJECT
from .verified import Verified

CREATION_SECONDS = 60  # to create an account, after which its server counts as dead
RESET_SECONDS = 24 * 3600  # for which a password link works
SETUP_LINK_SECONDS = 24 * 3600
MAX_SETUP_LINKS = 20  # that work at the same time: each start of the chat makes one
MAX_LOGIN_CHARS = 32
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")


def clean_login(text: str) -> str:
    """A login as it is stored; raises Invalid."""
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
        password_hash: str,
        guest: Person | None = None,
        role: str = MEMBER,
        nonce: str = "",
    ) -> Person:
        """Create an account. If a `guest` is given, the guest gets the account and keeps their id
        and rooms. Raises Invalid if the login is taken. The same login with the same nonce
        continues an account that was not finished."""
        made = keys.repeatable_id("account", nonce, login) if nonce else keys.new_id()
        uid = guest.uid if guest and guest.role == GUEST else made
        with self.people.unfinished.change(LOGIN, login, uid):
            # If the server dies before the account exists, the login expires.
            self._verified.one("SET", keys.login(login), uid, "NX", "EX", CREATION_SECONDS)
            if self._verified.one("GET", keys.login(login)) != uid:
                raise Invalid("This login is taken. Choose another.")
            if self._verified.one("HGET", keys.user(uid), "login") == login:
                self.client.persist(keys.login(login))
                raise Invalid("This account already exists. Sign in to it.")
            # Login, password and role are written together, so an account is never incomplete.
            if guest and guest.role == GUEST:
                person = self.people.edit(guest, password_hash, name=name, login=login, role=role)
            else:
                person = self.people.create(name, role, login, uid, password=password_hash)
            self.client.persist(keys.login(login))
        return person

    def agree_login(self, login: str, uid: str) -> None:
        """Keep the login for good if the person `uid` has it; otherwise delete it."""
        is_theirs = self._verified.one("HGET", keys.user(uid), "login") == login
        if is_theirs:
            self.client.set(keys.login(login), uid, nx=True)
        if self._verified.one("GET", keys.login(login)) == uid:
            (self.client.persist if is_theirs else self.client.delete)(keys.login(login))

    def create_admin(
        self,
        login: str,
        name: str,
        password_hash: str,
        guest: Person | None = None,
        nonce: str = "",
    ) -> Person:
        """Create the first account. Of several calls at the same time, one succeeds. Raises Invalid
        if there is an administrator already, and as `create` does."""
        with self._first_admin(login):
            return self.create(login, name, password_hash, guest, ADMIN, nonce)

    def become_first_admin(self, person: Person) -> Person:
        """Give the administrator role to a person of a chat without an administrator. Raises
        Invalid if there is one."""
        with self._first_admin(person.login or person.uid):
            return self.people.edit(person, role=ADMIN)

    def make_admin(self, person: Person) -> Person:
        """Give the administrator role to a person. The first account cannot be created after
        that."""
        who = person.login or person.uid
        with self.people.unfinished.change(FIRST_ADMIN, who):
            admin = self.people.edit(person, role=ADMIN)
            self._keep_first_admin(who)
        return admin

    @contextmanager
    def _first_admin(self, who: str) -> Iterator[None]:
        """Claim to be the first administrator. The claim is given up if the account cannot be
        created."""
        with self.people.unfinished.change(FIRST_ADMIN, who):
            claim = "SET", keys.FIRST_ADMIN, who, "NX", "EX", CREATION_SECONDS
            if not self._verified.one(*claim):
                raise Invalid("This chat already has an administrator. Sign in instead.")
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
        """Record that there is an administrator if the person with the login or id `who` is one."""
        person = self.people.get(self.by_login(who)[0] or who)
        if person and person.role == ADMIN:
            self._keep_first_admin(who)

    def has_admin(self) -> bool:
        """True once somebody has become the first administrator."""
        return bool(self._verified.one("EXISTS", keys.FIRST_ADMIN))

    def by_login(self, login: str) -> tuple[str, str]:
        """Return the user id and the hash of the password; two "" if nobody has this login."""
        uid = self._verified.one("GET", keys.login(login.strip().lower())) or ""
        return uid, self.password(uid) if uid else ""

    def password(self, uid: str) -> str:
        """The hash of a person's password, "" for none."""
        return self._verified.one("HGET", keys.user(uid), "password") or ""

    def set_password(self, uid: str, password_hash: str) -> None:
        """Set the hash of a person's password. An existing password link stops working."""
        values = {"password": password_hash, "reset": "", "reset_by": ""}
        self.client.hset(keys.user(uid), mapping=values)

    def by_subject(self, issuer: str, subject: str, name: str) -> Person:
        """Return the person whom another site calls `subject`, who is created the first time."""
        digest = keys.digest(f"{issuer}\n{subject}")
        key, new = keys.subject(digest), keys.new_id()
        known = self._verified.one("GET", key)
        if known and (person := self.people.get(known)):
            return person
        with self.people.unfinished.change(SUBJECT, digest):
            _, uid = self._verified.ask(("SET", key, new, "NX"), ("GET", key))
            return self.people.create(name, MEMBER, uid=uid)

    def agree_subject(self, digest: str) -> None:
        """Delete an identity at another site if its person does not exist."""
        uid = self._verified.one("GET", keys.subject(digest))
        if uid and self.people.get(uid) is None:
            self.client.delete(keys.subject(digest))

    def use_once(self, digest: str, seconds: int) -> bool:
        """Return True unless the token with this digest was used within the last `seconds`."""
        return bool(self._verified.one("SET", keys.used(digest), "", "NX", "EX", seconds))

    def reset_token(self, uid: str, by: str) -> str:
        """The secret of a new password link. The person can set a password with it once, while
        `by`, who made the link, is an administrator. Earlier links stop working."""
        secret = secrets.token_urlsafe(24)
        made = {"reset": keys.digest(secret), "reset_by": by}
        self.client.hset(keys.user(uid), mapping=made)
        self.client.set(keys.reset(keys.digest(secret)), uid, ex=RESET_SECONDS)
        return secret

    def drop_reset(self, uid: str) -> None:
        """Make a person's password link stop working."""
        self.client.hdel(keys.user(uid), "reset", "reset_by")

    def by_reset(self, secret: str) -> Person | None:
        """The person of a password link. None if it was used or expired, another one was made or
        the password was changed since, the person was deactivated, or its maker is no longer an
        administrator."""
        digest = keys.digest(secret)
        uid = self._verified.one("GET", keys.reset(digest))
        if not uid:
            return None
        newest, by = self._verified.one("HMGET", keys.user(uid), "reset", "reset_by")
        if newest != digest or not self.people.is_active_admin(by or ""):
            return None
        person = self.people.get(uid)
        return None if person is None or person.deactivated else person

    def use_reset(self, uid: str, secret: str, password_hash: str) -> bool:
        """Set the hash of a person's password by a link; False if the link was used before."""
        digest = keys.digest(secret)
        return bool(self._use_reset(user=keys.user(uid), digest=digest, password=password_hash))


class SetupLinks:
    """One-time links for the first admin, stored as digests until they are used or expire."""

    def __init__(self, client: Any, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self._verified = Verified(client)

    def make(self) -> str:
        """Make a link that works for SETUP_LINK_SECONDS, and return its secret. Older links still
        work, because several hosts may start at the same time, and each prints its own."""
        secret, now = secrets.token_urlsafe(24), self.clock.now()
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zadd(keys.SETUP_LINKS, {keys.digest(secret): now + SETUP_LINK_SECONDS})
        pipeline.zremrangebyscore(keys.SETUP_LINKS, "-inf", now)
        pipeline.zremrangebyrank(keys.SETUP_LINKS, 0, -1 - MAX_SETUP_LINKS)
        pipeline.expire(keys.SETUP_LINKS, SETUP_LINK_SECONDS)
        pipeline.execute()
        return secret

    def is_valid(self, secret: str) -> bool:
        """True for the secret of a link that has not expired."""
        until = self._verified.one("ZSCORE", keys.SETUP_LINKS, keys.digest(secret))
        return until is not None and float(until) > self.clock.now()
