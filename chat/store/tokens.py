"""Tokens for programs: each belongs to a person or a bot, and may do what that one may do."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..domain.errors import Refused
from . import keys
from .batches import ask_each
from .clock import Clock
from .people import People
from .person import Person
from .verified import Verified, pairs, refused

SCOPES = ("read", "write")
MOST = 20  # tokens of one person or bot
MAKING = 60  # seconds after which a server that makes a token has died of it
NOTED = 3600  # seconds between two notes of a use


@dataclass(frozen=True, slots=True)
class Token:
    """`tid` is the public id, by which it can be revoked. Times are in seconds since 1970, by the
    database's clock; `used` is 0 for never. `by` is the id of the admin who made it for a bot, ""
    where a person made it for themselves, or before this was written down; `nonce` names the form
    it was made with, "" for none."""

    tid: str
    uid: str
    name: str
    scopes: tuple[str, ...]
    made: int
    used: int
    by: str = ""
    nonce: str = ""


class Tokens:
    def __init__(self, client: Any, people: People, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self.people = people
        self._verified = Verified(client)

    def make(
        self, uid: str, name: str, scopes: Iterable[str], by: str = "", nonce: str = ""
    ) -> str:
        """A new token; returns its secret, which is not kept. It replaces the token that was made
        with the same nonce: nobody has seen its secret. Raises Refused for one too many."""
        there = self.of(uid)
        if same := [token.tid for token in there if nonce and token.nonce == nonce]:
            self._end(uid, same)
        if len(there) - len(same) >= MOST:
            raise Refused(f"There are {MOST} tokens already. End one that is not needed any more.")
        secret = f"chat_{secrets.token_urlsafe(30)}"
        tid, made = _public(secret), int(self.clock.now())
        fields = {"uid": uid, "name": name, "scopes": " ".join(scopes), "made": made, "used": 0}
        # What is in no list could not be revoked: a token that is not listed at once goes.
        words = chain.from_iterable({**fields, "by": by, "nonce": nonce}.items())
        key = keys.token(tid)
        self._verified.ask(("HSET", key, *words), ("EXPIRE", key, MAKING))
        self.client.sadd(keys.tokens(uid), tid)
        self.client.persist(keys.token(tid))
        return secret

    def person(self, secret: str) -> tuple[Person, Token] | None:
        """Whose token this is; None when it was revoked, that person was deactivated, or it is of
        a bot and whoever made it is no admin any more (they still know it)."""
        token = self._get(_public(secret))
        person = self.people.get(token.uid) if token else None
        if token is None or person is None or person.deactivated or not self.works(person, token):
            return None
        now = int(self.clock.now())
        if token.used < now - NOTED:
            self.client.hset(keys.token(token.tid), "used", now)
        return person, token

    def works(self, person: Person, token: Token) -> bool:
        """False for a token of the bot `person` whose maker is no active admin. Of a token that
        does not say who made it, that is whoever made the bot."""
        return not person.bot or self.people.is_active_admin(token.by or person.bot)

    def of(self, uid: str) -> list[Token]:
        """The tokens of a person, the newest first."""
        tids = self._tids(uid)
        answers = ask_each(self.client, "hgetall", ((keys.token(tid),) for tid in tids))
        tokens = list(map(_token, tids, answers))
        found = [token for token in tokens if token]
        if gone := [tid for tid, token in zip(tids, tokens, strict=True) if token is None]:
            self.client.srem(keys.tokens(uid), *gone)
        for token in found:
            if token.uid != uid:
                raise refused(keys.token(token.tid))
        return sorted(found, key=lambda token: token.made, reverse=True)

    def revoke(self, uid: str, tid: str) -> None:
        """End a token of this person at once; somebody else's stays."""
        if self._verified.one("SISMEMBER", keys.tokens(uid), tid):
            self._end(uid, [tid])

    def revoke_all(self, uid: str) -> None:
        """End all tokens of this person at once."""
        if tids := self._tids(uid):
            self._end(uid, tids)

    def _end(self, uid: str, tids: list[str]) -> None:
        """First what lets in, then the list: what is not ended can be ended again."""
        ask_each(self.client, "delete", ((keys.token(tid),) for tid in tids))
        self.client.srem(keys.tokens(uid), *tids)

    def _get(self, tid: str) -> Token | None:
        return _token(tid, pairs(self._verified.one("HGETALL", keys.token(tid))))

    def _tids(self, uid: str) -> list[str]:
        return list(self._verified.one("SMEMBERS", keys.tokens(uid)))


def _token(tid: str, fields: dict[str, str]) -> Token | None:
    if not fields:
        return None
    scopes = tuple(fields["scopes"].split())
    made, used = int(fields["made"]), int(fields["used"])
    by, nonce = fields.get("by", ""), fields.get("nonce", "")
    return Token(tid, fields["uid"], fields["name"], scopes, made, used, by, nonce)


def _public(secret: str) -> str:
    """What is kept of a token: nobody makes it of this."""
    return hashlib.sha256(secret.encode()).hexdigest()[:40]
