"""Which pages are asked what they have seen, and how many at once."""

import pytest

from chat.realtime import read_marks
from chat.realtime.read_marks import Confirmations
from chat.realtime.viewers import LiveRoom, Viewer


class Page:
    """A viewer that has something to confirm until it is asked."""

    def __init__(self, room: LiveRoom, zone: str = "") -> None:
        self.has_more, self.asked = True, 0
        self.viewer = Viewer(lambda packet: True, lambda code: None, "ann", "", zone, None)
        self.viewer.ask = self.ask
        room.group(zone).watching[self.viewer] = None

    def ask(self) -> bool:
        self.asked += self.has_more
        asked, self.has_more = self.has_more, False
        return asked


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(read_marks, "MAX_ASKED", 3)
    monkeypatch.setattr(read_marks, "MAX_VIEWERS_CHECKED", 8)


def asked(pages):
    return [page.asked for page in pages]


def test_all_who_watch_are_asked_in_their_turn_a_few_at_a_time():
    some, room = Confirmations(), LiveRoom(0, 0)
    pages = [Page(room, zone) for zone in ("", "UTC") for _ in range(4)]
    some.shown(room)
    some.shown(room)
    for count in (3, 6, 8, 8):
        some.ask()
        assert sum(asked(pages)) == count
    assert set(asked(pages)) == {1}


def test_a_room_where_much_is_said_does_not_keep_others_waiting():
    some, busy, calm = Confirmations(), LiveRoom(0, 0), LiveRoom(0, 0)
    many, one = [Page(busy) for _ in range(9)], Page(calm)
    some.shown(busy)
    some.ask()
    some.shown(calm)
    for _ in range(4):
        for page in many:
            page.has_more = True
        some.shown(busy)
        some.ask()
    assert one.asked == 1
    assert min(asked(many)) >= 1


def test_those_who_have_confirmed_all_cost_no_question_but_a_bounded_look():
    some, room = Confirmations(), LiveRoom(0, 0)
    pages = [Page(room) for _ in range(20)]
    for page in pages[:-1]:
        page.has_more = False
    some.shown(room)
    for _ in range(2):
        some.ask()
    assert sum(asked(pages)) == 0, "looked at eight each time"
    some.ask()
    assert pages[-1].asked == 1


def test_a_page_alone_is_asked_first():
    some, room = Confirmations(), LiveRoom(0, 0)
    pages = [Page(room) for _ in range(4)]
    some.shown(room)
    some.add(pages[-1].viewer)
    some.ask()
    assert asked(pages) == [1, 1, 0, 1]


def test_a_room_that_is_empty_by_then_asks_nobody():
    some, room = Confirmations(), LiveRoom(0, 0)
    some.shown(room)
    some.ask()
    some.ask()
