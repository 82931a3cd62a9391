"""Backups of the embedded Valkey's data, made while people write, and their restoration.

Valkey writes a snapshot of one moment without stopping (BGREWRITEAOF). It has everything that was
acknowledged before, and nothing that was deleted before. A backup has the form of a data folder
whose append-only file begins with this snapshot, so restoring means copying. Only the epochs of
rooms are new.
"""

import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import redis

from ..config import Settings
from ..server import data_folder
from ..server.embedded_valkey import CannotStart, EmbeddedValkey
from ..store import Store, keys

NOTE = "backup.json"  # written last: a folder without it is not a complete backup
AOF = Path("valkey", "appendonlydir")
BASE = "appendonly.aof.1.base.aof"
SNAPSHOT = "appendonly.aof.1.base.rdb"  # its name in backups of older chats
MANIFEST = "file {} seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
POLL_SECONDS = 0.05  # while Valkey writes its file
# With these commands, a hostile backup could make Valkey replicate a server, open a port, send data
# away or run programs, when it is restored and at each start of the chat. Our own backups have only
# commands that create data.
_NOT_IN_A_BACKUP = (
    *("ACL", "CLUSTER", "CONFIG", "DEBUG", "FAILOVER", "MIGRATE", "MODULE", "REPLICAOF", "SLAVEOF"),
    *("BGREWRITEAOF", "BGSAVE", "SAVE", "SHUTDOWN", "PSYNC", "SYNC", "REPLCONF", "MONITOR"),
    *("EVAL", "EVALSHA", "EVALSHA_RO", "EVAL_RO", "FCALL", "FCALL_RO", "FUNCTION", "SCRIPT"),
    *("COMMANDLOG", "LATENCY", "PFDEBUG", "PFSELFTEST", "SLOWLOG", "SWAPDB"),
    *("PUBLISH", "SPUBLISH", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "RESTORE", "RESTORE-ASKING"),
)
ONLY_DATA = (
    *(word for name in _NOT_IN_A_BACKUP for word in ("--rename-command", name, "")),
    *("--sanitize-dump-payload", "yes"),  # checks the values of a snapshot too
)
MAX_TRIES = 5  # when Valkey begins to rewrite its file by itself


def backup(settings: Settings, client: redis.Redis, folder: Path) -> str:
    """Copy what the running chat stores into `folder`, which must be new or empty. Returns a
    sentence about the result. Raises CannotStart, OSError and redis's errors."""
    if settings.redis_url:
        raise CannotStart(
            "REDIS_URL is set: back up that database with its own tools (docs/data.md)"
        )
    if folder.exists() and (not folder.is_dir() or os.listdir(folder)):
        raise CannotStart(f"{folder} is not empty: use a new folder for a backup")
    (folder / AOF).mkdir(parents=True)
    folder.chmod(0o700)
    _copy_database(client, folder / AOF / BASE)
    _write_manifest(folder / AOF, BASE)
    left_out = _copy_beside(settings.data, folder, trusted=True)
    if settings.files:
        left_out += "; it does not contain the pictures and files, which are in CHAT_FILES"
    created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    digest = _digest(folder / AOF / BASE)
    note = {"format": "chat backup", "version": 1, "made": created, "sha256": digest}
    (folder / NOTE).write_text(json.dumps(note) + "\n")
    return f"The backup is in {folder}{left_out}."


def restore(settings: Settings, folder: Path) -> str:
    """Copy a backup into CHAT_DATA, which must be empty, while no chat uses it. Returns a sentence
    about the result. Files that root restores belong to the owner of CHAT_DATA. The backup need not
    be trusted: links and devices in it are refused, and so are commands that do anything but create
    data. Raises CannotStart and OSError."""
    if settings.redis_url:
        raise CannotStart("REDIS_URL is set: a backup goes into CHAT_DATA (docs/data.md)")
    _check_plain(folder)
    base = SNAPSHOT if (folder / AOF / SNAPSHOT).exists() else BASE
    try:
        note: dict[str, Any] = json.loads((folder / NOTE).read_text())
        is_whole = note["sha256"] == _digest(folder / AOF / base)
        made = ascii(str(note["made"])[:40])[1:-1]
    except (OSError, ValueError, KeyError, TypeError):
        raise CannotStart(f"{folder} is not a complete backup made by chat backup") from None
    if not is_whole:
        raise CannotStart(
            f"the backup in {folder} is damaged: {base} has changed since it was written"
        )
    data = settings.data
    data.mkdir(parents=True, exist_ok=True)
    owner = data.stat()
    for name in data_folder.OWN_NAMES:
        if (data / name).is_symlink():
            raise CannotStart(
                f"{data / name} is a symbolic link: a backup is restored into a real folder"
            )
    valkey = EmbeddedValkey(data / "valkey")
    valkey.take_folder()
    part = data / "valkey" / "restoring"
    try:
        for taken in ("secret", "pictures/*", "files/*", str(AOF)):
            if found := next(data.glob(taken), None):
                raise CannotStart(f"{found} exists: a backup is restored into an empty CHAT_DATA")
        shutil.rmtree(part, ignore_errors=True)
        (part / AOF.name).mkdir(parents=True)
        _copy(folder / AOF / base, part / AOF.name / base)
        _write_manifest(part / AOF.name, base)
        _begin_anew(part)
        _copy_beside(folder, data)
        (part / AOF.name).rename(data / AOF)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        valkey.stop()
        if os.geteuid() == 0:
            data_folder.change_owner(data, owner.st_uid, owner.st_gid)
    whose = ""
    if os.geteuid() == 0 and owner.st_uid == 0:
        whose = (
            f" It belongs to root: if the chat runs as another user, chown -R {data} to that user."
        )
    return f"{data} has the state of {made}. Start the chat with chat serve.{whose}"


def _check_plain(folder: Path) -> None:
    """Raise CannotStart when a backup has anything but folders and regular files."""
    for path in folder.rglob("*"):
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
            continue
        raise CannotStart(
            f"{path} is a link or a device: a backup contains only regular files. "
            "If the backup is yours and has hard links, copy it first (cp -r)"
        )


def _write_manifest(folder: Path, base: str) -> None:
    """Write the manifest and the empty log of commands that belong to the file `base`."""
    (folder / "appendonly.aof.1.incr.aof").touch(0o600)
    (folder / "appendonly.aof.manifest").write_text(MANIFEST.format(base))


def _begin_anew(folder: Path) -> None:
    """Give every room a new epoch: numbers after the end of the backup will be used again, and
    pages that show the first messages with these numbers must notice. This is a trial start too:
    the server has no commands that a backup does not need, and refuses a file that uses them."""
    valkey = EmbeddedValkey(folder, options=ONLY_DATA)
    try:
        valkey.start()
        with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
            for rid in Store(client).retention.rooms():
                client.hset(keys.room(rid), "epoch", secrets.token_urlsafe(6))
    finally:
        valkey.stop()


def _copy_database(client: redis.Redis, target: Path) -> None:
    """Let the server write its current state, and copy that."""
    for _ in range(MAX_TRIES):
        _wait(client)
        with suppress(redis.ResponseError):  # another rewrite has just begun
            client.bgrewriteaof()
            break
    if _wait(client)["aof_last_bgrewrite_status"] != "ok":
        raise CannotStart("Valkey could not write its data: see valkey/valkey.log")
    paths = client.config_get("dir", "appenddirname")
    folder = Path(str(paths["dir"]), str(paths["appenddirname"]))
    for _ in range(MAX_TRIES):
        with suppress(FileNotFoundError):  # rewritten again meanwhile
            _copy(folder / _base_name(folder), target)
            return
    raise CannotStart("Valkey keeps rewriting its file: try again")


def _base_name(folder: Path) -> str:
    """The name of the base file in Valkey's manifest."""
    lines = (folder / "appendonly.aof.manifest").read_text().splitlines()
    return next(line.split(" ")[1] for line in lines if line.endswith("type b"))


def _wait(client: redis.Redis) -> dict[str, Any]:
    """Wait until no background write is running; returns Valkey's report on persistence."""
    while True:
        info: dict[str, Any] = client.info("persistence")
        writes = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
        if not any(info[name] for name in writes):
            return info
        time.sleep(POLL_SECONDS)


def _copy_beside(data: Path, folder: Path, trusted: bool = False) -> str:
    """Copy what is not in the database: the key that signs cookies, pictures, and files of
    messages. `trusted`: the data folder is the chat's own, in which the operator may have put
    links. Returns what was left out, as the end of a sentence."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    files = (Path(path, name) for path, _, names in os.walk(data / "files") for name in names)
    for file in chain((data / "pictures").glob("*.webp"), files):
        copy = folder / file.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # its person or message has just been deleted
            _copy(file, copy, trusted)
    if not (data / "secret").exists():
        return "; it does not contain the key in SECRET_KEY"
    _copy(data / "secret", folder / "secret", trusted)
    return ""


def _copy(source: Path, target: Path, trusted: bool = False) -> None:
    """Copy a file and its times to a path that does not exist. Unless `trusted`, it must not be a
    link or a device. Raises CannotStart and OSError."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if trusted else os.O_NOFOLLOW)
    with open(os.open(source, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or (found.st_nlink > 1 and not trusted):
            raise CannotStart(f"{source} is a link or a device: a backup has only regular files")
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as copy:
            shutil.copyfileobj(file, copy)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
