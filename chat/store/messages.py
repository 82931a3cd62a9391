"""Posting, changing and deleting messages, and the files and read marks that belong to them."""

import hashlib
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

MAX_EMOJI = 20  # different ones on one message
MAX_REACTIONS = 500  # on one message, all emoji together
NONCE_EVENTS = 5_000  # events after which a resend is no longer known as one


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
        seen: int = 0,
    ) -> int:
        """Store and publish a message; returns its number. `reply` is the number of the message
        that it answers; one that is not there is left out. `files` are kept already. `seen` is the
        last number that the author was shown; what came after that stays unread.

        The same nonce with the same body, and files of the same names, by the same author is a
        resend: nothing is stored and the first one's number is returned. An empty nonce is never a
        resend. Raises NotFound, NotMember, and redis's errors; after one of those the message may
        have been stored, and posting it again with its nonce is safe.
        """
        said = "\0".join([body, *(file.name for file in files)])
        digest = hashlib.sha256(said.encode()).hexdigest()[:32]
        mentions = self._mentions(rid, author, body)
        seq, new = self._post(
            # Each key has its price; the last two are for mentions alone.
            keys.of_room(rid) if mentions else keys.of_room(rid)[:-2],
            event_by(POST, author, body),
            resend=f"{author.uid} {nonce} {digest}" if nonce else "",
            composer=f"{author.uid} {nonce}",
            nonces_kept=NONCE_EVENTS,
            reply=reply or "",
            files=pack_files(files),
            mentions=mentions,
            shown=seen,
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
        """Change the body of message `seq`; `others`: it need not be the person's own. Raises
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
        """Whom a body mentions, in the stored form; "" for nobody."""
        mentions = self.notifications.mentions(rid, by.uid, body) if "@" in body else ()
        return pack(mentions) if mentions else ""

    def delete(
        self, rid: str, by: Person, seq: int, others: bool = False, outside: bool = False
    ) -> None:
        """Delete message `seq` for everyone; `outside`: whoever wrote it, and `by` need not be in
        the room. Raises as `edit` does."""
        rights = "all" if outside else "1" if others else ""
        _check(self._delete(keys.of_room(rid), event_by(DELETE, by), seq=seq, rights=rights))

    def react(self, rid: str, by: Person, seq: int, emoji: str, wanted: str | int) -> None:
        """Set (`wanted`: "on") or take back ("off") a person's reaction to message `seq`; for a
        number turn it round, unless that person has changed it after the event of this number,
        the last that the page shows. `emoji` is clean (emoji.clean_emoji). Raises NotFound and
        Refused."""
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
        """The body that was first posted with this nonce; None when there was none, or is none
        any more."""
        seq = self.client.zscore(keys.nonces(rid), f"{author.uid} {nonce}")
        events = [] if seq is None else self.after(rid, int(seq) - 1, 1)
        there = events and events[0].seq == seq and events[0].kind == POST
        return events[0].body if there else None

    def file(self, rid: str, uid: str, fid: str) -> File:
        """The file with this id in room `rid`, for a member; raises NotFound for everybody else
        and when it is gone with its message."""
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
        """The id of who sent the file with this id in room `rid`; "" where no message has it."""
        seq = self.client.zscore(keys.files(rid), fid)
        entries = [] if seq is None else self.history.these(rid, [int(seq)])
        return next((event.uid for event in events_of(rid, entries)), "")

    def holds(self, rid: str, seq: int, files: Sequence[File]) -> bool:
        """Whether message `seq` has these files (at least one): not when it was a repeat."""
        return bool(self.client.zscore(keys.files(rid), files[0].fid) == seq)

    def first_since(self, rid: str, at: int) -> int:
        """The number of the first event that is not older than `at` (ms), 0 for none. Numbers and
        times grow together but for a clock that was set back, which costs some accuracy."""
        first, newest = self.client.hmget(keys.room(rid), "first", "seq")
        seqs = range(int(first or 1), int(newest or 0) + 1)

        def time_from(seq: int) -> int:
            entries = self.client.xrange(keys.events(rid), f"{seq}-0", "+", count=1)
            return int(entries[0][1]["at"]) if entries else at

        place = bisect_left(seqs, at, key=time_from)
        return seqs[place] if place < len(seqs) else 0

    def unsee(self, rid: str, uid: str, seq: int) -> None:
        """Forget that the member `uid` has seen message `seq` and what followed."""
        self.client.hset(keys.read(rid), uid, max(0, seq - 1))
        if self._verified.one("ZSCORE", keys.members(rid), uid) is None:  # who has left meanwhile
            self.client.hdel(keys.read(rid), uid)

    def seen(self, rid: str, uid: str, seq: int, at: int = 0) -> bool:
        """Remember that the member `uid` has seen the room up to event `seq`, of the time `at` (ms;
        0: not known); it never goes back. What names an event of another life of the database
        changes nothing: a number beyond the newest, or one whose event has another time. False,
        and nothing is kept, for who is no member."""
        return self.seen_by(rid, [uid], seq, at)[0]

    def seen_by(self, rid: str, uids: list[str], seq: int, at: int = 0) -> list[bool]:
        """The same for several people in one round trip; says of each whether they are a member."""
        names = [keys.read(rid), keys.room(rid), keys.members(rid), keys.events(rid)]
        return [member == 1 for member in self._mark_read(names, seq=seq, at=at, rest=uids)]


def _check(answer: int) -> None:
    if answer == -1:
        raise NotFound("There is no such message in this room.")
    if answer == -2:
        raise Refused("Only the author can change this message.")
    if answer == -3:
        raise Refused("This message already has as many reactions as possible.")
