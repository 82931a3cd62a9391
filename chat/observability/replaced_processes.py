"""How many processes the supervisor has replaced, for the `/metrics` of its workers.

The supervisor serves no requests. It writes the numbers into a file without a name that its
workers have open, and each of them reads the numbers when it is asked.
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
    """`descriptor` of the file: the supervisor's own, or what it has passed on."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def new(cls) -> "ReplacedCounts":
        """All 0."""
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
        os.set_inheritable(descriptor, True)
        os.ftruncate(descriptor, _NUMBER.size * len(KINDS) * len(REASONS))
        return cls(descriptor)

    def add(self, kind: str, reason: str) -> None:
        """One more of KINDS, for one of REASONS."""
        at = self._place(kind, reason)
        os.pwrite(self.descriptor, _NUMBER.pack(self.get(kind, reason) + 1), at)

    def get(self, kind: str, reason: str) -> int:
        stored = os.pread(self.descriptor, _NUMBER.size, self._place(kind, reason))
        return int(_NUMBER.unpack(stored)[0])

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        what = "Processes of this host that died or hung, and were replaced"
        counter = CounterMetricFamily("chat_processes_replaced", what, labels=("kind", "reason"))
        for kind in KINDS:
            for reason in REASONS:
                counter.add_metric((kind, reason), self.get(kind, reason))
        yield counter

    def _place(self, kind: str, reason: str) -> int:
        return _NUMBER.size * (KINDS.index(kind) * len(REASONS) + REASONS.index(reason))
