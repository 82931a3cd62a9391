"""Counts every request against the rate limits of services.rate_limits.

The person is known from the signed cookie or the API's token. Redis is asked only now and then, for
the next few requests of a bucket (limits.Rate.ahead). Visitors who are not signed in are counted by
their network. All people of one network are counted together as well, against a budget large enough
for a school.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from flask import Request, Response, g, request
from flask import session as cookie
from redis.exceptions import RedisError

from ..services.context import chat
from ..services.rate_limits import NOT_FOUND, READS, ROUTES
from .security import network

VIEW_BYTES = 256 * 1024  # a response counts once more for each of these
MAX_COUNT_FOR_BYTES = 20  # by which the size of one response can raise its count


def count(asked: Request) -> None:
    """Count a request. The API calls `charge` itself, after it has checked the token."""
    if asked.blueprint != "api":
        charge(asked, cookie.get("uid", ""))


def charge(asked: Request, uid: str) -> None:
    """Count a request for the person `uid`, "" for a visitor. Raises TooOften. While Redis is
    unavailable, requests that only read are not counted, because they fail anyway."""
    budget, limits = ROUTES.get(asked.endpoint or "", NOT_FOUND), chat().limits
    if budget.free or not limits.on:
        return
    g.counted_for, visitor_network = uid, network()
    with suppress(*((RedisError, OSError) if budget.bucket in READS else ())):
        if budget.by_network:
            limits.use(budget.bucket, visitor_network)
        elif uid and budget.bucket:
            limits.use(budget.bucket, uid)
        if not uid:
            limits.use("anonymous", visitor_network)
        elif budget.bucket not in ("picture", "download"):
            limits.use("network", visitor_network)


def enter_page() -> Callable[[], None]:
    """Count the present request as an open page (realtime.connection_limits) of the person who is
    signed in. Returns the function to call when the page closes. Raises TooOften."""
    limits, owner = chat().connection_limits, (g.person.uid, network())
    chat().limits.use("page", owner[1])
    limits.enter(*owner)
    return partial(limits.leave, *owner)


def charge_bytes(uid: str, bucket: str, size: int) -> None:
    """Count a response of `size` bytes; the next request pays for it."""
    if more := min(size // VIEW_BYTES, MAX_COUNT_FOR_BYTES):
        chat().limits.owe(bucket, uid, more)


def charge_response(response: Response) -> Response:
    """Count the bytes of the response to the present request."""
    if not (uid := g.get("counted_for")):
        return response
    budget = ROUTES.get(request.endpoint or "", NOT_FOUND)
    if budget.bucket in READS:
        size = sum(map(len, response.response)) if response.is_sequence else response.content_length
        charge_bytes(uid, budget.bucket, size or 0)
    return response
