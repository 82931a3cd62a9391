"""The chat waits while the embedded Valkey loads a large file."""

import pytest

from chat.server import embedded_valkey
from chat.server.embedded_valkey import CannotStart, EmbeddedValkey

from ..running import wait_until

KEYS = 3000
SLOW = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
"""A millisecond for each key, and answers in between, as for a file of gigabytes."""


def is_rewriting(client) -> bool:
    found = client.info("persistence")
    return bool(found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])


@pytest.fixture
def valkey(tmp_path):
    # Only a file that begins with a snapshot can be read slowly on purpose.
    first = EmbeddedValkey(tmp_path, options=("--aof-use-rdb-preamble", "yes"))
    first.start()
    with first.client() as client:
        for n in range(KEYS):
            client.set(f"key {n}", n)
        client.bgrewriteaof()
        wait_until(lambda: not is_rewriting(client), "the file")
    first.stop()
    started = EmbeddedValkey(tmp_path, options=SLOW)
    yield started
    started.stop()


def test_a_server_that_says_that_it_reads_its_file_is_waited_for(valkey, monkeypatch):
    monkeypatch.setattr(embedded_valkey, "MAX_SILENCE_SECONDS", KEYS / 1000 / 3)
    valkey.start()
    with valkey.client() as client:
        assert client.dbsize() == KEYS


def test_a_server_that_says_nothing_is_not_waited_for(valkey, monkeypatch):
    monkeypatch.setattr(embedded_valkey, "MAX_SILENCE_SECONDS", 0.3)
    elsewhere = ("--port", "0", "--unixsocket", str(valkey.folder / "x"))
    monkeypatch.setattr(valkey, "options", elsewhere)
    with pytest.raises(CannotStart, match="did not answer"):
        valkey.start()
