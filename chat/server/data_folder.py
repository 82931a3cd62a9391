"""CHAT_DATA: who can read it, and the secret key in it.

Only the chat's own user can read it. All commands run with PRIVATE_UMASK, so everything that they
and Valkey create is private. Permissions of folders that an older chat made, or that were copied
into place, are corrected when the chat starts.
"""

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..observability.log_setup import say
from .embedded_valkey import CannotStart

PRIVATE_UMASK = 0o077  # files get 0600, folders 0700
SECRET_KEY_BYTES = 48
# What the chat creates in CHAT_DATA. It changes nothing else there.
OWN_NAMES = (
    "valkey",
    "pictures",
    "files",
    "search.sqlite",
    "search.sqlite-wal",
    "search.sqlite-shm",
    "secret",
    "chat.pid",
)


def make_private(folder: Path) -> None:
    """Remove the permissions of other users from the chat's files, and print what could be read."""
    changed, unchanged = 0, []
    for path in _paths(folder):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & PRIVATE_UMASK:
            try:
                path.chmod(mode & ~PRIVATE_UMASK)
                changed += 1
            except FileNotFoundError:
                pass  # removed a moment ago
            except PermissionError:
                unchanged.append(path)
    if changed:
        say(f"{changed} files and folders in {folder} could be read by others; now they cannot")
    if unchanged:
        more = f" and {len(unchanged) - 1} more" if unchanged[1:] else ""
        say(f"others can read {unchanged[0]}{more}: another user owns what this user cannot change")


def change_owner(folder: Path, uid: int, gid: int) -> None:
    """Give all of the chat's files to this user and group. Only root can."""
    for path in _paths(folder):
        os.lchown(path, uid, gid)


def secret_key(folder: Path) -> str:
    """Return the key that signs session cookies. It is created once and kept in `folder`/secret.
    Raises CannotStart."""
    path = folder / "secret"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            descriptor, temporary = tempfile.mkstemp(dir=folder)  # 0600
            with open(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(SECRET_KEY_BYTES))
            # The file appears complete. If two processes start at the same time, the first file
            # stays.
            with suppress(FileExistsError):
                os.link(temporary, path)
            os.unlink(temporary)
        return path.read_text()
    except OSError as error:
        raise CannotStart(f"cannot write to the data folder {folder}: {error.strerror}") from None


def _paths(folder: Path) -> Iterator[Path]:
    """Yield the chat's files and folders, each folder before its contents. The data folder itself
    is included if nothing else is in it. Symbolic links and sockets are left out: anybody may own
    what they lead to."""
    if not folder.is_dir():
        return
    names = {entry.name for entry in os.scandir(folder)}
    if names and all(name in OWN_NAMES or name.startswith("chat.") for name in names):
        yield folder
    for name in OWN_NAMES:
        if name in names:
            yield from _below(folder / name)


def _below(path: Path) -> Iterator[Path]:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        yield path
    elif stat.S_ISDIR(mode):
        yield path
        for entry in os.scandir(path):
            yield from _below(Path(entry.path))
