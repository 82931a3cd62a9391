"""Who may read the data folder: the chat's own user and nobody else on the machine.

All commands run with the umask PRIVATE, so that whatever they and Valkey make is private. Folders
that an older chat made, or that were copied into place, are mended when the chat starts.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o077  # the umask: files are 0600, folders 0700
# What the chat makes in CHAT_DATA. Nothing else there is touched.
OURS = (
    "valkey",
    "pictures",
    "files",
    "search.sqlite",
    "search.sqlite-wal",
    "search.sqlite-shm",
    "secret",
    "chat.pid",
)


def mend(folder: Path) -> tuple[int, list[Path]]:
    """Take away what others may do with the chat's files. Returns how many files and folders were
    open to others, and those that stay so because they belong to somebody else."""
    mended, left = 0, []
    for path in _paths(folder):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & PRIVATE:
            try:
                path.chmod(mode & ~PRIVATE)
                mended += 1
            except FileNotFoundError:
                pass  # removed just now
            except PermissionError:
                left.append(path)
    return mended, left


def give(folder: Path, uid: int, gid: int) -> None:
    """Make all of the chat's files this user's and this group's. Only root can."""
    for path in _paths(folder):
        os.lchown(path, uid, gid)


def _paths(folder: Path) -> Iterator[Path]:
    """The chat's files and folders, each folder before what is in it; the data folder itself where
    nothing but them is in it. Symbolic links and sockets are left out: what they lead to may be
    anybody's."""
    if not folder.is_dir():
        return
    names = {entry.name for entry in os.scandir(folder)}
    if names and all(name in OURS or name.startswith("chat.") for name in names):
        yield folder
    for name in OURS:
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
