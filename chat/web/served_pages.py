"""Which room a plain page showed, confirmed by what the browser asks for next.

An HTTP answer confirms nothing by itself: it may never have arrived. So a page that shows the
newest messages of a room also sets a cookie that says up to which number, and the browser sends it
along with its next request. Then what the page showed counts as read, and the cookie goes.
A page whose socket opens says the same in its first frame (PageConnection.watch).
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

MAX_AGE_SECONDS = 24 * 3600  # until a browser forgets a page after which it asked for nothing


def served(rid: str, seq: int, at: int) -> None:
    """The answer to this request shows the room `rid` up to event `seq`, of the time `at` (ms). Not
    where it has no body, or is fetched for somebody who may never look at it."""
    if request.method == "HEAD" or _is_prefetch():
        return
    text = f"{g.person.uid}.{rid}.{seq}-{at}"

    @after_this_request
    def remember(response: Response) -> Response:
        response.set_cookie(_name(), text, max_age=MAX_AGE_SECONDS, **_flags())
        return response


def _is_prefetch() -> bool:
    """True when the browser says that it fetches the page ahead (Fetch Standard, "Sec-Purpose", and
    the names that browsers had for it before)."""
    said = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz"))
    return any("prefetch" in text or "preview" in text for text in said)


def confirm(person: Person) -> None:
    """The browser of this person asks for something: the page before has arrived."""
    uid, _, place = request.cookies.get(_name(), "").partition(".")
    rid, _, shown = place.partition(".")
    if uid != person.uid or not is_nonce(rid):
        return
    try:
        chat().store.messages.seen(rid, uid, *cursor(shown))
    except (RedisError, OSError) as error:
        log.warning("cannot remember what was seen: %s", error)
    else:
        after_this_request(_forget)


def _forget(response: Response) -> Response:
    response.delete_cookie(_name(), **_flags())
    return response


def _flags() -> dict[str, Any]:
    return {"httponly": True, "samesite": "Lax", "secure": chat().settings.secure}


def _name() -> str:
    return "__Host-served" if chat().settings.secure else "served"
