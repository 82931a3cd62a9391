"""Hostile backups: what Valkey would do while it loads them."""

import hashlib
import json
import shutil
import socket

import pytest

from chat.cli.backup import AOF, BASE, MANIFEST, NOTE, ONLY_DATA, SNAPSHOT
from chat.server.embedded_valkey import EmbeddedValkey

from ..running import Server, Visitor, wait_until

MAKES_DATA = {  # what Valkey writes when it writes its file anew (rewriteAppendOnlyFileRio)
    *("select", "set", "rpush", "sadd", "zadd", "hmset", "hset", "hsetex", "hpexpireat", "xadd"),
    *("xsetid", "xgroup", "xclaim", "pexpireat", "multi", "exec"),
}
# No harm to whoever restores the backup: they read, wait for nobody, or say something.
KINDS_OF_HARM = ("@admin", "@dangerous", "@scripting", "@pubsub")
HARMLESS = {
    *("info", "keys", "flushall", "flushdb", "sort", "sort_ro", "lastsave", "role", "pubsub"),
    *("unsubscribe", "punsubscribe", "sunsubscribe"),
}


def packed(*words):
    words = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A backup, and the same with a snapshot as an older chat made it."""
    folder = tmp_path_factory.mktemp("kept")
    server = Server(folder / "chat", CHAT_LIMITS="off").start()
    Visitor(server.url, "Ann").create_room("Tea")
    assert server.console("backup", str(folder / "now")).returncode == 0
    shutil.copytree(folder / "now", folder / "older")
    with server.redis() as client:
        client.bgsave()
        wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"])
        shutil.move(
            client.config_get("dir")["dir"] + "/dump.rdb", folder / "older" / AOF / SNAPSHOT
        )
    (folder / "older" / AOF / BASE).unlink()
    (folder / "older" / AOF / "appendonly.aof.manifest").write_text(MANIFEST.format(SNAPSHOT))
    server.clean_up()
    return folder


def changed(kept, tmp_path, form, *commands, **note):
    """A copy of a backup with more commands at its end, and a note that fits."""
    backup = tmp_path / "backup"
    shutil.copytree(kept / form, backup)
    base = backup / AOF / (BASE if form == "now" else SNAPSHOT)
    base.write_bytes(base.read_bytes() + b"".join(packed(*command) for command in commands))
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    told = {**json.loads((backup / NOTE).read_text()), "sha256": digest, **note}
    (backup / NOTE).write_text(json.dumps(told))
    return backup


HOSTILE = {
    "replica": ("REPLICAOF", "127.0.0.1", "{port}"),
    "replica by its old name": ("slaveof", "127.0.0.1", "{port}"),
    "port": ("CONFIG", "SET", "port", "{port}"),
    "password": ("CONFIG", "SET", "requirepass", "x"),
    "socket for all": ("CONFIG", "SET", "unixsocketperm", "777"),
    "sent away": ("MIGRATE", "127.0.0.1", "{port}", "", "0", "1000", "COPY", "KEYS", "chat:names"),
    "cluster": ("CLUSTER", "MEET", "127.0.0.1", "{port}"),
    "user": ("ACL", "SETUSER", "default", "off"),
    "module": ("MODULE", "LOAD", "/tmp/x.so"),
    "stop": ("DEBUG", "SLEEP", "90"),
    "end": ("SHUTDOWN", "NOSAVE"),
    "script": ("EVAL", "while true do end", "0"),
    "function": ("FUNCTION", "LOAD", "#!lua name=x\nserver.register_function('f', function() end)"),
    "payload": ("RESTORE", "x", "0", "x"),
}


@pytest.mark.parametrize("form", ["now", "older"])
@pytest.mark.parametrize("command", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_backup_makes_data_and_does_nothing_else(kept, tmp_path, form, command):
    """Valkey runs each command in its file, whatever that is. Nobody is asked, and nothing of the
    backup is there afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        words = [word.format(port=other.getsockname()[1]) for word in command]
        backup = changed(kept, tmp_path, form, words)
        restored = Server(tmp_path / "restored")
        ended = restored.console("restore", str(backup))
        assert ended.returncode == 1
        assert ended.stderr.startswith("chat: the embedded Valkey did not start: ")
        assert len(ended.stderr.splitlines()) == 1
        with pytest.raises(BlockingIOError):
            other.accept()
    assert {path.name for path in restored.data.rglob("*")} <= {"valkey", "lock"}


@pytest.mark.parametrize("form", ["now", "older"])
def test_a_backup_with_more_data_is_put_back(kept, tmp_path, form):
    backup = changed(kept, tmp_path, form, ("SELECT", "0"), ("SET", "chat:x", "y"))
    ended = Server(tmp_path / "restored").console("restore", str(backup))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("made", [None, 5, [], "\x1b[31m\nred", "\ud800", "x" * 10_000])
def test_what_a_note_says_is_printed_as_text(kept, tmp_path, made):
    ended = Server(tmp_path / "restored").console(
        "restore", str(changed(kept, tmp_path, "now", made=made))
    )
    assert ended.returncode == 0
    assert ended.stdout.strip().isprintable()
    assert len(ended.stdout) < 500


def test_every_command_that_does_more_is_unknown(tmp_path):
    """Of the commands of the Valkey that we have, by its own table."""
    valkey = EmbeddedValkey(tmp_path / "all")
    strict = EmbeddedValkey(tmp_path / "strict", options=ONLY_DATA)
    try:
        valkey.start()
        strict.start()
        with valkey.client() as client:
            table = client.execute_command("COMMAND")
        with strict.client() as client:
            known = {_text(name) for name in client.execute_command("COMMAND LIST")}
    finally:
        valkey.stop()
        strict.stop()
    harmful = {name for name in table if set(KINDS_OF_HARM) & set(table[name]["acl_categories"])}
    assert known & harmful <= HARMLESS
    assert known >= MAKES_DATA - {"hsetex"}


def _text(name):
    return name.decode() if isinstance(name, bytes) else name
