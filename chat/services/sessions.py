"""Ending sessions, and checking whether a session is still valid."""

from ..bridge import await_
from ..store import Person, Store
from ..store.person import GUEST
from .context import Parts


def sign_out(store: Store, person: Person, sid: str) -> None:
    """End the session `sid` of a person.

    A guest without another session cannot sign in again, so their tokens are revoked and their
    rooms get other owners. The session ends last: if this is interrupted, the guest can sign out
    again.
    """
    others = [session for session in store.sessions.of(person.uid) if session.sid != sid]
    if person.role == GUEST and not others:
        store.tokens.revoke_all(person.uid)
        store.rooms.release_ownership(person)
    store.sessions.end(person.uid, sid)


def revoke_access(store: Store, uid: str, but: str = "") -> None:
    """End all sessions of a person except `but`, revoke all tokens, and make a link for a new
    password invalid."""
    store.sessions.end_all(uid, but)
    store.tokens.revoke_all(uid)
    store.accounts.drop_reset(uid)


def is_active(parts: Parts, uid: str, sid: str) -> bool:
    """True if the session `sid` of a person is still valid. For an open page, after it was
    connected to the hub: the subscriber reports sessions that end later, but not those that have
    ended before."""
    await_(parts.realtime.subscriber.ready(f"user:{uid}"))
    return parts.store.sessions.is_on(uid, sid)
