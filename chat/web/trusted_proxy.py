"""Signing in by a proxy in front of the chat, which names the visitor in a header.

The header counts only if the connection comes from an address of CHAT_PROXIES; from anyone else it
is ignored. The proxy must replace the header that a visitor sends: two of them are joined by a
comma, and such a value names nobody. A value that is not UTF-8 or has control characters names
nobody either: decoded in another way, two people could become one.
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


def named() -> str | None:
    """The name of the person whom the proxy has signed in; "" if no proxy names one, None if it
    names somebody in a form that cannot be used. Reads the header once in a request."""
    if "proxy_named" not in g:
        g.proxy_named = _named()
    found: str | None = g.proxy_named
    return found


def _named() -> str | None:
    settings = chat().settings
    if "proxy" not in settings.sign_in or not is_proxy(request.remote_addr or ""):
        return ""
    value = request.headers.get(settings.proxy_header, "")
    found = header_text(value)
    if found is None or "," in found or len(found) > MAX_SUBJECT_CHARS:
        _unusable.warn(log, "%s cannot be used: %r", settings.proxy_header, value[:100])
        return None
    return found


def person(subject: str) -> Person:
    """The person whom the proxy names, who is created when they come for the first time."""
    header = chat().settings.proxy_name_header
    name = header_text(request.headers.get(header, "")) if header else ""
    called = first_usable_name(name, subject.partition("@")[0]) or "New member"
    return chat().store.accounts.by_subject("proxy", subject, called)
