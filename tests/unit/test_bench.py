"""When the bench says that a promise is kept."""

import pytest

from ..bench.promises import Results, late

OVERLOADED = -1.0


def paced(p99):
    return {"p99": abs(p99), "overloaded": p99 == OVERLOADED}


def reached(ours, theirs):
    """What becomes of the latency's promise; each has two of them in seconds, at half of our
    capacity and at half of Node's, or None for what was not measured."""
    servers = {
        name: {
            "results": {
                scenario: {"error": "not measured"} if p99 is None else paced(p99)
                for scenario, p99 in zip(("half", "calm"), latencies, strict=True)
            }
        }
        for name, latencies in (("chat", ours), ("socketio", theirs))
    }
    return late(Results(servers)).reached


@pytest.mark.parametrize("at_ours", [OVERLOADED, 0.02])
def test_latency_is_reached_where_ours_is_at_most_nodes_at_both_loads(at_ours):
    assert reached((0.02, 0.004), (at_ours, 0.004)) is True


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ((0.02, 0.005), (OVERLOADED, 0.004)),  # later where Node is not overloaded
        ((0.02, 0.005), (0.01, 0.006)),
        ((OVERLOADED, 0.005), (OVERLOADED, 0.006)),
        ((0.02, OVERLOADED), (OVERLOADED, OVERLOADED)),
        ((0.02, 0.005), (OVERLOADED, OVERLOADED)),  # no load that Node carries
    ],
)
def test_latency_is_not_reached_otherwise(ours, theirs):
    assert reached(ours, theirs) is False


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [((0.02, 0.004), (OVERLOADED, None)), ((0.02, None), (OVERLOADED, 0.004))],
)
def test_latency_that_one_of_them_lacks_is_not_measured(ours, theirs):
    assert reached(ours, theirs) is None
