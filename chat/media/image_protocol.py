"""The protocol between the server and the child process that converts an image (see
chat.media.images).

The child inherits three descriptors: the uploaded file as standard input, an empty file for its
answer as standard output, and a pipe for the output of a crash as standard error. Its command line
contains the task and the limits.

If the child has made an image, its answer is a line of JSON (`Header`), the preview and the image.
Otherwise its exit status, one of STATUS, says why not. If a signal ended the process, it reached a
limit or crashed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass

BROKEN, FULL = "broken", "full"
PIXELS, FRAMES, BYTES, MEMORY, TIME = OVER = ("pixels", "frames", "bytes", "memory", "time")
"""Why no image was made: the file cannot be decoded, the disk is full, or, in OVER, the limit that
was reached."""

STATUS = {BROKEN: 10, FULL: 11, PIXELS: 12, FRAMES: 13, BYTES: 14, MEMORY: 15}
REASONS: Mapping[int, str] = {status: reason for reason, status in STATUS.items()}

SQUARE, ATTACHMENT = "square", "attachment"  # the tasks

MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""The media types of the images that are made, by Pillow's name of the format."""

MAX_HEADER_BYTES = 200


class NotMade(Exception):
    """There is no image. `reason`: BROKEN or one of OVER."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ImageLimits:
    """What the conversion of one image may use. `pixels` and `frames` are counted before pixels are
    decoded; the system enforces the other limits."""

    pixels: int = 40_000_000  # of all frames together
    frames: int = 1000
    output_bytes: int = 48 * 2**20  # of the image and its preview together
    memory_bytes: int = 2**30  # of address space, of which Python and Pillow take 40 MB
    cpu_seconds: int = 20
    wall_seconds: int = 60

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Header:
    """An image's media type, its width and height in pixels, and the bytes of its preview (`small`)
    and of the image (`content`)."""

    type: str
    width: int
    height: int
    small: int
    content: int

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def parse_header(line: bytes, rest: int, limits: ImageLimits) -> Header | None:
    """The header in a line that `rest` bytes follow. None if it is no header, or does not match the
    bytes or the limits. The child has processed a foreign file, so its answer is not trusted."""
    try:
        header = Header(**json.loads(line))
    except (ValueError, RecursionError, TypeError):  # not JSON, or not these fields
        return None
    _, *numbers = astuple(header)
    if any(type(number) is not int or number < 0 for number in numbers):
        return None
    is_whole = header.small + header.content == rest <= limits.output_bytes and header.content > 0
    is_size = 0 < header.width * header.height <= limits.pixels
    is_type = type(header.type) is str and header.type in MEDIA_TYPES.values()
    return header if line.endswith(b"\n") and is_whole and is_size and is_type else None
