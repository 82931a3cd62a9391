"""The project's promises about performance, and whether the results of a run keep them."""

from dataclasses import dataclass

from tests.bench import columns
from tests.bench.processes import core_count
from tests.bench.scenarios import HISTORY, ROOMS, VIEWERS

LOUD = 0.1  # of a core used by other processes, above which they distort the results
FLAT = 1.5  # the largest figure divided by the smallest, over three to five powers of ten
CORES_FOR_TWO = 4  # for two workers, the load and Redis; with fewer, only CPU time is meaningful


@dataclass
class Promise:
    """name: what is promised; reach: the target, in words; value: what was measured, in words;
    reached: whether it is reached, None if figures are missing; disturbed: other processes used the
    machine meanwhile."""

    name: str
    reach: str
    value: str
    reached: bool | None
    disturbed: bool


class Results:
    """The figures of a run. Records which of them were disturbed since the last `promise`."""

    def __init__(self, servers):
        self.servers = servers
        self.disturbed = False

    def get(self, server, scenario, pick):
        """Return a number, or None if it was not measured or failed."""
        result = self.servers.get(server, {}).get("results", {}).get(scenario)
        if not result or "error" in result:
            return None
        self.disturbed |= columns.others(result) > LOUD
        return pick(result)

    def promise(self, name, reach, checks):
        """Add a promise. Each of `checks` is a text with a place for the value, the value, and
        whether it is good enough."""
        words = [text.format(show(value)) for text, value, _ in checks]
        verdicts = [None if value is None else bool(enough(value)) for _, value, enough in checks]
        reached = False if False in verdicts else None if None in verdicts else True
        disturbed, self.disturbed = self.disturbed, False
        return Promise(name, reach, "; ".join(words), reached, disturbed)


def show(value):
    """Return a number with about three digits."""
    if value is None:
        return "?"
    if value == float("inf"):
        return "∞ (overloaded)"
    return (
        f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    )


def at_most(limit):
    """Check that a value is not above the limit."""
    return lambda value: value <= limit


def at_least(limit):
    """Check that a value is not below the limit."""
    return lambda value: value >= limit


def ratio(above, below):
    """Return above / below, or None if one of them is missing."""
    return above / below if above is not None and below else None


def promises(servers):
    """Return all promises, in the order of the table."""
    found = Results(servers)
    get = found.get

    def beside(peer, scenario, pick):
        return ratio(get("chat", scenario, pick), get(peer, scenario, pick))

    delivery, message = columns.CPU_PER_DELIVERY, columns.CPU_PER_MESSAGE
    return [
        found.promise(
            "CPU per delivery, 500 viewers, 1 in flight",
            "≤ 1.4 × the C program; ≤ 0.6 × Node socket.io; ≤ 1/3 of stock Hypercorn",
            [
                ("{} × C", beside("floor", "one", delivery), at_most(1.4)),
                ("{} × Node", beside("socketio", "one", delivery), at_most(0.6)),
                ("{} × Hypercorn", beside("hypercorn", "one", delivery), at_most(1 / 3)),
            ],
        ),
        found.promise(
            "the same with permessage-deflate, fresh text each time",
            "≤ 1.2 × our uncompressed CPU; ≤ 0.75 of its bytes",
            [
                (
                    f"{{}} of its {what}",
                    ratio(get("chat", "deflate", pick), get("chat", "one", pick)),
                    at_most(limit),
                )
                for what, pick, limit in (("CPU", delivery, 1.2), ("bytes", columns.BYTES, 0.75))
            ],
        ),
        found.promise(
            "deliveries per second, 16 in flight",
            "≥ 4 × Node socket.io; CPU per delivery ≤ 1/15 of stock Hypercorn",
            [
                ("{} × Node", beside("socketio", "sixteen", columns.DELIVERIES), at_least(4)),
                ("{} × Hypercorn", beside("hypercorn", "sixteen", delivery), at_most(1 / 15)),
            ],
        ),
        found.promise(
            "CPU per message, 2 viewers, 64 senders",
            "≤ 1/4 of the original's stack with its queue",
            [("{} × the original", beside("flask-socketio", "senders", message), at_most(0.25))],
        ),
        found.promise(
            "memory per connection, 10,000 idle ones, compression negotiated",
            "≤ 40 KB",
            [("{} KB", get("chat", "idle10k", columns.memory), at_most(40))],
        ),
        found.promise(
            "10,000 pages reconnect after a restart, each missing 3 messages",
            "all within 20 s, no error; Redis under half a core",
            [
                ("{} s", get("chat", "storm", lambda result: result["seconds"]), at_most(20)),
                ("{} errors", get("chat", "storm", lambda r: r["errors"]), at_most(0)),
                ("Redis {} of a core", get("chat", "storm", columns.REDIS_SHARE), at_most(0.5)),
            ],
        ),
        *late(found),
        found.promise(
            "room page of 50 messages",
            "≥ 1.5 × the same page under gunicorn threads",
            [("{} × the page rate", beside("gunicorn", "pages", columns.PAGES), at_least(1.5))],
        ),
        two_workers(found),
        *growth(found),
        found.promise(
            "what a browser loads, 50 messages",
            "first room page ≤ 60 KB; a room switch ≤ 15 KB",
            [
                (
                    f"{what} {{}} KB",
                    get("chat", "bandwidth", lambda r, key=key: r[key]["bytes"] / 1024),
                    at_most(limit),
                )
                for what, key, limit in (("first", "first", 60), ("switch", "switch", 15))
            ],
        ),
    ]


def late(found):
    """Promise latency at the same load: at one that only the chat may carry, and at one that Node
    carries too, because otherwise the comparison means nothing."""
    return [
        latency(found, "half", "latency p99 at half of our capacity", lambda _: True),
        latency(found, "calm", "latency p99 at half of Node socket.io's capacity", is_carried),
    ]


def latency(found, scenario, name, needed):
    """needed: what Node's latency must be for the row to mean anything."""
    ours, theirs = (found.get(who, scenario, columns.p99) for who in ("chat", "socketio"))
    most = float("inf") if theirs is None else theirs
    return found.promise(
        name,
        "≤ Node socket.io at the same load",
        [("{} ms", ours, no_later_than(most)), ("Node {} ms", theirs, needed)],
    )


def is_carried(latency):
    """Return True if a server was not overloaded."""
    return latency < float("inf")


def no_later_than(most):
    """Check that a server was not overloaded, and that its latency is at most this."""
    return lambda value: is_carried(value) and value <= most


def two_workers(found):
    """Promise what a second worker adds: in wall time if there are enough cores, otherwise from CPU
    time. With one message in flight, because with more, the figures show how many messages are
    joined into one write."""
    wall = core_count() >= CORES_FOR_TWO
    picks = (
        (columns.DELIVERIES, columns.PAGES)
        if wall
        else (columns.DELIVERIES_PER_CORE, columns.pages_per_core)
    )
    values = [
        ratio(found.get("chat-2", scenario, pick), found.get("chat", scenario, pick))
        for scenario, pick in zip(("one", "pages"), picks, strict=True)
    ]
    return found.promise(
        f"two workers against one, {'in wall time' if wall else 'by CPU accounting'}",
        "≥ 1.7 ×",
        [
            ("{} × the deliveries", values[0], at_least(1.7)),
            ("{} × the pages", values[1], at_least(1.7)),
        ],
    )


def growth(found):
    """Promise the largest figure divided by the smallest."""
    rooms = [found.get("chat", name, columns.CPU_PER_MESSAGE) for name in ROOMS]
    pages = [found.get("chat", name, columns.micro("server_cpu", "pages")) for name in HISTORY]
    reach = f"flat: the largest ≤ {FLAT} × the smallest"
    return [
        growth_of_a_delivery(found),
        *(
            found.promise(name, reach, [("{} ×", spread(values), at_most(FLAT))])
            for name, values in (
                ("growth: a message, 10 to 100,000 rooms in the store", rooms),
                ("growth: a room page, 100 to 1,000,000 messages in the room", pages),
            )
        ),
    ]


def growth_of_a_delivery(found):
    """Promise how little the cost of a delivery grows. No delivery can be flatter than the kernel's
    own, which the C program shows: many sockets do not fit into the caches of the processor."""
    ours, floor = (spread(deliveries(found, name)) for name in ("chat", "floor"))
    steepest = FLAT if floor in (None, float("inf")) else max(FLAT, floor)
    return found.promise(
        "growth: one more delivery, 10 to 10,000 viewers",
        f"flat: the largest ≤ {FLAT} × the smallest, or no steeper than the C program's",
        [
            ("{} ×", ours, at_most(steepest)),
            ("C {} ×", floor, lambda _: True),
        ],
    )


def deliveries(found, server):
    """Return what one more delivery costs between two numbers of viewers, without the cost of the
    message itself."""
    message = [found.get(server, name, columns.CPU_PER_MESSAGE) for name in VIEWERS]
    sizes = [int(name.rpartition("-")[2]) for name in VIEWERS]
    return [
        (more - less) / (size - smaller) if more is not None and less is not None else None
        for less, more, smaller, size in zip(message, message[1:], sizes, sizes[1:], strict=False)
    ]


def spread(values):
    """Return the largest divided by the smallest; None if one is missing, infinite if one is not
    positive."""
    if None in values:
        return None
    return max(values) / min(values) if min(values) > 0 else float("inf")
