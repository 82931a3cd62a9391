"""The subscriber without a connection."""

import asyncio
import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.domain.events import POST, Event
from chat.realtime.background import Background
from chat.realtime.hub import Hub
from chat.realtime.subscriber import Subscriber
from chat.realtime.viewers import Viewer
from chat.redis_client.topology import SingleServer

from ..stored_events import pack

SECRET = "what somebody wrote"


class Ready:
    """Texts that need no work."""

    def is_ready(self, event):
        return True

    async def prepare(self, event):
        pass


def test_who_waits_for_a_channel_that_closes_is_told():
    """And is not taken for somebody who was cancelled."""

    async def story():
        subscriber = subscriber_of(None, Ready())
        subscriber.opened("room:tea")
        waiting = asyncio.create_task(subscriber.ready("room:tea"))
        await asyncio.sleep(0)
        subscriber.closed("room:tea")
        with pytest.raises(TimeoutError):
            await waiting

    asyncio.run(story())


def test_waiting_has_an_end():
    async def story():
        subscriber = subscriber_of(None, Ready())
        subscriber.opened("room:tea")
        with pytest.raises(TimeoutError):
            await subscriber.ready("room:tea", 0)
        subscriber.closed("room:tea")

    asyncio.run(story())


async def portal(function, *args):
    return function(*args)


def nothing(*_):
    """Nothing happens."""


def subscriber_of(hub, texts, store=None, changed=nothing):
    topology, background = SingleServer("redis://127.0.0.1"), Background(portal)
    return Subscriber(topology, hub, store, texts, background, changed, nothing)


class Slow:
    """Texts of which those with a star take a turn of the loop or two."""

    def __init__(self):
        self.ready = set()

    def is_ready(self, event):
        return "*" not in event.body or event.body in self.ready

    async def prepare(self, event):
        while not self.is_ready(event):
            await asyncio.sleep(0)
            self.ready.add(event.body)


class Shown:
    """A hub that keeps what it is given."""

    def __init__(self):
        self.rooms, self.seqs = {}, []

    def publish(self, event):
        self.seqs.append((event.room, event.seq))
        return True


def line(seq, body):
    return f"{seq} {seq} " + pack(POST, "u1", "Ann", body)


async def quiet(subscriber):
    while subscriber.background.tasks:
        await asyncio.gather(*subscriber.background.tasks)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["plain", "*one*", "*two*"]))))
def test_events_of_a_room_stay_in_order_however_long_their_texts_take(said):
    async def story():
        hub = Shown()
        subscriber = subscriber_of(hub, Slow())
        numbers = {"a": itertools.count(1), "b": itertools.count(1)}
        sent = []
        for rid, body in said:
            sent.append((rid, next(numbers[rid])))
            subscriber._event(rid, line(sent[-1][1], body))
        await quiet(subscriber)
        for rid in "ab":
            assert [one for one in hub.seqs if one[0] == rid] == [o for o in sent if o[0] == rid]
        assert not subscriber._unready

    asyncio.run(story())


def test_an_event_without_markup_waits_for_nothing():
    async def story():
        hub = Shown()
        subscriber = subscriber_of(hub, Slow())
        subscriber._event("b", line(1, "*slow*"))
        subscriber._event("a", line(1, "plain"))
        assert hub.seqs == [("a", 1)]
        await quiet(subscriber)
        assert hub.seqs == [("a", 1), ("b", 1)]

    asyncio.run(story())


def test_what_waits_is_left_to_whoever_reads_the_stream():
    """While a gap is read, and after somebody has left, events come from the stream, with a look
    at who is still a member."""

    async def story():
        hub = Shown()
        subscriber = subscriber_of(hub, Slow())
        subscriber._event("a", line(1, "*slow*"))
        subscriber._event("a", line(2, "plain"))
        subscriber._filling["a"] = False
        await quiet(subscriber)
        assert hub.seqs == []
        assert subscriber._filling["a"]

    asyncio.run(story())


@given(st.lists(st.sampled_from(["plain", "*one*", "*two*", "~signal"]), max_size=8))
def test_signals_of_a_room_stay_behind_the_events_before_them(said):
    """A signal that somebody was renamed changes messages that are shown."""

    async def story():
        hub = Shown()
        subscriber = subscriber_of(hub, Slow())
        order = []
        publish = hub.publish
        hub.publish = lambda event: order.append(event.seq) or publish(event)
        subscriber.on_signal = lambda rid, signal: order.append(signal)
        numbers, sent = itertools.count(1), []
        for what in said:
            if what.startswith("~"):
                subscriber._event("a", what)
                sent.append(what[1:])
            else:
                sent.append(next(numbers))
                subscriber._event("a", line(sent[-1], what))
        await quiet(subscriber)
        assert order == sent
        assert not subscriber._unready
        assert not subscriber._signals

    asyncio.run(story())


class Failing(Slow):
    """Texts of which those with an exclamation mark cannot be rendered."""

    async def prepare(self, event):
        await asyncio.sleep(0)
        if "!" in event.body:
            raise RuntimeError(event.body)
        await super().prepare(event)

    def is_ready(self, event):
        return "!" not in event.body and super().is_ready(event)


def test_a_text_that_cannot_be_rendered_holds_nothing_up(caplog):
    async def story():
        hub = Shown()
        subscriber = subscriber_of(hub, Failing())
        for seq, body in enumerate(("plain", f"{SECRET}!", "*one*", "plain"), 1):
            subscriber._event("a", line(seq, body))
        await quiet(subscriber)
        assert hub.seqs == [("a", seq) for seq in (1, 2, 3, 4)]

    asyncio.run(story())
    assert "cannot prepare event 2 of room a" in caplog.text
    assert SECRET not in caplog.text


class Gaps(Hub):
    """A hub with pages of Ann's and Ben's in room a, which writes down what they are shown."""

    def __init__(self):
        def nothing(*_):
            return ""

        super().__init__(self.render, nothing, nothing, lambda call: None, nothing, nothing)
        self.told = {"ann": [], "ben": []}
        self.kicked = []
        for uid, told in self.told.items():
            push = lambda packet, told=told: bool(told.append(packet.text)) or True  # noqa: E731
            kick = lambda code, uid=uid: self.kicked.append(uid)  # noqa: E731
            viewer = self.connect(Viewer(push, kick, uid))
            self.belong(viewer, "a", 0)
            self.watch(viewer, "a")
            self.live(viewer, 0)

    def render(self, event, zone):
        return f"<shown {event.seq}>"


def gap_story(gap, changed):
    """The hub after a gap was read so, and the subscriber's room stands."""

    async def story():
        store = SimpleNamespace(messages=SimpleNamespace(gap=gap))
        hub = Gaps()
        subscriber = subscriber_of(hub, Ready(), store, changed)
        subscriber._fill("a")
        await quiet(subscriber)
        hub.writer.flush()
        assert not subscriber._filling
        return hub

    return asyncio.run(story())


def events(rid, after, *_):
    some = [Event(rid, seq, seq, POST, "x", "X", f"{SECRET} {seq}") for seq in range(after + 1, 4)]
    return 3, some, ["ann"] if some else []


def test_who_cannot_be_told_that_they_are_out_is_shown_nothing_of_the_room(caplog):
    def fail(uid):
        raise RuntimeError(SECRET)

    hub = gap_story(events, fail)
    assert hub.told == {"ann": [], "ben": ["<shown 1><shown 2><shown 3>"]}
    assert hub.kicked == ["ann"]
    assert [viewer.uid for viewer in hub.rooms["a"].viewers()] == ["ben"]
    assert SECRET not in caplog.text


def test_a_gap_that_cannot_be_read_brings_the_pages_of_its_room_back(caplog):
    def fail(*_):
        raise ValueError(SECRET)

    hub = gap_story(fail, lambda uid: None)
    assert hub.told == {"ann": [], "ben": []}
    assert hub.kicked == ["ann", "ben"]
    assert "cannot show what room a missed" in caplog.text
    assert SECRET not in caplog.text
