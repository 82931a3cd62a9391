"""Backing up a chat while people write, and continuing from the backup."""

import hashlib
import json
import shutil
import threading
from pathlib import Path

import pytest

from chat.cli.backup import AOF, BASE, MANIFEST, NOTE, SNAPSHOT
from chat.store import Store

from ..running import Server, Visitor, wait_until
from .page import Page
from .test_files import send
from .test_files import shown as files_in
from .test_people import picture, save


@pytest.fixture
def restored(mortal_server, tmp_path_factory):
    """Another chat, over an empty folder until something is put into it. With the name of the test
    in it, the path would soon be too long for the socket of Valkey."""
    running = Server(tmp_path_factory.mktemp("to") / "chat")
    yield running
    running.clean_up()


def ok(ended):
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_backup_while_people_write_has_all_that_was_acknowledged(
    mortal_server, restored, tmp_path
):
    ann = Visitor(mortal_server.url, "Ann")
    assert save(ann, picture(), name="Ann").status_code == 303
    rid = ann.create_room("Tea")
    other = ann.create_room("Files")
    send(ann, other, ("a.zip", b"PK zip"))
    uid, kept = ann.uid, tmp_path / "backup"
    page, stop, acknowledged = Page(ann).watch(rid), threading.Event(), [0]

    def write():
        """Posts without a pause and counts what was acknowledged."""
        while not stop.is_set():
            nonce = page.post(rid, f"message {acknowledged[0] + 1}")
            page.wait_for(f'hx-target="#c-{nonce}" hx-swap="beforeend"><i class="sent">')
            acknowledged[0] += 1

    writing = threading.Thread(target=write)
    writing.start()
    try:
        wait_until(lambda: acknowledged[0] > 20, "some messages")
        before = acknowledged[0]
        assert "The backup is in" in ok(mortal_server.console("backup", str(kept)))
        wait_until(lambda: acknowledged[0] > before + 20, "more messages")
    finally:
        stop.set()
        writing.join()
    assert kept.stat().st_mode & 0o777 == 0o700
    assert mortal_server.stop() == 0

    assert "Start the chat with chat serve" in ok(restored.console("restore", str(kept)))
    restored.start()
    with restored.redis() as client:
        messages = Store(client).messages.after(rid, 1, limit=10**6)
    assert [event.body for event in messages] == [f"message {n + 1}" for n in range(len(messages))]
    assert [event.seq for event in messages] == list(range(2, len(messages) + 2))
    assert before <= len(messages) < acknowledged[0]

    there = Visitor(restored.url)
    there.http.cookies = ann.http.cookies  # the key that signed it is the same
    shown = Page(there).watch(rid)
    shown.wait_for("message")
    shown.post(rid, "and on")
    shown.wait_shown("and on")
    assert there.get(f"/people/{uid}/picture").headers["content-type"] == "image/webp"
    assert there.get(files_in(there, other)[0]).content == b"PK zip"
    assert ok(restored.console("check")) == "No problems found.\n"


def test_a_restored_chat_survives_as_any_other(mortal_server, restored, tmp_path):
    """What is written after the restore is kept too: the append-only file goes on."""
    rid = Visitor(mortal_server.url, "Ann").create_room("Tea")
    ok(mortal_server.console("backup", str(tmp_path / "b")))
    ok(restored.console("restore", str(tmp_path / "b")))
    restored.start()
    bob = Visitor(restored.url, "Bob")
    bob.join(rid)
    bob.post(rid, "after the restore")
    restored.kill()
    restored.start()
    assert "after the restore" in bob.room(rid)


def test_a_page_that_shows_what_the_backup_has_not_gets_the_list_anew(
    mortal_server, restored, tmp_path
):
    """Numbers are given once more: they must not be taken for what was lost."""
    ann = Visitor(mortal_server.url, "Ann")
    rid = ann.create_room("Tea")
    ok(mortal_server.console("backup", str(tmp_path / "b")))
    with mortal_server.redis() as client:
        epoch = Store(client).rooms.get(rid).epoch
    page = Page(ann).watch(rid, epoch=epoch)
    for n in range(3):
        page.post(rid, f"lost {n}")
    page.wait_shown("lost 2")
    ok(restored.console("restore", str(tmp_path / "b")))
    restored.start()
    there = Visitor(restored.url)
    there.http.cookies = ann.http.cookies
    for n in range(5):
        there.post(rid, f"new {n}")
    page.visitor = there
    page.reconnect()
    page.watch(rid, epoch=epoch)
    page.wait_shown("new 4")
    assert page.bodies == [f"new {n}" for n in range(5)]


def test_a_backup_of_an_older_chat_is_put_back(mortal_server, restored, tmp_path):
    """Its database is a snapshot under another name."""
    ann = Visitor(mortal_server.url, "Ann")
    rid = ann.create_room("Tea")
    ann.post(rid, "from long ago")
    kept = tmp_path / "b"
    ok(mortal_server.console("backup", str(kept)))
    with mortal_server.redis() as client:
        client.bgsave()
        wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"])
        shutil.move(Path(client.config_get("dir")["dir"], "dump.rdb"), kept / AOF / SNAPSHOT)
    (kept / AOF / BASE).unlink()
    (kept / AOF / "appendonly.aof.manifest").write_text(MANIFEST.format(SNAPSHOT))
    note = json.loads((kept / NOTE).read_text())
    note["sha256"] = hashlib.sha256((kept / AOF / SNAPSHOT).read_bytes()).hexdigest()
    (kept / NOTE).write_text(json.dumps(note))
    ok(restored.console("restore", str(kept)))
    restored.start()
    there = Visitor(restored.url)
    there.http.cookies = ann.http.cookies
    assert "from long ago" in there.room(rid)


def test_what_stands_in_the_way_is_said_in_a_line(mortal_server, restored, tmp_path):
    kept = tmp_path / "b"
    ok(mortal_server.console("backup", str(kept)))
    for server, args, said in (
        (mortal_server, ["backup", str(kept)], "is not empty"),
        (mortal_server, ["restore", str(kept)], "another chat is using"),
        (restored, ["restore", str(tmp_path)], "not a complete backup"),
        (restored, ["backup", str(tmp_path / "new")], "no chat is running"),
    ):
        ended = server.console(*args)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("chat: ")
        assert said in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
    assert not (restored.data / AOF).exists()

    mortal_server.stop()
    ended = mortal_server.console("restore", str(kept))
    assert "a backup is restored into an empty CHAT_DATA" in ended.stderr
    mortal_server.start()


def test_a_damaged_backup_is_not_put_in(mortal_server, restored, tmp_path):
    kept = tmp_path / "b"
    ok(mortal_server.console("backup", str(kept)))
    whole = (kept / AOF / BASE).read_bytes()
    (kept / AOF / BASE).write_bytes(whole[:-1])
    assert "is damaged" in restored.console("restore", str(kept)).stderr
    (kept / AOF / BASE).unlink()
    assert "not a complete backup" in restored.console("restore", str(kept)).stderr
    (kept / AOF / BASE).write_bytes(whole)
    (kept / NOTE).unlink()
    assert "not a complete backup" in restored.console("restore", str(kept)).stderr
    assert not (restored.data / "secret").exists()


def test_a_database_of_its_own_is_backed_up_with_its_own_tools(valkey, client, tmp_path):
    chat = Server(tmp_path / "chat", REDIS_URL=valkey.url)
    for command in ("backup", "restore"):
        ended = chat.console(command, str(tmp_path / "b"))
        assert ended.returncode == 1
        assert "REDIS_URL is set" in ended.stderr
