"""The security headers that are the same for every answer, and those of answers without a page.

The protocol classes add them, so that no answer leaves without them: some are made below Flask, to
a malformed request, a header that is too long, a handshake that is refused, or by a server that is
stopping. Besides, they cost nothing there, while each header that Flask adds costs 3 µs. Flask adds
the policy of a page (chat.web.security); an answer without one gets the strictest.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypercorn.protocol.events import Response

ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
"""Headers of every answer."""

HSTS = ("Strict-Transport-Security", "max-age=31536000")
"""Besides, where people reach the chat over https only."""

POLICY = b"content-security-policy"

_PLAIN = (
    ("Content-Security-Policy", "default-src 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
)


def _as_sent(headers: Iterable[tuple[str, str]], https_only: bool) -> list[tuple[bytes, bytes]]:
    every = (*headers, *ALWAYS, *((HSTS,) if https_only else ()))
    return [(name.lower().encode(), value.encode()) for name, value in every]


_ADDED = {https_only: _as_sent((), https_only) for https_only in (False, True)}
_PLAIN_ANSWER = {https_only: _as_sent(_PLAIN, https_only) for https_only in (False, True)}


def plain_answer_headers(https_only: bool) -> list[tuple[bytes, bytes]]:
    """The security headers of an answer that is no page; names in lower case."""
    return list(_PLAIN_ANSWER[https_only])


def with_security_headers(answer: Response, https_only: bool) -> Response:
    """The answer, with the security headers; an answer without a content security policy is no
    page."""
    for name, _ in answer.headers:
        if name == POLICY:
            headers = [*answer.headers, *_ADDED[https_only]]
            return Response(answer.stream_id, headers, answer.status_code)
    names = {name for name, _ in answer.headers}
    added = [header for header in _PLAIN_ANSWER[https_only] if header[0] not in names]
    return Response(answer.stream_id, [*answer.headers, *added], answer.status_code)
