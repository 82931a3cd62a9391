"""Ids of requests and open sockets, for the log lines that they cause (CHAT_LOG=json).

`IdentifiedBridge` gives each request an id, which its response has as `X-Request-Id`, and each
websocket also a connection id. `chat.observability.json_log` adds them to every line that the
request or the socket causes. The plain format has no ids, and the chat then runs in a `Bridge`.
"""

import re
import secrets
from collections.abc import Callable
from typing import Any

from ..bridge import Bridge, Message, Receive, Scope, Send
from .json_log import Origin, set_origin

HEADER = b"x-request-id"
ID_BYTES = 9  # random bytes of an id, which is a third longer as text

_PLAIN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")  # a proxy's id that is used unchanged
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class IdentifiedBridge(Bridge):
    """A bridge whose requests have ids. The X-Request-Id of our own proxies is used: `is_proxy`
    returns whether an IP address is one of theirs."""

    def __init__(self, app: Any, *, is_proxy: Callable[[str], bool], **options: Any) -> None:
        super().__init__(app, **options)
        self._is_proxy = is_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        origin = Origin(self._proxy_id(scope) or _new_id())
        if scope["type"] == "websocket":
            origin.connection_id = _new_id()
        header = HEADER, origin.request_id.encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] in _STARTS:
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        set_origin(origin)  # for this task, which is the request's own, and its greenlets
        try:
            await super().__call__(scope, receive, send_with_id)
        finally:
            origin.is_over = True

    def _proxy_id(self, scope: Scope) -> str:
        """Return the valid id that one of our proxies has given to the request, or ""."""
        client = scope.get("client")
        sent = [value for name, value in scope["headers"] if name == HEADER]
        if len(sent) != 1 or not _PLAIN_ID.fullmatch(sent[0]) or not client:
            return ""
        return sent[0].decode("ascii") if self._is_proxy(client[0]) else ""


def _new_id() -> str:
    return secrets.token_urlsafe(ID_BYTES)
