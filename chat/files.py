"""Files of messages: what is taken, what is made of it, and where it is kept.

Images are decoded and encoded anew, as people's pictures are (chat.pictures), so that nothing of
them but pixels is kept, and have a small one beside them. Everything else is kept as it came, and
its type is said by the end of its name and the table here: never by whoever sent it.
"""

import contextlib
import io
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, Any

from obstore.exceptions import BaseError, NotFoundError
from PIL import Image, ImageCms, ImageOps

from .asgi import await_
from .errors import FilesAway, Invalid, NotFound
from .events import SHOWN_HIGH, SHOWN_WIDE, File
from .pictures import FORMATS, MOST_PIXELS, UNUSABLE, Pictures
from .text import clean_line

MOST_FILES = 10  # of one message
MOST_NAME = 120  # characters of a name
PIECE = 1 << 18  # bytes that are read from where files are kept at a time, at least
FOLDER, NAME = "files", "files/database"  # of all, and of who has written them

PLAIN = "application/octet-stream"
_IMAGES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_SUFFIXES = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "image/gif": (".gif",),
    "audio/mpeg": (".mp3",),
    "audio/mp4": (".m4a",),
    "audio/ogg": (".ogg", ".oga", ".opus"),
    "audio/wav": (".wav",),
    "audio/flac": (".flac",),
    "video/mp4": (".mp4", ".m4v"),
    "video/webm": (".webm",),
    "video/quicktime": (".mov",),
    "application/pdf": (".pdf",),
    "application/zip": (".zip",),
    "text/csv": (".csv",),
    "text/plain": (".txt", ".md", ".log"),
}
TYPES = {suffix: type for type, suffixes in _SUFFIXES.items() for suffix in suffixes}
"""The type of a file by the end of its name; all others are PLAIN."""

PROGRAMS = frozenset(
    f".{suffix}"
    for line in (
        "apk app appx bat cmd com cpl deb dll dmg exe hta iso jar jnlp js jse lnk msc msi",
        "msix pif pkg ps1 reg rpm scr sh url vb vbe vbs wsf",
    )
    for suffix in line.split()
)
"""What a computer runs when somebody opens it."""


@dataclass(frozen=True)
class Sent:
    """A file on its way in: the name it was sent with, and its bytes, from the beginning."""

    name: str
    stream: IO[bytes]

    def size(self) -> int:
        """Bytes."""
        size = self.stream.seek(0, io.SEEK_END)
        self.stream.seek(0)
        return size


@dataclass(frozen=True)
class Pixels:
    """An image as it is kept, the small one beside it, and its type and size in pixels."""

    content: bytes
    small: bytes
    type: str
    width: int
    height: int


class Files:
    """Files where `pictures` are kept too. `most`: bytes of one file; those of one message may
    have twice as many together."""

    def __init__(self, pictures: Pictures, most: int) -> None:
        self.pictures = pictures
        self.most = most
        self.most_together = 2 * most
        # What is taken, in a sentence for people.
        self.limits = (
            f"Up to {MOST_FILES} files of {size(self.most)} each, {size(self.most_together)} "
            "together. Anything but programs."
        )

    @property
    def too_large(self) -> str:
        """What to tell who sends more than is read at all."""
        return f"Together the files are too large: {size(self.most_together)} are allowed."

    def keep(self, rid: str, sent: Sequence[Sent]) -> list[File]:
        """Keep files for a message in room `rid`. All or none: raises Invalid, naming the file
        and what is wrong with it, and FilesAway."""
        checked = [self._checked(one) for one in sent]
        if len(sent) > MOST_FILES:
            raise Invalid(f"These are {len(sent)} files: {MOST_FILES} are allowed in one message.")
        if sum(file.size for file in checked) > self.most_together:
            raise Invalid(self.too_large)
        kept: list[File] = []
        try:
            for file, one in zip(checked, sent, strict=True):
                kept.append(file)
                kept[-1] = self._keep(rid, file, one.stream)
        except BaseException:
            self.delete(rid, kept)
            raise
        return kept

    def _checked(self, sent: Sent) -> File:
        name, count = clean_file_name(sent.name), sent.size()
        if PurePosixPath(name).suffix.lower() in PROGRAMS:
            raise Invalid(f"“{name}” is a program, and none are taken here.")
        if not count:
            raise Invalid(f"“{name}” is empty.")
        if count > self.most:
            raise Invalid(
                f"“{name}” is too large: it has {size(count)}, and {size(self.most)} are allowed."
            )
        return File(secrets.token_urlsafe(12), name, count, type_of(name))

    def _keep(self, rid: str, file: File, stream: IO[bytes]) -> File:
        if not file.type.startswith("image/"):
            self._put(_path(rid, file.fid), stream)
            return file
        made = self.pictures.in_turn(encode, stream, file.name)
        self._put(_path(rid, file.fid), made.content)
        self._put(_path(rid, file.fid, small=True), made.small)
        return replace(
            file,
            name=_named(file.name, made.type),
            size=len(made.content),
            type=made.type,
            width=made.width,
            height=made.height,
        )

    def _put(self, path: str, content: IO[bytes] | bytes) -> None:
        try:
            # One part at a time: several at once would all be in memory.
            await_(self.pictures.files.put_async(path, content, max_concurrency=1))
        except (BaseError, OSError) as error:
            raise FilesAway from error

    def put(self, rid: str, fid: str, content: bytes, small: bool = False) -> None:
        """Keep what was kept elsewhere; raises FilesAway."""
        self._put(_path(rid, fid, small), content)

    def delete(self, rid: str, files: Sequence[File]) -> None:
        """Forget files of room `rid`. What cannot be reached now is swept later (chat.sweeper)."""
        for file in files:
            for small in (False, True) if file.type.startswith("image/") else (False,):
                self.delete_path(_path(rid, file.fid, small))

    def delete_path(self, path: str) -> None:
        """Forget what `all` has told of."""
        with contextlib.suppress(BaseError, OSError):
            await_(self.pictures.files.delete_async(path))

    def read(
        self, rid: str, fid: str, small: bool = False, part: tuple[int, int] | None = None
    ) -> tuple[int, Iterator[bytes]]:
        """The size in bytes of a file (or of the small one of an image), and its bytes, or those
        from the first number of `part` to before the second. Raises NotFound and FilesAway."""
        path = _path(rid, fid, small)
        options = {"range": part} if part else None
        try:
            found = await_(self.pictures.files.get_async(path, options=options))
            return found.meta["size"], _pieces(found.stream(min_chunk_size=PIECE))
        except (NotFoundError, FileNotFoundError):
            raise NotFound("The file is gone.") from None
        except (BaseError, OSError) as error:
            raise FilesAway from error

    def content(self, rid: str, fid: str, small: bool = False) -> bytes | None:
        """All of a file; None where it is not."""
        try:
            return b"".join(self.read(rid, fid, small)[1])
        except NotFound:
            return None

    def all(self, rid: str = "") -> Iterator[list[tuple[str, str, str, datetime]]]:
        """Room, file id, path and time of everything that is kept, or of what is for one room,
        some at a time. Raises obstore's errors."""
        folder = f"{FOLDER}/{rid}/" if rid else f"{FOLDER}/"
        pages = self.pictures.files.list(folder, chunk_size=1000).__aiter__()
        while (page := await_(anext(pages, None))) is not None:
            paths = [(PurePosixPath(found["path"]), found["last_modified"]) for found in page]
            yield [
                (path.parts[1], path.stem, str(path), at) for path, at in paths if _is_file(path)
            ]

    def named(self, name: str) -> bool:
        """Whether the place of files has this name; one without a name gets it."""
        try:
            found = b"".join(_pieces(await_(self.pictures.files.get_async(NAME)).stream()))
        except (NotFoundError, FileNotFoundError):
            await_(self.pictures.files.put_async(NAME, name.encode()))
            return True
        return found == name.encode()


def encode(sent: IO[bytes], name: str) -> Pixels:
    """An image with nothing but pixels in it, and a small one. CPU-heavy. Raises Invalid."""
    try:
        with Image.open(sent, formats=FORMATS) as image:
            frames = getattr(image, "n_frames", 1)
            if image.width * image.height * frames > MOST_PIXELS:
                raise Invalid(f"“{name}” has too many pixels: {MOST_PIXELS:,} are allowed.")
            if frames > 1:
                content, type, first = _moving(image)
            else:
                content, type, first = _still(image)
    except UNUSABLE as error:
        raise Invalid(
            f"“{name}” is not a picture that can be shown: send JPEG, PNG, WebP or GIF, or a .zip."
        ) from error
    width, height = first.size
    first.thumbnail((2 * SHOWN_WIDE, 2 * SHOWN_HIGH), Image.Resampling.LANCZOS)
    return Pixels(content, _saved(first, "WEBP", quality=80), type, width, height)


def _still(image: Image.Image) -> tuple[bytes, str, Image.Image]:
    format = image.format if image.format in _IMAGES else "PNG"
    clean = _clean(ImageOps.exif_transpose(image))
    if format == "JPEG":
        clean = clean.convert("RGB")
    options = {} if format == "PNG" else {"quality": 90}
    return _saved(clean, str(format), **options), _IMAGES[str(format)], clean


def _moving(image: Image.Image) -> tuple[bytes, str, Image.Image]:
    """A WebP that moves as the image does."""
    frames, lasts = [], []
    for n in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(n)
        frames.append(_clean(image))
        lasts.append(int(image.info.get("duration") or 100))
    options = {"save_all": True, "append_images": frames[1:], "duration": lasts, "method": 2}
    content = _saved(frames[0], "WEBP", loop=0, quality=80, **options)
    return content, _IMAGES["WEBP"], frames[0]


def _clean(image: Image.Image) -> Image.Image:
    """The pixels alone, in the colours of the web."""
    profile = image.info.get("icc_profile")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            screen = ImageCms.createProfile("sRGB")
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            image = ImageCms.profileToProfile(image, own, screen, outputMode=mode) or image
    clean = image.convert(mode) if image.mode != mode else image.copy()
    clean.info.clear()
    return clean


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    kept = io.BytesIO()
    image.save(kept, format, **options)
    return kept.getvalue()


def clean_file_name(name: str) -> str:
    """A name without folders and without what disturbs; the end, which says what it is, stays."""
    last = name.replace("\\", "/").rpartition("/")[2][-1000:]
    try:
        clean = clean_line(last, "name", len(last) + 1).lstrip(". ").rstrip(". ")
    except Invalid:
        return "file"
    suffix = PurePosixPath(clean).suffix[:20]
    if len(clean) > MOST_NAME:
        clean = clean.removesuffix(suffix)[: MOST_NAME - len(suffix)].rstrip() + suffix
    return clean or "file"


def type_of(name: str) -> str:
    """By the end of the name, from our own table."""
    return TYPES.get(PurePosixPath(name).suffix.lower(), PLAIN)


def _named(name: str, type: str) -> str:
    """The name with an end that says what the image is now."""
    path = PurePosixPath(name)
    return name if type_of(name) == type else f"{path.stem}{_SUFFIXES[type][0]}"


def size(count: int) -> str:
    """Bytes as people say it."""
    if count < 1000:
        return f"{count} B"
    for unit in ("KB", "MB"):
        count /= 1024  # type: ignore[assignment]
        if count < 999.5:
            return f"{count:.1f} {unit}".replace(".0 ", " ")
    return f"{count / 1024:.1f} GB".replace(".0 ", " ")


def _pieces(stream: Any) -> Iterator[bytes]:
    pieces = stream.__aiter__()
    while (piece := await_(anext(pieces, None))) is not None:
        yield bytes(piece)


def _is_file(path: PurePosixPath) -> bool:
    return len(path.parts) == 3


def _path(rid: str, fid: str, small: bool = False) -> str:
    return f"{FOLDER}/{rid}/{fid}{'.small' if small else ''}"
