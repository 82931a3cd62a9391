"""Pictures of people: made small and square, and kept as files.

What was sent is decoded and encoded anew, so that nothing of it reaches a browser but pixels: no
metadata, no place where it was taken, no file that is two things at once.
"""

import asyncio
import contextlib
import io
import secrets
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, from_url
from PIL import Image, ImageOps

from .asgi import await_
from .errors import Invalid

LARGEST = 5 * 2**20  # bytes of a picture that is sent
SIDE = 256  # pixels of the picture that is kept
MOST_PIXELS = 40_000_000  # of one that is sent: more is no photograph but an attack
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
# What Pillow says of files that are broken or made to do harm: the last is of metadata.
T = TypeVar("T")

UNUSABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, struct.error)


def square(sent: bytes) -> bytes:
    """The middle of a picture as a WebP of SIDE × SIDE pixels. CPU-heavy. Raises Invalid."""
    if len(sent) > LARGEST:
        raise Invalid(f"The picture is too large: {LARGEST // 2**20} MB are allowed.")
    try:
        with Image.open(io.BytesIO(sent), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Invalid("The picture has too many pixels.")
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            middle = ImageOps.fit(image.convert("RGBA"), (SIDE, SIDE), Image.Resampling.LANCZOS)
            small = ImageOps.exif_transpose(middle)
    except UNUSABLE as error:
        raise Invalid(
            "This is not a picture that can be shown: send JPEG, PNG, WebP or GIF."
        ) from error
    kept = io.BytesIO()
    small.save(kept, "WEBP", quality=82)
    return kept.getvalue()


class Pictures:
    """Pictures in the folder or at the address `place` (obstore: file, s3, gs, az)."""

    def __init__(self, place: str) -> None:
        is_url = "://" in place
        self._at_work = asyncio.Lock()
        self.files: Any = from_url(place) if is_url else LocalStore(place, mkdir=True)

    def make(self, sent: bytes) -> bytes:
        """`square` in its turn. Raises Invalid."""
        return self.in_turn(square, sent)

    def in_turn(self, work: Callable[..., T], *args: Any) -> T:
        """Work on a picture in a thread, one at a time: one of the largest takes half a gigabyte
        meanwhile. Raises what `work` does."""
        return await_(self._in_turn(work, *args))

    async def _in_turn(self, work: Callable[..., T], *args: Any) -> T:
        async with self._at_work:
            return await asyncio.to_thread(work, *args)

    def put(self, uid: str, image: bytes) -> str:
        """Keep a person's picture; returns the name of its version."""
        await_(self.files.put_async(_path(uid), image))
        return secrets.token_urlsafe(6)

    def get(self, uid: str) -> bytes | None:
        """A person's picture, or None."""
        return await_(self._read(uid))

    def delete(self, uid: str) -> None:
        """Forget a person's picture, if there is one."""
        await_(self._delete(uid))

    async def _read(self, uid: str) -> bytes | None:
        try:
            found = await self.files.get_async(_path(uid))
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError):
            return None

    async def _delete(self, uid: str) -> None:
        with contextlib.suppress(NotFoundError, FileNotFoundError):
            await self.files.delete_async(_path(uid))


def _path(uid: str) -> str:
    return f"pictures/{uid}.webp"
