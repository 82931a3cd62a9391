"""Events in their stored form."""

import json

import pytest

from chat.domain.events import UNREADABLE, Event, StoredEvent

WHOLE = StoredEvent("post", "u1", "Ann", "tea", "ab12", "v1", "3", "1000", "1")


@pytest.mark.parametrize("count", range(4, len(StoredEvent._fields) + 1))
def test_an_event_of_an_earlier_version_lacks_the_last_fields(count):
    event = Event.parse("r", 7, 2000, json.dumps(WHOLE[:count]))
    defaults = StoredEvent(*WHOLE[:count])
    assert (event.kind, event.uid, event.name, event.body) == ("post", "u1", "Ann", "tea")
    assert (event.tag, event.picture) == (defaults.tag, defaults.picture)
    assert (event.number, event.before) == (int(defaults.number), int(defaults.before))
    assert event.same is bool(defaults.same)


@pytest.mark.parametrize(
    "data",
    [
        *("", "tea", "null", "1", '"post"', "[]", "[[]]", "[1]", '["post", null, "Ann", "tea"]'),
        '{"post": "", "u1": "", "Ann": "", "tea": ""}',
        json.dumps(WHOLE[:3]),
        json.dumps([*WHOLE, "", "", "", "one too many"]),
        json.dumps(WHOLE._replace(number="many")),
        json.dumps(WHOLE._replace(before="")),
        json.dumps(WHOLE._replace(files="{")),
        json.dumps(WHOLE._replace(files='[["f1"]]')),
        json.dumps(WHOLE._replace(mentions="[1]")),
        json.dumps(WHOLE._replace(kind="react", extra="[[]]")),
    ],
)
def test_an_event_that_cannot_be_read_is_replaced(data):
    event = Event.parse("r", 7, 2000, data)
    assert (event.kind, event.room, event.seq, event.at) == (UNREADABLE, "r", 7, 2000)
