"""Images that are made to do harm, by code: each is a kind of attack, not an example of one."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "APNG")


def image(format: str, size: tuple[int, int] = (40, 30), **options) -> bytes:
    """A valid image of one of FORMATS with an edge in it; an APNG moves."""
    file, picture = io.BytesIO(), Image.new("RGB", size, "teal")
    picture.paste("white", (0, 0, size[0] // 2, size[1] // 2))
    if format == "APNG":
        options |= {"save_all": True, "append_images": [Image.new("RGB", size, "red")]}
    picture.save(file, format.removeprefix("A"), **options)
    return file.getvalue()


def moving(format: str, frames: int, size: tuple[int, int] = (40, 30), **options) -> bytes:
    """An animation whose frames all differ."""
    colours = [Image.new("RGB", size, (97 * n % 256, n % 256, n // 256)) for n in range(frames)]
    file = io.BytesIO()
    colours[0].save(file, format, save_all=True, append_images=colours[1:], **options)
    return file.getvalue()


# GIF


def gif(frames: int, between: bytes = b"", size: tuple[int, int] = (1, 1)) -> bytes:
    """`frames` frames of one pixel on a canvas of this size, each behind the bytes `between`."""
    screen = struct.pack("<HHBBB", *size, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    pixel = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + screen + (between + pixel) * frames + b";"


def gif_growing() -> bytes:
    """Frames that each make the canvas a good deal larger."""
    screen = struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frames = b"".join(
        b"," + struct.pack("<HHHHB", side, side, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
        for side in range(1000, 65_000, 1000)
    )
    return b"GIF89a" + screen + frames + b";"


def gif_of_comments(count: int) -> bytes:
    """Comments of one byte each."""
    return gif(2, b"!\xfe" + b"\x01x" * count + b"\0")


# PNG


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def rows(width: int, height: int) -> bytes:
    """The black pixels of a gray PNG."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(b"\0" * (width + 1)) for _ in range(height)]
    return chunk(b"IDAT", b"".join([*parts, packer.flush()]))


def png_bomb(*chunks: tuple[bytes, bytes, int], behind: bool = False) -> bytes:
    """Metadata that unpacks to so many bytes: each the name of a part, how it begins, and those."""
    parts = [chunk(kind, begin + zlib.compress(b"\0" * size, 9)) for kind, begin, size in chunks]
    return png(9, 9, *([rows(9, 9), *parts] if behind else [*parts, rows(9, 9)]))


def apng_claiming(frames: int) -> bytes:
    """One frame, and a header that promises so many."""
    return png(9, 9, chunk(b"acTL", struct.pack(">II", frames, 0)), rows(9, 9))


# WebP


def webp_canvas(side: int, frames: int = 1) -> bytes:
    """Frames of one pixel on a canvas of this side."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "WEBP", lossless=True)
    pixel = file.getvalue()[12:]
    head = struct.pack("<I", 0x02) + (side - 1).to_bytes(3, "little") * 2
    frame = b"\0" * 6 + b"\0" * 6 + (10).to_bytes(3, "little") + b"\0" + pixel
    parts = [(b"VP8X", head), (b"ANIM", b"\0" * 6), *[(b"ANMF", frame)] * frames]
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


# JPEG


def jpeg_claiming(width: int, height: int, progressive: bool = False) -> bytes:
    """A small JPEG whose header says that it is so large."""
    sent = bytearray(image("JPEG", progressive=progressive))
    at = sent.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    sent[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(sent)


def jpeg_of_scans(scans: int, width: int = 6000, height: int = 6000) -> bytes:
    """A progressive JPEG with the same scan so many times: each goes over all of the image."""
    sent = jpeg_claiming(width, height, progressive=True)
    # The last scan of a progressive file refines what is there already; it may come again.
    at = sent.rindex(b"\xff\xda")
    end = sent.rindex(b"\xff\xd9")
    return sent[:end] + sent[at:end] * scans + sent[end:]


def jpeg_of_restarts(count: int) -> bytes:
    sent = image("JPEG")
    at = sent.rindex(b"\xff\xd9")
    return sent[:at] + b"\xff\xd0\xff\xd1\xff\xd2\xff\xd3" * count + sent[at:]


# Other decoders


OTHERS = {
    "PSD": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 9, 9, 8, 3) + b"\0" * 500,
    "FITS": b"SIMPLE  =                    T".ljust(80) + b"NAXIS   = 0".ljust(2800),
    "XPM": b'/* XPM */\nstatic char *a[] = {\n"1 1 1 1",\n"a c #000",\n"a"};\n',
    "PDF": b"%PDF-1.7\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "nothing": b"",
    "text": b"GIF is not a picture",
}
WRITTEN = ("TIFF", "BMP", "PCX", "TGA", "PPM", "ICO", "ICNS", "SGI", "DDS", "EPS")


def other(format: str) -> bytes:
    """An image of a format that Pillow knows and the chat does not take."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(file, format)
    return file.getvalue()


# What a test expects of each: over a limit (kept as a file), or broken (refused).

OVER: dict[str, Callable[[], bytes]] = {
    "a GIF of a million frames": lambda: gif(1_000_000),
    "a GIF of a million frames with settings": lambda: gif(1_000_000, b"!\xf9\4\4\1\0\0\0"),
    "a GIF with a huge canvas": lambda: gif(2, size=(65_000, 65_000)),
    "a GIF whose canvas grows": gif_growing,
    "an APNG that promises a billion frames": lambda: apng_claiming(2**30),
    "a WebP of many frames": lambda: webp_canvas(9, 5000),
    "a WebP with the largest canvas": lambda: webp_canvas(16_000, 3),
    "a WebP whose frames are too many together": lambda: webp_canvas(2000, 30),
    "a GIF whose frames are too many together": lambda: gif(200, size=(1000, 1000)),
    "a PNG of 9000 × 9000": lambda: png(9000, 9000, rows(9000, 9000)),
    "a PNG that says it is as large as can be": lambda: png(2**31 - 1, 2**31 - 1),
    "a JPEG that says it is of 60000 × 60000": lambda: jpeg_claiming(60_000, 60_000),
}

BROKEN: dict[str, Callable[[], bytes]] = {
    "a PNG with a zTXt of 100 MB": lambda: png_bomb((b"zTXt", b"a\0\0", 100 * 2**20)),
    "a PNG with 100 zTXt of 1 MB": lambda: png_bomb(*[(b"zTXt", b"a\0\0", 2**20 - 1)] * 100),
    "a PNG with an iTXt of 100 MB": lambda: png_bomb((b"iTXt", b"a\0\1\0en\0a\0", 100 * 2**20)),
    "a PNG with an iCCP of 100 MB": lambda: png_bomb((b"iCCP", b"a\0\0", 100 * 2**20)),
    "a PNG with a zTXt of 100 MB at its end": lambda: png_bomb(
        (b"zTXt", b"a\0\0", 100 * 2**20), behind=True
    ),
    "a PNG without pixels": lambda: png(20, 20),
    "a PNG of no size": lambda: png(0, 0, rows(1, 1)),
    "an APNG with an empty chunk": lambda: png(9, 9, chunk(b"acTL", b""), rows(9, 9)),
    "an APNG with an empty frame": lambda: png(
        9, 9, chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", b""), rows(9, 9)
    ),
    "a GIF without a frame": lambda: gif(0),
    "a GIF that ends in its header": lambda: b"GIF89a",
    "a WebP that ends in its header": lambda: image("WEBP")[:30],
    "a JPEG that ends in its header": lambda: image("JPEG")[:4],
    "a JPEG of no size": lambda: jpeg_claiming(0, 0),
    **{f"a file of {name}": (lambda name=name: OTHERS[name]) for name in OTHERS},
    **{f"a file of {name}": (lambda name=name: other(name)) for name in WRITTEN},
}
