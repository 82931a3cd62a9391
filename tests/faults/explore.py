"""Runs a state machine of the tests with the same examples each time."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

FOUND = AssertionError, Flaky
"""What `explore` raises where a machine finds something. Hypothesis repeats what failed, and raises
the second where it goes well then, or where a sequence that went well before fails: what tasks do
in which order is not the same each time. (Only a failure ends a sequence of steps early.)"""


def explore(machine, examples, steps):
    """Run this many examples of a machine, of this many steps each. Raises the first error, without
    shrinking the example, which would take minutes."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
