"""When the watchdog decides that a process hangs, without real processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.server.watchdog import (
    FORGET_SECONDS,
    MAX_DOUBLINGS,
    MAX_STEP_SECONDS,
    STACK_SECONDS,
    ObservedTime,
    Patience,
    Silence,
    Step,
)

LOOK = 0.125  # seconds between two looks; a number that adds up


def steps(silence, seconds, is_stopped=False):
    """What was to be done in each look, but waiting, with the seconds of silence at that time."""
    found = []
    for _ in range(round(seconds / LOOK)):
        if (step := silence.passed(LOOK, is_stopped)) is not Step.WAIT:
            found.append((step, round(silence.seconds)))
    return found


def started(limit=10.0, stopped_limit=10.0):
    silence = Silence(limit, 3 * limit, stopped_limit)
    silence.heard()
    return silence


def test_a_silent_process_is_asked_once_for_its_stacks_and_then_killed():
    found = steps(started(), 10)
    assert found == [(Step.ASK, 8), (Step.KILL, 10)]


def test_the_decision_falls_within_fifteen_seconds():
    """Those of the promise, with the default limit: a beat may have come just before."""
    assert (Step.KILL, 10) in steps(started(), 12)


@given(st.lists(st.floats(0, 7.5), max_size=30))
def test_who_says_something_in_time_is_let_be(pauses):
    silence = started()
    for pause in pauses:
        assert steps(silence, pause) == []
        silence.heard()


def test_who_speaks_again_is_asked_again_next_time():
    silence = started()
    assert steps(silence, 9) == [(Step.ASK, 8)]
    silence.heard()
    assert steps(silence, 9) == [(Step.ASK, 8)]


def test_a_start_has_longer():
    silence = Silence(10.0, 30.0, 10.0)
    assert steps(silence, 30) == [(Step.ASK, 30 - STACK_SECONDS), (Step.KILL, 30)]


def test_who_was_stopped_has_no_longer_limit():
    """A limit is longer for who may be slow: at the start, and after others that hung."""
    assert steps(Silence(80.0, 240.0, 10.0), 10, is_stopped=True)[-1] == (Step.KILL, 10)
    assert steps(started(80.0, 10.0), 10, is_stopped=True)[-1] == (Step.KILL, 10)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5))
def test_a_machine_that_was_suspended_kills_nobody(sleeps):
    """The clock jumps, for the supervisor as for the others, and those speak after it."""
    now, silence = 1000.0, started()
    observed = ObservedTime(now)
    for sleep in sleeps:
        for _ in range(15):
            now += LOOK
            assert silence.passed(observed.step(now)) is Step.WAIT
        silence.heard()
        now += sleep
        assert silence.passed(observed.step(now)) is Step.WAIT
        silence.heard()


def test_a_suspension_counts_as_one_step_even_where_nothing_is_heard_after_it():
    observed = ObservedTime(0.0)
    assert observed.step(3600.0) == MAX_STEP_SECONDS
    assert observed.step(3600.1) == pytest.approx(0.1)


def test_a_clock_set_back_counts_as_nothing():
    observed = ObservedTime(100.0)
    assert observed.step(50.0) == 0.0
    assert observed.step(51.0) == 1.0


def test_what_is_slow_gets_longer_and_longer():
    patience = Patience(10.0)
    limits = []
    for n in range(MAX_DOUBLINGS + 3):
        limits.append(patience.limit(100.0 * n))
        patience.killed(100.0 * n)
    assert limits == [10, 20, 40, 80, 160, 160, 160]


def test_and_what_goes_well_for_long_begins_anew():
    patience = Patience(10.0)
    for n in range(3):
        patience.killed(float(n))
    assert patience.limit(2.0 + FORGET_SECONDS) == 80
    assert patience.limit(3.0 + FORGET_SECONDS) == 10
