"""The security headers that every response has, and the stricter ones of responses without a page.

The server adds them, below Flask (see `server_settings`), so that no response is sent without them.
Some responses never reach Flask: those to a malformed request, to headers that are too long, to a
refused handshake, or from a server that is stopping. It is also cheaper: each header that Flask
adds costs 3 µs. Flask adds the content security policy of pages (chat.web.security); a response
without one gets the strictest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Headers = list[tuple[bytes, bytes]]

ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
"""Headers of every response."""

HSTS = ("Strict-Transport-Security", "max-age=31536000")
"""Added to `ALWAYS` where people reach the chat over https only."""

CONTENT_SECURITY_POLICY = b"content-security-policy"

_WITHOUT_PAGE = (
    ("Content-Security-Policy", "default-src 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)


def server_settings(https_only: bool) -> dict[str, Any]:
    """Settings of the server (chat.bridge.config.ServerSettings) that make it add the headers.

    https_only: whether people reach the server over https only.
    """
    return {
        "added_headers": _added_headers(https_only),
        "handshake_headers": _added_headers(https_only=False)([]),
    }


def _added_headers(https_only: bool) -> Callable[[Headers], Headers]:
    """Return a function that returns the headers to add to a response, given those it has (names
    in lower case). A response without a content security policy is no page."""
    always = _encoded((*ALWAYS, HSTS) if https_only else ALWAYS)
    without_page = _encoded(_WITHOUT_PAGE) + always

    def added(headers: Headers) -> Headers:
        for name, _ in headers:
            if name == CONTENT_SECURITY_POLICY:
                return always
        names = {name for name, _ in headers}
        return [header for header in without_page if header[0] not in names]

    return added


def _encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers]
