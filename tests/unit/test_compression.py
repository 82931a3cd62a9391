"""Large responses are compressed in pieces, and other tasks run in between."""

import gzip
import random

import pytest
from flask import Flask
from flask_compress import Compress
from flask_compress.compat import compression as codecs

from chat.web import compression
from chat.web.compression import PIECE_BYTES, install

TEXT = random.Random(1).randbytes(3 * PIECE_BYTES).hex().encode()[: 5 * PIECE_BYTES + 1]


@pytest.fixture
def turns(monkeypatch):
    """Each turn: how much was to be packed since the one before."""
    found = []

    def in_pieces(many):
        for one in many:
            found.append(one)
            yield one

    monkeypatch.setattr(compression, "in_pieces", in_pieces)
    return found


@pytest.mark.parametrize("algorithm", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [500, PIECE_BYTES, PIECE_BYTES + 1, len(TEXT)])
def test_an_answer_is_packed_in_pieces(turns, algorithm, size):
    app = Flask(__name__)
    app.config.update(COMPRESS_ALGORITHM=["zstd", "gzip"], COMPRESS_LEVEL=4)
    Compress(app)
    install()
    app.add_url_rule("/", view_func=lambda: TEXT[:size].decode())
    answer = app.test_client().get("/", headers={"Accept-Encoding": algorithm})
    assert answer.headers["Content-Encoding"] == algorithm
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    unpack = codecs.zstd.decompress if algorithm == "zstd" else gzip.decompress
    assert unpack(answer.data) == TEXT[:size]
    assert turns == ([] if size <= PIECE_BYTES else list(range(0, size, PIECE_BYTES)))
