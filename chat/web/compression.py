"""Compresses responses in pieces, so that a large one does not block the event loop.

Flask-Compress compresses a response at once, on the event loop: the API's response with 200 long
messages has 10 MB, and gzip takes a tenth of a second for it. There is no setting for that, so
`install` replaces its function with ours. tests/unit/test_compression.py fails if the function
moves.
"""

import zlib
from typing import Any

from flask import Flask
from flask_compress import flask_compress
from flask_compress.compat import compression as codecs

from ..runtime.cooperation import in_pieces

PIECE_BYTES = 128 * 1024  # compressed in one turn of the event loop, in about 2 ms
GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS  # 16 selects the format of gzip (RFC 1952) in zlib

_at_once = flask_compress._compress_data


def compressed(app: Flask, data: bytes, algorithm: str) -> bytes:
    """Return the data, compressed with "gzip" or "zstd" at the level that `app` sets."""
    if len(data) <= PIECE_BYTES:
        return _at_once(app, data, algorithm)
    packer: Any
    if algorithm == "gzip":
        packer = zlib.compressobj(app.config["COMPRESS_LEVEL"], zlib.DEFLATED, GZIP_WINDOW_BITS)
    else:
        level = app.config["COMPRESS_ZSTD_LEVEL"]
        packer = codecs.zstd.ZstdCompressor(level=level)
    starts = range(0, len(data), PIECE_BYTES)
    packed = [packer.compress(data[start : start + PIECE_BYTES]) for start in in_pieces(starts)]
    return b"".join([*packed, packer.flush()])


def install() -> None:
    """Compress responses in pieces, in the whole process."""
    flask_compress._compress_data = compressed
