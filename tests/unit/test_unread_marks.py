"""A room list is a snapshot: it never replaces anything newer, and neither removes nor adds an
unread mark, in whatever order the list is read, events arrive and rooms are switched."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.domain.events import POST, REACT, Event
from chat.realtime.hub import Hub
from chat.realtime.packet import Packet
from chat.realtime.viewers import Viewer

ROOMS = "tea", "club"


class World:
    """Rooms as they are stored; a hub that is told later; a page that does what it is sent.

    Its marks are counted by room. A list says `<list tea=3 …>`: three events are unread. The page
    keeps what each room's last line says, too."""

    def __init__(self, is_direct: bool = False) -> None:
        self.stored = {rid: [Event(rid, 1, 1, POST, "ann", "Ann", "1")] for rid in ROOMS}
        self.turn: list = []
        self.hub = Hub(self.show, self.note, self.line, self.turn.append, self.keep, self.keep)
        self.marks, self.lines = dict.fromkeys(ROOMS, 1), dict.fromkeys(ROOMS, 1)
        self.wrong: list[str] = []
        self.rows: dict[str, int] | None = None  # a list that was read and is not yet sent
        self.lists = 0  # what the viewer said as it was read
        direct = (lambda on_lost: (self.write, False)) if is_direct else None
        self.viewer = self.hub.connect(Viewer(self.push, lambda code: None, "bob", direct=direct))
        self.other = self.hub.connect(Viewer(lambda packet: True, lambda code: None, "cyd"))
        for rid in ROOMS:
            self.hub.belong(self.other, rid, 1)
            self.hub.belong(self.viewer, rid, 1)

    def keep(self, _):
        pass

    def show(self, event, zone):
        return f"<show {event.room} {event.seq}>"

    def note(self, event, zone):
        return f"<note {event.room} {event.seq}>"

    def line(self, event, zone):
        return f"<line {event.room} {event.seq}>"

    def write(self, frame):
        self.push(Packet(frame[4 if frame[1] == 126 else 2 :].decode()))

    def push(self, packet):
        for piece in packet.text.strip("<>").split("><"):
            kind, *words = piece.split(" ")
            if kind == "list":
                for word in words:
                    rid, _, counts = word.partition("=")
                    self.marks[rid], self.lines[rid] = map(int, counts.split("/"))
            elif kind == "note":
                rid, seq = words[0], int(words[1])
                self.marks[rid] += 1
                if self.marks[rid] != self.counted(rid, seq) and rid != self.viewer.watching:
                    self.wrong.append(f"{piece}: {self.marks[rid]} marks")
            elif kind == "line":
                if int(words[1]) < self.lines[words[0]]:
                    self.wrong.append(f"{piece} goes back from {self.lines[words[0]]}")
                self.lines[words[0]] = int(words[1])
        return True

    # What is stored

    def counted(self, rid, upto):
        return sum(not event.is_silent for event in self.stored[rid][:upto])

    def last(self, rid, upto):
        return max(event.seq for event in self.stored[rid][:upto] if not event.is_silent)

    # Steps

    def say(self, rid, kind):
        seq = len(self.stored[rid]) + 1
        self.stored[rid].append(Event(rid, seq, seq, kind, "ann", "Ann", str(seq)))

    def tell(self, rid):
        """What was published comes in, one event after the other."""
        last = self.hub.rooms[rid].last
        if last < len(self.stored[rid]):
            assert self.hub.publish(self.stored[rid][last])

    def end_turn(self):
        turn, self.turn[:] = list(self.turn), []
        for call in turn:
            call()

    def read(self, hold):
        """Look_again: a list that was read at hand, or one read while marks are held."""
        if self.rows is None:
            if hold:
                self.hub.marks.hold(self.viewer)
            self.rows = {rid: len(events) for rid, events in self.stored.items()}
            self.lists = self.viewer.list_version

    def send(self):
        rows, self.rows = self.rows, None
        if rows is None:
            return
        held, hub = self.viewer.held_marks is not None, self.hub
        is_old = hub.marks.is_ahead(self.viewer, rows) or (
            not held and hub.marks.is_older(rows, self.viewer)
        )
        if is_old or self.lists != self.viewer.list_version:
            self.read(hold=True)  # and again
            return
        counts = {rid: f"{self.counted(rid, n)}/{self.last(rid, n)}" for rid, n in rows.items()}
        text = " ".join(f"{rid}={count}" for rid, count in counts.items())
        self.hub.writer.send_list(self.viewer, f"<list {text}>", rows)

    def look(self, rid):
        """Put a room on screen, or none."""
        before, sent = self.viewer.watching, self.viewer.sent
        if rid == before:
            return
        if self.rows and self.viewer.held_marks is None:
            self.rows = None  # one that is at hand is rendered for the room on screen
        if rid is None:
            self.hub.unwatch(self.viewer)
        else:
            self.hub.watch(self.viewer, rid)
            self.hub.live(self.viewer, len(self.stored[rid]))
            self.lines[rid] = self.last(rid, len(self.stored[rid]))  # of what it lacked
        # A room on screen has no marks. Here they are counted on, from what was shown.
        if before:
            self.marks[before] = self.counted(before, max(sent, self.hub.rooms[before].last))

    def settle(self):
        for rid in ROOMS:
            while self.hub.rooms[rid].last < len(self.stored[rid]):
                self.tell(rid)
        self.end_turn()
        while self.rows is not None:
            self.send()
        self.end_turn()


room = st.sampled_from(ROOMS)
STEPS = st.one_of(
    st.tuples(st.just("say"), room, st.sampled_from([POST, POST, REACT])),
    st.tuples(st.just("tell"), room),
    st.tuples(st.just("end_turn")),
    st.tuples(st.just("read"), st.booleans()),
    st.tuples(st.just("send")),
    st.tuples(st.just("look"), st.sampled_from([*ROOMS, None])),
)


@given(st.lists(STEPS, max_size=40), st.booleans())
@settings(max_examples=500)
def test_every_mark_is_there_once_whatever_happens_around_a_list(steps, is_direct):
    world = World(is_direct)
    for what, *args in steps:
        getattr(world, what)(*args)
    world.settle()
    assert not world.wrong
    for rid in ROOMS:
        assert world.lines[rid] == world.last(rid, len(world.stored[rid]))
        if rid != world.viewer.watching:
            assert world.marks[rid] == world.counted(rid, len(world.stored[rid]))
    for rid in ROOMS:  # nobody is treated apart for ever
        world.say(rid, POST)
    world.settle()
    assert not world.hub.marks.exceptions


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("is_direct", [False, True])
def test_a_list_ahead_of_the_events_of_the_room_on_screen_is_not_taken_back(before, is_direct):
    """`before`: events that were shown before the list, so the page may be in sync."""
    world = World(is_direct)
    world.look("tea")
    for _ in range(before):
        world.say("tea", POST)
        world.tell("tea")
        world.end_turn()
    for _ in range(3):
        world.say("tea", POST)
    world.read(hold=False)
    world.send()
    for _ in range(3):
        world.tell("tea")
        world.end_turn()
    assert not world.wrong
    assert world.lines["tea"] == 4 + before
    assert not world.hub.marks.exceptions


@pytest.mark.parametrize("room", ["tea", None])
def test_a_list_whose_events_were_lost_is_not_compared_for_ever(room):
    """A failover has lost them: no list will have them again, and the next events have their
    numbers. `room`: on screen."""
    world = World()
    world.look(room)
    for _ in range(3):
        world.say("tea", POST)
    world.read(hold=False)
    world.send()
    lost = {"tea": 1, "club": 1}
    assert world.hub.marks.is_ahead(world.viewer, lost)
    world.hub.marks.forget_ahead(world.viewer)
    assert not world.hub.marks.is_ahead(world.viewer, lost)
    assert not world.hub.marks.exceptions


def test_what_cannot_be_read_loses_no_mark():
    world = World()
    world.hub.marks.hold(world.viewer)
    world.say("tea", POST)
    world.tell("tea")
    world.end_turn()
    assert world.marks["tea"] == 1
    world.hub.writer.send_list(world.viewer, "", {})
    assert world.marks["tea"] == 2
    assert not world.hub.marks.exceptions


def test_who_is_gone_is_kept_nowhere():
    world = World()
    world.hub.marks.hold(world.viewer)
    world.hub.disconnect(world.viewer)
    assert not world.hub.marks.exceptions
    world.hub.writer.send_list(world.viewer, "<list tea=1/1>", {"tea": 99})
    assert not world.hub.marks.exceptions
