"""Counts the processes that the supervisor has replaced, for the `/metrics` of its workers.

The supervisor serves no requests. So it writes the numbers into an unnamed file that its workers
have open, too, and each worker reads them for its response.
"""

import os
import struct
import tempfile
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

KINDS = ("worker", "indexer", "valkey")
REASONS = ("died", "hung")
_NUMBER = struct.Struct("=Q")


class ReplacedCounts(Collector):
    """The counts in the file `descriptor`, which the supervisor has opened and passed on."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def new(cls) -> "ReplacedCounts":
        """Return counts that are all 0, in a new file."""
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
        os.set_inheritable(descriptor, True)
        os.ftruncate(descriptor, _NUMBER.size * len(KINDS) * len(REASONS))
        return cls(descriptor)

    def add(self, kind: str, reason: str) -> None:
        """Count one more process of a kind (KINDS) that was replaced for a reason (REASONS)."""
        at = self._place(kind, reason)
        os.pwrite(self.descriptor, _NUMBER.pack(self.get(kind, reason) + 1), at)

    def get(self, kind: str, reason: str) -> int:
        stored = os.pread(self.descriptor, _NUMBER.size, self._place(kind, reason))
        return int(_NUMBER.unpack(stored)[0])

    def collect(self) -> Iterator[Metric]:
        """Yield the counts for Prometheus."""
        what = "Processes that died or hung and were replaced"
        counter = CounterMetricFamily("chat_processes_replaced", what, labels=("kind", "reason"))
        for kind in KINDS:
            for reason in REASONS:
                counter.add_metric((kind, reason), self.get(kind, reason))
        yield counter

    def _place(self, kind: str, reason: str) -> int:
        return _NUMBER.size * (KINDS.index(kind) * len(REASONS) + REASONS.index(reason))
