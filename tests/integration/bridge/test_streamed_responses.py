"""Streamed responses arrive as they are produced, and end with their client."""

import httpx
import pytest

from ..bridge_client import (
    H2,
    Raw,
)


def test_error_in_streamed_response(server):
    """A response that fails half way does not look complete."""
    with pytest.raises(httpx.RemoteProtocolError):
        server.http.get("/fail-later")


def test_stream_arrives_as_produced(server):
    """Each chunk of a streamed response arrives before the next one is asked for."""
    with server.http.stream("GET", "/stream") as response:
        chunks = response.iter_text()
        assert next(chunks) == "first"
        for _ in range(3):
            server_side = httpx.post(f"{server.http.base_url}/go-on")
            assert server_side.status_code == 204
            assert next(chunks) == "next"


def test_stream_closed_when_the_client_leaves(server):
    """A generator waiting in `await_` runs its `finally` when the client leaves."""
    before = server.events().count("stream closed")
    with Raw(server) as client:
        client.request("GET", "/stream")
        assert client.response()[0] == 200
    server.wait_for("stream closed", before + 1)


def test_stream_closed_when_nobody_reads(server):
    """A generator held up by a client that does not read ends when that client leaves."""
    before = server.events().count("flood closed")
    with Raw(server, buffer=4096) as client:
        client.request("GET", "/flood")
        assert client.response()[0] == 200
        assert server.rss() < 200
    server.wait_for("flood closed", before + 1)


def test_http2_stream_that_nobody_reads(server):
    """A streamed response over HTTP/2 waits for the client, and ends when it leaves."""
    before, count = server.rss(), server.events().count("flood closed")
    with H2(server) as client:
        client.request("GET", "/flood", end=True)
        client.until(lambda: client.status == 200)
        for _ in range(100):
            server.events()
        assert server.rss() - before < 10
    server.wait_for("flood closed", count + 1)
