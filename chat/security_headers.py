"""The security headers that are the same for every answer, and those of answers without a page.

Flask adds them to its answers (chat.security). Some answers are made below Flask: a malformed
request, a header that is too long, a handshake that is refused, a server that is stopping. The
protocol classes add them there, to whatever has no content security policy yet, so that no answer
leaves without them.
"""

from __future__ import annotations

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
    *ALWAYS,
)


def plain_answer_headers(https_only: bool) -> list[tuple[bytes, bytes]]:
    """The security headers of an answer that is no page; names in lower case."""
    headers = (*_PLAIN, HSTS) if https_only else _PLAIN
    return [(name.lower().encode(), value.encode()) for name, value in headers]


_PLAIN_ANSWER = {https_only: plain_answer_headers(https_only) for https_only in (False, True)}


def with_security_headers(answer: Response, https_only: bool) -> Response:
    """The answer, with the security headers unless it has a content security policy."""
    for name, _ in answer.headers:
        if name == POLICY:
            return answer
    names = {name for name, _ in answer.headers}
    added = [header for header in _PLAIN_ANSWER[https_only] if header[0] not in names]
    return Response(answer.stream_id, [*answer.headers, *added], answer.status_code)
