"""Webhooks in the store: what is queued for a bot, once."""

import json

import pytest

from chat.store import keys
from chat.store.webhooks import MAX_OUTCOME_CHARS, MAX_QUEUED, Attempt, Delivery
from chat.webhooks.queueing import Queueing


@pytest.fixture
def bot(store):
    robot = store.people.create("Robot")
    store.webhooks.set(robot.uid, "https://bot.example.org/", "whsec_eA==")
    return robot


def due(store, bot, now=100):
    deliveries, waiting = store.webhooks.due(bot.uid, now, 5000)
    return [(delivery.rid, delivery.seq, delivery.tries) for delivery in deliveries], waiting


def test_a_message_is_queued_once_whoever_reads_the_room(store, bot):
    assert store.webhooks.queue(bot.uid, "r", "", 5, [3, 5], 100) == 2
    assert store.webhooks.queue(bot.uid, "r", "", 5, [3, 5], 100) == -1
    assert store.webhooks.queue(bot.uid, "r", "4", 9, [7], 100) == -1
    store.webhooks.done(Delivery(bot.uid, "r", 3))
    assert store.webhooks.queue(bot.uid, "r", "5", 9, [], 100) == 0
    assert due(store, bot) == ([("r", 5, 0)], 1)
    assert store.webhooks.cursor(bot.uid, "r")[0] == "9"


def test_a_queue_has_an_end(store, bot):
    seqs = list(range(1, MAX_QUEUED + 10))
    assert store.webhooks.queue(bot.uid, "r", "", seqs[-1], seqs, 100) == MAX_QUEUED
    assert store.webhooks.queue(bot.uid, "q", "", 1, [1], 100) == 0
    assert due(store, bot)[1] == MAX_QUEUED


def test_what_failed_is_due_later_and_counted(store, bot):
    store.webhooks.queue(bot.uid, "r", "", 5, [5], 100)
    store.webhooks.retry(Delivery(bot.uid, "r", 5), 200)
    assert due(store, bot) == ([], 1)
    assert due(store, bot, 200) == ([("r", 5, 1)], 1)


def test_saving_the_address_again_makes_all_due(store, bot):
    store.webhooks.queue(bot.uid, "r", "", 5, [5], 100)
    later = store.webhooks.get(bot.uid).since + 10**6
    store.webhooks.retry(Delivery(bot.uid, "r", 5), later)
    store.webhooks.set(bot.uid, "https://bot.example.org/new", "whsec_eA==")
    assert due(store, bot, later - 1) == ([("r", 5, 1)], 1)


def test_nothing_comes_back_when_a_webhook_is_gone(store, bot, client):
    store.webhooks.queue(bot.uid, "r", "", 5, [5], 100)
    store.webhooks.remove(bot.uid)
    store.webhooks.switch_off(bot.uid, "gone")
    store.webhooks.retry(Delivery(bot.uid, "r", 5), 200)
    assert store.webhooks.queue(bot.uid, "r", "", 6, [6], 100) == -1
    assert due(store, bot, 300) == ([], 0)
    assert store.webhooks.get(bot.uid) is None
    assert not client.exists(keys.webhook(bot.uid))
    assert store.webhooks.uids() == []


def test_rooms_are_behind_until_they_were_read(store, bot):
    tea = store.rooms.create("Tea", "closed", store.people.create("Ann"), [bot])
    assert store.webhooks.rooms(bot.uid) == {tea: "closed"}
    assert store.webhooks.behind(bot.uid, [tea]) == [tea]
    store.webhooks.queue(bot.uid, tea, "", 1, [], 100)
    assert store.webhooks.behind(bot.uid, [tea, "nowhere"]) == []


@pytest.mark.parametrize("seq", ["", "many", "-1", "1e9", "nan", "1.5", "٣"])
def test_a_room_with_broken_data_does_not_stop_the_others(store, bot, client, seq):
    ann = store.people.create("Ann", "admin")
    store.webhooks.set(bot.uid, "https://bot.example.org/", "whsec_eA==", ann.uid)
    tea, *others = [store.rooms.create(f"Room {n}", "closed", ann, [bot]) for n in range(5)]
    for rid in (tea, *others):
        store.messages.post(rid, ann, "@Robot tea")
    client.hset(keys.room(tea), "seq", seq)
    queueing = Queueing(store, lambda: None)
    queueing.queue_new()
    queued, _ = due(store, bot, 10**15)
    assert {rid for rid, *_ in queued} == set(others)


BROKEN = ["", "many", "-1", "1e9", "nan", "1.5", "٣", "9" * 30]


@pytest.fixture
def two_bots(store, bot):
    """Two bots with a webhook, and a room each where somebody has mentioned them."""
    ann = store.people.create("Ann", "admin")
    other = store.people.create("Droid")
    rooms = []
    for one in (bot, other):
        store.webhooks.set(one.uid, "https://bot.example.org/", "whsec_eA==", ann.uid)
        rooms.append(store.rooms.create("Tea", "closed", ann, [one]))
        store.messages.post(rooms[-1], ann, f"@{one.name} tea")
    return (bot, other), rooms


@pytest.mark.parametrize("value", BROKEN)
def test_a_broken_cursor_stops_no_delivery(store, two_bots, client, value):
    bots, rooms = two_bots
    client.hset(keys.webhook_cursors(bots[0].uid), rooms[0], value)
    queueing = Queueing(store, lambda: None)
    queueing.queue_new()
    for one, rid in zip(bots, rooms, strict=True):
        assert [place[0] for place in due(store, one, 10**15)[0]] == [rid], one.name
    newest = client.hget(keys.room(rooms[0]), "seq")
    assert store.webhooks.cursor(bots[0].uid, rooms[0])[0] == newest, "and it is repaired"


@pytest.mark.parametrize(
    "fields",
    [*({"since": value} for value in BROKEN), {"address": None}, {"secret": None}],
    ids=str,
)
def test_a_broken_webhook_stops_no_other(store, two_bots, client, fields):
    """It is none until an admin saves it again."""
    bots, rooms = two_bots
    for name, value in fields.items():
        client.hdel(keys.webhook(bots[0].uid), name)
        if value is not None:
            client.hset(keys.webhook(bots[0].uid), name, value)
    Queueing(store, lambda: None).queue_new()
    assert due(store, bots[0], 10**15) == ([], 0)
    assert [place[0] for place in due(store, bots[1], 10**15)[0]] == [rooms[1]]
    store.webhooks.set(bots[0].uid, "https://bot.example.org/", "whsec_eA==")
    assert store.webhooks.get(bots[0].uid).since > 0


@pytest.mark.parametrize("score", ["inf", "-inf", "1.5"])
def test_a_member_without_a_time_stops_no_delivery(store, two_bots, client, score):
    bots, rooms = two_bots
    client.zadd(keys.members(rooms[0]), {bots[0].uid: score})
    Queueing(store, lambda: None).queue_new()
    assert [place[0] for place in due(store, bots[1], 10**15)[0]] == [rooms[1]]


@pytest.mark.parametrize("value", [*BROKEN, "05", "5 x"])
def test_a_broken_delivery_is_dropped_and_a_broken_count_is_none(store, bot, client, value):
    queue, attempts = keys.webhook_queue(bot.uid), keys.webhook_attempts(bot.uid)
    client.zadd(queue, {f"r {value}": 1, "r 5": 2, value: 3})
    client.hset(attempts, "r 5", value)
    assert due(store, bot) in (([("r", 5, 0)], 3), ([("r", 5, 5)], 3))
    assert client.zrange(queue, 0, -1) == ["r 5"]


def test_one_process_delivers(store):
    a, b = (store.lease(keys.WEBHOOKS_LEASE, 10) for _ in range(2))
    assert a.acquire()
    assert not b.acquire()
    assert a.acquire()
    b.release()
    assert not b.acquire()
    a.release()
    assert b.acquire()


def test_a_delivery_has_one_id():
    ids = {
        Delivery(*place).did
        for place in (("b", "r", 1), ("b", "r", 2), ("c", "r", 1), ("b", "q", 1))
    }
    assert len(ids) == 4
    assert Delivery("b", "r", 1, 3).did == Delivery("b", "r", 1).did


def test_little_is_kept_of_how_a_try_went(store, bot, client):
    """It may quote what a program answered."""
    store.webhooks.log_attempt(Delivery(bot.uid, "r", 5), 100, "x" * 10**6)
    [packed] = client.lrange(keys.webhook_log(bot.uid), 0, -1)
    assert len(packed) < 2 * MAX_OUTCOME_CHARS
    client.lset(keys.webhook_log(bot.uid), 0, json.dumps([100, "did", 1, "y" * 10**6]))
    assert store.webhooks.attempts(bot.uid) == [Attempt(100, "did", 1, "y" * MAX_OUTCOME_CHARS)]


def test_what_was_delivered_or_removed_leaves_nothing_when_a_late_try_ends(store, bot, client):
    """Its last try failed, but it was delivered meanwhile; or an administrator removed the
    webhook."""
    store.webhooks.queue(bot.uid, "r", "", 5, [5], 100)
    late = Delivery(bot.uid, "r", 5)
    store.webhooks.done(late)
    store.webhooks.retry(late, 200)
    assert not client.exists(keys.webhook_queue(bot.uid), keys.webhook_attempts(bot.uid))
    store.webhooks.remove(bot.uid)
    store.webhooks.retry(late, 200)
    store.webhooks.log_attempt(late, 200, "failed")
    store.webhooks.switch_off(bot.uid, "gone")
    assert not client.exists(*keys.of_webhook(bot.uid))
