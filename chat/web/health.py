"""For operators: whether the process is alive and ready, and its metrics."""

from ipaddress import ip_address
from typing import Any

from flask import Blueprint, Response, request
from redis.exceptions import RedisError

from ..domain.errors import Invalid, NotFound
from ..observability import metrics
from ..services.context import chat
from .client_address import FORWARDING_HEADERS
from .security import address, is_proxy

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> Any:
    """200 as long as the process responds."""
    return "ok\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


@bp.get("/readyz")
def readyz() -> Any:
    """200 if Redis responds, published events arrive (in a process that serves sockets), and the
    processes that this one needs respond. Otherwise 503 with the reason."""
    try:
        chat().store.ping()
        text = next(filter(None, (problem() for problem in chat().problems)), "")
    except (RedisError, OSError):
        text = "Redis does not answer"
    return Response(f"{text or 'ok'}\n", 503 if text else 200, mimetype="text/plain")


@bp.get("/metrics")
def prometheus() -> Any:
    """The metrics of this process, for the networks of CHAT_METRICS; a 404 for others."""
    if not _may_measure():
        raise NotFound("There is no such page.")
    return metrics.text(), 200, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


def _may_measure() -> bool:
    """True for a visitor from a network of CHAT_METRICS. Anybody may be behind an unknown proxy, so
    its requests are refused."""
    passed_on = any(name in request.headers for name in FORWARDING_HEADERS)
    if passed_on and not is_proxy(request.remote_addr or ""):
        return False
    try:
        return any(ip_address(address()) in network for network in chat().settings.metrics)
    except (ValueError, Invalid):
        return False
