"""Checks, converts and stores the files of messages.

Images are decoded and encoded again (chat.media.images), so that only their pixels are stored, and
get a preview. An image that exceeds a limit is stored unchanged, as a file that is not shown, with
a note that says why. An image that cannot be decoded is refused. All other files are stored
unchanged. Their type is derived from their name (chat.domain.file_types), never from what the
sender says.
"""

import io
import logging
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, Any

from obstore.exceptions import BaseError
from redis.exceptions import RedisError

from ..bridge import await_
from ..config import Settings
from ..domain.errors import FilesAway, Invalid, NotFound, OverQuota
from ..domain.events import File
from ..domain.file_types import MAX_FILES, PLAIN, PROGRAMS, SUFFIXES, clean_file_name, type_of
from ..store import Person
from ..store.stored_files import Full, Quotas, StoredFiles
from . import images
from .avatars import MISSING, Pictures
from .image_protocol import ATTACHMENT, BROKEN, BYTES, FRAMES, MEMORY, PIXELS, TIME, NotMade

log = logging.getLogger(__name__)

READ_CHUNK_BYTES = 1 << 18  # read from the storage at a time, at least
LIST_CHUNK_FILES = 1000  # listed at a time
FOLDER = "files"
DATABASE_NAME_PATH = "files/database"  # the name of the database that the files belong to

_UNCHANGED = "It is stored unchanged, with its metadata."
NOTES = {
    PIXELS: f"Not shown because it has too many pixels. {_UNCHANGED}",
    FRAMES: f"Not shown because it has too many frames. {_UNCHANGED}",
    BYTES: f"Not shown because it would be too large. {_UNCHANGED}",
    MEMORY: f"Not shown because it takes too much memory to open. {_UNCHANGED}",
    TIME: f"Not shown because it takes too long to open. {_UNCHANGED}",
}
"""The text next to an image that is stored as a file, by the code of its note."""


@dataclass(frozen=True)
class Upload:
    """A file that is being uploaded: its name, and a stream at its first byte."""

    name: str
    stream: IO[bytes]

    def size(self) -> int:
        """In bytes."""
        size = self.stream.seek(0, io.SEEK_END)
        self.stream.seek(0)
        return size


class Files:
    """Stores files in the same place as `pictures`. `max_bytes` is the limit for one file; the
    files of a message may have twice as many bytes together."""

    def __init__(
        self,
        pictures: Pictures,
        max_bytes: int,
        stored: StoredFiles | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self.pictures = pictures
        self.stored = stored
        self.quotas = quotas or Quotas()
        self.max_bytes = max_bytes
        self.max_message_bytes = 2 * max_bytes
        together = file_size(self.max_message_bytes)
        # The limits as a sentence, and the error for a request that is too large to be read.
        self.limits = (
            f"Up to {MAX_FILES} files of {file_size(max_bytes)} each, {together} in total. "
            "Programs are not allowed."
        )
        self.too_large = f"The files are too large together. The limit is {together}."

    def keep(self, rid: str, sent: Sequence[Upload], by: Person) -> list[File]:
        """Store all files of a message by person `by` in room `rid`, or none. Raises Invalid, which
        names the file and the error, OverQuota, Busy and FilesAway."""
        if len(sent) > MAX_FILES:
            raise Invalid(f"You chose {len(sent)} files. A message can have {MAX_FILES}.")
        checked = [self._checked(one) for one in sent]
        if sum(file.size for file in checked) > self.max_message_bytes:
            raise Invalid(self.too_large)
        kept: list[File] = []
        try:
            for file in checked:  # check all of them before any is converted
                self._count(file.fid, rid, by, file.size)
            for file, one in zip(checked, sent, strict=True):
                kept.append(self._keep(rid, file, one.stream, by))
        except BaseException:
            self.delete(rid, checked)
            raise
        return kept

    def _count(self, fid: str, rid: str, by: Person, size: int) -> None:
        """Count a file for its sender before it is stored. Raises OverQuota and FilesAway."""
        if not self.pictures.has_room(size):
            raise FilesAway
        if self.stored and (full := self.stored.keep(fid, rid, by, size, self.quotas)):
            raise OverQuota(self._no_room(full, by, size))

    def _no_room(self, full: Full, by: Person, more: int) -> str:
        if full.what == "person":
            allowed = file_size(self.quotas.of(by))
            return (
                f"Your files use {file_size(full.used)} of {allowed}: {file_size(more)} more do "
                "not fit. Delete messages with files, or send the text without files."
            )
        whose = "Guests" if full.what == "guests" else "The people of this chat"
        return (
            f"{whose} have used all space for files. Send only the text, and tell an administrator."
        )

    def _checked(self, sent: Upload) -> File:
        name, count = clean_file_name(sent.name), sent.size()
        if PurePosixPath(name).suffix.lower() in PROGRAMS:
            raise Invalid(f"“{name}” is a program. Programs cannot be sent.")
        if not count:
            raise Invalid(f"“{name}” is empty.")
        if count > self.max_bytes:
            raise Invalid(
                f"“{name}” is {file_size(count)}. The limit is {file_size(self.max_bytes)}."
            )
        return File(secrets.token_urlsafe(12), name, count, type_of(name))

    def _keep(self, rid: str, file: File, stream: IO[bytes], by: Person) -> File:
        if not file.type.startswith("image/"):
            self.put(rid, file.fid, stream)
            return file
        try:
            made = await_(images.make(ATTACHMENT, stream, by.uid))
        except NotMade as error:
            if error.reason == BROKEN:
                raise Invalid(
                    f"“{file.name}” is not a picture that can be shown. "
                    "Send a JPEG, PNG, WebP or GIF, or a .zip."
                ) from error
            self.put(rid, file.fid, stream)
            return replace(file, type=PLAIN, note=error.reason)
        with made.content:
            self._count(file.fid, rid, by, made.size + len(made.small))
            self.put(rid, file.fid, made.content)
        self.put(rid, file.fid, made.small, small=True)
        return replace(
            file,
            name=_named(file.name, made.type),
            size=made.size,
            type=made.type,
            width=made.width,
            height=made.height,
        )

    def put(self, rid: str, fid: str, content: IO[bytes] | bytes, small: bool = False) -> None:
        """Store a file unchanged (`small`: the preview of an image). Raises FilesAway."""
        path = _path(rid, fid, small)
        try:
            # One part at a time: several at once would all be in memory.
            await_(self.pictures.files.put_async(path, content, max_concurrency=1))
        except (BaseError, OSError) as error:
            raise FilesAway from error

    def delete(self, rid: str, files: Sequence[File]) -> None:
        """Delete files of room `rid`. Files that cannot be reached now are deleted later
        (chat.media.orphan_cleanup), and count until then."""
        gone = []
        for file in files:
            sizes = (False, True) if file.type.startswith("image/") else (False,)
            are_gone = [self.delete_path(_path(rid, file.fid, small)) for small in sizes]
            if all(are_gone):
                gone.append(file.fid)
        if self.stored and gone:
            try:
                self.stored.drop(gone)
            except (RedisError, OSError) as error:
                log.warning("deleted files still count until the next cleanup: %s", error)

    def delete_path(self, path: str) -> bool:
        """Delete a path that `all` has listed. True if it is gone."""
        try:
            await_(self.pictures.files.delete_async(path))
        except MISSING:
            return True
        except (BaseError, OSError):
            return False
        return True

    def bytes_of(self, rid: str, fid: str) -> int | None:
        """The bytes of a file and its preview; None if it does not exist. Raises FilesAway."""
        sizes = [self._size(_path(rid, fid, small)) for small in (False, True)]
        return None if sizes == [None, None] else sum(size or 0 for size in sizes)

    def _size(self, path: str) -> int | None:
        try:
            return int(await_(self.pictures.files.head_async(path))["size"])
        except MISSING:
            return None
        except (BaseError, OSError) as error:
            raise FilesAway from error

    def read(
        self, rid: str, fid: str, small: bool = False, part: tuple[int, int] | None = None
    ) -> tuple[int, Iterator[bytes]]:
        """The size of a file in bytes (`small`: of an image's preview), and its content. With
        `part`, the content from its first number up to, not including, its second. Raises NotFound
        and FilesAway."""
        path = _path(rid, fid, small)
        options = {"range": part} if part else None
        try:
            found = await_(self.pictures.files.get_async(path, options=options))
            stream = found.stream(min_chunk_size=READ_CHUNK_BYTES)
            return found.meta["size"], (bytes(piece) for piece in _each(stream))
        except MISSING:
            raise NotFound("This file no longer exists.") from None
        except (BaseError, OSError) as error:
            raise FilesAway from error

    def content(self, rid: str, fid: str, small: bool = False) -> bytes | None:
        """The content of a file; None if it does not exist."""
        try:
            return b"".join(self.read(rid, fid, small)[1])
        except NotFound:
            return None

    def all(self, rid: str = "") -> Iterator[list[tuple[str, str, str, datetime]]]:
        """The room, file id, path and time of all stored files, or of those of one room, in pages.
        Raises obstore's errors."""
        folder = f"{FOLDER}/{rid}/" if rid else f"{FOLDER}/"
        for page in _each(self.pictures.files.list(folder, chunk_size=LIST_CHUNK_FILES)):
            paths = [(PurePosixPath(found["path"]), found["last_modified"]) for found in page]
            yield [
                (path.parts[1], path.stem, str(path), at)
                for path, at in paths
                if len(path.parts) == 3
            ]

    def named(self, name: str) -> bool:
        """True if the storage belongs to the database of this name. A new storage gets the name."""
        try:
            found = await_(self.pictures.files.get_async(DATABASE_NAME_PATH))
            return bytes(await_(found.bytes_async())) == name.encode()
        except MISSING:
            await_(self.pictures.files.put_async(DATABASE_NAME_PATH, name.encode()))
            return True


def quotas(settings: Settings) -> Quotas:
    """The quotas of the settings, in bytes."""
    most = (settings.quota_per_person_mb, settings.quota_per_guest_mb)
    return Quotas(*(mb * 2**20 for mb in (*most, settings.quota_guests_mb, settings.quota_mb)))


def _named(name: str, type: str) -> str:
    """The name, with the suffix of the image's new type."""
    path = PurePosixPath(name)
    return name if type_of(name) == type else f"{path.stem}{SUFFIXES[type][0]}"


def file_size(count: int) -> str:
    """A number of bytes for people, such as 1.5 MB."""
    if count < 1000:
        return f"{count} B"
    for unit in ("KB", "MB"):
        count /= 1024  # type: ignore[assignment]
        if count < 999.5:
            return f"{count:.1f} {unit}".replace(".0 ", " ")
    return f"{count / 1024:.1f} GB".replace(".0 ", " ")


def _each(stream: Any) -> Iterator[Any]:
    items = stream.__aiter__()
    while (item := await_(anext(items, None))) is not None:
        yield item


def _path(rid: str, fid: str, small: bool = False) -> str:
    return f"{FOLDER}/{rid}/{fid}{'.small' if small else ''}"
