"""Every write of the store may be made again after an unknown outcome.

Each is made once over a working connection, which shows how many commands it takes and its result.
Then the connection is cut at each command in turn, before it is sent and after it has run, and the
write is repeated: the result is the same, and `chat check` finds nothing. If it is not repeated,
the background job finishes it."""

import json
import re
from collections import Counter
from contextlib import suppress

import pytest
import redis

from chat.domain.errors import ChatError
from chat.redis_client.connection import OutcomeUnknown
from chat.services.unfinished_changes import UnfinishedChanges
from chat.store import Store, keys
from chat.store.person import ADMIN, MEMBER
from chat.store.stored_files import Quotas
from chat.store.unfinished import NAME
from chat.store.webhooks import Delivery

from ..cut_line import CutLine, every_cut

SIZES = {b"hash": "hlen", b"set": "scard", b"zset": "zcard", b"list": "llen", b"stream": "xlen"}
QUEUED = 2  # number of a message that waits for the bot


class Chat:
    """One of everything, and the line over which it was made."""

    def __init__(self, url):
        self.line = CutLine.from_url(url, decode_responses=True)
        self.line.flushall()
        store = self.store = Store(self.line)
        self.job = UnfinishedChanges(store, settle=0)
        self.ann = store.accounts.create_admin("ann", "Ann Lee", "hash")
        self.bob, self.cid = (store.people.create(name, MEMBER) for name in ("Bob", "Cid"))
        self.gus = store.people.create("Gus")
        self.bot = store.people.create("Robot", MEMBER, bot=self.ann.uid)
        store.webhooks.set(self.bot.uid, "https://bots.example.org", "secret", self.ann.uid)
        self.tea = store.rooms.create("Tea", "open", self.ann, [self.bob, self.bot], "", "tea")
        self.den = store.rooms.create("Den", "closed", self.ann, [self.bob])
        self.seat = store.rooms.join_random(self.ann, 3, "seat")
        assert store.rooms.join_random(self.bob, 3) == self.seat
        self.alone = store.rooms.join_random(self.cid, 1)
        self.said = store.messages.post(self.tea, self.bob, "hello @Ann", "said")
        store.messages.react(self.tea, self.bob, self.said, "👍", "on")
        store.notifications.set_level(self.bob.uid, self.den, "mentions")
        store.drafts.keep(self.bob.uid, self.den, "to be sent")
        store.webhooks.queue(self.bot.uid, self.tea, "", QUEUED, [QUEUED], 1)
        self.delivery = Delivery(self.bot.uid, self.tea, QUEUED)
        self.token = store.tokens.make(self.ann.uid, "laptop", ["read"])
        self.tid = store.tokens.of(self.ann.uid)[0].tid
        store.accounts.reset_token(self.ann.uid, self.ann.uid)
        # What was kept of it, with how long it is kept (ms), to begin anew from.
        names = list(self.line.scan_iter(count=1000))
        self.raw = redis.Redis.from_url(url)
        self.kept = {name: (self.raw.dump(name), max(0, self.raw.pttl(name))) for name in names}

    def begin_anew(self):
        """The chat is as it was when it was made."""
        pipeline = self.raw.pipeline(transaction=False)
        pipeline.flushall()
        for name, (dump, ttl) in self.kept.items():
            pipeline.restore(name, ttl, dump)
        pipeline.execute()

    def left(self):
        """What is in the database, without ids and times: how many keys of each kind there are, how
        much each holds, and the numbers of the seats."""
        names = list(self.raw.scan_iter(count=1000))
        pipeline = self.raw.pipeline(transaction=False)
        for name in names:
            pipeline.type(name)
        types = pipeline.execute()
        for name, type in zip(names, types, strict=True):
            getattr(pipeline, SIZES.get(type, "exists"))(name)
        kinds = Counter()
        for name, size in zip(names, pipeline.execute(), strict=True):
            if name.startswith(b"chat:token:") and self.raw.ttl(name) > 0:
                continue  # it was not finished, and goes within a minute
            if name.decode() not in (keys.RANDOM_COUNT, keys.UNFINISHED_LEASE):
                kinds[re.sub(r"[\w-]{20,}|(?<=given:).*", "#", name.decode()), size] += 1
        seats = sorted(at for _, at in self.line.zscan_iter(keys.RANDOM_ROOMS))
        return kinds, seats

    def wrong(self):
        """What is not as it should be."""
        return [finding.text for finding in self.store.integrity.everything(settles=0)]

    def finish(self):
        """What is done in the background, and by whoever looks at their tokens."""
        self.job.look()
        self.store.webhooks.uids()
        for one in (self.ann, self.bob):
            self.store.tokens.of(one.uid)


def person(store, one):
    return store.people.get(one.uid)


# What a person or a program does by each write. What the routes read before it, is read each time.
WRITES = {
    "start an open room": lambda s, c: s.rooms.create("New", "open", c.ann, [c.bob], "x", "n1"),
    "start a closed room": lambda s, c: s.rooms.create("New", "closed", c.bob, [c.cid], "", "n1"),
    "start a room again": lambda s, c: s.rooms.create(
        "Tea", "open", c.ann, [c.bob, c.bot], "", "tea"
    ),
    "write to somebody": lambda s, c: s.rooms.direct(c.ann, [c.bob, c.gus]),
    "sit down": lambda s, c: s.rooms.join_random(c.gus, 3, "n1"),
    "sit down in a new room": lambda s, c: s.rooms.join_random(c.bob, 2, "n1"),
    "sit down again": lambda s, c: s.rooms.join_random(c.ann, 3, "seat"),
    "join": lambda s, c: s.rooms.join(c.tea, c.gus),
    "add": lambda s, c: s.rooms.add(c.den, c.ann, c.gus),
    "leave": lambda s, c: s.rooms.leave(c.den, c.bob),
    "remove": lambda s, c: s.rooms.remove(c.den, c.ann, c.bob),
    "leave a random room": lambda s, c: s.rooms.leave(c.seat, c.bob),
    "leave a random room as the last": lambda s, c: s.rooms.leave(c.alone, c.cid),
    "rename a room": lambda s, c: s.rooms.edit(c.tea, c.ann, "name", "Coffee"),
    "close a room": lambda s, c: s.rooms.edit(c.tea, c.ann, "kind", "closed"),
    "open a room": lambda s, c: s.rooms.edit(c.den, c.ann, "kind", "open"),
    "hand a room over": lambda s, c: s.rooms.edit(c.tea, c.ann, "owner", c.bob.uid, "Bob"),
    "end a room": lambda s, c: s.rooms.end(c.den, c.ann),
    "end an open room": lambda s, c: s.rooms.end(c.tea, c.ann),
    "give up seats and rooms": lambda s, c: s.rooms.release_ownership(c.ann),
    "post": lambda s, c: s.messages.post(c.tea, c.ann, "again @Bob", "n1", c.said),
    "edit": lambda s, c: s.messages.edit(c.tea, c.bob, c.said, "hello @Robot"),
    "delete": lambda s, c: s.messages.delete(c.tea, c.bob, c.said),
    "react": lambda s, c: s.messages.react(c.tea, c.ann, c.said, "🎉", "on"),
    "turn a reaction round": lambda s, c: s.messages.react(c.tea, c.bob, c.said, "👍", 3),
    "read": lambda s, c: s.messages.seen(c.tea, c.ann.uid, 3),
    "unread": lambda s, c: s.messages.unsee(c.tea, c.bob.uid, 2),
    "set a level": lambda s, c: s.notifications.set_level(c.ann.uid, c.den, "nothing"),
    "unset a level": lambda s, c: s.notifications.set_level(c.bob.uid, c.den, ""),
    "count a file": lambda s, c: s.stored_files.keep("fid", c.tea, c.ann, 10, Quotas()),
    "drop a file": lambda s, c: s.stored_files.drop(["fid"]),
    "come as a guest": lambda s, c: s.people.create("Eve", uid="e" * 22),
    "sign up": lambda s, c: s.accounts.create("dan", "Dan", "hash", nonce="n1"),
    "sign up as a guest": lambda s, c: s.accounts.create(
        "gus", "Gus Ray", "hash", person(s, c.gus)
    ),
    "set a password": lambda s, c: s.accounts.set_password(c.ann.uid, "other"),
    "change a profile": lambda s, c: s.people.edit(person(s, c.bob), name="Bob Ray", about="x"),
    "change a role": lambda s, c: s.people.edit(person(s, c.gus), role=ADMIN),
    "deactivate": lambda s, c: s.people.edit(person(s, c.bob), off="1"),
    "make an admin": lambda s, c: s.accounts.make_admin(person(s, c.bob)),
    "come from another site": lambda s, c: s.accounts.by_subject("issuer", "subject", "Sue"),
    "make a bot": lambda s, c: s.people.create("Bot", MEMBER, uid="b" * 22, bot=c.ann.uid),
    "make a token": lambda s, c: s.tokens.make(c.ann.uid, "phone", ["read"], nonce="n1"),
    "revoke a token": lambda s, c: s.tokens.revoke(c.ann.uid, c.tid),
    "revoke all tokens": lambda s, c: s.tokens.revoke_all(c.ann.uid),
    "set a webhook": lambda s, c: s.webhooks.set(c.bot.uid, "https://x.example.org", "secret"),
    "renew a webhook's secret": lambda s, c: s.webhooks.renew(s.webhooks.get(c.bot.uid), "other"),
    "remove a webhook": lambda s, c: s.webhooks.remove(c.bot.uid),
    "switch a webhook off": lambda s, c: s.webhooks.switch_off(c.bot.uid, "why"),
    "queue": lambda s, c: s.webhooks.queue(c.bot.uid, c.tea, str(QUEUED), 3, [3], 1),
    "deliver later": lambda s, c: s.webhooks.retry(c.delivery, 10),
    "deliver": lambda s, c: s.webhooks.done(c.delivery),
    "keep a draft": lambda s, c: s.drafts.keep(c.ann.uid, c.den, "typed"),
    "keep a network out": lambda s, c: s.bans.ban(c.bob.uid, ["192.0.2.0/24"]),
    "let a network in": lambda s, c: s.bans.lift(c.bob.uid),
    "trim": lambda s, c: s.retention.trim(c.tea, 2, 0),
}


# After these the background job brings the indexes of names in line.
NAMING = {"sign up", "sign up as a guest", "change a profile", "come from another site"}


@pytest.fixture(scope="module")
def chat(valkey):
    return Chat(valkey.url)


def once(chat, write):
    """The commands of a write that is not cut."""
    for _ in range(2):  # the first time there may be scripts to load besides
        chat.begin_anew()
        with chat.line.cut(None):
            write(chat.store, chat)
    return list(chat.line.log)  # the line goes on with its log


def cut_off(chat, write, cut):
    """A write over a line that is cut, in the chat as it was. Of what is only kept as well as it
    goes nobody notices that."""
    chat.begin_anew()
    with chat.line.cut(cut):
        with suppress(OutcomeUnknown):
            write(chat.store, chat)
        assert chat.line.next is None, f"the write ended before it was cut: {cut}"


@pytest.mark.parametrize("what", WRITES)
def test_a_write_that_is_made_again_leaves_what_it_leaves_once(chat, what):
    write = WRITES[what]
    commands = once(chat, write)
    expected = chat.left()
    assert chat.wrong() == []
    for cut in every_cut(commands):
        cut_off(chat, write, cut)
        repeat(write, chat)
        told = f"{what}, cut {cut.how} command {cut.at}: {commands[cut.at]}"
        if what in NAMING:
            chat.finish()
        assert chat.wrong() == [], told
        chat.finish()  # which has nothing to do but to forget that a change was begun
        assert chat.left() == expected, told


def repeat(write, chat):
    """The same again; it may be told that there is nothing to do any more."""
    with suppress(ChatError):
        write(chat.store, chat)


@pytest.mark.parametrize("what", WRITES)
def test_a_write_that_is_not_made_again_is_finished(chat, what):
    write = WRITES[what]
    commands = once(chat, write)
    for cut in every_cut(commands):
        cut_off(chat, write, cut)
        chat.finish()
        told = f"{what}, cut {cut.how} command {cut.at}: {commands[cut.at]}"
        assert chat.wrong() == [], told
        assert not chat.store.unfinished.entries(), told


BROKEN = [
    "",
    "x",
    "{}",
    "[]",
    "null",
    "7",
    "[[], 1]",
    '["room"]',
    '["name"]',
    '["member", "a", "r"]',
]


@pytest.mark.parametrize("entry", [*BROKEN, '["of a newer version", "a", "r"]'])
def test_a_change_that_nobody_can_finish_stops_no_other(store, client, caplog, entry):
    job, people = UnfinishedChanges(store, settle=0), []
    client.sadd(keys.UNFINISHED, entry)
    for n in range(9):
        people.append(store.people.create(f"Person {n}", MEMBER))
        client.zrem(keys.NAMES, f"person {n}\0{people[-1].uid}")
        client.sadd(keys.UNFINISHED, json.dumps([NAME, people[-1].uid, str(n)]))
    job.look()
    assert store.people.find("person") == people
    assert client.smembers(keys.UNFINISHED) == {entry}, "for a version that knows it"
    caplog.clear()
    job.look()
    assert not caplog.records, "it is in the log once"
