"""What reconnecting pages share, and when they must not."""

import asyncio
from dataclasses import replace

import pytest
from greenback import with_portal_run_sync

from chat.bridge import await_
from chat.domain.events import POST, Event
from chat.realtime import resume_cache
from chat.realtime.hub import Hub
from chat.realtime.resume_cache import CatchUp, Cursor, ResumeCache
from chat.realtime.viewers import Viewer
from chat.store.message_reads import Missed

CURSOR = Cursor("tea", 2, 0, "")


def event(seq: int) -> Event:
    return Event("tea", seq, 1000 + seq, POST, "ann", "Ann", f"message {seq}")


class Fragments:
    """Counts what is rendered."""

    def __init__(self) -> None:
        self.rendered = 0

    def missed_events(self, events, zone):
        self.rendered += 1
        return "".join(f"<li {event.seq}>" for event in events)


@pytest.fixture
def hub():
    """A hub whose only page belongs to room tea, at number 5."""

    def nothing(*_):
        return ""

    hub = Hub(nothing, nothing, nothing, nothing, nothing, nothing)
    hub.belong(hub.connect(Viewer(lambda packet: True, lambda code: None, "ann")), "tea", 5, 1005)
    return hub


@pytest.fixture
def kept(hub):
    """A cache that keeps what follows number 2."""
    made = ResumeCache(hub)
    made.keep(CatchUp(CURSOR, Missed([event(seq) for seq in (3, 4, 5)], False, 5, "e")))
    return made


def test_who_lacks_the_same_is_sent_the_same_bytes(kept):
    fragments = Fragments()
    packets = [kept.find(CURSOR).packet(fragments, "") for _ in range(3)]
    assert packets[0].text == "<li 3><li 4><li 5>"
    assert packets[0] is packets[1] is packets[2]
    assert fragments.rendered == 1
    assert kept.find(CURSOR).packet(fragments, "Asia/Tokyo") is not packets[0]


class Slow(Fragments):
    """Gives way while it renders; the first time it fails."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.fails = fails

    def missed_events(self, events, zone):
        text = super().missed_events(events, zone)
        await_(asyncio.sleep(0))
        if self.fails and self.rendered == 1:
            raise ValueError("cannot be rendered")
        return text


@pytest.mark.parametrize("fails", [False, True])
def test_who_lacks_the_same_waits_while_it_is_rendered(kept, fails):
    async def story():
        fragments, answer = Slow(fails), kept.find(CURSOR)
        asked = [with_portal_run_sync(answer.packet, fragments, "") for _ in range(9)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        packets = [packet for packet in found if not isinstance(packet, ValueError)]
        assert len(packets) == 9 - fails
        assert len(set(map(id, packets))) == 1
        assert fragments.rendered == 1 + fails

    asyncio.run(story())


def test_another_cursor_is_answered_anew(kept):
    for other in (
        CURSOR._replace(rid="club"),
        CURSOR._replace(after=3),
        CURSOR._replace(at=7),
        CURSOR._replace(epoch="another"),
    ):
        assert kept.find(other) is None


def test_an_event_ends_what_was_kept(hub, kept):
    assert hub.publish(event(6))
    assert kept.find(CURSOR) is None


def test_another_life_of_the_database_ends_what_was_kept(hub, kept):
    hub.restart("tea", 5)
    assert kept.find(CURSOR) is None
    hub.restart("tea", 4)
    assert hub.publish(replace(event(5), at=7000))
    assert kept.find(CURSOR) is None


def test_what_looks_otherwise_is_read_anew(kept):
    kept.forget("club")
    assert kept.find(CURSOR)
    kept.forget("tea")
    assert kept.find(CURSOR) is None


def test_nothing_is_kept_for_long(kept, monkeypatch):
    answer = kept.find(CURSOR)
    monkeypatch.setattr(
        resume_cache.time, "monotonic", lambda: answer.cached_at + resume_cache.CACHE_SECONDS
    )
    assert kept.find(CURSOR) is None


@pytest.mark.parametrize("upto", [4, 6])
def test_what_is_older_or_newer_than_what_the_hub_knows_is_not_kept(hub, upto):
    """Older: the next page would lack an event that nobody sends it. Newer: numbers alone do not
    say that nothing is in between."""
    made = ResumeCache(hub)
    made.keep(CatchUp(CURSOR, Missed([event(upto)], False, upto, "e")))
    assert made.find(CURSOR) is None


def test_without_the_time_of_the_newest_event_nothing_is_kept(hub):
    hub.restart("tea", 5)
    made = ResumeCache(hub)
    made.keep(CatchUp(CURSOR, Missed([event(5)], False, 5, "e")))
    assert made.find(CURSOR) is None


def test_only_so_many_are_kept_and_no_large_ones(hub, kept):
    for after in range(100, 100 + resume_cache.MAX_ANSWERS):
        kept.keep(CatchUp(CURSOR._replace(after=after), Missed([], False, 5, "e")))
    assert kept.find(CURSOR) is None
    large = [event(5)] * (resume_cache.MAX_EVENTS + 1)
    kept.keep(CatchUp(CURSOR, Missed(large, False, 5, "e")))
    assert kept.find(CURSOR) is None


def test_an_answer_with_names_from_before_a_change_is_not_kept(hub):
    """It was read, somebody was renamed, and then it is to be kept."""
    made = ResumeCache(hub)
    forgotten = made.forgotten
    answer = CatchUp(CURSOR, Missed([event(seq) for seq in (3, 4, 5)], False, 5, "e"))
    made.forget("tea")
    made.keep(answer, forgotten)
    assert made.find(CURSOR) is None
    made.keep(answer, made.forgotten)
    assert made.find(CURSOR) is answer
