"""API tokens: each belongs to a person or a bot, and gives a program the same rights."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..domain.errors import Refused
from ..domain.validation import number
from . import keys
from .batches import ask_each
from .clock import Clock
from .people import People
from .person import Person
from .verified import Verified, hset, pairs, refused

SCOPES = ("read", "write")
MAX_TOKENS = 20  # of one person or bot
LISTED_WITHIN_SECONDS = 60  # after which a token disappears if it is not in the person's list
NOTE_SECONDS = 3600  # between two updates of the time of the last use


@dataclass(frozen=True, slots=True)
class Token:
    """tid: the public id, by which the token can be revoked.
    made, used: times in seconds since 1970, by the database's clock. used: 0 for never.
    by: the id of the administrator who made the token for a bot. "" if a person made it for
    themselves, or if an earlier version made it. nonce: of the form with which it was made, or "".
    """

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
        """Make a token. Returns its secret, which is not stored. The token replaces one that was
        made with the same nonce, because nobody has seen its secret. Raises Refused if the owner
        has MAX_TOKENS already."""
        there = self.of(uid)
        same = [token.tid for token in there if nonce and token.nonce == nonce]
        self._end(uid, same)
        if len(there) - len(same) >= MAX_TOKENS:
            raise Refused(
                f"There are already {MAX_TOKENS} tokens. Revoke one that is no longer needed."
            )
        secret = f"chat_{secrets.token_urlsafe(30)}"
        tid, made = keys.digest(secret)[:40], int(self.clock.now())
        fields = {"uid": uid, "name": name, "scopes": " ".join(scopes), "made": made, "used": 0}
        # A token that is in no list cannot be revoked, so it expires unless it is listed at once.
        key, fields = keys.token(tid), {**fields, "by": by, "nonce": nonce}
        self._verified.ask(hset(key, fields), ("EXPIRE", key, LISTED_WITHIN_SECONDS))
        self.client.sadd(keys.tokens(uid), tid)
        self.client.persist(key)
        return secret

    def person(self, secret: str) -> tuple[Person, Token] | None:
        """The person with this token. None if the token was revoked or the person was deactivated;
        or if the token belongs to a bot and its maker, who still knows it, is no longer an
        administrator."""
        tid = keys.digest(secret)[:40]
        token = _token(tid, pairs(self._verified.one("HGETALL", keys.token(tid))))
        person = self.people.get(token.uid) if token else None
        if token is None or person is None or person.deactivated or not self.works(person, token):
            return None
        now = int(self.clock.now())
        if token.used < now - NOTE_SECONDS:
            self.client.hset(keys.token(token.tid), "used", now)
        return person, token

    def works(self, person: Person, token: Token) -> bool:
        """Return False for a token of a bot whose maker is not an active administrator. If a token
        does not say who made it, the maker of the bot counts."""
        return not person.bot or self.people.is_active_admin(token.by or person.bot)

    def of(self, uid: str) -> list[Token]:
        """The tokens of a person, newest first."""
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
        """Revoke a token of this person at once; a token of another person stays."""
        self._end(uid, [own for own in self._tids(uid) if own == tid])

    def revoke_all(self, uid: str) -> None:
        """Revoke all tokens of this person at once."""
        self._end(uid, self._tids(uid))

    def _end(self, uid: str, tids: list[str]) -> None:
        """Delete the tokens, and then their entries in the list, so that this can be repeated after
        a crash."""
        ask_each(self.client, "delete", ((keys.token(tid),) for tid in tids))
        if tids:
            self.client.srem(keys.tokens(uid), *tids)

    def _tids(self, uid: str) -> list[str]:
        return list(self._verified.one("SMEMBERS", keys.tokens(uid)))


def _token(tid: str, fields: dict[str, str]) -> Token | None:
    if not fields.keys() >= {"uid", "name", "scopes"}:
        return None
    scopes = tuple(fields["scopes"].split())
    made, used = number(fields.get("made", "")), number(fields.get("used", ""))
    by, nonce = fields.get("by", ""), fields.get("nonce", "")
    return Token(tid, fields["uid"], fields["name"], scopes, made, used, by, nonce)
