"""Decodes images and encodes them again, so that only the pixels of an uploaded file are stored: no
metadata, no location of a photo, no file that is two formats at once.

This is the only module that imports Pillow. The server never imports it: it runs in a child process
(chat.media.images), because no decoder is safe against every file.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from PIL import (
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    ImageOps,
    ImageSequence,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from . import image_protocol as protocol
from .image_protocol import SQUARE, Header, ImageLimits, NotMade

SQUARE_SIDE = 256  # pixels of a person's picture
SMALL_SIZE = (720, 540)  # pixels of the preview of an attachment, at most
MAX_WEBP_SIDE = 16_383  # pixels
DEFAULT_FRAME_MS = 100  # how long a frame is shown if the file does not say it
MAX_FRAME_MS = 600_000

DECODERS: tuple[tuple[int, bytes, type[ImageFile.ImageFile]], ...] = (
    (0, b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (0, b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (0, b"GIF87a", GifImagePlugin.GifImageFile),
    (0, b"GIF89a", GifImagePlugin.GifImageFile),
    (8, b"WEBP", WebPImagePlugin.WebPImageFile),
)
"""The decoders that are used, each with an offset and the bytes that its files have there. Pillow
has 40 more, which `Image.open` would try."""

# Pillow imports these only when it saves an image or reads EXIF data. By then, no file can be
# opened.
Image.preinit()
assert TiffImagePlugin


@dataclass
class Decoded:
    """The frames of an image, and the ms for which each is shown. `format`: the format to encode it
    in, by Pillow's name."""

    format: str
    frames: list[Image.Image]
    lasts: list[int]
    quality: int = 90  # of a still JPEG or WebP


def make(task: str, sent: IO[bytes], limits: ImageLimits) -> tuple[Header, bytes, bytes]:
    """The header, the preview (empty for SQUARE) and the image. Raises NotMade."""
    before = Image.MAX_IMAGE_PIXELS
    # Pillow raises DecompressionBombError above twice this number, before it takes the memory.
    Image.MAX_IMAGE_PIXELS = limits.pixels // 2
    try:
        # To show a warning, Python opens its source.
        with warnings.catch_warnings(action="ignore"):
            with _refusing(protocol.BROKEN):
                decoded = _square(sent, limits) if task == SQUARE else _decode(sent, limits)
            with _refusing(protocol.MEMORY):  # the file could be decoded, so it is an image
                return _encode(task, decoded)
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextlib.contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """Convert all errors to NotMade, with `reason` unless the error has a more specific one."""
    try:
        yield
    except NotMade:
        raise
    except Image.DecompressionBombError as error:
        raise NotMade(protocol.PIXELS) from error
    except MemoryError as error:
        raise NotMade(protocol.MEMORY) from error
    except Exception as error:  # decoders raise anything
        raise NotMade(reason) from error


def _opened(sent: IO[bytes]) -> ImageFile.ImageFile:
    head = sent.read(16)
    sent.seek(0)
    for offset, magic, decoder in DECODERS:
        if head.startswith(magic, offset):
            return decoder(sent)
    raise NotMade(protocol.BROKEN)


def _count(image: Image.Image, frames: int, limits: ImageLimits) -> None:
    """Raise NotMade if this many frames of this size exceed the limits."""
    if frames > limits.frames:
        raise NotMade(protocol.FRAMES)
    if image.width * image.height * frames > limits.pixels:
        raise NotMade(protocol.PIXELS)


def _square(sent: IO[bytes], limits: ImageLimits) -> Decoded:
    """The square in the middle of a picture."""
    side = (SQUARE_SIDE, SQUARE_SIDE)
    with _opened(sent) as image:
        _count(image, 1, limits)  # an animation is reduced to its first frame
        image.draft("RGB", (2 * SQUARE_SIDE, 2 * SQUARE_SIDE))
        middle = ImageOps.fit(image.convert("RGBA"), side, Image.Resampling.LANCZOS)
    upright = ImageOps.exif_transpose(middle)
    upright.info.clear()
    return Decoded("WEBP", [upright], [0], quality=82)


def _decode(sent: IO[bytes], limits: ImageLimits) -> Decoded:
    """The whole image. Animations become WebP, and other GIF files PNG."""
    with _opened(sent) as image:
        # The number of frames of a GIF is known only at its end.
        is_gif = isinstance(image, GifImagePlugin.GifImageFile)
        _count(image, 1 if is_gif else getattr(image, "n_frames", 1), limits)
        if getattr(image, "is_animated", False):
            return _frames(image, limits)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        format = image.format if image.format in protocol.MEDIA_TYPES else "PNG"
        return Decoded(str(format), [_clean(image)], [0])


def _frames(image: ImageFile.ImageFile, limits: ImageLimits) -> Decoded:
    found = Decoded("WEBP", [], [])
    for n, frame in enumerate(ImageSequence.Iterator(image), start=1):
        _count(frame, n, limits)
        found.frames.append(_clean(frame))
        lasts = int(frame.info.get("duration") or DEFAULT_FRAME_MS)
        found.lasts.append(min(lasts, MAX_FRAME_MS))
    if max(found.frames[0].size) > MAX_WEBP_SIDE:
        raise NotMade(protocol.PIXELS)
    return found


def _clean(image: Image.Image) -> Image.Image:
    """The pixels without metadata, in sRGB."""
    image.load()
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


def _encode(task: str, decoded: Decoded) -> tuple[Header, bytes, bytes]:
    image, small = decoded.frames[0], b""
    width, height = image.size
    content = _saved_whole(decoded)
    if task == protocol.ATTACHMENT:
        image.thumbnail(SMALL_SIZE, Image.Resampling.LANCZOS)
        small = _saved(image, "WEBP", quality=80)
    type = protocol.MEDIA_TYPES[decoded.format]
    return Header(type, width, height, len(small), len(content)), small, content


def _saved_whole(decoded: Decoded) -> bytes:
    image, *more = decoded.frames
    if more:
        moving = {"save_all": True, "append_images": more, "duration": decoded.lasts, "method": 2}
        return _saved(image, "WEBP", loop=0, quality=80, **moving)
    if decoded.format == "JPEG":
        image = image.convert("RGB")
    return _saved(image, decoded.format, quality=decoded.quality)  # PNG has none and ignores it


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    kept = io.BytesIO()
    image.save(kept, format, **options)
    return kept.getvalue()
