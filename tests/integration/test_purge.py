"""No file contains deleted text: the tests search the whole data folder."""

import os
import secrets
import sqlite3
import time
from pathlib import Path

import pytest

from chat.server.purge import Purge
from chat.store import Store, keys

from ..running import Server, Visitor, wait_until
from .test_files import send


def word() -> str:
    """A word that nothing else has. It is not in the tests' own log, for that has no texts."""
    return f"zq{secrets.token_hex(10)}"


def files_with(folder: Path, text: str) -> list[str]:
    """The files that have a word, or its end: an index leaves out how a word begins."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and text[-12:].encode() in path.read_bytes():
            found.append(str(path.relative_to(folder)))
    return found


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path / "chat", CHAT_LIMITS="off").start()
    yield running
    running.clean_up()


class Deleted:
    """Everything that can be deleted, done, found by the search, and taken back; `words` are the
    texts of it."""

    def __init__(self, server: Server) -> None:
        self.words: dict[str, str] = {}
        self.server = server
        ann = Visitor(server.url, "Ann")
        rid = ann.create_room("Tea")
        self.kept = self.word("kept")
        for n in range(3):  # around what is deleted, for an entry that is alone goes anyway
            ann.post(rid, f"{self.kept} {n}")
        with server.redis() as client:
            store = Store(client)
            person = store.people.get(ann.uid)
            post = lambda what, **how: store.messages.post(rid, person, self.word(what), **how)  # noqa: E731
            message, edited, quoted = post("a message"), post("before an edit"), post("a question")
            again = store.messages.post(rid, person, "to be changed twice")
            store.messages.edit(rid, person, again, self.word("between two edits"))
            store.messages.post(rid, person, "an answer", reply=quoted)
            store.drafts.keep(ann.uid, rid, self.word("a draft"))
            store.people.edit(person, about=self.word("about somebody"))
            name = f"{self.word('the name of a file')}.txt"
            send(ann, rid, (name, self.word("a file").encode()))
            with_file = store.rooms.get(rid).seq
            last = post("the last message")
            wait_until(lambda: self.is_indexed(last), "the index")
            store.messages.edit(rid, person, edited, self.word("after an edit"))
            store.messages.edit(rid, person, again, "changed twice")
            store.drafts.keep(ann.uid, rid, "another")
            store.people.edit(person, about="")
            for seq in (message, edited, quoted, last):
                store.messages.delete(rid, person, seq)
        assert ann.submit(f"/rooms/{rid}/messages/{with_file}/delete").status_code == 303

    def is_indexed(self, seq: int) -> bool:
        with sqlite3.connect(self.server.data / "search.sqlite") as db:
            newest = db.execute("SELECT max(id) FROM message").fetchone()[0] or 0
        db.close()
        return newest & 0xFFFFFFFF >= seq

    def word(self, what: str) -> str:
        self.words[what] = word()
        return self.words[what]

    def left(self, folder: Path) -> dict[str, list[str]]:
        """What is still in some file."""
        found = {what: files_with(folder, text) for what, text in self.words.items()}
        return {what: paths for what, paths in found.items() if paths and what != "kept"}


def test_nothing_of_what_was_deleted_is_in_any_file_after_a_stop(server):
    deleted = Deleted(server)
    left = deleted.left(server.data)  # or the test shows nothing
    assert {"a message", "after an edit", "a draft", "the last message"} <= set(left)
    assert any("search.sqlite" in path for path in left["a message"])
    assert server.stop() == 0
    assert deleted.left(server.data) == {}
    assert files_with(server.data, deleted.kept)


def test_nor_a_while_later_while_the_chat_runs(tmp_path):
    server = Server(tmp_path / "chat", CHAT_LIMITS="off", CHAT_PURGE_SECONDS="1").start()
    try:
        deleted = Deleted(server)
        wait_until(lambda: not deleted.left(server.data), "the purge")
        assert files_with(server.data, deleted.kept)
    finally:
        server.clean_up()


def test_a_machine_whose_clock_was_set_back_does_not_wait_for_the_old_time(valkey, client):
    """The file is from a time to come."""
    purge = Purge(valkey, 3600)
    client.set("text", "something")
    client.delete("text")
    for path in (valkey.folder / "appendonlydir").iterdir():
        os.utime(path, (time.time() + 24 * 3600,) * 2)
    before = client.info("persistence")["aof_rewrites"]
    purge.look()
    wait_until(lambda: client.info("persistence")["aof_rewrites"] > before, "a rewrite")


def test_nor_after_a_kill_and_another_stop(server):
    deleted = Deleted(server)
    server.kill()
    assert deleted.left(server.data)
    server.start()
    assert server.stop() == 0
    assert deleted.left(server.data) == {}


def test_a_backup_has_nothing_that_was_deleted_before(server, tmp_path):
    deleted = Deleted(server)
    kept = tmp_path / "backup"
    ended = server.console("backup", str(kept))
    assert ended.returncode == 0, ended.stderr
    assert deleted.left(kept) == {}
    assert files_with(kept, deleted.kept)


def test_a_chat_in_which_nothing_happens_rewrites_nothing(tmp_path):
    server = Server(tmp_path / "chat", CHAT_LIMITS="off", CHAT_PURGE_SECONDS="1").start()
    try:
        Visitor(server.url, "Ann").create_room("Tea")
        with server.redis() as client:
            rewrites = lambda: client.info("persistence")["aof_rewrites"]  # noqa: E731
            wait_until(rewrites, "a rewrite")
            beats = lambda: client.zscore(keys.PROCESSES, _process(client))  # noqa: E731
            before, at = rewrites(), beats()
            wait_until(lambda: beats() > at + 5, "some beats of the process")
            assert rewrites() <= before + 1  # the first came before all was written
    finally:
        server.clean_up()


def _process(client) -> str:
    return client.zrange(keys.PROCESSES, 0, 0)[0]
