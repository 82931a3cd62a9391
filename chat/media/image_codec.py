"""Images decoded and encoded anew, so that nothing of what was sent is left but pixels: no
metadata, no place where a photo was taken, no file that is two things at once.

This is the only module that imports Pillow, and the server never imports it: it runs in a child
process (chat.media.images), because no decoder withstands every file.
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

from .image_protocol import (
    ATTACHMENT,
    BROKEN,
    FRAMES,
    MEDIA_TYPES,
    MEMORY,
    PIXELS,
    SQUARE,
    Header,
    Limits,
    NotMade,
)

SQUARE_SIDE = 256  # pixels of a person's picture
SMALL_SIZE = (720, 540)  # pixels, at most, of the small image beside an attachment
MAX_WEBP_SIDE = 16_383  # pixels
DEFAULT_FRAME_MS = 100  # how long a frame is shown whose file does not say it
MAX_FRAME_MS = 600_000

DECODERS: tuple[tuple[int, bytes, type[ImageFile.ImageFile]], ...] = (
    (0, b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (0, b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (0, b"GIF87a", GifImagePlugin.GifImageFile),
    (0, b"GIF89a", GifImagePlugin.GifImageFile),
    (8, b"WEBP", WebPImagePlugin.WebPImageFile),
)
"""The decoders that are used, each with the bytes that its files have at an offset. Pillow has 40
more, which `Image.open` would try."""

# Pillow imports these when an image is saved, or has EXIF data. By then nothing can be opened.
Image.preinit()
assert TiffImagePlugin


@dataclass
class Decoded:
    """The pixels of each frame, and how long it is shown, in ms. `format`: what to make of it, by
    Pillow's name."""

    format: str
    frames: list[Image.Image]
    lasts: list[int]
    quality: int = 90  # of a still JPEG or WebP


def make(task: str, sent: IO[bytes], limits: Limits) -> tuple[Header, bytes, bytes]:
    """What the image is now, the small image (empty for SQUARE), and the image. Raises NotMade."""
    with _settings(limits):
        with _refusing(BROKEN):
            decoded = _square(sent, limits) if task == SQUARE else _decode(sent, limits)
        with _refusing(MEMORY):  # it could be decoded, so it is an image
            return _encode(task, decoded)


@contextlib.contextmanager
def _settings(limits: Limits) -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS
    # Pillow raises DecompressionBombError at twice as many, before it takes the memory.
    Image.MAX_IMAGE_PIXELS = limits.pixels // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # to show one, Python opens its source
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextlib.contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """Turn whatever is raised into NotMade, for `reason` where it does not say better itself."""
    try:
        yield
    except NotMade:
        raise
    except Image.DecompressionBombError as error:
        raise NotMade(PIXELS) from error
    except MemoryError as error:
        raise NotMade(MEMORY) from error
    except Exception as error:  # a decoder raises whatever it trips over
        raise NotMade(reason) from error


def _opened(sent: IO[bytes]) -> ImageFile.ImageFile:
    head = sent.read(16)
    sent.seek(0)
    for offset, magic, decoder in DECODERS:
        if head.startswith(magic, offset):
            return decoder(sent)
    raise NotMade(BROKEN)


def _count(image: Image.Image, frames: int, limits: Limits) -> None:
    """Raise NotMade when so many frames of this size are too much."""
    if frames > limits.frames:
        raise NotMade(FRAMES)
    if image.width * image.height * frames > limits.pixels:
        raise NotMade(PIXELS)


def _square(sent: IO[bytes], limits: Limits) -> Decoded:
    """The middle of a picture."""
    side = (SQUARE_SIDE, SQUARE_SIDE)
    with _opened(sent) as image:
        _count(image, 1, limits)  # of what moves, the first frame is taken
        image.draft("RGB", (2 * SQUARE_SIDE, 2 * SQUARE_SIDE))
        middle = ImageOps.fit(image.convert("RGBA"), side, Image.Resampling.LANCZOS)
    upright = ImageOps.exif_transpose(middle)
    upright.info.clear()
    return Decoded("WEBP", [upright], [0], quality=82)


def _decode(sent: IO[bytes], limits: Limits) -> Decoded:
    """All of an image. What moves becomes a WebP, and a GIF that does not, a PNG."""
    with _opened(sent) as image:
        # How many frames a GIF has is known at its end only.
        is_gif = isinstance(image, GifImagePlugin.GifImageFile)
        _count(image, 1 if is_gif else getattr(image, "n_frames", 1), limits)
        if getattr(image, "is_animated", False):
            return _frames(image, limits)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        format = image.format if image.format in MEDIA_TYPES else "PNG"
        return Decoded(str(format), [_clean(image)], [0])


def _frames(image: ImageFile.ImageFile, limits: Limits) -> Decoded:
    found = Decoded("WEBP", [], [])
    for n, frame in enumerate(ImageSequence.Iterator(image), start=1):
        _count(frame, n, limits)
        found.frames.append(_clean(frame))
        lasts = int(frame.info.get("duration") or DEFAULT_FRAME_MS)
        found.lasts.append(min(lasts, MAX_FRAME_MS))
    if max(found.frames[0].size) > MAX_WEBP_SIDE:
        raise NotMade(PIXELS)
    return found


def _clean(image: Image.Image) -> Image.Image:
    """The pixels alone, in the colours of the web."""
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
    if task == ATTACHMENT:
        image.thumbnail(SMALL_SIZE, Image.Resampling.LANCZOS)
        small = _saved(image, "WEBP", quality=80)
    type = MEDIA_TYPES[decoded.format]
    return Header(type, width, height, len(small), len(content)), small, content


def _saved_whole(decoded: Decoded) -> bytes:
    image, *more = decoded.frames
    if more:
        moving = {"save_all": True, "append_images": more, "duration": decoded.lasts, "method": 2}
        return _saved(image, "WEBP", loop=0, quality=80, **moving)
    if decoded.format == "PNG":
        return _saved(image, "PNG")
    if decoded.format == "JPEG":
        image = image.convert("RGB")
    return _saved(image, decoded.format, quality=decoded.quality)


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    kept = io.BytesIO()
    image.save(kept, format, **options)
    return kept.getvalue()
