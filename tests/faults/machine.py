"""A state machine: one process, two pages and one room, and everything that can happen between two
steps. The scripts, Valkey and the delivery code are real; there are no other processes."""

import asyncio
import itertools
import json
from types import SimpleNamespace

import greenback
from flask import g
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chat.realtime.client_messages import parse
from chat.realtime.parts import Realtime
from chat.redis_client.pubsub import PubSub
from chat.redis_client.topology import SingleServer
from chat.store import keys
from chat.store.sessions import public
from chat.web.page_connection import PageConnection

from .reading import Epoch, Reset, Shown, Stored, told
from .replica import fail_over, state_of


def post(page, frame):
    page.composers.post(frame)


class Held(PubSub):
    """The subscriber's channels, which pass on what is published when a rule says so."""

    def __init__(self, *args):
        super().__init__(*args)
        self.came, self.gave = [], []
        self.pong = None  # the answer to the last PING

    @property
    def link(self):
        return next(iter(self._links.values()), None)

    def _take(self, place, reply):
        if reply[0] == "smessage":
            self.came.append((place, reply))
        elif "pong" in reply or reply == "PONG":
            self.pong.set_result(True)
        else:
            super()._take(place, reply)

    def give(self, held):
        self.gave.append(held)
        super()._take(*held)


class Slowly:
    """Renders texts; every third takes some turns of the loop."""

    def __init__(self):
        self.ready = set()

    def is_ready(self, event):
        return event.seq % 3 != 0 or event in self.ready

    async def prepare(self, event):
        for _ in range(3):
            await asyncio.sleep(0)
        self.ready.add(event)


class Browser:
    """A page: its list, its composers and its connection to the server."""

    def __init__(self, world, person):
        self.world, self.person = world, person
        self.page = None
        self.whole = False  # the connection works: what is written arrives
        self.lost = lambda: None  # tells the hub that the page has closed
        self.epoch = ""
        self.list = {}  # number: time
        self.pending = {}  # nonce: body

    def push(self, packet):
        self.write(packet.plain)
        return True

    def direct_writer(self, lost):
        self.lost = lost
        return self.write, False

    def write(self, frame):
        start = {126: 4, 127: 10}.get(frame[1], 2)
        if self.whole:
            for what in told(frame[start:].decode()):
                self.take(what)

    def close_nowait(self, code, reason=""):
        assert code not in (1000, 1008), "htmx would never come back"
        self.whole = False
        self.lost()
        if self.page is not None:  # as on the server, which then stops reading lists for the page
            hub = self.world.app.realtime.hub
            asyncio.get_running_loop().call_soon(hub.disconnect, self.page.viewer)

    def take(self, what):
        if isinstance(what, Reset):
            self.list = {}
        elif isinstance(what, Epoch):
            self.epoch = what.epoch
        elif isinstance(what, Stored):
            if what.nonce in self.pending:
                self.world.acked[what.nonce] = self.pending.pop(what.nonce)
        elif isinstance(what, Shown):
            if self.list:
                last = max(self.list)
                if what.seq != last + 1:  # I3
                    self.world.wrong.append(f"{what.seq} after {last}")
                if self.world.time_of(last) not in (None, self.list[last]):  # I7
                    self.world.wrong.append(f"the loss of {last} was not told of")
            self.list[what.seq] = what.at

    @property
    def last(self):
        return max(self.list, default=0)

    def frame(self):
        """Return the `watch` frame."""
        sent = {
            "type": "watch",
            "room": self.world.rid,
            "after": f"{self.last}-{self.list[self.last]}" if self.list else "",
            "epoch": self.epoch,
            "digest": "",
            "to": [self.world.rid] * len(self.pending),
            "nonce": list(self.pending),
            "body": list(self.pending.values()),
        }
        return parse(json.dumps(sent))


class World:
    """One room, one server process, two pages of two people."""

    def __init__(self, app, url, client):
        self.app, self.url, self.client = app, url, client
        client.flushdb()
        self.store = app.store
        self.acked, self.numbers = {}, itertools.count()
        self.wrong = []  # what pages were sent and must not be
        people = [self.store.people.create(name) for name in ("Ann", "Bob")]
        self.rid = self.store.rooms.create("Tea", "closed", people[0], people[1:])
        begin = self.store.sessions.begin
        self.sids = {person.uid: public(begin(person.uid, "guest")) for person in people}
        self.replica = state_of(url)
        self.runner = asyncio.Runner()
        self.runner.run(self.start())
        self.browsers = [Browser(self, person) for person in people]
        for browser in self.browsers:
            self.run(self.come_back, browser)

    async def start(self):
        app = self.app
        app.realtime = Realtime(app.store, app.fragments, Slowly(), SingleServer(self.url))
        subscriber = app.realtime.subscriber
        self.held = Held(
            subscriber.channels.topology, subscriber._on_message, subscriber._on_subscribed
        )
        subscriber.channels = self.held
        self.running = asyncio.create_task(app.realtime.subscriber.run())
        await until(lambda: app.realtime.subscriber.connected)

    def run(self, step, *args):
        self.runner.run(step(*args))

    def stop(self):
        async def stop():
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            await self.held.topology.aclose()

        self.runner.run(stop())
        self.runner.close()

    # What is stored

    @property
    def top(self):
        return int(self.client.hget(keys.room(self.rid), "seq"))

    def time_of(self, seq):
        entry = self.client.xrange(keys.events(self.rid), f"{seq}-0", f"{seq}-0")
        return int(entry[0][1]["at"]) if entry else None

    def stored(self):
        """Bodies by number."""
        entries = self.store.messages.after(self.rid, 0, 10_000)
        return {event.seq: event.body for event in entries if event.kind == "post"}

    # Steps

    async def quiet(self):
        """Let the subscriber do everything that it can without the held messages."""
        held, pong = self.held, None
        while pong is None or not pong.done():
            await until(lambda: held.link and not held.link.ended.done())
            pong = held.pong = asyncio.get_running_loop().create_future()
            held.link.command("PING")
            await asyncio.wait({pong, held.link.ended}, return_when=asyncio.FIRST_COMPLETED)
            filling = self.app.realtime.subscriber
            await until(
                lambda filling=filling: (
                    not self.app.realtime.background.tasks and not filling._filling
                )
            )
        await asyncio.sleep(0)

    async def give(self, count=10_000):
        await self.quiet()
        held = self.held
        while held.came and count:
            held.give(held.came.pop(0))
            count -= 1
        await self.quiet()

    def post(self, person):
        nonce = f"n{next(self.numbers)}"
        self.store.messages.post(self.rid, person, f"message {nonce}", nonce)

    async def say(self, browser, what, *frame):
        await self.quiet()
        with self.app.app_context():
            await greenback.with_portal_run_sync(what, browser.page, *frame)
        await self.quiet()

    async def come_back(self, browser, before=None, after=None):
        """The socket opens again. The functions `before` and `after` run before and after the
        history is read."""
        if browser.page is not None:
            await self.say(browser, PageConnection.on_close)
        read = self.store.messages.missed

        def missed(*args, **kwargs):
            if before:
                before()
            answer = read(*args, **kwargs)
            if after:
                after()
            return answer

        browser.whole = True
        self.store.messages.missed = missed
        try:
            with self.app.test_request_context():
                g.session = SimpleNamespace(sid=self.sids[browser.person.uid])
                browser.page = PageConnection(browser, browser.person, lambda: None)
                await self.say(browser, PageConnection.on_open)
            await self.say(browser, PageConnection.watch, browser.frame())
        finally:
            del self.store.messages.missed

    async def settle(self):
        """The network works again, everyone reconnects, and nobody writes."""
        await self.give()
        for _ in range(3):
            for browser in self.browsers:
                if not browser.whole:
                    await self.come_back(browser)
            await self.give()
        for browser in self.browsers:  # the heartbeat
            await self.say(browser, PageConnection.watch, browser.frame())
        await self.give()
        for browser in self.browsers:
            if not browser.whole:
                await self.come_back(browser)

    def check(self):
        assert not self.wrong
        stored = self.stored()
        bodies = list(stored.values())
        assert len(bodies) == len(set(bodies)), "doubled"  # I2
        oldest = int(self.client.xrange(keys.events(self.rid), "-", "+", count=1)[0][0][:-2])
        for body in self.acked.values():
            assert body in bodies or oldest > 1, "acknowledged and lost"  # I1
        for browser in self.browsers:
            assert browser.last == self.top, "not current"  # I6
            for seq, at in browser.list.items():
                assert self.time_of(seq) in (at, None), "shows what is not there"  # I3, I5
            assert not browser.pending


async def until(true):
    """Run turns of the loop until a condition is true."""
    while not true():
        await asyncio.sleep(0)


class Machine(RuleBasedStateMachine):
    app = url = client = None

    def __init__(self):
        super().__init__()
        self.world = World(self.app, self.url, self.client)

    def browser(self, number):
        return self.world.browsers[number]

    which = st.sampled_from((0, 1))

    @rule(number=which, lose_ack=st.booleans())
    def send(self, number, lose_ack):
        """Enter is pressed. Before or after that, the connection may break without the page
        noticing."""
        browser, nonce = self.browser(number), f"n{next(self.world.numbers)}"
        body = f"message {nonce}"
        browser.pending[nonce] = body
        if browser.whole:
            frame = {"type": "post", "room": self.world.rid, "nonce": nonce, "body": body}
            browser.whole = not lose_ack
            self.world.run(self.world.say, browser, post, frame)

    @rule(number=which)
    def send_again(self, number):
        """A late retry sends an acknowledged message again, with its nonce."""
        if self.world.acked and self.browser(number).whole:
            nonce, body = list(self.world.acked.items())[-1]
            if body not in self.world.stored().values():
                return
            top = self.world.top
            author = self.world.store.people.get(self.author_of(body))
            self.world.store.messages.post(self.world.rid, author, body, nonce)
            assert self.world.top == top, "doubled"  # I8

    def author_of(self, body):
        events = self.world.store.messages.after(self.world.rid, 0, 10_000)
        return next(event.uid for event in events if event.body == body)

    @rule(number=which)
    def another_writes(self, number):
        self.world.post(self.browser(number).person)

    @rule(count=st.integers(1, 3))
    def pump(self, count):
        self.world.run(self.world.give, count)

    @rule()
    def lose_what_was_published(self):
        self.world.run(self.world.quiet)
        if self.world.held.came:
            self.world.held.came.pop(0)

    @rule()
    def give_it_twice(self):
        held = self.world.held
        held.came += held.gave[-2:]
        self.world.run(self.world.give)

    @rule(number=which)
    def break_the_line(self, number):
        self.browser(number).whole = False

    @rule(number=which, before=st.booleans(), after=st.booleans())
    def come_back(self, number, before, after):
        world, browser = self.world, self.browser(number)
        if browser.whole:
            return
        world.run(world.give)
        room = world.app.realtime.hub.rooms.get(world.rid)
        current = room is not None and (room.last, room.at) == (world.top, world.time_of(world.top))

        def post():
            # The process is notified before the next step of the page.
            world.post(browser.person)
            greenback.await_(world.give())

        world.run(world.come_back, browser, before and post, after and post)
        world.run(world.give)
        if current and browser.whole:
            assert browser.last == world.top, "not current after coming back"  # I6

    @rule()
    def cut_the_subscriber(self):
        self.lose_all()
        self.world.client.client_kill_filter(_type="pubsub")

    def lose_all(self):
        self.world.run(self.world.quiet)
        self.world.held.came.clear()
        self.world.held.gave.clear()

    @rule(kept=st.integers(1, 6))
    def trim(self, kept):
        self.world.client.xtrim(keys.events(self.world.rid), maxlen=kept, approximate=False)

    @rule()
    def replicate(self):
        self.world.replica = state_of(self.world.url)

    @rule(posts=st.integers(0, 4))
    def fail_over(self, posts):
        """Fail over to the replica as it was. Numbers are used again before anybody notices."""
        self.lose_all()
        fail_over(self.world.url, self.world.replica)
        kept = self.world.stored().values()
        self.world.acked = {n: body for n, body in self.world.acked.items() if body in kept}
        for _ in range(posts):
            self.world.post(self.browser(0).person)

    @invariant()
    def nothing_is_wrong(self):
        assert not self.world.wrong

    def teardown(self):
        try:
            self.world.run(self.world.settle)
            self.world.check()
        finally:
            self.world.stop()
