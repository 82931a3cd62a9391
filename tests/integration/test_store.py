"""The store on a real Valkey."""

import threading

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.domain.errors import NotFound, NotMember
from chat.domain.events import JOIN, POST, START
from chat.store import Store, keys
from chat.store.messages import NONCE_EVENTS

from ..running import wait_until_later


@pytest.fixture
def ann(store):
    return store.people.create("Ann")


@pytest.fixture
def bob(store):
    return store.people.create("Bob")


@pytest.fixture
def tea(store, ann):
    return store.rooms.create("Tea", "open", ann)


def bodies(store, rid):
    return [event.body for event in store.messages.newest(rid) if event.kind == POST]


def test_a_person_has_a_stable_id_behind_a_name(store, ann):
    assert store.people.get(ann.uid) == ann
    assert store.people.get("nobody") is None
    assert store.people.create("Ann").uid != ann.uid


def test_no_id_looks_like_an_option_of_the_console():
    assert not [made for made in (keys.new_id() for _ in range(2000)) if made.startswith("-")]


def test_a_room_begins_with_a_line_and_its_owner(store, ann, tea):
    room = store.rooms.get(tea)
    assert (room.name, room.kind, room.owner, room.seq) == ("Tea", "open", ann.uid, 1)
    assert room.last.kind == START
    assert [row.room.rid for row in store.rooms.of(ann.uid)] == [tea]
    assert [found.rid for found in store.rooms.open()] == [tea]


def test_events_are_numbered_without_gaps(store, ann, tea):
    numbers = [store.messages.post(tea, ann, f"m{n}") for n in range(5)]
    assert numbers == [2, 3, 4, 5, 6]
    assert [event.seq for event in store.messages.newest(tea)] == [1, 2, 3, 4, 5, 6]


def test_nothing_is_forgotten_however_much_is_said(store, ann, tea):
    for n in range(1500):
        store.messages.post(tea, ann, f"m{n}")
    assert store.rooms.get(tea).seq == 1501
    assert [event.seq for event in store.messages.after(tea, 0, 3)] == [1, 2, 3]
    assert store.messages.around(tea, 2)[1].body == "m0"
    assert store.messages.newest(tea)[-1].body == "m1499"


def test_rooms_of_one_person_share_nothing_but_the_person(store, ann):
    rooms = [store.rooms.create("Tea", "open", ann) for _ in range(25)]
    assert len(set(rooms)) == 25
    for n, rid in enumerate(rooms):
        store.messages.post(rid, ann, f"only in {n}")
    assert [bodies(store, rid) for rid in rooms] == [[f"only in {n}"] for n in range(25)]
    assert {row.room.rid for row in store.rooms.of(ann.uid)} == set(rooms)


def test_the_same_nonce_and_body_is_stored_once(store, client, ann, tea):
    first = store.messages.post(tea, ann, "hello", "n1")
    assert store.messages.post(tea, ann, "hello", "n1") == first
    assert client.xlen(keys.events(tea)) == 2


def test_the_same_nonce_with_another_body_or_author_is_another_message(store, ann, bob, tea):
    store.rooms.join(tea, bob)
    store.messages.post(tea, ann, "hello", "n1")
    store.messages.post(tea, ann, "hello!", "n1")
    store.messages.post(tea, bob, "hello", "n1")
    assert bodies(store, tea) == ["hello", "hello!", "hello"]


def test_without_a_nonce_nothing_is_a_resend(store, ann, tea):
    store.messages.post(tea, ann, "hello")
    store.messages.post(tea, ann, "hello")
    assert bodies(store, tea) == ["hello", "hello"]


def test_old_nonces_are_forgotten_by_number_not_by_clock(store, client, ann, tea):
    client.zadd(keys.nonces(tea), {"old": 1})
    client.hset(keys.room(tea), "seq", NONCE_EVENTS + 5)
    store.messages.post(tea, ann, "hello", "n1")
    assert client.zscore(keys.nonces(tea), "old") is None
    assert client.zcard(keys.nonces(tea)) == 2  # the nonce, and the nonce with its body


def test_concurrent_posts_of_one_message_store_it_once(valkey, store, ann, tea):
    """Two tabs, a resend and a retry at the same moment."""
    numbers = []

    def post():
        with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
            numbers.append(Store(client).messages.post(tea, ann, "hello", "n1"))

    threads = [threading.Thread(target=post) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers == [2] * 16
    assert bodies(store, tea) == ["hello"]


def test_only_members_write(store, bob, tea):
    with pytest.raises(NotMember):
        store.messages.post(tea, bob, "hello")
    with pytest.raises(NotFound):
        store.messages.post("nowhere", bob, "hello")


def test_joining_is_one_line_however_often(store, bob, tea):
    store.rooms.join(tea, bob)
    store.rooms.join(tea, bob)
    assert [event.kind for event in store.messages.newest(tea)] == [START, JOIN]
    assert store.rooms.size(tea) == 2


def test_a_closed_room_is_not_there_for_others(store, ann, bob):
    rid = store.rooms.create("Secret", "closed", ann)
    with pytest.raises(NotFound):
        store.rooms.join(rid, bob)
    with pytest.raises(NotFound):
        store.rooms.row(rid, bob.uid)
    assert store.rooms.open() == []
    assert store.messages.missed(rid, bob.uid, 0, "") is None


@pytest.mark.parametrize("rid", ["", "a b", "a" * 65, "{x}", "a:b", "é", "x\n"])
def test_an_id_that_could_not_be_is_no_room(store, ann, rid):
    with pytest.raises(NotFound):
        store.rooms.get(rid)
    with pytest.raises(NotFound):
        store.rooms.row(rid, ann.uid)


def test_pages_of_history(store, ann, tea):
    for n in range(2, 12):
        store.messages.post(tea, ann, f"m{n}")
    read = store.messages
    assert [e.seq for e in read.newest(tea, 3)] == [9, 10, 11]
    assert [e.seq for e in read.before(tea, 9, 3)] == [6, 7, 8]
    assert [e.seq for e in read.before(tea, 1, 3)] == []
    assert [e.seq for e in read.after(tea, 9, 5)] == [10, 11]
    assert [e.seq for e in read.around(tea, 5, 4)] == [3, 4, 5, 6, 7]
    with pytest.raises(NotFound):
        read.around(tea, 12)


def test_a_page_gets_what_it_missed(store, ann, tea):
    for n in range(2, 6):
        store.messages.post(tea, ann, f"m{n}")
    missed = store.messages.missed(tea, ann.uid, 3, "")
    assert [event.seq for event in missed.events] == [4, 5]
    assert (missed.replace, missed.seq) == (False, 5)
    current = store.messages.missed(tea, ann.uid, 5, missed.epoch)
    assert (current.events, current.replace, current.seq) == ([], False, 5)


def test_a_cursor_of_another_life_replaces_the_list(store, ann, tea):
    store.messages.post(tea, ann, "m2")
    for after, epoch in [(1, "another"), (99, "")]:
        missed = store.messages.missed(tea, ann.uid, after, epoch)
        assert missed.replace
        assert [event.seq for event in missed.events] == [1, 2]


def test_who_missed_too_much_gets_the_newest(store, ann, tea):
    for n in range(2, 10):
        store.messages.post(tea, ann, f"m{n}")
    missed = store.messages.missed(tea, ann.uid, 1, "", limit=5)
    assert missed.replace
    assert missed.events[-1].seq == missed.seq == 9


def test_a_number_beyond_the_newest_marks_nothing_as_seen(store, ann, bob, tea):
    """It is from another life of the database: what has it now was never shown."""
    store.rooms.join(tea, bob)
    newest = store.messages.post(tea, ann, "hello")
    assert store.messages.seen(tea, bob.uid, newest + 1), "a member"
    assert store.rooms.of(bob.uid)[0].unread == 1


@pytest.mark.parametrize(
    ("shown", "unread"), [(0, 3), (2, 3), (3, 2), (4, 0), (5, 3), (6, 3), (10**9, 3)]
)
@pytest.mark.parametrize("time", ["right", "unknown", "another"])
def test_writing_is_not_reading(store, ann, bob, tea, shown, unread, time):
    """What others wrote before counts as seen as far as the author was shown it. A number whose
    event has another time was that of an event that the database has lost."""
    store.rooms.join(tea, bob)
    for n in (3, 4):
        assert store.messages.post(tea, ann, "hello") == n
    at = next((event.at for event in store.messages.after(tea, 0) if event.seq == shown), 1)
    at = {"right": at, "unknown": 0, "another": at - 1}[time]
    assert store.messages.post(tea, bob, "me too", seen=(shown, at)) == 5
    assert store.rooms.of(bob.uid)[0].unread == (3 if time == "another" else unread)


def test_what_counts_for_nothing_keeps_no_own_message_unread(store, ann, bob, tea):
    store.rooms.join(tea, bob)
    seq = store.messages.post(tea, bob, "hello")
    store.messages.react(tea, ann, seq, "👍", "on")
    store.messages.post(tea, bob, "thanks")
    assert store.rooms.of(bob.uid)[0].unread == 0


def test_what_was_seen_never_goes_back(store, ann, bob, tea):
    store.rooms.join(tea, bob)
    store.messages.post(tea, ann, "m3")
    assert store.rooms.of(bob.uid)[0].unread == 1
    store.messages.seen(tea, bob.uid, 3)
    store.messages.seen(tea, bob.uid, 2)
    assert store.rooms.of(bob.uid)[0].unread == 0


def test_the_list_is_ordered_by_activity(store, client, ann, tea):
    wait_until_later(client)
    club = store.rooms.create("Club", "open", ann)
    assert [row.room.rid for row in store.rooms.of(ann.uid)] == [club, tea]
    wait_until_later(client)
    store.messages.post(tea, ann, "hello")
    assert [row.room.rid for row in store.rooms.of(ann.uid)] == [tea, club]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1))
def test_any_text_comes_back_as_it_was(store, ann, tea, body):
    store.messages.post(tea, ann, body)
    assert store.messages.newest(tea, 1)[0].body == body
    assert store.rooms.get(tea).last.body == body


def test_what_is_published_is_what_is_stored(store, client, ann, tea):
    from chat.domain.events import Event

    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.ssubscribe(keys.room_channel(tea))
    subscription.get_sharded_message(timeout=1)
    store.messages.post(tea, ann, "näher\n🎉")
    message = subscription.get_sharded_message(timeout=5)
    subscription.close()
    assert Event.parse_line(tea, message["data"]) == store.messages.newest(tea)[-1]


def test_out_of_memory_refuses_the_post_whole(store, client, ann, tea):
    """Nobody sees a message that is not stored: nothing is published, no number is used up."""
    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.ssubscribe(keys.room_channel(tea))
    subscription.get_sharded_message(timeout=1)
    client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            store.messages.post(tea, ann, "hello", "n1")
    finally:
        client.config_set("maxmemory", "0")
    assert store.messages.post(tea, ann, "hello", "n1") == 2
    assert subscription.get_sharded_message(timeout=5)["data"].startswith("2 ")
    subscription.close()


def test_every_key_is_named_in_one_place(store, client, ann, bob, tea):
    """Rooms and people each share one hash tag, so that no script touches two."""
    store.rooms.join(tea, bob)
    store.messages.post(tea, ann, "hello", "n1")
    store.sessions.begin(ann.uid, "guest")
    store.rooms.join_random(bob, 10)
    named = {keys.OPEN_ROOMS, keys.NAMES, keys.LOOKALIKES, keys.sessions(ann.uid)}
    named |= {keys.RANDOM_ROOMS, keys.RANDOM_SEATS, keys.RANDOM_COUNT}
    named |= {make(tea) for make in (keys.room, keys.events, keys.members, keys.nonces, keys.read)}
    named.add(keys.uncounted(tea))  # Bob has joined
    for person in (ann, bob):
        named |= {keys.user(person.uid), keys.user_rooms(person.uid)}
    rid = next(row.room.rid for row in store.rooms.of(bob.uid) if row.room.kind == "random")
    named |= {make(rid) for make in (keys.room, keys.events, keys.members, keys.read)}
    assert set(client.keys("*")) == named
