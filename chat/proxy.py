"""A proxy in front that has signed the visitor in, and says so in a header.

It is believed when the connection itself comes from an address of CHAT_PROXIES; what anyone else
says in that header is as if it were not there. The proxy must replace the header that a visitor
sends: two of them are joined by a comma, and such a value names nobody.
"""

import logging

from flask import request

from .current import chat
from .security import is_proxy
from .signed import LONGEST_SUBJECT, first_name
from .store import Person

log = logging.getLogger(__name__)


def subject() -> str:
    """Whom the proxy has let in, "" when none says so."""
    settings = chat().settings
    if "proxy" not in settings.sign_in or not is_proxy(request.remote_addr or ""):
        return ""
    named = _header(settings.proxy_header)
    if "," in named or len(named) > LONGEST_SUBJECT:
        log.warning("%s cannot be used: %r", settings.proxy_header, named[:100])
        return ""
    return named


def person(subject: str) -> Person:
    """The person whom the proxy names."""
    name = _header(chat().settings.proxy_name_header)
    called = first_name(name, subject.partition("@")[0]) or "New member"
    return chat().store.accounts.of_subject("proxy", subject, called)


def _header(name: str) -> str:
    """A header as UTF-8, which is what proxies send; WSGI has its bytes as Latin-1."""
    value = request.headers.get(name, "") if name else ""
    return value.encode("latin-1", "replace").decode("utf-8", "replace").strip()
