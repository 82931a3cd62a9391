"""What one process counts and measures, for Prometheus (prometheus.io/docs/instrumenting).

Nothing is counted for each delivery: what is sent to a thousand pages is one event. With several
workers on a port each answer is of whichever took the request; `pid` in every sample tells them
apart.
"""

import os
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector

from .replaced_processes import ReplacedCounts

LAGS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

_own = CollectorRegistry()
ProcessCollector(registry=_own)

EVENTS = Counter("chat_events", "Events of rooms that this process shows", registry=_own)
POSTED = Counter("chat_messages_posted", "Messages stored for authors here", registry=_own)
SLOW = Counter("chat_slow_readers", "Sockets closed as their reader was slow", registry=_own)
GAPS = Counter(
    "chat_gaps_repaired", "Times that events were read which did not come", registry=_own
)
LAG = Histogram("chat_loop_lag_seconds", "How late the event loop is", buckets=LAGS, registry=_own)
PAGES = Gauge("chat_connections", "Open pages, and frames without JavaScript", registry=_own)
ROOMS = Gauge("chat_rooms", "Rooms that open pages belong to", registry=_own)
VIEWERS = Gauge(
    "chat_room_viewers", "Pairs of an open page and a room it belongs to", registry=_own
)
SUBSCRIPTIONS = Gauge("chat_subscriptions", "Pub/sub channels wanted from Redis", registry=_own)
REDIS = Gauge("chat_redis_connected", "1 while what is published comes in", registry=_own)


def count_replaced(descriptor: int) -> None:
    """Say what the supervisor counts in the file `descriptor` as well."""
    _own.register(ReplacedCounts(descriptor))


def text() -> bytes:
    """All of it, in Prometheus's text format 0.0.4."""
    return generate_latest(_Process())


class _Process(CollectorRegistry):
    """The registry, with the process named in every sample."""

    def __init__(self) -> None:
        super().__init__()
        self.pid = str(os.getpid())

    def collect(self) -> Iterator[Metric]:
        for metric in _own.collect():
            metric.samples = [self._named(sample) for sample in metric.samples]
            yield metric

    def _named(self, sample: Any) -> Any:
        return sample._replace(labels={**sample.labels, "pid": self.pid})
