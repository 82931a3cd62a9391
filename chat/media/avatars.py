"""Avatars: pictures of people, cropped to a small square (chat.media.images) and stored."""

import contextlib
import io
import secrets
import shutil
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, from_url

from ..bridge import await_
from ..domain.errors import Invalid
from . import images
from .image_protocol import BROKEN, BYTES, FRAMES, MEMORY, PIXELS, SQUARE, TIME, NotMade

MAX_AVATAR_BYTES = 5 * 2**20  # of the file that is sent
FREE_BYTES = 2**30  # that files leave free on the disk
FREE_FRACTION = 20  # they leave a twentieth of the disk free if that is less than FREE_BYTES

MISSING = (NotFoundError, FileNotFoundError)  # obstore's errors for a file that does not exist

ERRORS = {
    BROKEN: "This is not a picture that the chat can read. Choose a JPEG, PNG, WebP or GIF.",
    PIXELS: "The picture has too many pixels. Choose a smaller one.",
    FRAMES: "The picture has too many frames. Choose one that is not animated.",
    BYTES: "The picture would be too large. Choose a smaller one.",
    MEMORY: "The picture takes too much memory to read. Choose a smaller one.",
    TIME: "The picture takes too long to read. Choose a smaller one.",
}
"""The error for a picture that is refused, by the reason."""


class Pictures:
    """Stores pictures in the folder or at the URL `place` (obstore: file, s3, gs, az)."""

    def __init__(self, place: str) -> None:
        is_url = "://" in place
        # The folder of the pictures; "" if they are not on this machine.
        local = urlsplit(place).scheme == "file" if is_url else True
        self.folder = (unquote(urlsplit(place).path) if is_url else place) if local else ""
        self.files: Any = from_url(place) if is_url else LocalStore(place, mkdir=True)

    def make(self, sent: bytes, by: str) -> bytes:
        """Crop an uploaded picture of person `by` to a small square WebP. Raises Invalid, Busy and
        FilesAway."""
        if len(sent) > MAX_AVATAR_BYTES:
            raise Invalid(f"The picture is too large. The limit is {MAX_AVATAR_BYTES // 2**20} MB.")
        try:
            made = await_(images.make(SQUARE, io.BytesIO(sent), by))
        except NotMade as error:
            raise Invalid(ERRORS[error.reason]) from error
        with made.content:
            return made.content.read()

    def put(self, uid: str, image: bytes) -> str:
        """Store a person's picture. Returns the name of its version."""
        await_(self.files.put_async(_path(uid), image))
        return secrets.token_urlsafe(6)

    def has_room(self, more: int) -> bool:
        """Return False if this many more bytes would fill the disk, which the database may use
        too."""
        try:
            disk = shutil.disk_usage(self.folder) if self.folder else None
        except OSError:
            return True  # writing will fail
        return disk is None or disk.free - more > min(FREE_BYTES, disk.total // FREE_FRACTION)

    def get(self, uid: str) -> bytes | None:
        """A person's picture, or None."""
        try:
            return bytes(await_(await_(self.files.get_async(_path(uid))).bytes_async()))
        except MISSING:
            return None

    def delete(self, uid: str) -> None:
        """Delete a person's picture, if there is one."""
        with contextlib.suppress(*MISSING):
            await_(self.files.delete_async(_path(uid)))


def _path(uid: str) -> str:
    return f"pictures/{uid}.webp"
