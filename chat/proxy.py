"""A proxy in front that has signed the visitor in, and says so in a header.

It is believed when the connection itself comes from an address of CHAT_PROXIES; what anyone else
says in that header is as if it were not there. The proxy must replace the header that a visitor
sends: two of them are joined by a comma, and such a value names nobody. Neither does one that is
not UTF-8 or holds control characters: read some other way, two people could become one.
"""

import logging

from flask import g, request

from .current import chat
from .once_per_minute import OncePerMinute
from .security import is_proxy
from .signed import LONGEST_SUBJECT, first_name
from .store import Person
from .wire_text import header_text

log = logging.getLogger(__name__)

_unusable = OncePerMinute()


def subject() -> str:
    """Whom the proxy has let in, "" when none says so. The header is read once in a request."""
    if "proxy_subject" not in g:
        g.proxy_subject = _subject()
    return g.proxy_subject or ""


def is_unusable() -> bool:
    """True when the proxy names somebody in a way that does not tell who it is."""
    return bool(subject() == "" and g.proxy_subject is None)


def person(subject: str) -> Person:
    """The person whom the proxy names."""
    header = chat().settings.proxy_name_header
    name = header_text(request.headers.get(header, "")) if header else ""
    called = first_name(name, subject.partition("@")[0]) or "New member"
    return chat().store.accounts.of_subject("proxy", subject, called)


def _subject() -> str | None:
    """As `subject`; None for a header that cannot be used."""
    settings = chat().settings
    if "proxy" not in settings.sign_in or not is_proxy(request.remote_addr or ""):
        return ""
    value = request.headers.get(settings.proxy_header, "")
    named = header_text(value)
    if named is None or "," in named or len(named) > LONGEST_SUBJECT:
        _unusable.warn(log, "%s cannot be used: %r", settings.proxy_header, value[:100])
        return None
    return named
