"""Posting, editing and deleting messages, and reacting to them.

The functions take the parts of the application (`services.context.Parts`) and the person who acts.
Web pages, the API, the socket and webhooks all call them, so the same checks and limits apply to
each.
"""

from collections.abc import Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from ..domain.emoji import clean_emoji, stored_emoji
from ..domain.errors import ChatError, Invalid, NotFound, StoreAway
from ..domain.events import DELETED, Event
from ..domain.validation import clean_body, clean_caption
from ..media.attachments import Upload
from ..store import Person, Store
from .context import Parts
from .permissions import may_change_others
from .rooms import room_to_read


def post(
    parts: Parts,
    by: Person,
    rid: str,
    body: str,
    nonce: str = "",
    reply: int = 0,
    files: Sequence[Upload] = (),
    seen: tuple[int, int] = (0, 0),
) -> int:
    """Post a message and return its number.

    nonce: the name of the form; posting the same nonce and body again posts nothing.
    reply: the number of the message that this one answers, 0 for none.
    seen: the number and time (ms) of the last event that the author was shown, 0 if not known.

    Raises Invalid, OverQuota, TooOften, Busy, FilesAway, and the errors of the store.
    """
    if not files:
        return post_text(parts, by, rid, body, nonce, reply, seen)
    clean, store = clean_caption(body), parts.store
    parts.limits.use("post", by.uid)
    room_to_read(store, rid, by.uid)
    for _ in files:
        parts.limits.use("file", by.uid)
    kept = parts.attachments.keep(rid, files, by)
    by = store.people.get(by.uid) or by  # decoding takes up to a minute, and names change
    try:
        seq = store.messages.post(rid, by, clean, nonce, reply, kept, seen)
        is_kept = store.messages.holds(rid, seq, kept)
    except ChatError:
        parts.attachments.delete(rid, kept)
        raise
    # After an error of Redis the message may exist. media.orphan_cleanup deletes its files if not.
    if not is_kept:
        parts.attachments.delete(rid, kept)
    return int(seq)


def post_text(
    parts: Parts,
    by: Person,
    rid: str,
    body: str,
    nonce: str = "",
    reply: int = 0,
    seen: tuple[int, int] = (0, 0),
) -> int:
    """Post a message without files; otherwise like `post`."""
    clean = clean_body(body)
    parts.limits.use("post", by.uid)
    return int(parts.store.messages.post(rid, by, clean, nonce, reply, seen=seen))


def edit(parts: Parts, by: Person, rid: str, seq: int, body: str, address: str) -> None:
    """Change the text of a message. It may become empty if the message has files.

    address: the IP address of the person, for the audit log.

    Raises Invalid, TooOften, NotFound, Refused.
    """
    store = parts.store
    room = store.rooms.member(rid, by.uid)
    event: Event = store.messages.get(rid, seq)
    clean = clean_caption(body) if event.files else clean_body(body)
    parts.limits.use("post", by.uid)
    others = may_change_others(by, room)
    if others:  # logged first, so that no edit by a moderator is missing in the audit log
        _note_in_audit(store, by, "changed", event, address)
    store.messages.edit(rid, by, seq, clean, others)


def delete(parts: Parts, by: Person, rid: str, seq: int, address: str) -> Event:
    """Delete a message and its files for everyone, and return what it was. Deleting it again
    changes nothing. Raises NotFound, Refused, TooOften.

    address: the IP address of the person, for the audit log.
    """
    store = parts.store
    room = store.rooms.member(rid, by.uid)
    parts.limits.use("post", by.uid)
    found = store.messages.after(rid, max(0, seq - 1), 1)  # numbers begin at 1
    if found and (found[0].seq, found[0].kind) == (seq, DELETED):
        return found[0]  # deleted, perhaps by this same request, whose response was lost
    event: Event = store.messages.get(rid, seq)
    others = may_change_others(by, room)
    if others:
        _note_in_audit(store, by, "deleted", event, address)
    store.messages.delete(rid, by, seq, others)
    parts.attachments.delete(rid, event.files)
    return event


def purge(parts: Parts, by: Person, uid: str) -> None:
    """Delete everything that a person wrote in all rooms, with the files. This reads all messages
    that are kept. If it is interrupted, it can be repeated."""
    store = parts.store
    for rid in store.retention.rooms():
        for event in store.messages.written_by(rid, uid):
            with suppress(NotFound):  # it was deleted meanwhile, or its room has ended
                store.messages.delete(rid, by, event.seq, outside=True)
                parts.attachments.delete(rid, event.files)


def react(parts: Parts, by: Person, rid: str, seq: int, emoji: str, wanted: str | int) -> None:
    """Add, remove or toggle a reaction. A symbol that is no emoji, which earlier versions took, can
    only be removed.

    wanted: "on", "off", or the number of the last event that the person was shown, to toggle
        (store.messages.react).

    Raises Invalid, TooOften, NotFound, Refused.
    """
    try:
        clean = clean_emoji(emoji)
    except Invalid:
        clean = stored_emoji(emoji)
        if not _is_removed(parts.store, by, rid, seq, clean, wanted):
            raise
        wanted = "off"
    parts.limits.use("post", by.uid)
    parts.store.messages.react(rid, by, seq, clean, wanted)


def _is_removed(
    store: Store, by: Person, rid: str, seq: int, emoji: str, wanted: str | int
) -> bool:
    """True if `react` removes a reaction, or repeats such a request: the person has changed the
    reactions since event `wanted`."""
    if isinstance(wanted, str):
        return wanted == "off"
    store.rooms.member(rid, by.uid)
    reactions = store.messages.get(rid, seq).reactions
    return emoji in reactions.of(by.uid) or (reactions.by == by.uid and reactions.seq > wanted)


def error_text(error: Exception) -> str:
    """Return what to show to an author whose message was not stored because of `error`."""
    if isinstance(error, ChatError):
        return error.text
    return StoreAway().text if isinstance(error, RedisError) else "Something went wrong. Try again."


def _note_in_audit(store: Store, by: Person, did: str, event: Event, address: str) -> None:
    """Record in the audit log what a moderator did to somebody else's message. The entry names the
    room by its id only: administrators who are not members must not learn the name of a closed
    room."""
    if by.uid != event.uid:
        whose = f"{event.name} ({event.uid}), number {event.seq} in the room {event.room}"
        store.audit_log.note(by, f"{did} a message of", whose, address)
