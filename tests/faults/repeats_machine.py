"""A state machine: a store, a few people, and a connection to the database that can break anywhere.
Somebody who gets no answer repeats the request, as a person presses the button again, or gives up,
and the background job finishes the change. At the end, everything that was acknowledged is compared
with what is stored."""

import itertools
from collections import Counter
from contextlib import suppress
from functools import partial
from inspect import signature

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from chat.domain.errors import ChatError
from chat.domain.events import ADD, DELETE, EDIT, JOIN, LEAVE, POST, REMOVE, START
from chat.redis_client.connection import OutcomeUnknown
from chat.services.unfinished_changes import UnfinishedChanges
from chat.store import Store, keys
from chat.store.person import MEMBER
from chat.store.room_kinds import ENDED, RANDOM
from chat.store.unfinished import NAME, parsed

from ..cut_line import AFTER, BEFORE, MIDDLE, Cut

SEATS = 2  # in a random room
TRIES = 3  # of one write over a connection that breaks again and again

# Where the connection breaks at each try; afterwards it works. Most changes first record that they
# begin, and then run their script.
places = st.just(1) | st.integers(0, 3) | st.integers(4, 9) | st.integers(0, 12)
cuts = st.builds(Cut, places, st.sampled_from((AFTER, AFTER, MIDDLE, BEFORE)))
lines = st.lists(cuts, min_size=1, max_size=TRIES)
which = st.integers(0, 2)
newest = st.integers(0, 4)  # how many rooms back from the newest one


class World:
    """`gives_up`: people who get no answer do not always try again. `acked` has everything that was
    acknowledged."""

    def __init__(self, line, gives_up):
        self.line, self.gives_up = line, gives_up
        line.flushall()
        self.store = Store(line)
        self.job = UnfinishedChanges(self.store, settle=0)
        self.numbers = itertools.count()
        create = self.store.people.create
        self.admin = self.store.accounts.create_admin("ann", "Ann", "hash")
        self.people = [self.admin, create("Bob", MEMBER), create("Gus")]
        self.bot = create("Robot", MEMBER, bot=self.admin.uid)
        self.store.webhooks.set(self.bot.uid, "https://bots.example.org", "secret")
        self.rooms = [self.store.rooms.create("Tea", "open", self.admin, [self.bot])]
        self.started = Counter()  # nonces of acknowledged rooms
        self.asked = Counter({"Tea": 1})  # names of requested rooms
        self.members = {}  # (room, person): the last acknowledged state, None if unknown
        self.bodies = {}  # the room id of each message, by nonce
        self.acked = set()  # nonces of messages

    def new(self):
        return f"n{next(self.numbers)}"

    def do(self, write, tries):
        """Make a write over a connection that breaks in this way. Returns True if it was
        acknowledged, "no" if it was refused, None if unknown; and what the write returned."""
        for cut in tries:
            with self.line.cut(cut):
                try:
                    return True, write()
                except OutcomeUnknown:
                    if self.gives_up and cut.at % 2:
                        return None, None
                except ChatError:
                    return "no", None
        with suppress(ChatError):
            return True, write()
        return "no", None

    # What is stored

    def events(self, rid):
        return self.store.messages.after(rid, 0, 10_000)

    def everybody(self):
        return [*self.people, self.bot]

    def all_rooms(self):
        return list(dict.fromkeys(self.store.retention.rooms()))

    def finish_names(self):
        """Finish what a repeat leaves to the background job: changes of names."""
        for entry in self.store.unfinished.entries():
            if parsed(entry)[0] == NAME:
                self.store.finish(entry)

    def settle(self, job=True):
        """Let readers and the background job do their work."""
        if job:
            self.job.look()
        self.store.webhooks.uids()
        for one in self.people:
            self.store.tokens.of(one.uid)

    def check(self):
        if self.gives_up:
            self.settle()
        self.check_rooms()
        self.check_seats()
        self.check_acknowledged()
        found = [finding.text for finding in self.store.integrity.everything(settles=0)]
        assert not found, found
        self.settle()
        assert not self.store.unfinished.entries()
        found = [finding.text for finding in self.store.integrity.everything(settles=0)]
        assert not found, found

    def check_rooms(self):
        """Room lists agree with members, the events of a room agree with its members, and no event
        is there twice."""
        listed = {one.uid: self.line.smembers(keys.user_rooms(one.uid)) for one in self.everybody()}
        names = Counter()
        for rid in self.all_rooms():
            names[self.line.hget(keys.room(rid), "name")] += 1
            members = set(self.store.rooms.uids(rid))
            ended = self.store.rooms.kind(rid) == ENDED
            assert ended or members, f"a ghost room {rid}"
            assert not (ended and members), f"members of an ended room {rid}"
            for uid, rids in listed.items():
                assert (rid in rids) == (uid in members), f"the list of {uid} and {rid}"
            self.check_events(rid, members, ended)
        rooms = set(self.all_rooms())
        for uid, rids in listed.items():
            assert rids <= rooms, f"the list of {uid} has rooms that are none"
        for name, count in names.items():
            most = self.asked.get(name, count)
            assert count <= most, f"{count} rooms {name}, which was asked for {most} times"

    def check_events(self, rid, members, ended):
        inside, posted = 0, Counter()
        last = None
        for event in self.events(rid):
            if event.kind == START:
                inside = event.number
            elif event.kind in (JOIN, ADD):
                assert event.number == inside + 1, f"told twice: {event}"
                inside += 1
            elif event.kind in (LEAVE, REMOVE):
                assert event.number == inside - 1, f"told twice: {event}"
                inside -= 1
            elif event.kind == POST:
                posted[event.body.partition(" ")[0]] += 1
            same = last and (last.kind, last.uid, last.body) == (event.kind, event.uid, event.body)
            assert not same or event.kind in (POST, DELETE, EDIT), f"a doubled line: {event}"
            last = event
        assert ended or inside == len(members), f"{inside} are told, {len(members)} are in {rid}"
        assert all(count == 1 for count in posted.values()), f"a doubled message: {posted}"

    def check_seats(self):
        counts = dict(self.line.zscan_iter(keys.RANDOM_ROOMS))
        seats = {seat for seat, _ in self.line.zscan_iter(keys.RANDOM_SEATS)}
        members = set()
        for rid in self.all_rooms():
            if self.store.rooms.kind(rid) == RANDOM:
                uids = self.store.rooms.uids(rid)
                assert len(uids) <= SEATS
                assert counts.pop(rid, None) == len(uids), f"the seats of {rid}"
                members |= {f"{uid} {rid}" for uid in uids}
        assert not counts, f"ghost random rooms {counts}"
        assert seats == members, "ghost seats" if seats - members else "lost seats"

    def check_acknowledged(self):
        for (rid, uid), expected in self.members.items():
            if expected is not None and self.store.rooms.kind(rid) != ENDED:
                is_in = uid in self.store.rooms.uids(rid)
                assert is_in == expected, f"{uid} {'is' if is_in else 'is not'} in {rid}"
        for nonce in self.acked:
            rid = self.bodies[nonce]
            if self.store.rooms.kind(rid) != ENDED:
                bodies = [event.body for event in self.events(rid) if event.kind == POST]
                assert any(body.partition(" ")[0] == nonce for body in bodies), "lost"


# The steps; some happen more often.
STEPS = (
    "start_a_room",
    "write_to_somebody",
    "sit_down",
    "join",
    "add",
    "leave",
    "remove",
    "end",
    "edit",
    "post",
    "change_a_message",
    "hear_less",
    "rename",
    "make_a_token",
    "revoke_tokens",
    "set_a_webhook",
    "remove_the_webhook",
    "deliver",
    "hand_over",
    "come_by",
)
STEPS += ("join", "leave", "post", "sit_down", "start_a_room", "deliver") * 2


class Machine(RuleBasedStateMachine):
    line, gives_up = None, False

    def __init__(self):
        super().__init__()
        self.world = World(self.line, self.gives_up)
        self.store = self.world.store

    @rule(what=st.sampled_from(STEPS), number=which, room=newest, choice=which, tries=lines)
    def step(self, what, number, room, choice, tries):
        """Do one of the steps below, which use as many of these arguments as they need."""
        step = getattr(self, what)
        given = {"number": number, "room": room, "choice": choice, "tries": tries}
        step(**{name: given[name] for name in signature(step).parameters})

    def person(self, number):
        return self.world.people[number]

    def room(self, number):
        return self.world.rooms[-1 - number % len(self.world.rooms)]

    def moved(self, done, rid, uid, is_in):
        """Record whether somebody is in a room, if that was acknowledged. A refusal changes
        nothing, but an earlier try with an unknown outcome may have."""
        self.world.members[rid, uid] = is_in if done is True else None

    def start_a_room(self, number, choice, tries):
        kind = ("open", "closed", "open")[choice]
        name, others = self.world.new(), [self.person(1), self.world.bot]
        by = self.person(number)
        self.world.asked[name] += 1
        create = self.store.rooms.create
        done, rid = self.world.do(lambda: create(name, kind, by, others, "", name), tries)
        if done is True:
            self.world.rooms.append(rid)
            for one in (by, *others):
                self.moved(True, rid, one.uid, True)

    def write_to_somebody(self, number, tries):
        others = [one for one in self.world.people if one.uid != self.person(number).uid]
        self.world.do(lambda: self.store.rooms.direct(self.person(number), others), tries)

    def sit_down(self, number, tries):
        by, nonce = self.person(number), self.world.new()
        before = self.seats_of(by)
        done, rid = self.world.do(lambda: self.store.rooms.join_random(by, SEATS, nonce), tries)
        if done is True:
            self.world.rooms.append(rid)
            self.moved(True, rid, by.uid, True)
            taken = self.seats_of(by) - before
            assert len(taken) <= 1, f"sat down {len(taken)} times"

    def seats_of(self, person):
        rows = self.store.rooms.of(person.uid)
        return {row.room.rid for row in rows if row.room.kind == RANDOM}

    def join(self, number, room, tries):
        rid, by = self.room(room), self.person(number)
        done, _ = self.world.do(lambda: self.store.rooms.join(rid, by), tries)
        self.moved(done, rid, by.uid, True)

    def add(self, number, room, tries):
        rid, one = self.room(room), self.person(number)
        done, _ = self.world.do(lambda: self.store.rooms.add(rid, self.world.admin, one), tries)
        self.moved(done, rid, one.uid, True)

    def leave(self, number, room, tries):
        rid, by = self.room(room), self.person(number)
        done, _ = self.world.do(lambda: self.store.rooms.leave(rid, by), tries)
        self.moved(done, rid, by.uid, False)

    def remove(self, number, room, tries):
        rid, one = self.room(room), self.person(number)
        done, _ = self.world.do(lambda: self.store.rooms.remove(rid, self.world.admin, one), tries)
        self.moved(done, rid, one.uid, False)

    def end(self, room, tries):
        self.world.do(lambda: self.store.rooms.end(self.room(room), self.world.admin), tries)

    def edit(self, room, choice, tries):
        field, value = (("kind", "open"), ("kind", "closed"), ("name", ""))[choice]
        if field == "name":
            value = self.world.new()
        rid, by = self.room(room), self.world.admin
        self.world.do(lambda: self.store.rooms.edit(rid, by, field, value), tries)

    def post(self, number, room, tries):
        rid, by, nonce = self.room(room), self.person(number), self.world.new()
        members = [one for one in self.world.people if self.store.rooms.is_member(rid, one.uid)]
        by = members[number % len(members)] if members else by
        body = f"{nonce} @Robot @Bob"
        self.world.bodies[nonce] = rid
        done, _ = self.world.do(lambda: self.store.messages.post(rid, by, body, nonce), tries)
        if done is True:
            self.world.acked.add(nonce)

    def change_a_message(self, number, room, choice, tries):
        what = ("edit", "delete", "react", "turn")[(number + choice) % 4]
        rid, messages = self.room(room), self.store.messages
        posts = [event for event in self.world.events(rid) if event.kind == POST]
        if not posts:
            return
        event, number = posts[-1], self.store.messages.newest(rid)[-1].seq
        nonce = event.body.partition(" ")[0]
        by = next(one for one in self.world.people if one.uid == event.uid)
        if what == "delete":
            self.world.acked.discard(nonce)
        writes = {
            "edit": lambda: messages.edit(rid, by, event.seq, f"{nonce} @Ann again"),
            "delete": lambda: messages.delete(rid, by, event.seq),
            "react": lambda: messages.react(rid, by, event.seq, "👍", "on"),
            "turn": lambda: messages.react(rid, by, event.seq, "👍", number),
        }
        before = self.reactions(rid, event.seq)
        done, _ = self.world.do(writes[what], tries)
        if what == "turn" and done is True:
            turned = by.uid in self.reactions(rid, event.seq)
            assert turned != (by.uid in before), "turned round twice"

    def reactions(self, rid, seq):
        found = [event for event in self.store.messages.several(rid, [seq]) if event.seq == seq]
        return {uid for event in found for one in event.reactions.all for uid in one.uids}

    def hear_less(self, number, room, choice, tries):
        level = ("", "nothing", "mentions")[choice]
        rid, uid = self.room(room), self.person(number).uid
        if self.store.rooms.is_member(rid, uid):
            self.world.do(lambda: self.store.notifications.set_level(uid, rid, level), tries)
            self.store.drafts.keep(uid, rid, "typed")

    def rename(self, number, tries):
        uid, name = self.person(number).uid, f"Name {self.world.new()}"
        people = self.store.people
        self.world.do(lambda: people.edit(people.get(uid), name=name), tries)
        self.world.finish_names()

    def make_a_token(self, tries):
        uid, nonce = self.person(0).uid, self.world.new()
        make = self.store.tokens.make
        self.world.do(lambda: make(uid, nonce, ["read"], nonce=nonce), tries)
        named = [token.name for token in self.store.tokens.of(uid)]
        assert named.count(nonce) <= 1, "two tokens"

    def revoke_tokens(self, tries):
        self.world.do(lambda: self.store.tokens.revoke_all(self.person(0).uid), tries)
        self.store.tokens.of(self.person(0).uid)

    def set_a_webhook(self, tries):
        address, uid = "https://bots.example.org", self.world.bot.uid
        self.world.do(lambda: self.store.webhooks.set(uid, address, "secret"), tries)
        self.store.webhooks.uids()

    def remove_the_webhook(self, tries):
        self.world.do(lambda: self.store.webhooks.remove(self.world.bot.uid), tries)
        self.store.webhooks.uids()

    def deliver(self, room, choice, tries):
        done_meanwhile = choice != 0
        rid, uid, hooks = self.room(room), self.world.bot.uid, self.store.webhooks
        before, newest, joined = hooks.cursor(uid, rid)
        if joined is not None and newest > int(before or 0):
            self.world.do(lambda: hooks.queue(uid, rid, before, newest, [newest], 1), tries)
        for delivery in hooks.due(uid, 10**15, 1)[0]:
            if done_meanwhile:
                hooks.done(delivery)
            self.world.do(partial(hooks.retry, delivery, 2), tries)
            if not done_meanwhile:
                self.world.do(partial(hooks.done, delivery), tries)

    def hand_over(self, room, tries):
        rid, by, to = self.room(room), self.world.admin, self.person(1)
        edit = self.store.rooms.edit
        self.world.do(lambda: edit(rid, by, "owner", to.uid, to.name), tries)

    def come_by(self):
        """Let the background job, the readers of lists and people's pages do their work."""
        self.world.settle(job=self.world.gives_up)
        for one in self.world.people:
            self.store.rooms.of(one.uid)

    def teardown(self):
        self.world.check()
