"""A proxy in front that has signed the visitor in, and says so in a header.

It is believed when the connection itself comes from an address of CHAT_PROXIES; what anyone else
says in that header is as if it were not there. The proxy must replace the header that a visitor
sends: two of them are joined by a comma, and such a value names nobody. Neither does one that is
not UTF-8 or holds control characters: read some other way, two people could become one.
"""

import logging

from flask import g, request

from ..auth.jwt import MAX_SUBJECT_CHARS, first_usable_name
from ..domain.wire_text import header_text
from ..observability.once_per_minute import OncePerMinute
from ..services.context import chat
from ..store import Person
from .security import is_proxy

log = logging.getLogger(__name__)

_unusable = OncePerMinute()


def subject() -> str:
    """Whom the proxy has let in; "" when no proxy says so, or not clearly."""
    return named() or ""


def named() -> str | None:
    """As `subject`; None where the proxy names somebody in a way that does not tell who it is. The
    header is read once in a request."""
    if "proxy" not in chat().settings.sign_in:
        return ""
    if "proxy_named" not in g:
        g.proxy_named = _named()
    found: str | None = g.proxy_named
    return found


def _named() -> str | None:
    settings = chat().settings
    if not is_proxy(request.remote_addr or ""):
        return ""
    value = request.headers.get(settings.proxy_header, "")
    found = header_text(value)
    if found is None or "," in found or len(found) > MAX_SUBJECT_CHARS:
        _unusable.warn(log, "%s cannot be used: %r", settings.proxy_header, value[:100])
        return None
    return found


def person(subject: str) -> Person:
    """The person whom the proxy names."""
    header = chat().settings.proxy_name_header
    name = header_text(request.headers.get(header, "")) if header else ""
    called = first_usable_name(name, subject.partition("@")[0]) or "New member"
    return chat().store.accounts.by_subject("proxy", subject, called)
