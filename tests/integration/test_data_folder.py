"""Only the chat's own user can read its data, however open the machine's umask is."""

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from chat.cli.backup import AOF, BASE

from ..running import Server, Visitor, wait_until
from .test_files import send
from .test_people import picture, save

SOMEBODY = 65534  # a user who is not root


@pytest.fixture(scope="module", autouse=True)
def open_umask():
    """Most systems let everybody read new files."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def use(server: Server) -> str:
    """Have a chat make all that it makes in its folder."""
    ann = Visitor(server.url, "Ann")
    assert save(ann, picture(), name="Ann").status_code == 303
    rid = ann.create_room("Tea")
    send(ann, rid, ("a.zip", b"PK zip"))
    wait_until((server.data / "search.sqlite").exists, "the index")
    return rid


def open_to_others(folder: Path) -> list[str]:
    """Files and folders that anybody else may do anything with; chat.log is the test's own."""
    found = [path for path in [folder, *folder.rglob("*")] if path.name != "chat.log"]
    return [str(path) for path in found if stat.S_IMODE(path.lstat().st_mode) & 0o077]


@pytest.fixture(scope="module")
def kept(tmp_path_factory, open_umask, survivor):
    """A backup of a chat with everything in it."""
    if not survivor.is_ready():
        survivor.start()
    use(survivor)
    backup = tmp_path_factory.mktemp("kept") / "backup"
    assert survivor.console("backup", str(backup)).returncode == 0
    return backup


def kinds(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_serve_makes_is_private(tmp_path):
    server = Server(tmp_path / "chat")
    try:
        server.data.mkdir(0o700)
        server.start()
        use(server)
        made = {"valkey", "pictures", "files", "secret", "chat.pid", "search.sqlite"}
        assert made <= kinds(server.data)
        assert open_to_others(server.data) == []
        with server.redis() as client:  # Valkey makes new files here
            client.bgrewriteaof()
            wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        assert open_to_others(server.data) == []
        assert server.stop() == 0
        assert open_to_others(server.data) == []
    finally:
        server.clean_up()


def test_backups_restored_folders_and_exports_are_private(mortal_server, kept, tmp_path):
    restored, exported = Server(tmp_path / "restored"), tmp_path / "all.jsonl"
    assert mortal_server.console("export", "--all", str(exported)).returncode == 0
    assert restored.console("restore", str(kept)).returncode == 0
    for made in (kept, restored.data, exported):
        assert open_to_others(made) == []


def test_a_folder_that_was_open_is_mended_when_the_chat_starts(mortal_server, kept, tmp_path):
    mortal_server.stop()
    foreign = tmp_path / "elsewhere"
    foreign.write_text("somebody else's")
    foreign.chmod(0o644)
    (mortal_server.data / "files" / "link").symlink_to(foreign)
    for path in [mortal_server.data, *mortal_server.data.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    mortal_server.forget_log()
    mortal_server.start()
    left = open_to_others(mortal_server.data)
    assert left == [str(mortal_server.data / "files" / "link")]  # the mode of links is nothing
    assert "could be read by others; now they cannot" in mortal_server.log()
    assert stat.S_IMODE(foreign.stat().st_mode) == 0o644
    mortal_server.stop()
    mortal_server.forget_log()
    mortal_server.start()
    assert "could be read" not in mortal_server.log()


def test_a_folder_with_other_things_in_it_stays_as_it_is(mortal_server):
    mortal_server.stop()
    other = mortal_server.data / "website"
    other.mkdir()
    for path in (other, mortal_server.data):
        path.chmod(0o755)
    mortal_server.start()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (other, mortal_server.data)] == [
        0o755
    ] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_what_root_restores_belongs_to_the_owner_of_the_folder(kept, tmp_path):
    restored = Server(tmp_path / "restored")
    restored.data.mkdir()
    os.chown(restored.data, SOMEBODY, SOMEBODY)
    assert restored.console("restore", str(kept)).returncode == 0
    found = [restored.data, *restored.data.rglob("*")]
    assert len(found) > 10
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in found} == {(SOMEBODY, SOMEBODY)}


@pytest.mark.parametrize(
    "place", ["secret", "files/x/y", "pictures/p.webp", str(AOF / BASE), "new"]
)
@pytest.mark.parametrize("how", ["symlink", "hard link", "pipe", "socket", "folder link"])
def test_a_backup_with_links_is_refused(kept, tmp_path, place, how):
    """Whatever they lead to would be copied to where the chat, or a visitor, reads it."""
    backup, target = tmp_path / "backup", tmp_path / "private"
    shutil.copytree(kept, backup)
    target.write_text("of nobody's business")
    path = backup / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if how == "symlink":
        path.symlink_to(target)
    elif how == "hard link":
        os.link(target, path)
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "folder link":
        path.symlink_to(tmp_path)
    else:
        before = os.getcwd()
        os.chdir(path.parent)  # the path is too long for a socket
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(before)
    restored = Server(tmp_path / "restored")
    ended = restored.console("restore", str(backup))
    assert ended.returncode == 1
    assert "is a link or a device" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not list(restored.data.rglob("*")) if restored.data.exists() else True


def test_nothing_is_written_through_a_link_in_the_data_folder(kept, tmp_path):
    restored, outside = Server(tmp_path / "restored"), tmp_path / "outside"
    outside.mkdir()
    for name in ("files", "pictures", "valkey", "secret"):
        restored.data.mkdir(exist_ok=True)
        (restored.data / name).symlink_to(outside)
        ended = restored.console("restore", str(kept))
        assert ended.returncode == 1
        assert "is a symbolic link" in ended.stderr
        (restored.data / name).unlink()
    assert list(outside.iterdir()) == []
