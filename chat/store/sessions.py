"""Sessions. The cookie contains the secret of a session; when the session ends, the cookie is
invalid."""

import json
import secrets
from collections.abc import Collection
from dataclasses import astuple, dataclass, replace
from typing import Any

from . import keys
from .clock import Clock
from .person import FIELDS, Person, person_of
from .verified import Verified, pairs

SESSION_SECONDS = 90 * 24 * 3600  # after which a session ends, even if it is used
IDLE_SECONDS = 30 * 24 * 3600  # without a visit, after which a session ends early
GUEST = "guest"  # the authentication method of guests, who cannot sign in again
MAX_SESSIONS = 100  # of one person
NOTE_SECONDS = 3600  # between two updates of the time of the last visit


@dataclass(frozen=True, slots=True)
class Session:
    """`sid` is the public id, which is enough to end the session. It is made from the secret, which
    only the cookie contains. `method` is how the person signed in. Times are in seconds since 1970,
    by the database's clock."""

    sid: str
    method: str
    agent: str
    address: str
    began: int
    seen: int

    def is_over(self, now: float) -> bool:
        """True if the session has expired. A guest cannot sign in again, so a guest's session only
        expires SESSION_SECONDS after the last visit."""
        if self.method == GUEST:
            return self.seen < now - SESSION_SECONDS
        return self.seen < now - IDLE_SECONDS or self.began < now - SESSION_SECONDS


class Sessions:
    def __init__(self, client: Any, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self._verified = Verified(client)

    def begin(self, uid: str, method: str, agent: str = "", address: str = "") -> str:
        """Begin a session of a person, and return the secret for the cookie. If there would be more
        than MAX_SESSIONS, those end that were not used for the longest time."""
        secret, now = secrets.token_urlsafe(24), int(self.clock.now())
        there = self._all(uid)
        kept = [session for session in there if not session.is_over(now)][: MAX_SESSIONS - 1]
        over = {session.sid for session in there} - {session.sid for session in kept}
        self._store(uid, Session(public(secret), method, agent[:200], address, now, now), over)
        return secret

    def person(self, uid: str, secret: str) -> tuple[Person, Session] | None:
        """Return the person with this cookie and their session, in one round trip. None if the
        session is over or the person was deactivated."""
        sid = public(secret)
        fields, packed = self._verified.ask(
            ("HMGET", keys.user(uid), *FIELDS), ("HGET", keys.sessions(uid), sid)
        )
        person = person_of(uid, fields)
        if person is None or packed is None or person.deactivated:
            return None
        session, now = _unpacked(sid, packed), int(self.clock.now())
        if session.is_over(now):
            return None
        if session.seen < now - NOTE_SECONDS:
            self._store(uid, replace(session, seen=now))
        return person, session

    def is_on(self, uid: str, sid: str) -> bool:
        """True if this session of the person has not ended."""
        packed = self._verified.one("HGET", keys.sessions(uid), sid)
        return packed is not None and not _unpacked(sid, packed).is_over(self.clock.now())

    def of(self, uid: str) -> list[Session]:
        """The current sessions of a person, the last used first."""
        now = self.clock.now()
        return [session for session in self._all(uid) if not session.is_over(now)]

    def end(self, uid: str, *sids: str) -> None:
        """End these sessions. Their open pages are closed at once, in every process."""
        if sids:
            self.client.hdel(keys.sessions(uid), *sids)
        self.client.spublish(keys.user_channel(uid), "")

    def end_all(self, uid: str, but: str = "") -> None:
        """End all sessions of a person except the one with the id `but`."""
        self.end(uid, *(session.sid for session in self._all(uid) if session.sid != but))

    def _all(self, uid: str) -> list[Session]:
        """All stored sessions, the last used first."""
        packed = pairs(self._verified.one("HGETALL", keys.sessions(uid)))
        sessions = [_unpacked(sid, text) for sid, text in packed.items()]
        return sorted(sessions, key=lambda session: session.seen, reverse=True)

    def _store(self, uid: str, session: Session, over: Collection[str] = ()) -> None:
        """Store a session, and end those with the ids `over`."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hset(keys.sessions(uid), session.sid, _packed(session))
        pipeline.expire(keys.sessions(uid), SESSION_SECONDS)
        if over:
            pipeline.hdel(keys.sessions(uid), *over)
            pipeline.spublish(keys.user_channel(uid), "")  # a page of one of them may be open
        pipeline.execute()


def public(secret: str) -> str:
    """The id of the session with this secret. Nobody who reads the id, in the database or on the
    page of sessions, can make a cookie from it."""
    return keys.digest(secret)[:32]


def _packed(session: Session) -> str:
    return json.dumps(astuple(session)[1:], ensure_ascii=False)


def _unpacked(sid: str, text: str) -> Session:
    """Return the stored session. One that cannot be read counts as ended."""
    try:
        method, agent, address, began, seen = json.loads(text)
        return Session(sid, method, agent, address, int(began), int(seen))
    except (ValueError, TypeError, OverflowError):
        return Session(sid, "", "", "", 0, 0)
