"""Reads the clocks at both ends of a measured period."""

from time import perf_counter, process_time

from tests.bench.processes import busy_seconds, cpu_seconds


class Window:
    """The clocks from now until `close`, in seconds. server, redis: lists of process ids."""

    def __init__(self, server, redis):
        self.server, self.redis = server, redis
        self.start = self.read()

    def read(self):
        """Read the wall clock, and the CPU time of Redis, this process, all processes, and each
        server process."""
        each = [cpu_seconds([pid]) for pid in self.server]
        return perf_counter(), cpu_seconds(self.redis), process_time(), busy_seconds(), *each

    def close(self):
        """Return what has passed since the start. `others` is the CPU time of processes outside the
        measurement, `busiest` that of the busiest server process."""
        passed = [now - then for now, then in zip(self.read(), self.start, strict=True)]
        wall, redis, client, busy, *each = passed
        return {
            "seconds": wall,
            "server_cpu": sum(each),
            "processes": len(self.server),
            "busiest_cpu": max(each, default=0),
            "redis_cpu": redis,
            "client_cpu": client,
            "others_cpu": max(0.0, busy - sum(each) - redis - client),
        }


def percentile(values, share):
    """Return the value below which this share of the values lies; None if there are no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
