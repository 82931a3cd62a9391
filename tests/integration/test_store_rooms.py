"""Rooms in the store: who is in them, how they change and end, and random ones."""

import multiprocessing
from collections import Counter
from dataclasses import replace

import pytest
import redis

from chat.domain.errors import Invalid, NotFound, NotMember, Refused
from chat.domain.events import ADD, END, JOIN, LEAVE, OWNER, REMOVE, RENAME, START, File
from chat.rendering.markdown import gist
from chat.store import Store, keys
from chat.store.lua import Script
from chat.store.name_index import uids_beginning, uids_called
from chat.store.room_reads import MAX_LINE_CHARS


@pytest.fixture
def ann(store):
    return store.people.create("Ann")


@pytest.fixture
def bob(store):
    return store.people.create("Bob")


@pytest.fixture
def cid(store):
    return store.people.create("Cid")


@pytest.fixture
def tea(store, ann, bob):
    return store.rooms.create("Tea", "closed", ann, [bob])


def kinds(store, rid):
    return [event.kind for event in store.messages.newest(rid)]


def rooms_of(store, person):
    return [row.room.rid for row in store.rooms.of(person.uid)]


def test_a_room_begins_with_those_who_were_picked(store, ann, bob, tea):
    assert {person.name for person in store.rooms.members(tea)} == {"Ann", "Bob"}
    assert rooms_of(store, bob) == [tea]
    assert store.rooms.of(bob.uid)[0].unread == 1
    assert store.rooms.of(ann.uid)[0].unread == 0
    assert kinds(store, tea) == [START]
    assert store.rooms.get(tea).last.number == 2


def test_a_closed_room_is_not_there_for_others(store, cid, tea):
    with pytest.raises(NotFound):
        store.rooms.row(tea, cid.uid)
    with pytest.raises(NotFound):
        store.rooms.join(tea, cid)
    with pytest.raises(NotFound):
        store.messages.post(tea, cid, "hello")
    assert store.rooms.open() == []


def test_who_is_added_has_that_to_read(store, ann, cid, tea):
    store.rooms.add(tea, ann, cid)
    store.rooms.add(tea, ann, cid)
    assert store.rooms.of(cid.uid)[0].unread == 1
    last = store.messages.newest(tea)[-1]
    assert (last.kind, last.name, last.body, last.number) == (ADD, "Ann", "Cid", 3)
    assert kinds(store, tea) == [START, ADD]


def test_who_leaves_is_in_nothing_of_the_room(store, client, bob, tea):
    store.rooms.leave(tea, bob)
    assert rooms_of(store, bob) == []
    assert not client.hexists(keys.read(tea), bob.uid)
    assert store.messages.missed(tea, bob.uid, 0, "") is None
    with pytest.raises(NotFound):
        store.rooms.leave(tea, bob)
    assert kinds(store, tea) == [START, LEAVE]


def test_nothing_is_kept_of_what_others_have_seen(store, client, ann, bob, tea):
    """A page may say so a moment after its person has left, or after the room has ended."""
    assert store.messages.seen(tea, bob.uid, 2)
    store.rooms.leave(tea, bob)
    assert not store.messages.seen(tea, bob.uid, 2)
    assert not client.hexists(keys.read(tea), bob.uid)
    store.rooms.end(tea, ann)
    assert not store.messages.seen(tea, ann.uid, 2)
    assert not client.exists(keys.read(tea))


def test_an_owner_hands_over_before_leaving(store, ann, bob, cid, tea):
    with pytest.raises(Refused):
        store.rooms.leave(tea, ann)
    with pytest.raises(Invalid):
        store.rooms.edit(tea, ann, "owner", cid.uid, cid.name)
    store.rooms.edit(tea, ann, "owner", bob.uid, bob.name)
    store.rooms.leave(tea, ann)
    assert store.rooms.get(tea).owner == bob.uid
    assert kinds(store, tea) == [START, OWNER, LEAVE]


def test_with_the_last_one_the_room_ends(store, client, ann, bob):
    rid = store.rooms.create("Tea", "open", ann)
    store.rooms.leave(rid, ann)
    assert rooms_of(store, ann) == store.rooms.open() == []
    with pytest.raises(NotFound):
        store.rooms.join(rid, bob)
    assert client.ttl(keys.events(rid)) > 0


def test_the_owner_cannot_be_removed(store, ann, bob, tea):
    with pytest.raises(Refused):
        store.rooms.remove(tea, bob, ann)
    store.rooms.remove(tea, ann, bob)
    assert kinds(store, tea) == [START, REMOVE]
    assert rooms_of(store, bob) == []


def test_a_name_changes_once(store, ann, tea):
    store.rooms.edit(tea, ann, "name", "Coffee")
    store.rooms.edit(tea, ann, "name", "Coffee")
    assert store.rooms.get(tea).name == "Coffee"
    assert kinds(store, tea) == [START, RENAME]
    assert store.messages.newest(tea)[-1].body == "Coffee"


def test_closed_becomes_open_and_closed_again(store, ann, cid, tea):
    store.rooms.edit(tea, ann, "kind", "open")
    assert [room.rid for room in store.rooms.open()] == [tea]
    store.rooms.join(tea, cid)
    store.rooms.edit(tea, ann, "kind", "closed")
    assert store.rooms.open() == []
    assert rooms_of(store, cid) == [tea]


def test_nothing_remains_of_an_ended_room_but_what_was_said(store, client, ann, bob, tea):
    store.rooms.end(tea, ann)
    store.rooms.end(tea, ann)
    assert rooms_of(store, ann) == rooms_of(store, bob) == []
    with pytest.raises(NotFound):
        store.rooms.get(tea)
    with pytest.raises((NotFound, NotMember)):
        store.messages.post(tea, ann, "anyone?")
    assert kinds(store, tea) == [START, END]
    left = {key for key in client.keys("*") if tea in key}
    assert left == {keys.room(tea), keys.events(tea)}
    assert all(client.ttl(key) > 0 for key in left)


def test_a_list_with_a_room_one_is_not_in_is_mended(store, client, cid, tea):
    client.sadd(keys.user_rooms(cid.uid), tea)
    assert rooms_of(store, cid) == []
    assert client.smembers(keys.user_rooms(cid.uid)) == set()


def test_one_direct_room_for_each_set_of_people(store, ann, bob, cid):
    rid = store.rooms.direct(ann, [bob])
    assert store.rooms.direct(bob, [ann, bob]) == rid
    group = store.rooms.direct(ann, [cid, bob])
    assert group != rid
    assert store.rooms.direct(cid, [bob, ann]) == group
    assert store.rooms.get(rid, ann.uid).name == "Bob"
    assert store.rooms.get(rid, bob.uid).name == "Ann"
    assert store.rooms.get(group, cid.uid).name in ("Ann, Bob", "Bob, Ann")
    for attempt in (store.rooms.leave, lambda r, p: store.rooms.remove(r, ann, p)):
        with pytest.raises(Refused):
            attempt(rid, bob)
    with pytest.raises(NotFound):
        store.rooms.add(rid, ann, cid)
    with pytest.raises(NotFound):
        store.rooms.join(rid, cid)
    with pytest.raises(Invalid):
        store.rooms.direct(ann, [ann])


def test_a_direct_room_has_the_names_of_today(store, ann, bob):
    rid = store.rooms.direct(ann, [bob])
    store.people.edit(bob, name="Bobby")
    assert store.rooms.get(rid, ann.uid).name == "Bobby"


def test_two_strangers_meet_and_nobody_sits_down_twice(store, ann, bob):
    rid = store.rooms.join_random(ann, 10)
    assert store.rooms.join_random(bob, 10) == rid
    assert store.rooms.join_random(ann, 10) != rid
    assert kinds(store, rid) == [START, JOIN]


def test_the_fullest_room_comes_first(store, ann, bob, cid):
    one = store.rooms.join_random(ann, 10)
    other = store.rooms.join_random(ann, 10)
    assert store.rooms.join_random(bob, 10) in (one, other)
    fuller = store.rooms.of(bob.uid)[0].room.rid
    assert store.rooms.join_random(cid, 10) == fuller


def test_an_empty_random_room_vanishes(store, client, ann, bob):
    rid = store.rooms.join_random(ann, 10)
    store.rooms.leave(rid, ann)
    assert client.zrange(keys.RANDOM_ROOMS, 0, -1) == client.zrange(keys.RANDOM_SEATS, 0, -1) == []
    assert store.rooms.join_random(bob, 10) != rid


def test_an_empty_random_room_takes_no_other_with_it(store, client, ann, bob, cid):
    full, empty = store.rooms.join_random(ann, 2), None
    assert store.rooms.join_random(bob, 2) == full
    empty = store.rooms.join_random(cid, 2)
    store.rooms.leave(empty, cid)
    assert client.zrange(keys.RANDOM_ROOMS, 0, -1, withscores=True) == [(full, 2)]
    store.rooms.leave(full, bob)
    assert store.rooms.join_random(cid, 2) == full
    assert {person.name for person in store.rooms.members(full)} == {"Ann", "Cid"}


def test_a_new_random_room_is_new(store, client):
    """The twelfth is not the eleventh again."""
    people = [store.people.create(f"P{n}") for n in range(24)]
    rooms = [store.rooms.join_random(person, 2) for person in people]
    assert Counter(Counter(rooms).values()) == {2: 12}
    names = {store.rooms.get(rid).name for rid in rooms}
    assert names == {f"Random chat {n}" for n in range(1, 13)}


def test_who_will_not_come_back_gives_up_seats_and_rooms(store, ann, bob, cid):
    """To whoever has been there longest and can still come; a bot, or who is out, cannot."""
    seat, tea = (
        store.rooms.join_random(ann, 2),
        store.rooms.create("Tea", "closed", ann, [bob, cid]),
    )
    own, other = store.rooms.create("Own", "closed", ann), store.rooms.create("Other", "open", bob)
    store.rooms.join(other, ann)
    store.people.edit(bob, off="1")
    store.rooms.release_ownership(ann)
    assert store.rooms.join_random(cid, 2) != seat
    owners = [store.rooms.get(rid).owner for rid in (tea, own, other)]
    assert owners == [cid.uid, ann.uid, bob.uid]
    assert ann.uid in store.rooms.uids(tea)


def test_a_seat_that_becomes_free_is_taken(store, ann, bob, cid):
    rid = store.rooms.join_random(ann, 2)
    assert store.rooms.join_random(bob, 2) == rid
    assert store.rooms.join_random(cid, 2) != rid
    store.rooms.leave(rid, bob)
    dan = store.people.create("Dan")
    store.rooms.leave(store.rooms.of(cid.uid)[0].room.rid, cid)
    assert store.rooms.join_random(dan, 2) == rid


def test_a_seat_given_by_a_server_that_died_is_taken_next_time(store, client, ann):
    keys_ = [keys.RANDOM_ROOMS, keys.RANDOM_SEATS, keys.RANDOM_COUNT]
    rid, _ = Script(client, "seat")(keys_, uid=ann.uid, limit=10, new_rid="lost", nonce_seconds=60)
    assert store.rooms.join_random(ann, 10) == rid == "lost"
    assert client.zscore(keys.RANDOM_ROOMS, "lost") == 1


def sit(url, people, seats):
    with redis.Redis.from_url(url, decode_responses=True) as client:
        store = Store(client)
        for uid in people:
            person = store.people.get(uid)
            assert person
            store.rooms.join_random(person, seats)


def test_500_at_once_never_exceed_the_seats(store, client, valkey):
    """Several processes at once; each room is exactly full at the end."""
    uids = [store.people.create(f"P{n}").uid for n in range(500)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=sit, args=(valkey.url, uids[n::5], 10)) for n in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    rooms = Counter(rid for uid in uids for rid in client.smembers(keys.user_rooms(uid)))
    assert set(rooms.values()) == {10}
    assert len(rooms) == 50
    assert [store.rooms.size(rid) for rid in rooms] == [10] * 50


def test_people_are_found_by_any_word_of_their_name(store, ann):
    zoe = store.people.create("Zoë van der Berg")
    assert store.people.find("zoe") == store.people.find("BERG") == [zoe]
    assert store.people.find("van de") == [zoe]
    assert store.people.find("erg") == []
    assert {person.uid for person in store.people.find()} == {ann.uid, zoe.uid}


@pytest.mark.parametrize(
    ("name", "start"),
    [("Дарья Лис", "дар"), ("中村花子", "中"), ("Tom Kołodziej", "ko"), ("مريم", "مر")],
    ids=["Cyrillic", "Han", "a letter that has no accent to lose", "Arabic"],
)
def test_people_are_found_in_any_script(store, name, start):
    person = store.people.create(name)
    assert store.people.find(start) == [person]
    assert uids_beginning(store.client, start, 5) == [person.uid]
    assert uids_called(store.client, [name], 5) == [person.uid]


def test_a_name_that_may_look_like_another_is_told_apart(store):
    boss, like = store.people.create("Boss"), store.people.create("Воss")
    assert boss.tag == ""
    assert len(like.tag) == 4
    assert store.people.create("Дарья").tag == ""


def test_people_of_the_same_name_are_told_apart(store, ann):
    other = store.people.create("ANN")
    assert ann.tag == ""
    assert len(other.tag) == 4
    renamed = store.people.edit(other, name="Anna")
    assert renamed.tag == ""
    assert store.people.get(other.uid) == renamed
    assert store.people.find("ann") == [ann, renamed]


def test_who_is_forgotten_is_not_found(store, client, ann, bob):
    client.delete(keys.user(bob.uid))
    assert store.people.find() == [ann]
    assert client.zcard(keys.NAMES) == 1


def test_a_session_is_over_when_it_is_ended(store, ann):
    one, two = (store.sessions.begin(ann.uid, "guest", "Lynx", "127.0.0.1") for _ in range(2))
    person, session = store.sessions.person(ann.uid, one)
    assert (person, session.agent) == (ann, "Lynx")
    store.sessions.end(ann.uid, session.sid)
    assert store.sessions.person(ann.uid, one) is None
    assert store.sessions.person(ann.uid, two)
    store.sessions.end_all(ann.uid)
    assert store.sessions.person(ann.uid, two) is None
    assert store.sessions.person("nobody", one) is None


def test_the_store_holds_nothing_a_cookie_can_be_made_of(store, client, ann):
    secret = store.sessions.begin(ann.uid, "guest")
    assert secret not in str(client.hgetall(keys.sessions(ann.uid)))


def test_who_was_deactivated_is_signed_in_nowhere(store, ann):
    secret = store.sessions.begin(ann.uid, "password")
    store.people.edit(ann, off="1")
    assert store.sessions.person(ann.uid, secret) is None
    assert store.people.find() == []


@pytest.mark.parametrize(
    "text",
    [
        "x" * 4000,
        "😀" * 4000,
        'é/\\"\t' * 800,
        "first line\n" + "more " * 700,
        "**bold** and `code` " * 190,
        "```\n" + "code\n" * 700 + "```",
    ],
)
def test_a_list_reads_the_beginning_of_a_long_text_and_shows_the_same(store, text):
    ann = store.people.create("Ann", "member")
    rid = store.rooms.create("Tea", "open", ann)
    store.messages.post(rid, ann, text)
    for row in (store.rooms.of(ann.uid)[0].room, store.rooms.open()[0]):
        assert len(row.last.body) == MAX_LINE_CHARS
        assert gist(row.last.body) == gist(text)
        assert replace(row.last, body=text) == store.rooms.get(rid).last


def test_a_list_names_the_files_of_a_message_without_a_text(store):
    ann = store.people.create("Ann", "member")
    rid = store.rooms.create("Tea", "open", ann)
    files = [File(f"f{n}", "n" * 200 + f"{n}.txt", 1, "text/plain") for n in range(10)]
    store.messages.post(rid, ann, "", files=files)
    assert store.rooms.of(ann.uid)[0].room.last == store.rooms.get(rid).last
