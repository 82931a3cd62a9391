"""Mentions in the store, and notification levels."""

import pytest

from chat.domain.events import Event
from chat.store import keys, name_index, notifications

from ..running import wait_until_later


@pytest.fixture
def ann(store):
    return store.people.create("Ann")


@pytest.fixture
def bob(store):
    return store.people.create("Bob Lee")


@pytest.fixture
def cyd(store):
    return store.people.create("Çyd")


@pytest.fixture
def tea(store, ann, bob, cyd):
    return store.rooms.create("Tea", "closed", ann, [bob, cyd])


def reached(store, rid, seq):
    """The ids of whom a message mentions, as it is read."""
    return set(store.messages.get(rid, seq).reaches.split())


def inbox(store, person, before=0, limit=50):
    """The bodies of the messages that mention somebody."""
    rids = [row.room.rid for row in store.rooms.of(person.uid)]
    found = store.notifications.newest(person.uid, rids, before, limit)
    return [store.messages.get(one.rid, one.seq).body for one in found]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("@Bob Lee, tea?", {"bob"}),
        ("@bob  lee and @ÇYD", {"bob", "cyd"}),
        ("@Bob, tea?", set()),
        ("@Cyd, tea?", set()),
        ("me@bob lee.example", set()),
        ("**@Bob Lee**", {"bob"}),
        ("`@Bob Lee` and `@room`", set()),
        ("```\n@Bob Lee\n```\n@Çyd", {"cyd"}),
        ("@Ann, to myself", set()),
        ("@Nobody", set()),
    ],
)
def test_members_are_mentioned_by_their_whole_name(store, ann, bob, cyd, tea, body, names):
    ids = {"bob": bob.uid, "cyd": cyd.uid}
    seq = store.messages.post(tea, ann, body)
    assert reached(store, tea, seq) == {ids[name] for name in names}


def test_who_is_not_in_the_room_is_not_mentioned(store, ann, tea):
    eve = store.people.create("Eve")
    seq = store.messages.post(tea, ann, "@Eve")
    assert reached(store, tea, seq) == set()
    assert inbox(store, eve) == []


def test_all_of_one_name_are_mentioned(store, ann, bob, tea):
    other = store.people.create("BOB lee")
    store.rooms.add(tea, ann, other)
    seq = store.messages.post(tea, ann, "@Bob Lee!")
    assert reached(store, tea, seq) == {bob.uid, other.uid}


@pytest.mark.parametrize(("at_once", "indexed", "limit"), [(1, 1, 9), (3, 7, 5), (5, 20, 4)])
def test_however_names_are_looked_up_the_same_people_are_found(
    store, monkeypatch, at_once, indexed, limit
):
    uids = {
        f"Name {n}": [store.people.create(f"name  {n}").uid for _ in range(n)] for n in range(8)
    }
    monkeypatch.setattr(name_index, "AT_ONCE", at_once)
    monkeypatch.setattr(name_index, "INDEXED_AT_ONCE", indexed)
    found = name_index.uids_called(store.client, ["Nobody", *uids, "Name 3"], limit)
    assert found == [uid for some in uids.values() for uid in sorted(some)[:limit]]


def test_here_is_who_is_here_and_room_is_everybody(store, ann, bob, cyd, tea, monkeypatch):
    store.presence.report([ann.uid, bob.uid])
    assert reached(store, tea, store.messages.post(tea, ann, "@here")) == {bob.uid}
    assert reached(store, tea, store.messages.post(tea, ann, "@Room")) == {"*"}
    assert (inbox(store, bob), inbox(store, cyd)) == (["@Room", "@here"], ["@Room"])
    monkeypatch.setattr(notifications, "MAX_HERE", 0)
    assert reached(store, tea, store.messages.post(tea, ann, "@here")) == {"*"}


def test_what_is_published_says_whom_it_mentions(store, client, ann, bob, tea):
    listener = client.pubsub()
    listener.ssubscribe(keys.room_channel(tea))
    first = store.messages.post(tea, ann, 'tea? "@Bob Lee"')
    store.messages.post(tea, ann, "@Bob Lee!", reply=first)
    store.messages.edit(tea, ann, first, "@room")
    events = []
    while len(events) < 3:
        said = listener.get_sharded_message(timeout=5)
        if said and said["type"] == "smessage":
            events.append(Event.parse_line(tea, said["data"]))
    assert [event.reaches for event in events] == [bob.uid, bob.uid, "*"]
    assert events[1].quote.text == 'tea? "@Bob Lee"'


def test_an_edit_mentions_anew_and_a_deletion_nobody(store, client, ann, bob, cyd, tea):
    seq = store.messages.post(tea, ann, "@Bob Lee")
    store.messages.edit(tea, ann, seq, "@Çyd")
    assert reached(store, tea, seq) == {cyd.uid}
    assert (inbox(store, bob), inbox(store, cyd)) == ([], ["@Çyd"])
    store.messages.edit(tea, ann, seq, "nobody")
    assert inbox(store, cyd) == []
    store.messages.edit(tea, ann, seq, "@room")
    store.messages.delete(tea, ann, seq)
    assert inbox(store, cyd) == []
    assert not client.exists(keys.mentions(tea), keys.mentioned(tea))


def test_the_unread_ones_are_counted(store, ann, bob, tea):
    rows = store.rooms.of(bob.uid)
    assert (rows[0].unread, rows[0].mentions) == (1, 0)
    for body in ("@Bob Lee", "tea", "@room", "@Bob Lee @room"):
        store.messages.post(tea, ann, body)
    (row,) = store.rooms.of(bob.uid)
    assert (row.unread, row.mentions, row.calls) == (5, 3, 5)
    (row,) = store.rooms.of(ann.uid)
    assert (row.unread, row.mentions) == (0, 0)
    store.messages.seen(tea, bob.uid, 4)
    (row,) = store.rooms.of(bob.uid)
    assert (row.unread, row.mentions) == (1, 1)


def test_an_inbox_is_read_in_order_of_time_and_page_by_page(store, ann, bob, tea):
    club = store.rooms.create("Club", "closed", ann, [bob])
    for n in range(6):
        store.messages.post(club if n % 2 else tea, ann, f"@Bob Lee {n}" if n % 3 else f"@room {n}")
    expected = ["@Bob Lee 5", "@Bob Lee 4", "@room 3", "@Bob Lee 2", "@Bob Lee 1", "@room 0"]
    assert sorted(inbox(store, bob)) == sorted(expected)
    rids = [tea, club]
    page = store.notifications.newest(bob.uid, rids, 0, 4)
    rest = store.notifications.newest(bob.uid, rids, page[-1].at, 4)
    read = [store.messages.get(one.rid, one.seq).body for one in page + rest]
    assert sorted(read) == sorted(expected)
    assert [one.at for one in page + rest] == sorted((one.at for one in page + rest), reverse=True)
    assert len(page) >= 4


def test_what_was_said_before_somebody_came_concerns_them_not(store, client, ann, tea):
    store.messages.post(tea, ann, "@room")
    wait_until_later(client)
    eve = store.people.create("Eve")
    store.rooms.add(tea, ann, eve)
    assert inbox(store, eve) == []


def test_who_has_left_has_no_mentions_of_it(store, ann, bob, tea):
    store.messages.post(tea, ann, "@Bob Lee")
    store.notifications.set_level(bob.uid, tea, notifications.MENTIONS)
    store.rooms.leave(tea, bob)
    assert inbox(store, bob) == []
    assert store.notifications.level(bob.uid, tea) == notifications.ALL


def test_a_level_says_what_calls(store, ann, bob, tea):
    for body in ("@Bob Lee", "tea"):
        store.messages.post(tea, ann, body)
    calls = []
    for level in notifications.LEVELS:
        store.notifications.set_level(bob.uid, tea, level)
        assert store.notifications.level(bob.uid, tea) == level
        calls.append(store.rooms.of(bob.uid)[0].calls)
    assert calls == [3, 1, 0, 0]


def test_names_are_offered_to_who_types(store, ann, bob, cyd, tea):
    store.people.create("Bobby")
    store.presence.report([cyd.uid])
    assert store.notifications.offered(tea, ann.uid, "") == ([cyd, bob], ["here", "room"])
    assert store.notifications.offered(tea, ann.uid, "bo") == ([bob], [])
    assert store.notifications.offered(tea, ann.uid, "le") == ([bob], [])
    assert store.notifications.offered(tea, ann.uid, "RO") == ([], ["room"])
    assert store.notifications.offered(tea, ann.uid, "cyd") == ([cyd], [])


def test_trimming_takes_mentions_along(store, client, ann, bob, tea):
    for n in range(4):
        store.messages.post(tea, ann, f"@Bob Lee {n}")
    store.retention.trim(tea, messages=2, days=0)
    assert inbox(store, bob) == ["@Bob Lee 3", "@Bob Lee 2"]
    assert len(client.hgetall(keys.mentions(tea))) == client.zcard(keys.mentioned(tea)) == 2


def test_the_check_mends_either_side(store, client, ann, bob, tea):
    seq = store.messages.post(tea, ann, "@Bob Lee")
    (entry,) = client.zrange(keys.mentioned(tea), 0, -1)
    client.zrem(keys.mentioned(tea), entry)
    client.zadd(keys.mentioned(tea), {f"{ann.uid} 1 {seq}": 0})
    client.hset(keys.mentions(tea), "99", "[]")
    client.hset(keys.notification_levels(bob.uid), "elsewhere", "nothing")
    findings = list(store.integrity.everything(0))
    assert len(findings) == 4
    for finding in findings:
        finding.repair()
    assert list(store.integrity.everything(0)) == []
    assert client.zrange(keys.mentioned(tea), 0, -1) == [entry]
