"""The database has a version, and servers migrate it, once."""

import subprocess
import sys
import threading

import pytest
import redis

from chat.store import keys
from chat.store.migrations import VERSION, Schema, TooNew

from ..running import ROOT, Server, Visitor, free_port, wait_until


@pytest.fixture
def schema(store):
    """Makes the schema of a chat with these migrations."""
    return lambda *migrations: Schema(store.client, migrations)


def test_a_database_without_a_number_gets_one_and_keeps_everything(client, store):
    ann = store.people.create("Ann")
    tea = store.rooms.create("Tea", "open", ann)
    store.schema.prepare()
    assert client.get(keys.SCHEMA) == str(VERSION)
    assert not client.exists(keys.SCHEMA_LEASE)
    assert [room.rid for room in store.rooms.open()] == [tea]


def test_what_is_up_to_date_is_not_touched(client, store):
    store.schema.prepare()
    before = client.info("commandstats").get("cmdstat_set", {}).get("calls", 0)
    store.schema.prepare()
    assert client.info("commandstats")["cmdstat_set"]["calls"] == before


def test_migrations_run_in_order_from_where_the_database_is(client, schema):
    client.set(keys.SCHEMA, 1)
    ran = []

    def step(name):
        def migrate(_):
            ran.append(name)
            yield

        return migrate

    schema(step("0 to 1"), step("1 to 2"), step("2 to 3")).prepare()
    assert ran == ["1 to 2", "2 to 3"]
    assert client.get(keys.SCHEMA) == "3"


def test_a_migration_that_breaks_is_begun_again_by_the_next_start(client, schema):
    def breaks(client):
        client.set("chat:half", "1")
        yield
        raise redis.ConnectionError("gone")

    def goes(client):
        client.set("chat:half", "2")
        yield

    with pytest.raises(redis.ConnectionError):
        schema(breaks).prepare()
    assert not client.exists(keys.SCHEMA)
    schema(goes).prepare()
    assert (client.get("chat:half"), client.get(keys.SCHEMA)) == ("2", "1")


def test_a_newer_database_is_refused(client, store):
    client.set(keys.SCHEMA, VERSION + 1)
    with pytest.raises(TooNew):
        store.schema.prepare()
    assert client.get(keys.SCHEMA) == str(VERSION + 1)


def test_of_many_that_start_at_once_one_migrates_and_the_others_wait(client, schema):
    begun, ended = [], []
    may_end = threading.Event()

    def slow(client):
        begun.append(1)
        while not may_end.wait(0.01):
            yield
        ended.append(1)

    started = [schema(slow) for _ in range(4)]
    seen = []

    def start(one):
        one.prepare()
        seen.append(len(ended))

    threads = [threading.Thread(target=start, args=(one,)) for one in started]
    for thread in threads:
        thread.start()
    wait_until(lambda: begun, "a migration")
    assert not seen
    may_end.set()
    for thread in threads:
        thread.join()
    assert (begun, seen) == ([1], [1] * 4)


def test_two_chats_that_start_at_once_on_an_old_database_both_serve(valkey, client, tmp_path):
    """Supervisors of two hosts with one Redis that knows no number yet."""
    client.set("chat:admin", "somebody")
    env = {"REDIS_URL": valkey.url, "SECRET_KEY": "s" * 32}
    chats = [Server(tmp_path / name, **env) for name in ("one", "two")]
    threads = [threading.Thread(target=chat.start) for chat in chats]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.get(keys.SCHEMA) == str(VERSION)
        for chat in chats:
            Visitor(chat.url, "Ann").create_room("Tea")
    finally:
        for chat in chats:
            chat.clean_up()


def test_a_chat_does_not_start_on_a_database_that_is_newer(valkey, client, tmp_path):
    client.set(keys.SCHEMA, VERSION + 1)
    ended = subprocess.run(
        [sys.executable, "-m", "chat", "serve"],
        env={
            "PYTHONPATH": str(ROOT),
            "CHAT_BIND": f"127.0.0.1:{free_port()}",
            "CHAT_DATA": str(tmp_path),
            "REDIS_URL": valkey.url,
        },
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert f"has version {VERSION + 1}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
