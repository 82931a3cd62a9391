"""Counts the processes that the supervisor has replaced, for the `/metrics` of its workers.

The supervisor serves no requests. So it writes the numbers into an unnamed file that its workers
have open, too, and each worker reads them for its response.
"""

import os
import tempfile
from array import array
from collections.abc import Iterator
from itertools import product

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

KINDS = ("worker", "indexer", "valkey")
REASONS = ("died", "hung")
_LABELS = tuple(product(KINDS, REASONS))  # in the order of the numbers in the file
_NO_COUNTS = array("Q", [0] * len(_LABELS))


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
        os.pwrite(descriptor, _NO_COUNTS, 0)
        return cls(descriptor)

    def add(self, kind: str, reason: str) -> None:
        """Count one more process of a kind (KINDS) that was replaced for a reason (REASONS)."""
        counts = self._read()
        counts[_LABELS.index((kind, reason))] += 1
        os.pwrite(self.descriptor, counts, 0)

    def collect(self) -> Iterator[Metric]:
        """Yield the counts for Prometheus."""
        what = "Processes that died or hung and were replaced"
        counter = CounterMetricFamily("chat_processes_replaced", what, labels=("kind", "reason"))
        for labels, count in zip(_LABELS, self._read(), strict=True):
            counter.add_metric(labels, count)
        yield counter

    def _read(self) -> "array[int]":
        return array("Q", os.pread(self.descriptor, memoryview(_NO_COUNTS).nbytes, 0))
