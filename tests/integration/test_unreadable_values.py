"""A stored value that is not a number, or cannot be read, hides only one room from lists, and `chat
check` names it."""

import json

import pytest

from chat.store import keys

BAD_NUMBERS = ["no number", "nan", "inf", "1e5", "0x10", "-", "x ١", "9" * 5000, "\0"]
LONG = "x" * 2000  # the script shortens a last message as long as this


@pytest.fixture
def ann(store):
    return store.people.create("Ann Lee", "member")


@pytest.fixture
def bot(store, ann):
    made = store.people.create("Robot", "member", bot=ann.uid)
    store.webhooks.set(made.uid, "https://bots.example.org", "secret")
    return made


@pytest.fixture
def rooms(store, ann, bot):
    """The ids of a room that will break, and of another."""
    rids = [store.rooms.create(name, "open", ann, [bot]) for name in ("Tea", "Milk")]
    for rid in rids:
        store.messages.post(rid, bot, "@Ann Lee, tea?")
    return rids


def in_room(name):
    return lambda client, rid, uid, bad: client.hset(keys.room(rid), name, bad)


# What a list of rooms reads of a room.
IN_A_ROW = {
    "the newest number": in_room("seq"),
    "the oldest number": in_room("first"),
    "the last line": in_room("last"),
    "the number of the last line": lambda client, rid, uid, bad: client.hset(
        keys.room(rid), "last", f"{bad} 1 []"
    ),
    "the time of the last line": lambda client, rid, uid, bad: client.hset(
        keys.room(rid), "last", f"2 {bad} []"
    ),
    "a read mark": lambda client, rid, uid, bad: client.hset(keys.read(rid), uid, bad),
}


def lists(store, ann):
    """The names of the rooms in each list of rooms that Ann can see."""
    store.sessions.begin(ann.uid, "password")
    (session,) = store.client.hkeys(keys.sessions(ann.uid))
    person, rows = store.rooms.of_session(ann.uid, session)
    assert person.uid == ann.uid
    own = [store.rooms.of(ann.uid), rows, store.rooms.beside(ann.uid, "none")[0]]
    found = [{row.room.name for row in rows} for rows in own]
    found += [{room.name for room in store.rooms.open()}]
    return [*found, {room.name for room in store.rooms.open_named("m", 5)}]


@pytest.mark.parametrize("bad", BAD_NUMBERS)
@pytest.mark.parametrize("what", IN_A_ROW)
def test_a_value_that_is_no_number_costs_one_room_its_row(client, store, ann, rooms, what, bad):
    listener = client.pubsub()
    listener.ssubscribe(keys.user_channel(ann.uid))
    listener.get_sharded_message(timeout=5)
    IN_A_ROW[what](client, rooms[0], ann.uid, bad)
    *own, everyone, named = lists(store, ann)
    assert own == [{"Milk"}] * 3
    assert named == {"Milk"}
    assert everyone == ({"Milk", "Tea"} if what == "a read mark" else {"Milk"})
    # Ann is still a member, and no page of hers is told to read the list again, for ever.
    assert client.smembers(keys.user_rooms(ann.uid)) == set(rooms)
    client.publish("end", "")
    assert listener.get_sharded_message(timeout=0) is None


@pytest.mark.parametrize("data", [LONG, f'["{LONG}"', f'"{LONG}"', json.dumps([[LONG]] * 9)])
def test_a_last_message_that_cannot_be_parsed_is_listed(client, store, ann, rooms, data):
    client.hset(keys.room(rooms[0]), "last", f"2 1 {data}")
    assert lists(store, ann)[0] == {"Milk", "Tea"}


@pytest.mark.parametrize("entry", ["", "x", "1 x"])
def test_an_index_of_mentions_with_a_bad_entry_is_counted_without_it(
    client, store, ann, rooms, entry
):
    client.zadd(keys.mentioned(rooms[0]), {f"{ann.uid} {entry}": 0})
    rows = {row.room.name: row for row in store.rooms.of(ann.uid)}
    assert rows["Tea"].mentions == 1


# The same and what else is stored of a room or a person as a number, or as JSON.
STORED = {
    **IN_A_ROW,
    "the time of creation": in_room("created"),
    "a bot's cursor": lambda client, rid, uid, bad: client.hset(
        keys.webhook_cursors(uid), rid, bad
    ),
    "the number of an edit": lambda client, rid, uid, bad: client.hset(keys.edits(rid), bad, "x"),
    "the number of reactions": lambda client, rid, uid, bad: client.hset(
        keys.reactions(rid), bad, "[]"
    ),
    "the number of mentions": lambda client, rid, uid, bad: client.hset(
        keys.mentions(rid), bad, "[]"
    ),
    "mentions": lambda client, rid, uid, bad: client.hset(keys.mentions(rid), 2, bad),
    "an entry of the index of mentions": lambda client, rid, uid, bad: client.zadd(
        keys.mentioned(rid), {bad: 0}
    ),
    "a key of another type": lambda client, rid, uid, bad: client.set(keys.read(rid), bad),
}


@pytest.mark.parametrize("what", STORED)
def test_the_check_names_the_room_and_goes_on(client, store, ann, bot, rooms, what):
    STORED[what](client, rooms[0], bot.uid, "no number")
    client.zrem(keys.NAMES, f"lee\0{ann.uid}")
    client.srem(keys.user_rooms(ann.uid), rooms[1])
    texts = [finding.text for finding in store.integrity.everything(settles=0)]
    assert f"{ann.uid} is not found by the name 'Ann Lee'" in texts
    assert f"the room list of {ann.uid} lacks the room {rooms[1]}" in texts
    assert any(rooms[0] in text for text in texts)


@pytest.mark.parametrize("bad", BAD_NUMBERS)
@pytest.mark.parametrize("what", [*IN_A_ROW, "the time of creation", "a bot's cursor"])
def test_a_number_that_is_stored_elsewhere_too_is_put_right(
    client, store, ann, bot, rooms, what, bad
):
    marks = client.hgetall(keys.read(rooms[0]))
    STORED[what](client, rooms[0], bot.uid, bad)
    for finding in store.integrity.everything(settles=0):
        finding.repair()
    assert [*store.integrity.everything(settles=0)] == []
    assert {row.room.name for row in store.rooms.of(bot.uid)} == {"Milk", "Tea"}
    assert what == "a read mark" or client.hgetall(keys.read(rooms[0])) == marks
    assert store.messages.post(rooms[0], bot, "on") == 3


@pytest.mark.parametrize("bad", BAD_NUMBERS)
def test_a_room_of_no_known_age_is_joined(client, store, ann, rooms, bad):
    client.hset(keys.room(rooms[0]), "created", bad)
    client.zrem(keys.OPEN_ROOMS, rooms[0])
    store.rooms.join(rooms[0], store.people.create("Eve"))
    assert "Tea" in {room.name for room in store.rooms.open()}
