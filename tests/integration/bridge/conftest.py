"""Servers for the tests of the bridge: Hypercorn in processes of their own, on both event loops."""

import time
from contextlib import ExitStack

import pytest

from ..bridge_client import (
    Server,
    assert_calm,
)

LOOPS = ["asyncio", "uvloop"]


# Short enough that a test can wait for each of them to pass.
QUICK = {
    "websocket_ping_interval": 0.2,
    "websocket_pong_timeout": 0.3,
    "websocket_close_timeout": 0.4,
    "websocket_linger": 0.4,
}


@pytest.fixture(scope="package")
def logs(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="package", params=LOOPS)
def loop(request):
    return request.param


@pytest.fixture(scope="package")
def server(loop, logs):
    server = Server(loop, logs / f"{loop}.log", h2c=True)
    yield server
    server.close()
    assert_calm(server)


@pytest.fixture(scope="package")
def quick(loop, logs):
    """A server with short times, without the direct path."""
    server = Server(loop, logs / f"{loop}-quick.log", direct_writes=False, h2c=True, **QUICK)
    yield server
    server.close()
    assert_calm(server)


@pytest.fixture(scope="package")
def plain(loop, logs):
    """A server without the direct path."""
    server = Server(loop, logs / f"{loop}-plain.log", direct_writes=False)
    yield server
    server.close()
    assert_calm(server)


@pytest.fixture(params=["direct", "plain"])
def either(request, server, plain):
    """A server with the direct path, and one without."""
    return server if request.param == "direct" else plain


@pytest.fixture
def start(loop, logs):
    """Start a server of one's own."""
    with ExitStack() as stack:

        def start(**options):
            server = Server(loop, logs / f"{loop}-{time.monotonic_ns()}.log", **options)
            stack.callback(server.close)
            return server

        yield start
