"""A chat that has grown: many people, rooms, members and messages, for tests that count."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import redis

from chat.domain import lookalikes
from chat.domain.validation import (
    MAX_ABOUT_CHARS,
    MAX_BODY_CHARS,
    MAX_NAME_CHARS,
    MAX_ROOM_NAME_CHARS,
)
from chat.store import Person, Store, keys
from chat.store.name_index import entries

T = TypeVar("T")

PEOPLE, MEMBERS, ROOMS, OPEN, MESSAGES = 2_000, 10_000, 500, 1_500, 300
WIDE = "\N{GRINNING FACE}"  # a character that takes as many bytes as any does


class Big:
    """`ann` owns `room`, of MEMBERS people, is an administrator, and is in ROOMS rooms besides;
    `talk` is the one of these with MESSAGES messages, and there are OPEN others that anyone may
    join. With `longest` all texts are as long as they may be, in characters and in bytes."""

    def __init__(self, client: redis.Redis, longest: bool = False) -> None:
        self.client = client
        self.longest = longest
        self.store = Store(client)
        self.ann = self.store.accounts.create("ann", self._text("Ann", MAX_NAME_CHARS), "")
        self.ann = self.store.accounts.make_admin(self.ann)
        self.uids = self._people(MEMBERS)
        self.room = self._large_room()
        self.rooms = [self._room(f"Room {n} of Ann's", [self.ann.uid]) for n in range(ROOMS)]
        self.talk = self.rooms[0]
        self.direct = self.store.rooms.direct(self.ann, self.store.people.several(self.uids[:1]))
        for n in range(OPEN):
            self._room(f"Open {n}", self.uids[n : n + 1], is_open=True)
        self._messages()
        self.bot = self._bots(150)
        for n in range(300):
            self.store.audit_log.note(self.ann, f"did thing {n}", "to somebody")
        for n in range(19):
            self.store.tokens.make(self.ann.uid, f"Token {n}", ["read"])
        for n in range(150):
            self.store.sessions.begin(self.ann.uid, "password", f"Agent {n}", "192.0.2.1")
        self.secret = self.store.sessions.begin(self.ann.uid, "password")

    def _people(self, count: int) -> list[str]:
        """More than PEOPLE are called alike by their first word."""
        uids = [f"person-{n:05}" for n in range(count)]
        for some in batches(enumerate(uids), 1000):
            pipeline = self.client.pipeline(transaction=False)
            for n, uid in some:
                name = f"{'Bob' if n < PEOPLE + 500 else 'Guest'} Number {n:05}"
                name = self._text(name, MAX_NAME_CHARS)
                fields = {"uid": uid, "name": name, "role": "member", "tag": ""}
                fields |= {"about": self._text("", MAX_ABOUT_CHARS)} if self.longest else {}
                pipeline.hset(keys.user(uid), mapping=fields)
                pipeline.zadd(keys.NAMES, dict.fromkeys(entries(uid, name), 0))
                forms = [f"{form}\0{uid}" for form in lookalikes.keys(name)]
                pipeline.zadd(keys.LOOKALIKES, dict.fromkeys(forms, 0))
            pipeline.execute()
        return uids

    def _large_room(self) -> str:
        members = [Person(uid, uid) for uid in self.uids]
        return self.store.rooms.create("Everybody", "closed", self.ann, members)

    def _room(self, name: str, uids: Sequence[str], is_open: bool = False) -> str:
        by = Person(uids[0], "Ann")
        rid = keys.new_id()
        self.store.rooms._create(
            rid,
            self._text(name, MAX_ROOM_NAME_CHARS),
            "open" if is_open else "closed",
            by,
            list(uids),
            uids[0],
            self._text("", MAX_ABOUT_CHARS),
        )
        if is_open:
            self.client.zadd(keys.OPEN_ROOMS, {rid: len(name)})
        return rid

    def _messages(self) -> None:
        bob = self.store.people.get(self.uids[0])
        assert bob
        self.store.rooms.add(self.talk, self.ann, bob)
        for n in range(MESSAGES):
            body = self._text(f"Message {n} says hello to @Ann ", MAX_BODY_CHARS)
            self.store.messages.post(self.talk, bob, body)
        for rid in self.rooms[1:]:
            self.store.rooms.add(rid, self.ann, bob)
            body = self._text("Something that nobody has read yet ", MAX_BODY_CHARS)
            self.store.messages.post(rid, bob, body)

    def _text(self, text: str, most: int) -> str:
        """The text, or the longest that begins so."""
        return text + WIDE * (most - len(text)) if self.longest else text

    def _bots(self, count: int) -> str:
        for n in range(count):
            name = self._text(f"Bot {n}", MAX_NAME_CHARS)
            bot = self.store.people.create(name, "member", bot=self.ann.uid)
        return bot.uid


def batches(many: Any, size: int) -> Iterator[list[Any]]:
    many = iter(many)
    while some := list(itertools.islice(many, size)):
        yield some
