"""When the bench says that a promise is kept."""

import pytest

from ..bench.promises import Results, growth_of_a_delivery, late
from ..bench.scenarios import VIEWERS

OVERLOADED = -1.0


def paced(p99):
    if p99 is None:
        return {"error": "not measured"}
    return {"p99": abs(p99), "overloaded": p99 == OVERLOADED}


def reached(ours, theirs):
    """What becomes of the promises of latency, at half of our capacity and at half of Node's, where
    both of them have this one at both, in seconds; None is not measured."""
    servers = {
        name: {"results": {scenario: paced(p99) for scenario in ("half", "calm")}}
        for name, p99 in (("chat", ours), ("socketio", theirs))
    }
    return tuple(promise.reached for promise in late(Results(servers)))


@pytest.mark.parametrize(
    ("ours", "theirs", "verdicts"),
    [
        (0.004, 0.004, (True, True)),
        (0.005, 0.004, (False, False)),
        (0.004, OVERLOADED, (True, False)),  # no load that Node carries
        (OVERLOADED, OVERLOADED, (False, False)),
        (OVERLOADED, 0.004, (False, False)),
        (0.004, None, (None, None)),
        (None, 0.004, (None, None)),
    ],
)
def test_latency_is_reached_where_ours_is_at_most_nodes(ours, theirs, verdicts):
    assert reached(ours, theirs) == verdicts


def growing(last):
    """Results of 10 to 10,000 viewers where one more delivery costs 1 us, and at the end `last`."""
    cost, size, results = 100.0, 10, {}
    for name in VIEWERS:
        more = int(name.rpartition("-")[2]) - size
        cost += more * (last if name == VIEWERS[-1] else 1.0)
        size += more
        results[name] = {"server_cpu": cost / 1e6, "messages": 1}
    return {"results": results}


@pytest.mark.parametrize(
    ("ours", "floor", "verdict"),
    [
        (1.4, None, None),
        (1.6, None, False),
        (1.4, 1.8, True),
        (1.7, 1.8, True),
        (1.9, 1.8, False),
        (1.6, 1.2, False),
    ],
)
def test_a_delivery_may_grow_as_that_of_the_c_program(ours, floor, verdict):
    servers = {"chat": growing(ours)} | ({"floor": growing(floor)} if floor else {})
    assert growth_of_a_delivery(Results(servers)).reached is verdict
