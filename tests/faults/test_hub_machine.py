"""The machine of hub_machine.py under whatever hypothesis thinks of; and whether the bugs that such
code had are found when they are put in."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from chat import channels, subscriber

from .hub_machine import Machine, Process


@pytest.fixture(scope="module")
def process(valkey):
    made = Process(valkey.url)
    yield made
    made.client.close()


@pytest.fixture
def machine(process, valkey, client, monkeypatch):
    """Run the machine; raises what it finds."""
    monkeypatch.setattr(channels, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(channels, "LONGEST_WAIT", 0.0)
    monkeypatch.setattr(subscriber, "PAGE", 5)
    monkeypatch.setattr(Machine, "url", valkey.url)
    monkeypatch.setattr(Machine, "client", client)
    monkeypatch.setattr(Machine, "process", process)

    def run(examples, steps=30):
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )

    return run


def test_whatever_happens_the_hub_ends_as_it_should(machine):
    machine(int(__import__("os").environ.get("N", "100")))
