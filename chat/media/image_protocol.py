"""The protocol between the server and the child process that converts an image (see
chat.media.images).

The child inherits three descriptors: the uploaded file as its standard input, an empty file for
its answer as standard output, and a pipe for what a crash prints as standard error. Its command
line names the task and the limits.

When an image was made, the answer is a line of JSON (`Header`), the small image, and the image.
Otherwise the exit status, one of STATUS, says why there is none. A signal means that the system
ended the process: at a limit, or after a crash.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass

BROKEN, FULL = "broken", "full"
PIXELS, FRAMES, BYTES, MEMORY, TIME = OVER = ("pixels", "frames", "bytes", "memory", "time")
"""Why no image was made: the file cannot be decoded; the disk is full; or, in OVER, the limit that
was reached."""

STATUS = {BROKEN: 10, FULL: 11, PIXELS: 12, FRAMES: 13, BYTES: 14, MEMORY: 15}
REASONS: Mapping[int, str] = {status: reason for reason, status in STATUS.items()}

SQUARE, ATTACHMENT = "square", "attachment"  # the tasks

MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""What is made, by Pillow's names."""

MAX_HEADER_BYTES = 200


class NotMade(Exception):
    """There is no image. `reason`: BROKEN or one of OVER."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """What the work on one image may use. `pixels` and `frames` are counted before the pixels are
    decoded, the rest is held by the system."""

    pixels: int = 40_000_000  # of all frames together
    frames: int = 1000
    output_bytes: int = 48 * 2**20  # of the image and the small one together
    memory_bytes: int = 2**30  # of address space; Python and Pillow take 40 MB of it
    cpu_seconds: int = 20
    wall_seconds: int = 60

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Header:
    """The media type of an image, width and height in pixels, and how many bytes the small image
    and the image have."""

    type: str
    width: int
    height: int
    small: int
    content: int

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def parse_header(line: bytes, rest: int, limits: Limits) -> Header | None:
    """The header in a line that `rest` bytes follow; None when it is not one, or promises what is
    not there or not allowed. The child has run somebody else's file, so nothing is taken from it
    unchecked."""
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
