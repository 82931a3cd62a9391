"""Converts an ASGI scope to a WSGI environ; types and helpers that the other modules share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from werkzeug.wsgi import FileWrapper

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

FILE_CHUNK_BYTES = 1 << 16
"""What is sent of a file at once."""

_tasks: set[asyncio.Future[Any]] = set()


def make_environ(scope: Scope) -> dict[str, Any]:
    """The WSGI environ of an ASGI scope, without `wsgi.input`.

    Header names with an underscore are left out, because they would be taken for the name with a
    hyphen that a proxy sets. So is `Proxy` (httpoxy).
    """
    server = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    root, path = _paths(scope)
    environ = {
        "REQUEST_METHOD": scope.get("method", "GET"),
        "SCRIPT_NAME": root,
        "PATH_INFO": path,
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"]),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": _file_wrapper,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        if b"_" in raw_name or name == "PROXY":
            continue
        key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        if key in environ:
            value = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + value
        environ[key] = value
    if scope["type"] != "websocket":
        # The server has decided that this is no websocket. Werkzeug would decide for itself, and
        # could decide differently.
        environ.pop("HTTP_UPGRADE", None)
    elif scope["http_version"] >= "2":
        # The extended CONNECT of RFC 8441. Werkzeug recognises websockets by these two headers.
        environ["HTTP_CONNECTION"] = "Upgrade"
        environ["HTTP_UPGRADE"] = "websocket"
    return environ


def headers_size(scope: Scope) -> int:
    """Return the size of all request headers, names and values, in bytes."""
    return sum(len(name) + len(value) for name, value in scope["headers"])


def plain_headers(body: bytes) -> Headers:
    """Return the headers of a plain text response."""
    return [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]


def spawn(awaitable: Awaitable[Any]) -> asyncio.Future[Any]:
    """Run something in the background; the task is kept until it is done."""
    task = asyncio.ensure_future(awaitable)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def all_done(tasks: set[asyncio.Task[Any]], seconds: float) -> bool:
    """Wait until `tasks`, which may grow, is empty, for at most `seconds`. Return whether it is."""
    deadline = asyncio.get_running_loop().time() + seconds
    while tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
        await asyncio.wait(tasks, timeout=left)
        await asyncio.sleep(0)
    return not tasks


def _paths(scope: Scope) -> tuple[str, str]:
    """Return SCRIPT_NAME and PATH_INFO."""
    raw = scope.get("raw_path") or scope["path"].encode()
    if not raw.startswith(b"/") and b"://" in raw:
        raw = b"/" + raw.split(b"://", 1)[1].partition(b"/")[2]
    path = unquote_to_bytes(raw).decode("latin-1")
    root = scope.get("root_path", "").encode().decode("latin-1")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    return root, path


def _file_wrapper(file: Any, size: int = FILE_CHUNK_BYTES) -> FileWrapper:
    # Flask asks for chunks of 8 KiB, and each would be a turn of the loop.
    return FileWrapper(file, max(size, FILE_CHUNK_BYTES))
