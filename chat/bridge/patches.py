"""Replaces parts of Hypercorn by subclasses, for the whole process.

Hypercorn has no documented way to reach a connection's transport, and leaves several things open
that a server on the internet must settle. `install` therefore replaces six names in Hypercorn's
modules. Everything else in this process that uses Hypercorn sees the replacements, too:

- `H11Protocol` and `H2Protocol` in `hypercorn.protocol`, and `WSStream` in its modules `h11` and
  `h2`, become functions. For a configuration of the class `ServerSettings` they make `HTTP1`,
  `HTTP2` and `WebSocketStream`; for every other one they make Hypercorn's own classes. Other
  Hypercorn servers in the same process run as before.
- `Handshake` in `hypercorn.protocol.ws_stream` becomes `WebSocketHandshake`, which rejects repeated
  and undecodable handshake fields for everybody, and agrees to compression in its own way only for
  our `WebSocketStream`.
- `StreamBuffer` in `hypercorn.protocol.h2` becomes `SendBuffer`, which limits, for everybody, how
  much a stream holds while its client opens no window.

The last two get no configuration from Hypercorn, so they cannot tell whose connection it is.

Written against Hypercorn 0.18; `tests/unit/test_patches.py` fails when Hypercorn changes one of the
places that are replaced or overridden.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypercorn.protocol
import hypercorn.protocol.h2
import hypercorn.protocol.h11
import hypercorn.protocol.ws_stream
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream

from .config import ServerSettings
from .handshake import WebSocketHandshake
from .http1 import HTTP1
from .http2 import HTTP2, SendBuffer
from .websocket_stream import WebSocketStream


def install() -> None:
    """Put our classes in the place of Hypercorn's. May be called again."""
    protocol: Any = hypercorn.protocol
    websocket_stream = _by_settings(WebSocketStream, WSStream)
    protocol.H11Protocol = _by_settings(HTTP1, H11Protocol)
    protocol.H2Protocol = _by_settings(HTTP2, H2Protocol)
    protocol.h11.WSStream = websocket_stream
    protocol.h2.WSStream = websocket_stream
    protocol.h2.StreamBuffer = SendBuffer
    protocol.ws_stream.Handshake = WebSocketHandshake


def _by_settings(ours: type[Any], theirs: type[Any]) -> Callable[..., Any]:
    """Return what makes `ours` for a server with our settings, and `theirs` for any other."""

    def make(app: Any, config: Any, *args: Any) -> Any:
        return (ours if isinstance(config, ServerSettings) else theirs)(app, config, *args)

    return make
