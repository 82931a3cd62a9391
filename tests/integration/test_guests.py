"""Guests who do not come back are deleted, and only what they wrote remains."""

import asyncio
import contextlib
import json
import time

import greenback
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.config import Settings
from chat.media.avatars import Pictures
from chat.services.retention import cleanups
from chat.store import keys
from chat.store.name_index import MAX_INDEXED_WORDS, entries
from chat.store.person import MEMBER
from chat.store.sessions import public

DAY = 24 * 3600
DAYS = 30


@pytest.fixture
def ann(store):
    """Somebody who is no guest."""
    return store.people.create("Ann", MEMBER)


def come(store, name, days_ago=0.0):
    """A guest who came, and was here last, so many days ago; the secret of the session."""
    guest = store.people.create(name)
    secret = store.sessions.begin(guest.uid, "guest")
    be_seen(store, guest, secret, days_ago)
    return guest, secret


def be_seen(store, guest, secret, days_ago):
    then = int(time.time() - days_ago * DAY)
    packed = json.dumps(["guest", "", "", then, then])
    store.client.hset(keys.sessions(guest.uid), public(secret), packed)
    if store.client.ttl(keys.user(guest.uid)) > 0:
        store.client.expire(keys.user(guest.uid), 7 * DAY - int(min(days_ago, 6) * DAY))


def forget(store, days=DAYS):
    """A whole round; the ids of those forgotten."""
    return {uid for step in store.guests.forget(days) for uid in step}


def left_of(client, guest, secret=""):
    """The keys and entries that name a guest, but for what was said in rooms."""
    found = [key for key in client.scan_iter("*") if guest.uid in key]
    for index in (keys.NAMES, keys.LOOKALIKES):
        found += [entry for entry, _ in client.zscan_iter(index) if guest.uid in entry]
    for key in client.scan_iter("chat:room:*:members"):
        found += [key] if client.zscore(key, guest.uid) is not None else []
    for key in client.scan_iter("chat:room:*:read"):
        found += [key] if client.hexists(key, guest.uid) else []
    for key in client.scan_iter("chat:token:*"):
        found += [key] if client.hget(key, "uid") == guest.uid else []
    return found


def wrong(store):
    return [finding.text for finding in store.integrity.everything(settles=0)]


def test_who_has_not_come_for_long_is_gone_and_what_they_wrote_is_not(store, client, ann):
    rid = store.rooms.create("Tea", "open", ann)
    guest, _ = come(store, "Gus the Great")
    store.rooms.join(rid, guest)
    secret = store.sessions.begin(guest.uid, "guest")
    client.delete(keys.sessions(guest.uid))
    be_seen(store, guest, secret, DAYS + 1)
    seq = store.messages.post(rid, guest, "I was here", "n1")
    store.messages.react(rid, guest, seq, "👍", "on")
    store.drafts.keep(guest.uid, rid, "and")
    store.notifications.set_level(guest.uid, rid, "mentions")
    newest = store.rooms.get(rid).seq
    assert forget(store) == {guest.uid}
    assert left_of(client, guest) == []
    assert store.sessions.person(guest.uid, secret) is None
    event = store.messages.get(rid, seq)
    assert (event.name, event.body) == ("Gus the Great", "I was here")
    assert event.reactions.all[0].names == ("Gus the Great",)
    assert store.rooms.get(rid).seq == newest, "nothing is said of it"
    assert wrong(store) == []


def test_who_has_come_since_stays(store, client, ann):
    rid = store.rooms.create("Tea", "open", ann)
    for days_ago in (0, 1, DAYS - 1):
        guest, secret = come(store, "Gus")
        store.rooms.join(rid, guest)
        be_seen(store, guest, secret, days_ago)
        assert forget(store) == set()
        assert store.sessions.person(guest.uid, secret)


def test_a_guest_whose_program_comes_stays(store, ann):
    rid = store.rooms.create("Tea", "open", ann)
    guest, secret = come(store, "Gus")
    store.rooms.join(rid, guest)
    be_seen(store, guest, secret, DAYS + 1)
    store.tokens.make(guest.uid, "mine", ["read"])
    assert forget(store) == set()


def test_a_token_that_is_used_no_more_keeps_nobody(store, client, ann):
    rid = store.rooms.create("Tea", "open", ann)
    guest, secret = come(store, "Gus")
    store.rooms.join(rid, guest)
    be_seen(store, guest, secret, DAYS + 1)
    token = store.tokens.make(guest.uid, "mine", ["read"])
    (tid,) = client.smembers(keys.tokens(guest.uid))
    client.hset(keys.token(tid), mapping={"made": int(time.time()) - (DAYS + 1) * DAY})
    assert forget(store) == {guest.uid}
    assert store.tokens.person(token) is None
    assert left_of(client, guest) == []


def test_who_signed_out_is_gone_as_long_after_that(store, client, ann):
    """Until then an administrator can delete their messages."""
    rid = store.rooms.create("Tea", "open", ann)
    guest, secret = come(store, "Gus")
    store.rooms.join(rid, guest)
    store.sessions.end(guest.uid, public(secret))
    assert forget(store) == set()
    assert forget(store) == set()
    client.zadd(keys.GUESTS_GONE, {guest.uid: time.time() - (DAYS + 1) * DAY})
    assert forget(store) == {guest.uid}
    assert left_of(client, guest) == []
    assert client.zcard(keys.GUESTS_GONE) == 0


@pytest.mark.parametrize("role", ["member", "moderator", "admin"])
def test_people_with_an_account_or_a_role_stay(store, ann, role):
    person = store.people.create("Somebody", role)
    guest, secret = come(store, "Gus")
    store.people.edit(guest, role=role)
    store.people.keep(guest.uid)
    be_seen(store, guest, secret, 400)
    assert forget(store) == set()
    assert store.people.get(person.uid)
    assert store.people.get(guest.uid)


def test_whom_an_admin_has_deactivated_stays(store, ann):
    rid = store.rooms.create("Tea", "open", ann)
    guest, _ = come(store, "Gus")
    store.rooms.join(rid, guest)
    store.people.edit(guest, off="1")
    store.sessions.end_all(guest.uid)
    store.client.zadd(keys.GUESTS_GONE, {guest.uid: 1})
    assert forget(store) == set()


def test_who_is_just_coming_in_is_not_forgotten(store):
    guest = store.people.create("Gus")
    store.client.zadd(keys.GUESTS_GONE, {guest.uid: 1})
    assert forget(store) == set()


def test_rooms_of_theirs_go_to_others_or_end(store, client, ann):
    guest, secret = come(store, "Gus")
    alone = store.rooms.create("Alone", "open", guest)
    shared = store.rooms.create("Shared", "closed", guest, [ann])
    seat = store.rooms.join_random(guest, 10)
    be_seen(store, guest, secret, DAYS + 1)
    assert forget(store) == {guest.uid}
    assert store.rooms.kind(alone) == "ended"
    assert store.rooms.kind(seat) == "ended"
    assert store.rooms.get(shared).owner == ann.uid
    assert store.rooms.uids(shared) == [ann.uid]
    assert left_of(client, guest) == []
    assert wrong(store) == []


def test_a_direct_room_keeps_its_name(store, client, ann):
    """Of who was in one the name is left, which nobody can write to and nobody finds."""
    guest, secret = come(store, "Gus")
    rid = store.rooms.direct(ann, [guest])
    store.messages.post(rid, guest, "hello", "n1")
    be_seen(store, guest, secret, DAYS + 1)
    assert forget(store) == {guest.uid}
    assert forget(store) == set()
    assert store.rooms.get(rid, ann.uid).name == "Gus"
    assert store.people.get(guest.uid).deactivated
    assert store.people.find("Gus", deactivated=True) == []
    assert not client.exists(keys.sessions(guest.uid), keys.tokens(guest.uid))
    assert wrong(store) == []


def test_what_is_left_of_guests_who_have_expired_goes(store, client, ann):
    """Those who joined nothing: the person expires by itself, and left all the rest behind."""
    guests = [come(store, f"Gus {n}")[0] for n in range(250)]
    for guest in guests:
        store.tokens.make(guest.uid, "mine", ["read"])
        client.delete(keys.user(guest.uid))
    forget(store)
    assert set(client.scan_iter("chat:*")) == {
        keys.user(ann.uid),
        keys.NAMES,
        keys.LOOKALIKES,
    }
    assert {entry.rpartition("\0")[2] for entry in client.zrange(keys.NAMES, 0, -1)} == {ann.uid}
    assert {e.rpartition("\0")[2] for e in client.zrange(keys.LOOKALIKES, 0, -1)} == {ann.uid}


def test_what_is_written_before_its_person_is_not_taken_for_left(store, client):
    """As an import does."""
    client.hset(keys.sessions("new"), "sid", json.dumps(["guest", "", "", 1, 1]))
    steps = store.guests.forget(DAYS)
    next(steps)
    client.hset(keys.user("new"), mapping={"name": "New", "role": "member"})
    assert list(steps) is not None
    assert client.exists(keys.sessions("new"))


@pytest.mark.parametrize("cut", range(12))
def test_cut_off_anywhere_it_begins_anew(store, client, ann, cut, monkeypatch):
    """The person goes last; what was half done is done by the next round."""
    rid = store.rooms.create("Tea", "open", ann)
    guest, secret = come(store, "Gus")
    store.rooms.join(rid, guest)
    store.rooms.create("Alone", "open", guest)
    store.tokens.make(guest.uid, "mine", ["read"])
    (tid,) = client.smembers(keys.tokens(guest.uid))
    client.hset(keys.token(tid), "made", 1)
    be_seen(store, guest, secret, DAYS + 1)
    calls, real = [0], store.client.execute_command

    def dying(*args, **options):
        if args[0] in ("DEL", "SREM", "ZREM", "EVALSHA", "HSET"):
            calls[0] += 1
            if calls[0] == cut + 1:
                raise ConnectionError("cut off")
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(store.client, "execute_command", dying)
        with contextlib.suppress(ConnectionError):
            forget(store)
    forget(store)
    forget(store)
    assert left_of(client, guest) == []
    assert wrong(store) == []


def test_one_process_does_it_and_the_picture_goes_too(store, client, ann, tmp_path):
    rid = store.rooms.create("Tea", "open", ann)
    guest, secret = come(store, "Gus")
    store.rooms.join(rid, guest)
    be_seen(store, guest, secret, DAYS + 1)
    pictures = Pictures(str(tmp_path))
    first, second = (guests for _ in range(2) for guests in cleanups(Settings(), store, pictures))

    async def rounds():
        await greenback.with_portal_run_sync(pictures.put, guest.uid, b"pixels")
        another = store.lease(keys.GUESTS_LEASE, 60)
        assert another.acquire()
        assert not first.lease.acquire()
        assert store.people.get(guest.uid), "another process has the work"
        another.release()
        assert first.lease.acquire()
        for cleanup in (first, second):
            while await greenback.with_portal_run_sync(cleanup.step):
                pass
        return await greenback.with_portal_run_sync(pictures.get, guest.uid)

    assert asyncio.run(rounds()) is None
    assert store.people.get(guest.uid) is None


# The index of names


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20))
def test_a_name_makes_few_entries(words):
    made = entries("uid", " ".join(words))
    assert len(made) <= MAX_INDEXED_WORDS
    assert made[0] == " ".join(words) + "\0uid", "the whole name is found"


def test_a_name_of_many_words_leaves_nothing_behind(store, client):
    """Also where each word has an entry, from before there was a most."""
    name = " ".join("abcdefghijklmnopqrst")
    guest = store.people.create(name)
    assert client.zcard(keys.NAMES) == MAX_INDEXED_WORDS
    client.zadd(keys.NAMES, {f"t\0{guest.uid}": 0, f"s t\0{guest.uid}": 0})
    assert wrong(store) == []
    store.people.edit(guest, name="Gus")
    assert client.zrange(keys.NAMES, 0, -1) == [f"gus\0{guest.uid}"]
    assert [found.uid for found in store.people.find("gus")] == [guest.uid]


# Broken data of one guest


UNREADABLE = ["", "x", "[]", "{}", "null", "7", '["guest"]', '["guest", "", "", 1, 2, 3]']
UNREADABLE += ['["guest", "", "", "a", "b"]', '["guest", "", "", 1e999, 1]', '["guest","","",[],1]']


@pytest.mark.parametrize("packed", UNREADABLE)
def test_a_session_that_cannot_be_read_is_over_and_others_are_forgotten(store, client, packed):
    gus, secret = come(store, "Gus", DAYS + 1)
    others = {come(store, f"Eve {n}", DAYS + 1)[0].uid for n in range(9)}
    client.hset(keys.sessions(gus.uid), public(secret), packed)
    assert forget(store) == others
    assert store.sessions.person(gus.uid, secret) is None
    assert store.sessions.of(gus.uid) == []
    assert not store.sessions.is_on(gus.uid, public(secret))
    assert store.sessions.begin(gus.uid, "guest")
    assert len(store.sessions.of(gus.uid)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("made", "used") for value in ("", "many", "nan", "1e9", None)]
    + [("uid", None), ("name", None), ("scopes", None)],
)
def test_a_token_that_cannot_be_read_keeps_nobody_else(store, client, name, value):
    gus, _ = come(store, "Gus", DAYS + 1)
    others = {come(store, f"Eve {n}", DAYS + 1)[0].uid for n in range(9)}
    secret = store.tokens.make(gus.uid, "phone", ["read"])
    (tid,) = client.smembers(keys.tokens(gus.uid))
    client.hdel(keys.token(tid), name)
    if value is not None:
        client.hset(keys.token(tid), name, value)
    assert store.tokens.person(secret) is None or name in ("made", "used")
    assert others <= forget(store)
