"""Marks as read what a plain page has shown, when the browser's next request confirms the page.

The server does not know whether an HTTP response has arrived. So a page with the newest messages of
a room also sets a cookie with the number of the last one, which the browser sends with its next
request. Then the messages count as read, and the cookie is deleted. A page whose socket opens sends
the same in its first frame (PageConnection.watch).
"""

import logging
from typing import Any

from flask import Response, after_this_request, g, request
from redis.exceptions import RedisError

from ..domain.validation import cursor
from ..services.context import chat
from ..store import Person
from .nonces import is_nonce

log = logging.getLogger(__name__)

COOKIE_SECONDS = 24 * 3600  # the browser forgets a page that no request followed


def served(rid: str, seq: int, at: int) -> None:
    """The response to this request shows the room `rid` up to event `seq`, whose time is `at` (ms
    since 1970). It does not count if it has no body, or if the browser fetches it in advance."""
    if request.method == "HEAD" or _is_prefetch():
        return
    text = f"{g.person.uid}.{rid}.{seq}-{at}"

    @after_this_request
    def remember(response: Response) -> Response:
        response.set_cookie(_name(), text, max_age=COOKIE_SECONDS, **_flags())
        return response


def _is_prefetch() -> bool:
    """True if the browser says that it fetches the page in advance (Fetch Standard, "Sec-Purpose",
    and the names that browsers used before)."""
    purposes = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz"))
    return any("prefetch" in text or "preview" in text for text in purposes)


def confirm(person: Person) -> None:
    """The browser of this person has sent its next request, so the previous page has arrived."""
    uid, _, place = request.cookies.get(_name(), "").partition(".")
    rid, _, shown = place.partition(".")
    if uid != person.uid or not is_nonce(rid):
        return
    try:
        chat().store.messages.seen(rid, uid, *cursor(shown))
    except (RedisError, OSError) as error:
        log.warning("cannot store what was read: %s", error)
    else:
        after_this_request(_forget)


def _forget(response: Response) -> Response:
    response.delete_cookie(_name(), **_flags())
    return response


def _flags() -> dict[str, Any]:
    return {"httponly": True, "samesite": "Lax", "secure": chat().settings.secure}


def _name() -> str:
    return "__Host-served" if chat().settings.secure else "served"
