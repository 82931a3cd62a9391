"""For those who run the chat: is the process alive, can it work, what does it do."""

from typing import Any

from flask import Blueprint
from redis.exceptions import RedisError

from .current import chat

bp = Blueprint("operations", __name__)


@bp.get("/healthz")
def healthz() -> Any:
    """200 as long as the process answers."""
    return "ok\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


@bp.get("/readyz")
def readyz() -> Any:
    """200 when Redis answers and what is published comes in; else 503 with the reason."""
    plain = {"Content-Type": "text/plain; charset=utf-8"}
    try:
        chat().store.ping()
    except (RedisError, OSError):
        return "Redis does not answer\n", 503, plain
    if not chat().subscriber.connected:
        return "not subscribed to Redis yet\n", 503, plain
    return "ok\n", 200, plain
