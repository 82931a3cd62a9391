"""The metrics of one process, in Prometheus's format (prometheus.io/docs/instrumenting).

An event that is sent to a thousand pages counts once. If several workers share a port, each
response comes from the worker that accepted the request; the label `pid` tells them apart.
"""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector

from .replaced_processes import ReplacedCounts

LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds

_own = CollectorRegistry()
ProcessCollector(registry=_own)

EVENTS = Counter("chat_events", "Events of rooms that this process has passed on", registry=_own)
POSTED = Counter("chat_messages_posted", "Messages that this process has stored", registry=_own)
SLOW = Counter("chat_slow_readers", "Sockets closed for reading too slowly", registry=_own)
GAPS = Counter("chat_gaps_repaired", "Times that missed events were read", registry=_own)
LAG = Histogram("chat_loop_lag_seconds", "Event loop lag", buckets=LAG_BUCKETS, registry=_own)
PAGES = Gauge("chat_connections", "Open pages and event streams", registry=_own)
ROOMS = Gauge("chat_rooms", "Rooms that open pages belong to", registry=_own)
VIEWERS = Gauge(
    "chat_room_viewers", "Pairs of an open page and a room it belongs to", registry=_own
)
SUBSCRIPTIONS = Gauge(
    "chat_subscriptions", "Pub/sub channels that are subscribed to", registry=_own
)
REDIS = Gauge("chat_redis_connected", "1 while messages from Redis are received", registry=_own)


def count_replaced(descriptor: int) -> None:
    """Export what the supervisor counts in the file `descriptor`, too."""
    _own.register(ReplacedCounts(descriptor))


def text() -> bytes:
    """Return all metrics in Prometheus's text format 0.0.4."""
    return generate_latest(_Process())


class _Process(CollectorRegistry):
    """The registry, with the label `pid` in every sample."""

    def collect(self) -> Iterator[Metric]:
        pid = {"pid": str(os.getpid())}
        for metric in _own.collect():
            metric.samples = [one._replace(labels=one.labels | pid) for one in metric.samples]
            yield metric
