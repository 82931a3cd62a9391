"""Runs Flask and Flask-Sock on Hypercorn. This package knows nothing of the chat; see README.md.

The names in `__all__` are its public interface. Each is imported when it is first used, so that a
process that only opens a listening socket does not load Flask and Hypercorn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenback import await_
    from simple_websocket import ConnectionClosed

    from .bridge import RESTART_SECONDS, Bridge
    from .config import ServerSettings
    from .connection_handler import ConnectionHandler
    from .frames import BroadcastMessage
    from .http import ON_DRAIN
    from .server import run, serve
    from .sockets import listen
    from .websocket import WebSocket
    from .wsgi import Headers, Message, Receive, Scope, Send, spawn

__all__ = [
    "ON_DRAIN",
    "RESTART_SECONDS",
    "Bridge",
    "BroadcastMessage",
    "ConnectionClosed",
    "ConnectionHandler",
    "Headers",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "ServerSettings",
    "WebSocket",
    "await_",
    "listen",
    "run",
    "serve",
    "spawn",
]

_NAMES = {  # by module
    "greenback": {"await_"},
    "simple_websocket": {"ConnectionClosed"},
    ".bridge": {"RESTART_SECONDS", "Bridge"},
    ".config": {"ServerSettings"},
    ".frames": {"BroadcastMessage"},
    ".http": {"ON_DRAIN"},
    ".server": {"run", "serve"},
    ".sockets": {"listen"},
    ".connection_handler": {"ConnectionHandler"},
    ".websocket": {"WebSocket"},
    ".wsgi": {"Headers", "Message", "Receive", "Scope", "Send", "spawn"},
}


def __getattr__(name: str) -> Any:
    for module, names in _NAMES.items():
        if name in names:
            return getattr(import_module(module, __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
