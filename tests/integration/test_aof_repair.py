"""Repairing Valkey's append-only file after the disk was full."""

import resource
import subprocess
from functools import partial

import pytest
import redis

from chat.server import aof_repair, embedded_valkey
from chat.server.embedded_valkey import EmbeddedValkey

from ..running import wait_until


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A Valkey whose files can be kept from growing: it is told of it, and does not die of it."""
    popen = partial(subprocess.Popen, restore_signals=False)
    monkeypatch.setattr(embedded_valkey.subprocess, "Popen", popen)
    valkey = EmbeddedValkey(tmp_path)
    valkey.start()
    yield valkey
    valkey.stop()


def test_a_disk_that_was_full_does_not_keep_valkey_from_its_next_start(small_disk):
    """The file is one that was begun while it ran, and a write got into it by half."""
    log, pid = small_disk.folder / "appendonlydir", small_disk.process.pid

    def size():
        return max(log.glob("*.incr.aof")).stat().st_size

    with redis.Redis.from_url(small_disk.url, decode_responses=True) as client:
        client.bgrewriteaof()
        wait_until(lambda: (log / "appendonly.aof.2.incr.aof").exists(), "the new file")
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "its end")
        client.set("first", "x")
        wait_until(size, "the first write")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size() + 20, resource.RLIM_INFINITY))
        client.set("second", "x" * 100)
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            client.set("refused", "x")
        infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, infinite)
        wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "ok", "room")
        client.set("third", "x")
    small_disk.process.kill()
    small_disk.process.wait()
    small_disk.spawn()
    small_disk.wait()
    with redis.Redis.from_url(small_disk.url, decode_responses=True) as client:
        assert sorted(client.keys()) == ["first", "second", "third"]


def word(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\0\0" + word(b"SET", b"a", b"1"), word(b"SET", b"a", b"1")),
        (
            word(b"SET", b"a", b"\n\0\0") + b"\0" * 9 + b"#TS:1\r\n" + word(b"DEL", b"a") + b"\0",
            word(b"SET", b"a", b"\n\0\0") + b"#TS:1\r\n" + word(b"DEL", b"a"),
        ),
        (word(b"SET", b"a", b"\n\0\0"), None),
        (word(b"PING") + b"nonsense\n\0\0", None),
        (word(b"PING") + b"*2\r\n$3\r\nSET\r\n\0\0\0", None),
        (b"", None),
    ],
)
def test_only_what_stands_in_the_place_of_a_command_is_taken_out(tmp_path, before, after):
    file = tmp_path / "appendonly.aof.7.incr.aof"
    file.write_bytes(before)
    aof_repair.repair(tmp_path)
    assert file.read_bytes() == (before if after is None else after)
    assert list(tmp_path.iterdir()) == [file]
