"""What is read at both ends of a measured stretch of time."""

from time import perf_counter, process_time

from tests.bench.processes import busy_seconds, cpu_seconds


class Window:
    """Clocks from now until `close`, all in seconds. server, redis: lists of process ids."""

    def __init__(self, server, redis):
        self.server, self.redis = server, redis
        self.start = self.read()

    def read(self):
        """Wall clock, Redis's and this process's CPU, everybody's, and each server process's."""
        each = [cpu_seconds([pid]) for pid in self.server]
        return perf_counter(), cpu_seconds(self.redis), process_time(), busy_seconds(), *each

    def close(self):
        """What passed since the start; `others` is CPU of processes that are not ours, `busiest`
        that of the one server process that did most."""
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
    """The value below which this share of the values lies; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
