"""Answers compressed in pieces, so that a large one holds up nobody.

Flask-Compress packs an answer in one go, on the event loop: the API's answer with 200 long messages
has 10 MB, and gzip takes a tenth of a second for it. It has no setting for that, so `bound` puts a
function of ours in the place of its own. tests/unit/test_compression.py fails when that moves.
"""

import zlib
from typing import Any

from flask import Flask
from flask_compress import flask_compress
from flask_compress.compat import compression as codecs

from ..runtime.cooperation import in_pieces

PIECE_BYTES = 128 * 1024  # packed in one turn of the loop: about 2 ms
GZIP = 16 + zlib.MAX_WBITS  # zlib's format 31 is that of gzip (RFC 1952)

_at_once = flask_compress._compress_data


def compressed(app: Flask, data: bytes, algorithm: str) -> bytes:
    """The data packed with "gzip" or "zstd", by the levels of `app`."""
    if len(data) <= PIECE_BYTES:
        return _at_once(app, data, algorithm)
    packer: Any
    if algorithm == "gzip":
        packer = zlib.compressobj(app.config["COMPRESS_LEVEL"], zlib.DEFLATED, GZIP)
    else:
        level = app.config["COMPRESS_ZSTD_LEVEL"]
        packer = codecs.zstd.ZstdCompressor(level=level)
    starts = range(0, len(data), PIECE_BYTES)
    packed = [packer.compress(data[start : start + PIECE_BYTES]) for start in in_pieces(starts)]
    return b"".join([*packed, packer.flush()])


def bound() -> None:
    """Have answers packed in pieces, in the whole process."""
    flask_compress._compress_data = compressed
