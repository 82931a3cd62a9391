"""A reply to another question never makes anybody somebody else: it is refused wherever a person, a
session, a token or an account is read."""

import asyncio
import logging

import pytest
from greenback import with_portal_run_sync
from redis.exceptions import ConnectionError as RedisConnectionError

from chat.bridge import await_
from chat.redis_client.client import LoopRedis
from chat.redis_client.urls import connect
from chat.store import Store, keys
from chat.store.person import ADMIN, FIELDS, MEMBER
from chat.store.sessions import public
from chat.store.verified import Verified, WrongReply


class Somebody:
    """A person with one of everything by which people are known."""

    def __init__(self, store, name, role, by=None):
        self.login, self.name = name.lower(), name
        self.uid = store.accounts.create(self.login, name, f"hash of {name}").uid
        self.person = store.people.edit(store.people.get(self.uid), role=role)
        self.secret = store.sessions.begin(self.uid, "password")
        self.sid = public(self.secret)
        self.token = store.tokens.make(self.uid, "mine", ["read"])
        self.rid = store.rooms.create(f"Room of {name}", "closed", self.person)
        self.reset = store.accounts.reset_token(self.uid, by or self.uid)
        self.subject = store.accounts.by_subject("https://id.example", name, name).uid
        store.webhooks.set(self.uid, f"https://{self.login}.example/", f"secret of {name}")


# Each reads something about one of two people.
READS = {
    "a session": lambda s, who: s.sessions.person(who.uid, who.secret),
    "whether a session goes on": lambda s, who: s.sessions.is_on(who.uid, who.sid),
    "all sessions": lambda s, who: s.sessions.of(who.uid),
    "a person": lambda s, who: s.people.get(who.uid),
    "several people": lambda s, who: s.people.several([who.uid]),
    "names": lambda s, who: s.people.names([who.uid]),
    "whether somebody is an admin": lambda s, who: s.people.is_active_admin(who.uid),
    "a token": lambda s, who: s.tokens.person(who.token),
    "all tokens": lambda s, who: s.tokens.of(who.uid),
    "a login": lambda s, who: s.accounts.by_login(who.login),
    "a password": lambda s, who: s.accounts.password(who.uid),
    "a link for a new password": lambda s, who: s.accounts.by_reset(who.reset),
    "another site's name": lambda s, who: s.accounts.by_subject("https://id.example", who.name, ""),
    "the rooms of a session": lambda s, who: s.rooms.of_session(who.uid, who.sid),
    "a room": lambda s, who: s.rooms.get(who.rid),
    "a room and a member": lambda s, who: s.rooms.row(who.rid, who.uid),
    "whether somebody is a member": lambda s, who: s.rooms.is_member(who.rid, who.uid),
    "a webhook": lambda s, who: s.webhooks.get(who.uid),
}


class Wire:
    """What a client writes. `lead` are bytes that are put before one of the writes, and for whose
    replies nobody waits: so the replies of all behind it are those of somebody else."""

    def __init__(self, redis):
        self.redis, self.written, self.lead = redis, [], {}
        self.behind = lambda: None  # called after each write
        self.write = redis._link.write
        redis._link.write = self.take

    def take(self, data):
        self.write(self.lead.pop(len(self.written), b"") + data)
        self.written.append(data)
        self.behind()

    def end(self):
        if self.redis._link is not None:
            self.redis._link.write = self.write


@pytest.fixture
def read(valkey, client, store):
    """Run a function with a store on the loop's client, an administrator and somebody else."""
    admin = Somebody(store, "Root", ADMIN)
    ann = Somebody(store, "Ann", MEMBER, by=admin.uid)

    def run(conversation):
        async def main():
            redis = LoopRedis(connect(valkey.url), await_)
            try:
                await redis.ask(("PING",), {})
                loop_store = Store(redis)
                await with_portal_run_sync(conversation, redis, loop_store, admin, ann)
            finally:
                await redis.aclose()

        asyncio.run(main())

    return run


@pytest.mark.parametrize("what", READS)
def test_the_reply_to_somebody_elses_question_is_refused(read, what, caplog):
    """At each of the round trips that the read takes."""
    ask = READS[what]

    def conversation(redis, store, admin, ann):
        ask(store, admin), ask(store, ann)  # scripts are known from here on
        expected = ask(store, ann)
        wire = Wire(redis)
        ask(store, admin)
        theirs = wire.written
        wire.end()
        for n, lead in enumerate(theirs):
            wire = Wire(redis)
            wire.lead[n] = lead
            caplog.clear()
            with pytest.raises(RedisConnectionError):
                ask(store, ann)
            assert any(record.levelno == logging.ERROR for record in caplog.records)
            wire.end()
            redis.drop("a test")
            settle(redis)
            assert ask(store, ann) == expected

    read(conversation)


def settle(redis):
    """Until the connection is another one."""
    for _ in range(3):
        try:
            redis.execute_command("PING")
        except RedisConnectionError:
            continue


def test_a_guest_does_not_become_admin_by_it(read):
    """As it was: a cookie of one's own, and the replies to somebody else's request."""

    def conversation(redis, store, admin, ann):
        store.sessions.person(ann.uid, ann.secret)
        wire = Wire(redis)
        assert store.sessions.person(admin.uid, admin.secret)[0].role == ADMIN
        wire.lead[1] = wire.written[0]
        with pytest.raises(WrongReply):
            store.sessions.person(ann.uid, ann.secret)
        wire.end()
        settle(redis)
        assert store.sessions.person(ann.uid, ann.secret)[0].role == MEMBER

    read(conversation)


def test_the_connection_that_gave_it_is_closed(read):
    def conversation(redis, store, admin, ann):
        first = redis.execute_command("CLIENT ID")
        store.people.get(ann.uid)
        wire = Wire(redis)
        store.people.get(admin.uid)
        wire.lead[1] = wire.written[0]
        with pytest.raises(WrongReply):
            store.people.get(ann.uid)
        wire.end()
        settle(redis)
        assert redis.execute_command("CLIENT ID") != first

    read(conversation)


def test_it_is_closed_where_others_wait_on_it(read):
    """What is one reply too many is then somebody's, and nothing else would show it."""

    def conversation(redis, store, admin, ann):
        store.people.get(ann.uid)
        wire = Wire(redis)
        store.people.get(admin.uid)
        wire.lead[1] = wire.written[0]
        link, other = redis._link, redis.make(("ECHO", "x"), {})
        wire.behind = lambda: redis._sent.append(other)  # the reply to Ann's question is theirs
        with pytest.raises(WrongReply):
            store.people.get(ann.uid)
        assert link.ended.done()
        wire.end()

    read(conversation)


def test_an_older_record_of_somebody_else_is_nobodys_either(read, client):
    def conversation(redis, store, admin, ann):
        for who in (admin, ann):
            client.hdel(keys.user(who.uid), "uid")
        store.people.several([ann.uid])
        wire = Wire(redis)
        store.people.several([admin.uid])
        wire.lead[len(wire.written)] = wire.written[0]
        try:
            found = store.people.several([ann.uid])
        except RedisConnectionError:
            found = []
        assert all(person.role == MEMBER for person in found)
        wire.end()

    read(conversation)


@pytest.mark.parametrize("reply", [None, 1, "OK", [], ["x"], ["x", "y"], [None, None], {}])
def test_what_is_no_such_reply_is_refused(reply):
    class Client:
        def register_script(self, text):
            return lambda keys, args: reply

    with pytest.raises(WrongReply):
        Verified(Client()).one("GET", "key")


def test_answers_are_as_redis_gives_them(client):
    client.hset("{k}h", mapping={"a": "1", "b": "é"})
    ask = Verified(client)
    hash_, none, several, count, done = ask.ask(
        ("HGETALL", "{k}h"),
        ("GET", "{k}none"),
        ("HMGET", "{k}h", "x", "b", "y"),
        ("HLEN", "{k}h"),
        ("SET", "{k}s", "v", "NX", "EX", 60),
    )
    assert hash_ in (["a", "1", "b", "é"], ["b", "é", "a", "1"])
    assert (none, several, count, done) == (None, [None, "é", None], 2, "OK")
    assert ask.one("SET", "{k}s", "w", "NX") is None


# Records with their own ids


def test_everybody_and_every_room_carries_its_own_id(client, store):
    ann = store.people.create("Ann")
    bob = store.accounts.create("bob", "Bob", "hash")
    rids = [
        store.rooms.create("Tea", "open", bob),
        store.rooms.direct(bob, [ann]),
        store.rooms.join_random(bob, 4),
    ]
    for uid in (ann.uid, bob.uid):
        assert client.hget(keys.user(uid), "uid") == uid
    for rid in rids:
        assert client.hget(keys.room(rid), "rid") == rid


def test_a_record_of_somebody_else_is_refused(client, store):
    ann, bob = store.people.create("Ann"), store.people.create("Bob")
    tea = store.rooms.create("Tea", "open", ann)
    pie = store.rooms.create("Pie", "open", ann)
    client.hset(keys.user(ann.uid), "uid", bob.uid)
    client.hset(keys.room(tea), "rid", pie)
    for read in (
        lambda: store.people.get(ann.uid),
        lambda: store.people.several([bob.uid, ann.uid]),
        lambda: store.people.names([ann.uid]),
        lambda: store.rooms.get(tea),
        lambda: store.rooms.open(),
    ):
        with pytest.raises(WrongReply):
            read()
    assert store.people.get(bob.uid).name == "Bob"


def older(client, store):
    """People and rooms as an older chat wrote them."""
    ann = store.people.create("Ann")
    bob = store.accounts.create("bob", "Bob", "hash")
    tea = store.rooms.create("Tea", "open", bob)
    for uid in (ann.uid, bob.uid):
        client.hdel(keys.user(uid), "uid")
    client.hdel(keys.room(tea), "rid")
    client.set(keys.SCHEMA, 2)
    return ann, bob, tea


def test_older_records_are_read_before_they_are_migrated(client, store):
    """Workers with new code may start before their supervisor does."""
    ann, bob, tea = older(client, store)
    assert store.people.several([ann.uid, "nobody", bob.uid]) == [ann, store.people.get(bob.uid)]
    assert store.people.names([ann.uid])[ann.uid][0] == "Ann"
    assert store.rooms.get(tea).name == "Tea"
    secret = store.sessions.begin(ann.uid, "guest")
    assert store.sessions.person(ann.uid, secret)[0] == ann


def test_older_records_get_their_ids_and_nothing_else_changes(client, store):
    ann, bob, tea = older(client, store)
    before = {uid: client.hgetall(keys.user(uid)) for uid in (ann.uid, bob.uid)}
    room, ttl = client.hgetall(keys.room(tea)), client.ttl(keys.user(ann.uid))
    assert ttl > 0
    for _ in range(2):
        store.schema.prepare()
        for uid, fields in before.items():
            assert client.hgetall(keys.user(uid)) == {**fields, "uid": uid}
        assert client.hgetall(keys.room(tea)) == {**room, "rid": tea}
        client.set(keys.SCHEMA, 2)
    assert 0 < client.ttl(keys.user(ann.uid)) <= ttl


@pytest.mark.parametrize("trusted", [True, False])
def test_what_is_imported_has_its_own_id_whatever_the_file_says(client, store, trusted):
    ann = store.accounts.create("ann", "Ann", "hash")
    tea = store.rooms.create("Tea", "open", ann)
    records = list(store.exporter(whole=trusted, secrets=trusted).everything())
    client.flushdb()
    for record in records:
        if record["is"] in ("person", "room"):
            record["fields"] = {**record["fields"], "uid": "somebody", "rid": "another"}
    load = store.importer(trusted=trusted)
    for record in records:
        load.take(record)
    assert client.hget(keys.user(ann.uid), "uid") == ann.uid
    assert client.hget(keys.room(tea), "rid") == tea
    assert store.people.get(ann.uid).name == "Ann"


def test_the_fields_of_a_person_begin_with_the_id():
    assert FIELDS[0] == "uid"
