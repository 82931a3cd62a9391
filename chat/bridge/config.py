"""Hypercorn's settings with our defaults, and the settings that we add."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from time import time
from wsgiref.handlers import format_date_time

from hypercorn.config import Config

from .wsgi import Headers


class ServerSettings(Config):
    """Settings of a server. Sizes are in bytes, times in seconds."""

    backlog = 4096
    graceful_timeout = 1.0
    shutdown_timeout = 5.0  # type: ignore[assignment]
    ssl_handshake_timeout = 10.0  # type: ignore[assignment]
    # The largest message a client may send; one byte more closes with 1009.
    websocket_max_message_size = 256 * 1024
    # A client that is silent for this long gets a ping (None: never), ...
    websocket_ping_interval = 25.0
    # ... and one that stays silent for this much longer is cut off.
    websocket_pong_timeout = 10.0
    # How long a client may take to answer our Close frame.
    websocket_close_timeout = 5.0
    # How long a connection may take to end after the last frame.
    websocket_linger = 2.0
    # Whether a client may begin HTTP/2 without TLS, by prior knowledge (h2c).
    h2c = False
    # How long an HTTP/2 client may leave a stream's window shut while something waits.
    http2_stall_timeout = 60.0
    # Called with the headers of each response (names in lower case); returns those to add.
    added_headers: Callable[[Headers], Headers] = staticmethod(lambda _: [])
    # Headers to add to the 101 response of a websocket over HTTP/1.1.
    handshake_headers: Sequence[tuple[bytes, bytes]] = ()
    # False hides the direct path from the application (to test plain ASGI).
    direct_writes = True

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """Return the Date header, built once a second. Hypercorn builds it for each response, and
        adds its name and the other protocols."""
        return [(b"date", _date(int(time())))] if self.include_date_header else []


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return format_date_time(second).encode("ascii")
