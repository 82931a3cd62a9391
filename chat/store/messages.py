"""Posting, editing and deleting messages, and the files and read marks that belong to them."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from ..domain.errors import NotFound, NotMember, Refused
from ..domain.events import DELETE, EDIT, POST, REACT, File, pack_files
from ..domain.mentions import pack
from ..observability.metrics import POSTED
from . import keys
from .history import events_of
from .lua import Script
from .message_reads import MessageReads
from .notifications import Notifications
from .people import People
from .person import Person
from .rooms import event_by
from .verified import Verified

MAX_EMOJI = 20  # different emoji on one message
MAX_REACTIONS = 500  # on one message, all emoji together
NONCE_EVENTS = 5_000  # events of a room for which a resend is recognized


class Messages(MessageReads):
    def __init__(self, client: Any, people: People, notifications: Notifications) -> None:
        super().__init__(client, people)
        self.notifications = notifications
        self._verified = Verified(client)
        self._post = Script(client, "post")
        self._edit = Script(client, "edit_message")
        self._delete = Script(client, "delete_message")
        self._react = Script(client, "react")
        self._mark_read = Script(client, "mark_read")

    def post(
        self,
        rid: str,
        author: Person,
        body: str,
        nonce: str = "",
        reply: int = 0,
        files: Sequence[File] = (),
        seen: tuple[int, int] = (0, 0),
    ) -> int:
        """Store and publish a message; returns its number. `reply` is the number of the message
        that it answers, which is ignored if it does not exist. `files` are stored already. `seen`
        is the number and time (ms) of the last event that the author was shown, 0 if that is not
        known; later events stay unread, and all do if another event has this number now.

        The same nonce with the same body and files of the same names, by the same author, is a
        resend: nothing is stored, and the number of the first message is returned. An empty nonce
        is never a resend. Raises NotFound, NotMember, and redis's errors. After an error of redis
        the message may have been stored, and posting it again with its nonce is safe.
        """
        digest = keys.repeatable_id(body, *(file.name for file in files))
        mentions = self._mentions(rid, author, body)
        seq, new = self._post(
            # Each key costs time, and only mentions need the last two.
            keys.of_room(rid) if mentions else keys.of_room(rid)[:-2],
            event_by(POST, author, body),
            resend=f"{author.uid} {nonce} {digest}" if nonce else "",
            composer=f"{author.uid} {nonce}",
            nonces_kept=NONCE_EVENTS,
            reply=reply or "",
            files=pack_files(files),
            mentions=mentions,
            shown=seen[0],
            shown_at=seen[1],
            rest=[file.fid for file in files],
        )
        if seq == -1:
            raise NotFound("There is no such room.")
        if seq == -2:
            raise NotMember("Join the room first to write here.")
        if new:
            POSTED.inc()
        return int(seq)

    def edit(self, rid: str, by: Person, seq: int, body: str, others: bool = False) -> None:
        """Change the body of message `seq`. `others`: it may be somebody else's message. Raises
        NotFound and Refused."""
        answer = self._edit(
            keys.of_room(rid),
            event_by(EDIT, by),
            seq=seq,
            body=body,
            others="1" if others else "",
            mentions=self._mentions(rid, by, body),
        )
        _check(answer)

    def _mentions(self, rid: str, by: Person, body: str) -> str:
        """The people whom a body mentions, in the stored form; "" for nobody."""
        mentions = self.notifications.mentions(rid, by.uid, body) if "@" in body else ()
        return pack(mentions) if mentions else ""

    def delete(
        self, rid: str, by: Person, seq: int, others: bool = False, outside: bool = False
    ) -> None:
        """Delete message `seq` for everyone. `others`: it may be somebody else's message.
        `outside`: the same, and `by` need not be a member. Raises as `edit` does."""
        rights = "all" if outside else "1" if others else ""
        _check(self._delete(keys.of_room(rid), event_by(DELETE, by), seq=seq, rights=rights))

    def react(self, rid: str, by: Person, seq: int, emoji: str, wanted: str | int) -> None:
        """Add (`wanted`: "on") or remove ("off") a person's reaction to message `seq`. If `wanted`
        is the number of the last event that the page shows, toggle it, unless the person has
        changed it since then. `emoji` is clean (emoji.clean_emoji). Raises NotFound and Refused."""
        answer = self._react(
            keys.of_room(rid),
            event_by(REACT, by, emoji),
            seq=seq,
            wanted=wanted,
            emoji_limit=MAX_EMOJI,
            limit=MAX_REACTIONS,
        )
        _check(answer)

    def posted(self, rid: str, author: Person, nonce: str) -> str | None:
        """The body that was first posted with this nonce; None if there was none, or it is not kept
        any more."""
        seq = self.client.zscore(keys.nonces(rid), f"{author.uid} {nonce}")
        events = [] if seq is None else self.after(rid, int(seq) - 1, 1)
        there = events and events[0].seq == seq and events[0].kind == POST
        return events[0].body if there else None

    def file(self, rid: str, uid: str, fid: str) -> File:
        """The file with this id in room `rid`. Raises NotFound for somebody who is not a member,
        and if there is no such file."""
        member, seq = self._verified.ask(
            ("ZSCORE", keys.members(rid), uid), ("ZSCORE", keys.files(rid), fid)
        )
        is_there = member is not None and seq is not None
        entries = self.history.these(rid, [int(seq)]) if is_there else []
        files = {file.fid: file for event in events_of(rid, entries) for file in event.files}
        if fid not in files:
            raise NotFound("There is no such file, or it was deleted.")
        return files[fid]

    def author_of_file(self, rid: str, fid: str) -> str:
        """The id of the person who sent this file in room `rid`; "" if no message has it."""
        seq = self.client.zscore(keys.files(rid), fid)
        entries = [] if seq is None else self.history.these(rid, [int(seq)])
        return next((event.uid for event in events_of(rid, entries)), "")

    def holds(self, rid: str, seq: int, files: Sequence[File]) -> bool:
        """Return True if message `seq` has these files (at least one). It does not if the post was
        a repeat."""
        return bool(self.client.zscore(keys.files(rid), files[0].fid) == seq)

    def first_since(self, rid: str, at: int) -> int:
        """The number of the first event that is not older than `at` (ms), 0 for none. Times grow
        with the numbers unless the clock was set back, which makes the result less exact."""
        first, newest = self.client.hmget(keys.room(rid), "first", "seq")
        seqs = range(int(first or 1), int(newest or 0) + 1)

        def time_from(seq: int) -> int:
            entries = self.client.xrange(keys.events(rid), f"{seq}-0", "+", count=1)
            return int(entries[0][1]["at"]) if entries else at

        place = bisect_left(seqs, at, key=time_from)
        return seqs[place] if place < len(seqs) else 0

    def unsee(self, rid: str, uid: str, seq: int) -> None:
        """Mark message `seq` and later ones as unread for the member `uid`."""
        self.client.hset(keys.read(rid), uid, max(0, seq - 1))
        if self._verified.one("ZSCORE", keys.members(rid), uid) is None:  # left meanwhile
            self.client.hdel(keys.read(rid), uid)

    def seen(self, rid: str, uid: str, seq: int, at: int = 0) -> bool:
        """Store that the member `uid` has seen the room up to event `seq`, whose time was `at` (ms;
        0: unknown). The mark never goes back. It does not change if the event was lost in a
        failover: the number is beyond the newest, or its event has another time. Returns False,
        and stores nothing, for somebody who is not a member."""
        return self.seen_by(rid, [uid], seq, at)[0]

    def seen_by(self, rid: str, uids: list[str], seq: int, at: int = 0) -> list[bool]:
        """Like `seen`, for several people in one round trip."""
        names = [keys.read(rid), keys.room(rid), keys.members(rid), keys.events(rid)]
        return [member == 1 for member in self._mark_read(names, seq=seq, at=at, rest=uids)]


def _check(answer: int) -> None:
    if answer == -1:
        raise NotFound("There is no such message in this room.")
    if answer == -2:
        raise Refused("Only the author can change this message.")
    if answer == -3:
        raise Refused("This message already has as many reactions as possible.")
