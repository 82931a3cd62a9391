"""An archive from anybody changes nothing that exists, and a broken one is refused with one
line."""

import copy
import gzip
import json
import resource
import subprocess
import sys

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.cli import archive
from chat.cli.commands import _BAD_RECORD
from chat.store import Store, keys

from ..running import ROOT, Server, Visitor
from .test_archive import ann, bob, everything, everything_in, put, tea  # noqa: F401

INDEXES = (keys.NAMES, keys.LOOKALIKES, keys.OPEN_ROOMS, keys.RANDOM_ROOMS, keys.RANDOM_SEATS)
WRONG = (
    *(None, True, -1, 0, 1, 2**31, 2**53, 2**64, 10**30, 0.5),
    *("", "x", "admin", "../x", "\ud800", "\x00", "\u202e", "a b", "0", "9" * 20, "x" * 10_000),
    *([], {}, [[]], {"a": 1}, ["post", "u", "n", "b"], "[]", '["post"]', "[[1,2,3,4]]", "*"),
)


def before_and_after(client, change):
    """All that was here before a change, and the same keys after it."""
    before = everything_in(client)
    change()
    after = everything_in(client)
    assert set(before) <= set(after)
    found = {key: after[key] for key in before}
    for key in (*INDEXES, keys.BOTS):  # may have more
        if key in before:
            assert set(before[key]) <= set(after[key])
            found[key] = before[key]
    return before, found


def take(records, into, trusted=False):
    """Take records in as the console does; the error, where one ends it."""
    load = into.importer(trusted)
    try:
        for record in records:
            load.take(record)
    except _BAD_RECORD as error:
        return error
    finally:
        load.close()
    return None


# Of two chats; in `other` is all that `everything` is, under the same ids.


@pytest.fixture
def other(valkey, client):
    with redis.Redis.from_url(f"{valkey.url}?db=1", decode_responses=True) as connection:
        connection.flushdb()
        yield Store(connection)


@pytest.fixture
def here(store, other, everything):  # noqa: F811
    put(store.exporter(whole=True, secrets=True).everything(), other)
    return other


def paths(value, at=()):
    """Where something stands in a record."""
    yield at
    inner = value.items() if isinstance(value, dict) else []
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, one in inner:
        yield from paths(one, (*at, key))


def changed(records, data):
    """The records with some of them changed, gone, doubled or moved."""
    records, known = copy.deepcopy(records), [r["id"] for r in records if "id" in r]
    for _ in range(data.draw(st.integers(1, 4))):
        n = data.draw(st.integers(0, len(records) - 1))
        how = data.draw(st.sampled_from(["value", "value", "value", "gone", "double", "move"]))
        if how == "gone":
            del records[n]
        elif how == "double":
            records.insert(data.draw(st.integers(0, len(records))), copy.deepcopy(records[n]))
        elif how == "move":
            records.insert(data.draw(st.integers(0, len(records) - 1)), records.pop(n))
        else:
            *at, last = data.draw(st.sampled_from([p for p in paths(records[n]) if p]))
            inner = records[n]
            for key in at:
                inner = inner[key]
            inner[last] = data.draw(st.sampled_from([*WRONG, *known]))
        if not records:
            break
    return records


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_foreign_file_says_who_and_what_is_here_stays(store, here, data):
    """Files of this very chat: they name everybody and every room."""
    client = here.client
    options = client.connection_pool.connection_kwargs
    raw = redis.Redis(unix_socket_path=options["path"], db=options["db"])
    kept = {key: (raw.dump(key), max(raw.pttl(key), 0)) for key in raw.scan_iter()}
    try:
        records = list(store.exporter(whole=True, secrets=True).everything())
        if data.draw(st.booleans()):
            records = renamed(records, data)
        before, after = before_and_after(client, lambda: take(changed(records, data), here))
        assert after == before
        assert [finding.text for finding in here.integrity.everything(0)] == []
    finally:
        client.flushdb()
        for key, (dumped, ttl) in kept.items():
            raw.restore(key, ttl, dumped)
        raw.close()


def renamed(records, data):
    """Return the records with new ids, except one; without direct rooms, whose ids are made from
    those of people."""
    direct = {r["id"] for r in records if r["is"] == "room" and r["fields"]["kind"] == "direct"}
    skipping, kept = False, []
    for record in records:
        skipping = (record["is"] == "room" and record["id"] in direct) or skipping
        kept += [] if skipping else [record]
        skipping = skipping and record["is"] != "end of room"
    ids = sorted({r["id"] for r in kept if r["is"] in ("person", "room")})
    spared = data.draw(st.sampled_from([None, None, *ids]))
    text = json.dumps(kept)
    for n, found in enumerate(ids):
        text = text.replace(found, f"new{n:019}") if found != spared else text
    return json.loads(text)


def test_rooms_and_people_that_are_new_come_from_a_foreign_file(store, here):
    """Or the test above would show nothing."""

    class Plain:
        draw = staticmethod(lambda _: None)

    load = here.importer()
    for record in renamed(list(store.exporter(whole=True, secrets=True).everything()), Plain):
        load.take(record)
    assert load.problems == []
    assert load.done["new rooms"] == 3
    assert load.done["new people"] >= 5
    assert list(here.integrity.everything(0)) == []


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("deactivated", {"off": "1"}),
        ("a bot", {"bot": "x"}),
        ("an admin", {"role": "admin"}),
        ("somebody with another login", {"login": "eve", "password": "x"}),
        ("called otherwise", {"name": "Eve"}),
    ],
)
def test_a_foreign_file_makes_nobody_here(here, ann, what, change):  # noqa: F811
    record = {"is": "person", "id": ann.uid, "fields": {"name": "Ann", **change}}
    before, after = before_and_after(here.client, lambda: take([record], here))
    assert after == before
    assert here.people.get(ann.uid) == ann


def test_a_foreign_file_continues_no_room_that_is_here(store, here, tea, ann, bob):  # noqa: F811
    store.messages.post(tea, ann, "forged")
    store.rooms.edit(tea, ann, "owner", bob.uid, bob.name)
    before, after = before_and_after(here.client, lambda: take(store.exporter().room(tea), here))
    assert after == before


@pytest.mark.parametrize("who", ["author", "member", "owner", "reactor"])
def test_a_foreign_file_speaks_for_nobody_here(here, ann, who):  # noqa: F811
    them = dict.fromkeys(["author", "member", "owner", "reactor"], "stranger")
    them[who] = ann.uid
    start = f'["start","{them["owner"]}","Eve","","","","1","0",""]'
    said = f'["post","{them["author"]}","Eve","I resign","","","0","1",""]'
    fields = {"name": "Tea", "kind": "open", "owner": them["owner"], "epoch": "e", "seq": "2"}
    records = [
        {"is": "person", "id": "stranger", "fields": {"name": "Eve"}},
        {"is": "room", "id": "forged", "fields": fields},
        {"is": "event", "n": 1, "at": 1, "data": start},
        {"is": "event", "n": 2, "at": 2, "data": said},
        {"is": "members", "of": {them["member"]: 1}},
        {"is": "reactions", "of": {"2": json.dumps([["👍", them["reactor"], "Eve", 2]])}},
        {"is": "end of room", "id": "forged"},
    ]
    load = here.importer()
    for record in records:
        load.take(record)
    assert "who exists here" in load.problems[0]
    assert here.rooms.kind("forged") == ""
    assert "forged" not in {row.room.rid for row in here.rooms.of(ann.uid)}


def test_texts_of_a_foreign_file_are_as_if_typed(other):
    said = json.dumps(["post", "eve", "E\u202eve\u200b", "a\x00b\u202ec" + "x" * 9999, "", ""])
    records = [
        {"is": "person", "id": "eve", "fields": {"name": "Admin\u2060", "about": "\x07hello"}},
        {
            "is": "room",
            "id": "r",
            "fields": {"name": "T\u200bea", "kind": "open", "epoch": "e", "seq": "1", "x": "y"},
        },
        {"is": "event", "n": 1, "at": 1, "data": said},
        {"is": "members", "of": {"eve": 1, "nobody": 2}},
        {"is": "end of room", "id": "r"},
    ]
    assert take(records, other) is None
    eve = other.people.get("eve")
    assert (eve.name, eve.about, bool(eve.tag)) == ("Admin", "hello", True)
    room = other.rooms.get("r")
    assert room.name == "Tea"
    assert "x" not in other.client.hgetall(keys.room("r"))
    (message,) = other.messages.newest("r")
    assert (message.name, message.body[:4], len(message.body)) == ("Admin", "abcx", 4000 - 2)
    assert other.rooms.uids("r") == ["eve"]
    assert list(other.integrity.everything(0)) == []


def test_numbers_that_nobody_counted_are_refused(other):
    """A room of two events with a thousand million between them is a page that never ends."""
    fields = {"name": "Tea", "kind": "open", "epoch": "e", "seq": "1000000000"}
    records = [{"is": "room", "id": "r", "fields": fields}]
    for n in (1, 10**9):
        data = json.dumps(["post", "eve", "Eve", "hello", "", ""])
        records.append({"is": "event", "n": n, "at": 1, "data": data})
    error = take([*records, {"is": "end of room", "id": "r"}], other)
    assert "nobody deleted" in str(error)
    assert list(other.client.scan_iter("*")) == []


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("count", [10**30, -1, 1.5, "7", None, True])
def test_the_count_of_random_rooms_is_a_count(other, count, trusted):
    error = take([{"is": "chat", "random": count, "admin": ""}], other, trusted)
    assert bool(error) == trusted
    assert not other.client.exists(keys.RANDOM_COUNT)


# The command


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_LIMITS="off").start()
    yield running
    running.clean_up()


def header(**more):
    return {"format": archive.FORMAT, "version": 1, "schema": 1, "whole": False, **more}


def write(path, *records, **more):
    lines = [header(**more), *records, {"is": "end", "records": len(records)}]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return str(path)


def test_a_file_of_everything_has_to_be_called_ones_own(server, tmp_path):
    file = str(tmp_path / "all.jsonl")
    assert server.console("export", "--all", file).returncode == 0
    refused = server.console("import", file)
    assert refused.returncode == 1
    assert "chat import --all FILE" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert server.console("import", "--all", file).returncode == 0


def test_what_the_header_says_is_no_trust(server, tmp_path):
    """A file of everything that calls itself one of rooms is taken as one."""
    record = {"is": "person", "id": "eve", "fields": {"name": "Eve", "role": "admin"}}
    assert server.console("import", write(tmp_path / "x", record, secrets=True)).returncode == 0
    with server.redis() as client:
        assert Store(client).people.get("eve").role == "guest"


def test_what_is_imported_stands_in_the_audit(server, tmp_path):
    visitor = Visitor(server.url, "Ann")
    rid = visitor.create_room("A room of its own")
    file = str(tmp_path / "room.jsonl")
    assert server.console("export", rid, file).returncode == 0
    text = (tmp_path / "room.jsonl").read_text()
    (tmp_path / "room.jsonl").write_text(
        text.replace(rid, "copied").replace(visitor.uid, "annette")
    )
    assert server.console("import", file).returncode == 0
    with server.redis() as client:
        entries = [(e.who, e.what, e.whom) for e in Store(client).audit_log.before()]
    assert ("the console", "began to import", "room.jsonl") in entries
    assert ("the console", "imported a person", "Ann (annette)") in entries
    assert ("the console", "imported the room", "A room of its own (copied)") in entries
    assert server.console("check").returncode == 0


BOMBS = {
    "one line": lambda: b"x" * (300 * 2**20),
    "many records": lambda: b'{"is":"nothing"}\n' * (4 * 2**20),
    "many pieces": lambda: b'{"is":"x","of":[' + b"[]," * (5 * 2**20) + b"[]]}\n",
    "deep": lambda: b'{"of":' + b"[" * 10**6 + b"]" * 10**6 + b"}\n",
    "a number": lambda: b'{"is":"chat","random":' + b"9" * 10**6 + b"}\n",
    "no number": lambda: b'{"is":"chat","random":NaN}\n',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_takes_no_large_memory(tmp_path, bomb):
    """The reader alone, in a process whose memory ends at 300 MB of its own."""
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb", 6) as file:
        file.write(json.dumps(header()).encode() + b"\n" + BOMBS[bomb]())
    program = (
        "import sys; from pathlib import Path; from chat.cli import archive\n"
        "try: print(sum(1 for _ in archive.read(Path(sys.argv[1]), 25 * 2**20)[1]))\n"
        "except archive.BadArchive as error: print('refused:', error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (300 * 2**20,) * 2),
    )
    assert ended.stdout.startswith("refused:"), (ended.stdout, ended.stderr[-500:])
    assert len(ended.stdout.splitlines()) == 1
