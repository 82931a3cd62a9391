"""Moving rooms and people from one database to another."""

import json
import time

import pytest
import redis

from chat.cli import archive
from chat.domain.events import File
from chat.store import Store, keys
from chat.store.exporter import SCAN_COUNT


@pytest.fixture
def other(valkey, client):
    """Another chat's empty database."""
    with redis.Redis.from_url(f"{valkey.url}?db=1", decode_responses=True) as connection:
        yield Store(connection)


@pytest.fixture
def ann(store):
    return store.accounts.create("ann", "Ann", "hash-of-ann")


@pytest.fixture
def bob(store):
    return store.people.create("Bob")


@pytest.fixture
def tea(store, ann, bob):
    """A room in which much has happened."""
    rid = store.rooms.create("Tea", "open", ann, [bob], about="Leaves")
    first = store.messages.post(rid, ann, "teh", "n1")
    store.messages.edit(rid, ann, first, "the")
    store.messages.react(rid, bob, first, "👍", "on")
    store.messages.delete(rid, bob, store.messages.post(rid, bob, "unsaid", "n2"))
    store.messages.post(rid, bob, "", "n3", files=[File("f1", "a.png", 9, "image/png", 3, 2)])
    gone = store.people.create("Eve")
    store.rooms.join(rid, gone)
    store.messages.post(rid, gone, "I was here")
    store.rooms.leave(rid, gone)
    return rid


@pytest.fixture
def everything(store, ann, bob, tea):
    """One of everything that is kept for good."""
    store.people.edit(bob, zone="Europe/Paris", about="short")
    store.rooms.direct(ann, [bob])
    store.rooms.join_random(bob, 10)
    store.rooms.end(store.rooms.create("Over", "closed", ann), ann)
    store.sessions.begin(ann.uid, "password", "Firefox", "192.0.2.7")
    store.tokens.make(ann.uid, "laptop", ["read"])
    bot = store.people.create("Robot", "member", bot=ann.uid)
    store.webhooks.set(bot.uid, "https://bots.example.org", "secret-of-hook")
    store.rooms.add(tea, ann, bot)
    store.webhooks.queue(bot.uid, tea, "", 3, [2], 1)
    store.accounts.by_subject("https://issuer.example.org", "subject-1", "Sue")
    store.accounts.create_admin("ada", "Ada", "hash-of-ada")
    store.audit_log.note(ann, "did", "something", "192.0.2.8")
    store.bans.ban(bob.uid, ["192.0.2.9"])
    store.people.create("Guest")


def everything_in(client):
    """All that is stored, but what is of the moment."""
    read = {
        "hash": client.hgetall,
        "string": client.get,
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "stream": client.xrange,
        "list": lambda key: client.lrange(key, 0, -1),
    }
    return {key: read[client.type(key)](key) for key in client.scan_iter()}


def put(records, into, trusted=True):
    """Take records in, as they come out of a file; returns who did it."""
    load = into.importer(trusted)
    for record in records:
        load.take(json.loads(json.dumps(record)))
    return load


def room(store, rid):
    return list(store.exporter().room(rid))


def said(store, rid):
    events = store.messages.newest(rid)
    return [(event.seq, event.at, event.kind, event.body, event.name) for event in events]


# Everything


def test_everything_with_secrets_is_the_same_database(client, store, other, everything):
    load = put(store.exporter(whole=True, secrets=True).everything(), other)
    assert load.problems == []
    here = everything_in(client)
    assert everything_in(other.client) == here
    assert list(store.integrity.everything(0)) == list(other.integrity.everything(0)) == []
    ends = {key for key in here if client.ttl(key) >= 0}
    assert {key for key in here if other.client.ttl(key) >= 0} == ends
    assert len(ends) > 3


def test_importing_twice_changes_nothing(store, other, everything):
    records = list(store.exporter(whole=True, secrets=True).everything())
    put(records, other)
    before = everything_in(other.client)
    load = put(records, other)
    assert everything_in(other.client) == before
    assert not {"new people", "new rooms", "rooms continued"} & set(load.done)


def test_bots_are_told_at_once_of_rooms_that_came(store, other, everything):
    """Who delivers to webhooks would find out by itself, but only after a while."""
    (robot,) = store.people.bots()
    subscription = other.client.pubsub()
    subscription.ssubscribe(keys.WEBHOOKS)
    subscription.get_sharded_message(timeout=5)
    put(store.exporter(whole=True, secrets=True).everything(), other)
    told = subscription.get_sharded_message(timeout=5)
    subscription.close()
    assert told
    assert told["data"] == robot.uid


def test_a_file_without_secrets_has_none(store, other, ann, everything):
    text = json.dumps(list(store.exporter(whole=True).everything()))
    for secret in (
        "hash-of",
        "secret-of",
        "192.0.2",
        "laptop",
        "bots.example.org",
        '"nonces"',
        '"digest"',
    ):
        assert secret not in text
    put(json.loads(text), other)
    assert other.people.get(ann.uid) == ann
    assert other.accounts.by_login("ann") == (ann.uid, "")
    assert not other.accounts.has_admin()
    assert list(other.integrity.everything(0)) == []


def test_what_was_imported_without_secrets_gets_its_password_later(store, other, ann, everything):
    put(store.exporter(whole=True).everything(), other)
    put(store.exporter(whole=True, secrets=True).everything(), other)
    assert other.accounts.by_login("ann") == (ann.uid, "hash-of-ann")


def test_what_was_ended_meanwhile_does_not_come_back(store, other, ann, everything):
    records = list(store.exporter(whole=True, secrets=True).everything())
    put(records, other)
    other.sessions.end_all(ann.uid)
    other.tokens.revoke(ann.uid, other.tokens.of(ann.uid)[0].tid)
    other.accounts.set_password(ann.uid, "newer")
    put(records, other)
    assert other.sessions.of(ann.uid) == other.tokens.of(ann.uid) == []
    assert other.accounts.password(ann.uid) == "newer"


def test_a_login_that_is_somebody_elses_is_told_and_left_out(store, other, ann, everything):
    taken = other.accounts.create("ann", "Another Ann", "other-hash")
    load = put(store.exporter(whole=True, secrets=True).everything(), other)
    (problem,) = load.problems
    assert "the login 'ann'" in problem
    assert other.accounts.by_login("ann") == (taken.uid, "other-hash")
    person = other.people.get(ann.uid)
    assert (person.name, person.login, other.accounts.password(ann.uid)) == ("Ann", "", "")


def test_a_guest_whose_time_was_over_does_not_come_back(store, other, client):
    guest = store.people.create("Guest")
    records = list(store.exporter(whole=True).everything())
    for record in records:
        if record.get("id") == guest.uid:
            record["expires"] = int(time.time() * 1000) - 1
    put(records, other)
    assert other.people.get(guest.uid) is None


# A room


def test_a_room_comes_with_its_people_and_numbers(store, other, tea, bob):
    load = put(room(store, tea), other, trusted=False)
    assert load.done["new rooms"] == 1
    assert said(other, tea) == said(store, tea)
    assert other.rooms.get(tea) == store.rooms.get(tea)
    assert other.rooms.uids(tea) == store.rooms.uids(tea)
    assert [row.room.rid for row in other.rooms.of(bob.uid)] == [tea]
    assert other.rooms.of(bob.uid)[0].read == store.rooms.of(bob.uid)[0].read
    assert [found.rid for found in other.rooms.open()] == [tea]
    assert other.people.find("eve")[0].name == "Eve"
    assert list(other.integrity.everything(0)) == []
    assert other.messages.post(tea, bob, "and on") == store.rooms.get(tea).seq + 1


def test_a_rooms_file_makes_nobody_an_admin(store, other, tea, ann):
    store.accounts.make_admin(ann)
    records = room(store, tea)
    assert "login" not in json.dumps(records)
    for record in records:
        if record.get("id") == ann.uid:
            record["fields"] |= {"role": "admin", "login": "ann", "password": "x"}
    put(records, other, trusted=False)
    assert (other.people.get(ann.uid).role, other.people.get(ann.uid).login) == ("guest", "")


def test_who_is_here_stays_as_they_are(store, other, tea, ann):
    other.people.create("Ann of today", uid=ann.uid)
    load = put(room(store, tea), other)
    assert load.done["people here already"] == 1
    assert other.people.get(ann.uid).name == "Ann of today"


def test_a_room_goes_on_from_where_it_is(store, other, tea, ann, bob):
    put(room(store, tea), other)
    seq = store.messages.post(tea, bob, "later", "n9")
    store.messages.delete(tea, ann, 2)
    store.messages.edit(tea, bob, seq, "even later")
    store.rooms.edit(tea, ann, "kind", "closed")
    store.rooms.leave(tea, bob)
    load = put(room(store, tea), other)
    assert load.done["rooms continued"] == 1
    assert said(other, tea) == said(store, tea)
    assert "the" not in str(other.client.hgetall(keys.edits(tea)))
    assert other.rooms.uids(tea) == [ann.uid]
    assert other.rooms.of(bob.uid) == other.rooms.open() == []
    assert list(other.integrity.everything(0)) == []


def test_reactions_move_and_stay_quiet(store, other, tea, ann, bob):
    put(room(store, tea), other)
    last = store.rooms.get(tea).seq
    store.messages.react(tea, ann, 2, "🎉", "on")
    put(room(store, tea), other)
    (message,) = other.messages.before(tea, 3, 1)
    assert [(one.emoji, one.names) for one in message.reactions.all] == [
        ("👍", ("Bob",)),
        ("🎉", ("Ann",)),
    ]
    quiet = store.client.zrange(keys.uncounted(tea), 0, -1)
    assert {"4", str(last + 1)} < set(quiet)
    assert other.client.zrange(keys.uncounted(tea), 0, -1) == quiet
    assert list(other.integrity.everything(0)) == []


def test_mentions_move_with_their_room_and_levels_with_their_person(store, other, tea, ann, bob):
    seq = store.messages.post(tea, ann, "@Bob and @room")
    store.notifications.set_level(bob.uid, tea, "mentions")
    put(list(store.exporter(whole=True).everything()), other)
    assert set(other.messages.get(tea, seq).reaches.split()) == {bob.uid, "*"}
    (row,) = [row for row in other.rooms.of(bob.uid) if row.room.rid == tea]
    assert (row.notification_level, row.mentions) == ("mentions", 1)
    assert len(other.notifications.newest(bob.uid, [tea], 0, 9)) == 1
    store.messages.post(tea, ann, "@room")
    put(room(store, tea), other)
    assert len(other.notifications.newest(bob.uid, [tea], 0, 9)) == 2
    assert list(other.integrity.everything(0)) == []


def test_a_room_that_has_gone_further_is_not_set_back(store, other, tea, bob):
    old = room(store, tea)
    store.messages.post(tea, bob, "later")
    put(room(store, tea), other)
    other.messages.delete(tea, bob, store.rooms.get(tea).seq)
    other.messages.seen(tea, bob.uid, 99)
    before = everything_in(other.client)
    for records in (old, room(store, tea)):
        load = put(records, other, trusted=False)
        assert (load.problems, load.done["rooms here already"]) == ([], 1)
    assert everything_in(other.client) == before


def test_nobody_has_read_less_than_before(store, other, tea, ann, bob):
    put(room(store, tea), other)
    other.messages.seen(tea, bob.uid, 7)
    store.messages.post(tea, ann, "later")
    put(room(store, tea), other)
    assert other.rooms.of(bob.uid)[0].read == 7


def test_a_room_with_another_epoch_is_told_and_left_alone(store, other, tea):
    put(room(store, tea), other)
    other.client.hset(keys.room(tea), "epoch", "another")
    before = everything_in(other.client)
    load = put(room(store, tea), other)
    assert "the epochs differ" in load.problems[0]
    assert everything_in(other.client) == before


def test_a_room_whose_history_differs_is_told_and_left_alone(store, other, tea, ann, bob):
    put(room(store, tea), other)
    seq = other.messages.post(tea, bob, "said there")
    for _ in range(3):
        store.messages.post(tea, ann, "said here")
    before = everything_in(other.client)
    load = put(room(store, tea), other)
    assert f"number {seq} is another message here" in load.problems[0]
    assert everything_in(other.client) == before


def test_a_room_in_which_somebody_writes_meanwhile_is_left_alone(store, other, tea, ann, bob):
    put(room(store, tea), other)
    store.messages.post(tea, ann, "later")
    *records, end = room(store, tea)
    load = put(records, other)
    load.room.flush()
    other.messages.post(tea, bob, "now")
    before = everything_in(other.client)
    load.take(end)
    assert "somebody wrote in it during the import" in load.problems[0]
    after = everything_in(other.client)
    assert after == {key: value for key, value in before.items() if not key.endswith(":made")}


def test_half_a_room_is_not_there(store, other, tea, ann):
    records = room(store, tea)
    put(records[:-2], other, trusted=False)
    assert other.rooms.kind(tea) == ""
    assert other.rooms.of(ann.uid) == other.rooms.open() == []
    assert list(other.integrity.everything(0)) == []
    assert all(other.client.ttl(key) > 0 for key in other.client.scan_iter("*:made"))
    put(records, other, trusted=False)
    assert said(other, tea) == said(store, tea)
    assert not list(other.client.scan_iter("*:made"))


def test_large_rooms_come_page_by_page(store, other, tea, bob):
    pipeline, seq = store.client.pipeline(), store.rooms.get(tea).seq
    for n in range(seq + 1, 3 * SCAN_COUNT + 500):
        line = f'["post","{bob.uid}","Bob","m{n}","",""]'
        pipeline.xadd(keys.events(tea), {"at": n, "data": line}, id=f"{n}-0")
        pipeline.hset(keys.room(tea), mapping={"seq": n, "last": f"{n} {n} {line}"})
    pipeline.execute()
    put(room(store, tea), other)
    for events in (keys.events(tea), keys.members(tea)):
        assert everything_in(other.client)[events] == everything_in(store.client)[events]


def test_what_is_deleted_while_it_is_read_leaves_no_room_without_an_end(store, other, tea, ann):
    seq = store.messages.post(tea, ann, "the newest")
    records = store.exporter().room(tea)
    got = [next(records)]
    while got[-1]["is"] != "room":
        got.append(next(records))
    store.messages.delete(tea, ann, seq)
    put([*got, *records], other)
    assert other.rooms.get(tea).seq == seq
    assert list(other.integrity.everything(0)) == []


def test_what_is_done_while_a_room_is_exported_is_not_in_it(store, other, tea, ann, bob):
    upto = store.rooms.get(tea).seq
    records = store.exporter(whole=True, secrets=True).room(tea)
    got = [next(records)]
    while got[-1]["is"] != "room":
        got.append(next(records))
    file = File("f2", "b.txt", 9, "text/plain")
    seq = store.messages.post(tea, ann, "@Bob later", "n9", files=[file])
    store.messages.edit(tea, ann, seq, "@Bob even later")
    store.messages.react(tea, bob, seq, "👍", "on")
    store.messages.seen(tea, bob.uid, seq)
    load = put([*got, *records], other)
    assert load.problems == []
    assert said(other, tea)[-1][0] == other.rooms.get(tea).seq == upto
    assert list(other.integrity.everything(0)) == []


def test_older_history_that_is_here_stays(store, other, tea, bob):
    for n in range(20):
        store.messages.post(tea, bob, f"m{n}")
    put(room(store, tea), other)
    before = said(other, tea)
    store.messages.post(tea, bob, "later")
    store.retention.trim(tea, messages=5, days=0)
    put(room(store, tea), other)
    assert said(other, tea) == [*before, said(store, tea)[-1]]
    assert other.rooms.get(tea).first == 1
    assert list(other.integrity.everything(0)) == []


def test_a_room_without_its_beginning_stays_so(store, other, tea, bob):
    put(room(store, tea), other)
    for n in range(20):
        store.messages.post(tea, bob, f"m{n}")
    store.retention.trim(tea, messages=5, days=0)
    load = put(room(store, tea), other)
    assert "the file begins later" in load.problems[0]
    other.client.flushdb()
    put(room(store, tea), other)
    assert other.rooms.get(tea).first == store.rooms.get(tea).first > 1
    assert said(other, tea) == said(store, tea)


# The file


def test_a_file_is_what_was_written(tmp_path, store, tea):
    for name in ("tea.jsonl", "tea.jsonl.gz"):
        archive.write(tmp_path / name, store.exporter().room(tea), whole=False, secrets=False)
        header, records = archive.read(tmp_path / name, 2**20)
        assert (header["whole"], header["secrets"]) == (False, False)
        assert list(records) == room(store, tea)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_could_not_be_written_is_not_there(tmp_path):
    def breaks():
        yield {"is": "person"}
        raise redis.ConnectionError

    with pytest.raises(redis.ConnectionError):
        archive.write(tmp_path / "all.jsonl", breaks(), whole=True, secrets=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tea.jsonl", "tea.jsonl.gz"])
def test_a_file_that_was_cut_off_is_known_as_one(tmp_path, store, tea, name):
    archive.write(tmp_path / name, store.exporter().room(tea), whole=False, secrets=False)
    whole = (tmp_path / name).read_bytes()
    for size in (len(whole) - 2, len(whole) - 30, len(whole) // 2):
        (tmp_path / name).write_bytes(whole[:size])
        with pytest.raises(archive.BadArchive):
            list(archive.read(tmp_path / name, 2**20)[1])


@pytest.mark.parametrize("content", [b"", b"{}", b"hello", b"\x1f\x8b\x08rest", b"[1]", b"\xff"])
def test_what_is_no_such_file_is_told(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(archive.BadArchive):
        archive.read(tmp_path / "x", 2**20)


def test_a_file_of_another_version_is_told(tmp_path):
    header = {"format": archive.FORMAT, "version": 99, "schema": 1}
    (tmp_path / "x").write_text(json.dumps(header))
    with pytest.raises(archive.BadArchive, match="another version"):
        archive.read(tmp_path / "x", 2**20)
