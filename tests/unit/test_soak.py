"""The soak finds what grows, and nothing where there is only noise."""

import random

import pytest

from ..faults.soak import MOST_MB, course, rise

TEN_MINUTES = 120  # samples


def memory(per_hour: float, warming: float = 30.0, noise: float = 1.5) -> list[float]:
    """MB of a worker in ten minutes that warms up, leaks `per_hour` and is measured with noise."""
    draw = random.Random(7)
    return [
        140.0 + warming * (1 - 0.9**n) + per_hour * n * 5 / 3600 + draw.uniform(-noise, noise)
        for n in range(TEN_MINUTES)
    ]


@pytest.mark.parametrize("per_hour", [0.0, 5.0, -20.0])
def test_warming_up_is_not_growth(per_hour):
    assert rise(memory(per_hour)) < MOST_MB


@pytest.mark.parametrize("per_hour", [100.0, 400.0])
def test_a_leak_is_found_in_ten_minutes(per_hour):
    """The old bound, a tenth of the memory and 10 MB, let 300 MB an hour pass."""
    assert rise(memory(per_hour)) > MOST_MB


def test_few_samples_prove_nothing():
    assert rise([]) == rise([3.0]) == 0.0
    assert rise([1.0, 1.0, 2.0, 4.0]) == 2.0


def test_the_course_of_a_run_is_the_medians_of_its_quarters():
    assert course([1, 1, 5, 5, 7, 7, 9, 9]) == "1, 5, 7, 9"
