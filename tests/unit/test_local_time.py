"""Days and times in everybody's zone."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.rendering.local_time import ms_of, zones
from chat.search import query


@given(st.dates(), st.dates(), st.sampled_from(["", *zones()]))
def test_every_day_begins_at_some_time_in_every_zone(day, other, zone):
    assert 0 <= ms_of(day, zone) < 10**15, "a number that all take"
    assert ms_of(min(day, other), zone) <= ms_of(max(day, other), zone)


@pytest.mark.parametrize("day", [date.min, date.max, date(1, 1, 2), date(9999, 12, 30)])
def test_the_first_and_the_last_day_there_are(day):
    for zone in zones():
        assert 0 <= ms_of(day, zone) < 10**15


DAYS = st.dates().map(str) | st.sampled_from(["0000", "0001", "9999", "9999-12", "0001-01-01"])
WORDS = st.builds("{}:{}".format, st.sampled_from(["before", "after", "on"]), DAYS | st.text())


@given(st.lists(WORDS | st.text(st.characters())).map(" ".join), st.dates())
def test_whatever_is_looked_for_its_days_are_some(text, now):
    found = query.parse(text, now)
    for day in (found.since, found.until):
        assert day is None or ms_of(day, "") >= 0
