"""A state machine: one process with several people, pages and rooms, and everything that can happen
between two steps. The hub, channels, subscriber, pages and Valkey are real.

Nothing arrives by itself. Each reply of Redis to the process waits in `Gate`, and each message of
the pub/sub connection in `Held`, until a rule lets it through, in order, as on a connection. So any
number of pages can be in the middle of any step. What other processes do (posts, renames, people
who leave) happens at once.
"""

import asyncio
import itertools
import json
import re
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import greenback
import redis
from flask import g
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chat.app import create_app
from chat.config import Settings
from chat.domain.errors import NotMember
from chat.realtime.parts import Realtime
from chat.realtime.viewers import Viewer
from chat.redis_client.pubsub import PubSub
from chat.redis_client.topology import SingleServer
from chat.rendering.fragments import Fragments
from chat.store import Store, keys
from chat.store.pieces import Turns
from chat.store.sessions import public
from chat.web.page_connection import PageConnection

from .machine import until
from .reading import Epoch, Gone, Reset, Shown, told

NAMES = ("Ann", "Ben", "Cid")
ZONES = ("Asia/Tokyo", "America/Lima", "Europe/Oslo")
ROOMS = ("Tea", "Club")
MOST_PAGES = 4
# Functions that may fail to render.
PARTS = (
    *("for_viewers", "for_members", "room_row"),
    *("missed_events", "room_list", "updated_events"),
)
COMES_BACK = (1011, 1012, 1013)  # close codes after which htmx connects again

_MARKS = re.compile(
    r'<hx-partial hx-target="#rooms" hx-swap="innerHTML">(?P<list>.*?)</hx-partial>'
    r'|<hx-partial hx-target="#unread-(?P<read>[\w-]+)" hx-swap="innerHTML">'
    r'|<hx-partial hx-target="#unread-(?P<more>[\w-]+)" hx-swap="beforeend"><i',
    re.S,
)
_ROW = re.compile(r'<li id="room-([\w-]+)" class="row".*?</li>', re.S)
_ITEM = re.compile(r'<li id="m-(\d+)".*?</li>', re.S)
_NAME = re.compile(r'class="message__author"[^>]*><bdi>(.*?)</bdi>|<p><bdi>(.*?)</bdi>')
_TIME = re.compile(r'<time datetime="([^"]+)" title="([^"]+)"')


class Broken(Exception):
    """The error that a rule makes a rendering or a write raise."""


class Texts:
    """Renders every third text only when a rule says so."""

    def __init__(self):
        self.ready, self.waiting = set(), []

    def is_ready(self, event):
        return event.seq % 3 != 0 or event in self.ready

    async def prepare(self, event):
        if not self.is_ready(event):
            made = asyncio.get_running_loop().create_future()
            self.waiting.append(made)
            await made
        self.ready.add(event)

    async def prepare_lines(self, events):
        pass

    def render(self):
        """Finish all waiting texts."""
        waiting, self.waiting = self.waiting, []
        for made in waiting:
            if not made.done():
                made.set_result(None)


class Gate:
    """Replies that are on their way. `hold` waits in a greenlet until its reply is let through."""

    def __init__(self):
        self.waiting, self.is_open = [], True

    def hold(self):
        if self.is_open or not greenback.has_portal():
            return
        arrives = asyncio.get_running_loop().create_future()
        self.waiting.append(arrives)
        greenback.await_(arrives)

    def let_through(self, count, error=None):
        for _ in range(min(count, len(self.waiting))):
            arrives = self.waiting.pop(0)
            if arrives.done():
                continue
            if error:
                arrives.set_exception(error)
            else:
                arrives.set_result(None)


class GatedPipeline(redis.client.Pipeline):
    gate = None

    def execute(self, raise_on_error=True):
        answer = super().execute(raise_on_error)
        self.gate.hold()
        return answer


class Gated(redis.Redis):
    """The client of the process: its commands run at once, but their replies wait."""

    gate = None

    def execute_command(self, *args, **options):
        answer = super().execute_command(*args, **options)
        self.gate.hold()
        return answer

    def pipeline(self, transaction=True, shard_hint=None):
        made = GatedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        made.gate = self.gate
        return made


class Process:
    """The parts that take long to create and that all worlds share: an application whose replies
    wait, and whose rendering functions raise once each if they are in `fails`."""

    def __init__(self, url):
        self.client = Gated.from_url(url, decode_responses=True)
        self.client.gate = Gate()
        self.app = create_app(Settings(secret_key="x" * 32, limits=False), Store(self.client))
        self.fails = set()
        for part in PARTS:
            setattr(self.app.fragments, part, self._breakable(part))

    def _breakable(self, part):
        def render(*args):
            if part in self.fails:
                self.fails.discard(part)
                raise Broken
            fragments = self.app.fragments
            if hasattr(Fragments, part):  # a test may have replaced it by a bug
                return getattr(Fragments, part)(fragments, *args)
            return Fragments.__getattr__(fragments, part)(*args)

        return render


class Held(PubSub):
    """The subscriber's channels. A rule decides when their commands are sent, and when they get
    what the server has sent."""

    def __init__(self, *args):
        super().__init__(*args)
        self.came = []
        self.pong = None
        self.standing = set()  # names that have been subscribed since they were added

    @property
    def link(self):
        return next(iter(self._links.values()), None)

    def _write(self):
        """Keep what is written until `send`."""

    def send(self):
        super()._write()

    def drop(self, name):
        self.standing.discard(name)
        super().drop(name)

    def _take_safely(self, place, reply):
        if "pong" in reply or reply == "PONG":
            self.pong.set_result(True)
        else:
            self.came.append((self.link, place, reply))

    def give(self):
        link, place, reply = self.came.pop(0)
        if link is self.link and link is not None:  # what was on a broken connection is lost
            super()._take_safely(place, reply)


class Browser:
    """One page: its messages, its room list and its socket, served as bridge.websocket does it."""

    def __init__(self, world, person):
        self.world, self.uid = world, person.uid
        self.person = person  # as the handshake knows it
        self.zone = person.zone
        self.sid = world.sids[person.uid]
        self.room = ""  # on screen
        self.epoch = ""
        self.list = {}  # number: time
        self.shown = {}  # number: HTML, of events that this socket has received
        self.marks = {}  # the unread marks of the room list, by room
        self.visited = set()  # rooms that were on screen
        self.code = None  # with which the socket was closed
        self.lost = lambda: None
        self.fails = set()  # "push" and "write" in it raise once each
        self.frames = asyncio.Queue()
        self.said = self.handled = 0  # frames
        self.entered = 0  # the number of the frame that put the room on screen
        with world.app.test_request_context():
            g.session = SimpleNamespace(sid=self.sid)
            self.page = PageConnection(self, person, lambda: None)
        self.task = asyncio.create_task(self.serve())

    async def serve(self):
        portal = greenback.with_portal_run_sync
        page = self.page
        with self.world.app.app_context():
            try:
                await portal(page.on_open)
                while self.code is None:
                    frame = await self.frames.get()
                    if frame is not None and self.code is None:
                        self.handled += 1
                        await portal(page.on_message, json.dumps(frame))
            except Broken:
                self.close_nowait(1011)
            finally:
                await portal(page.on_close)

    # The socket

    @property
    def connected(self):
        return self.code is None

    def push(self, packet):
        if self.code is not None:
            return False
        if "push" in self.fails:
            self.fails.discard("push")
            raise Broken
        self.write(packet.plain)
        return True

    def direct_writer(self, lost):
        if self.code is not None:
            return None
        self.lost = lost
        return self.write_directly, False

    def write_directly(self, frame):
        if "write" in self.fails:
            self.fails.discard("write")
            raise Broken
        self.write(frame)

    def ping(self, confirmed):
        if self.code is None:
            confirmed()  # a ping and its pong come after what was written before
        return self.code is None

    def close_nowait(self, code, reason=""):
        if self.code is None:
            self.code = code
            self.lost()
            self.frames.put_nowait(None)

    # What the page shows

    def write(self, frame):
        if self.code is not None:
            return  # nobody reads what follows a close frame
        text = frame[{126: 4, 127: 10}.get(frame[1], 2) :].decode()
        for what in told(text):
            if isinstance(what, Epoch):
                self.epoch = what.epoch
            elif getattr(what, "room", "") == self.room and not self.is_early():
                self.take(what)
        if self.is_early():
            pass
        elif self.room and f"#messages[data-live='{self.room}']" in text.replace("&#39;", "'"):
            for item in _ITEM.finditer(text):
                if int(item[1]) in self.list:
                    self.shown[int(item[1])] = item[0]
        self.mark(text)

    def take(self, what):
        if isinstance(what, Reset):
            self.list, self.shown = {}, {}
        elif isinstance(what, Gone):
            self.room, self.list = "", {}
        elif isinstance(what, Shown):
            last = max(self.list, default=None)
            if last is not None and what.seq not in self.list and what.seq != last + 1:
                self.world.wrong.append(f"{what.seq} after {last}")
            self.list[what.seq] = what.at

    def is_early(self):
        """Tell whether the server has not received yet that the page shows this room. What it sends
        belongs to an earlier visit. A real page has the room's messages already, because they came
        with the panel, and puts those into their place by number."""
        return self.handled < self.entered

    def mark(self, text):
        """Record the unread marks of the room list: how many each room has."""
        for part in _MARKS.finditer(text):
            if part["list"]:
                self.marks = {row[1]: row[0].count("<i") for row in _ROW.finditer(part["list"])}
            elif part["read"]:
                self.marks[part["read"]] = 0
            elif part["more"] in self.marks:
                self.marks[part["more"]] += 1

    def watch(self, rid):
        """Go to a room, or repeat the `watch` frame of the one on screen."""
        if rid != self.room:
            self.visited.add(rid)
            self.room, self.list, self.shown, self.epoch = rid, {}, {}, ""
            self.entered = self.said + 1
        last = max(self.list, default=0)
        self.say(
            type="watch",
            room=rid,
            after=f"{last}-{self.list[last]}" if last else "",
            epoch=self.epoch,
            digest="",
        )

    def say(self, **frame):
        if self.code is None:
            self.said += 1
            self.frames.put_nowait(frame)


class World:
    """Three people, three rooms, one process, and all open pages."""

    def __init__(self, url, client, process):
        self.url, self.client = url, client
        client.flushdb()
        self.wrong = []
        self.numbers = itertools.count(1)
        self.gate = process.client.gate = Gate()
        self.app, self.fails = process.app, process.fails
        self.fails.clear()
        self.texts = Texts()
        self.raw = Store(client)  # the store of another process
        self.people = [self.raw.people.create(name) for name in NAMES]
        for person, zone in zip(self.people, ZONES, strict=True):
            self.raw.people.edit(person, zone=zone)
        self.rids = [
            self.raw.rooms.create(name, "open", self.people[0], self.people[1:]) for name in ROOMS
        ]
        begin = self.raw.sessions.begin
        self.sids = {person.uid: public(begin(person.uid, "guest")) for person in self.people}
        self.browsers, self.frames = [], []
        self.unheard = set()  # rooms and people who were renamed when they had left
        self.runner = asyncio.Runner()
        self.runner.run(self.start())

    async def start(self):
        app = self.app
        app.store.messages.history.turns = Turns()  # asyncio binds its semaphore to one event loop
        app.realtime = live = Realtime(app.store, app.fragments, self.texts, SingleServer(self.url))
        self.subscriber = subscriber = live.subscriber
        self.held = Held(subscriber.channels.topology, subscriber._on_message, self.on_subscribed)
        subscriber.channels = self.held
        self.running = asyncio.create_task(subscriber.run())
        await until(lambda: subscriber.connected)
        self.gate.is_open = False
        for number in range(2):
            await self.open(number)
            self.browsers[number].watch(self.rids[0])
        await self.drain()

    def on_subscribed(self, name, again):
        if again != (name in self.held.standing):
            self.wrong.append(f"{name} stands {'again' if again else 'first'}, and does not")
        self.held.standing.add(name)
        self.subscriber._on_subscribed(name, again)

    def run(self, step, *args):
        async def inside():
            answer = step(*args)
            if asyncio.iscoroutine(answer):
                await answer

        self.runner.run(inside())

    def stop(self):
        async def stop():
            for browser in self.browsers:
                browser.task.cancel()
            self.running.cancel()
            tasks = [self.running, *(browser.task for browser in self.browsers)]
            await asyncio.gather(
                *tasks, *self.app.realtime.background.tasks, return_exceptions=True
            )
            await self.held.topology.aclose()

        self.gate.is_open = True
        self.gate.let_through(len(self.gate.waiting))  # tasks that wait after a failure
        self.runner.run(stop())
        self.runner.close()

    def person(self, uid):
        return self.raw.people.get(uid)

    # Steps

    async def turns(self):
        """Run everything that waits for nothing outside the process, and receive what the server
        has sent."""
        for _ in range(2):
            for _ in range(12):
                await asyncio.sleep(0)
            await self._hear_link()
        for _ in range(12):
            await asyncio.sleep(0)

    async def _hear_link(self):
        link = self.held.link
        if link is None or link.ended.done():
            return
        self.held.pong = pong = asyncio.get_running_loop().create_future()
        link.command("PING")
        await asyncio.wait({pong, link.ended}, return_when=asyncio.FIRST_COMPLETED)

    async def open(self, number):
        person = self.person(self.people[number].uid)
        self.browsers.append(Browser(self, person))
        await self.turns()

    async def let(self, replies, words):
        self.gate.let_through(replies)
        if words:
            self.held.send()
            await self.turns()
        for _ in range(words):
            if self.held.came:
                self.held.give()
        await self.turns()

    async def settle(self):
        """From now on nothing fails and everything arrives. Pages that were asked to reconnect do
        so, and frames close."""
        while self.frames:
            self.app.realtime.hub.disconnect(self.frames.pop())
        self.fails.clear()
        for browser in self.browsers:
            browser.fails.clear()
        for _ in range(6):
            await self.drain()
            for browser in list(self.browsers):
                if browser.code in COMES_BACK:
                    self.browsers.remove(browser)
                    await self.come_back(browser)
                elif browser.code is not None:
                    self.browsers.remove(browser)
            await self.drain()
        for browser in self.browsers:
            browser.watch(browser.room)
        await self.drain()

    async def come_back(self, before):
        person = self.person(before.uid)
        browser = Browser(self, person)
        self.browsers.append(browser)
        if before.zone == person.zone:
            browser.room, browser.list, browser.epoch = before.room, before.list, before.epoch
            browser.visited.add(before.room)
            browser.watch(before.room)
        else:  # the page is loaded again
            browser.watch(before.room)

    async def drain(self):
        """Run until nothing is on its way and nobody does anything."""
        quiet, turns = 0, 0
        while quiet < 3:
            turns += 1
            assert turns < 1000, f"it never ends: {self.doing()}"
            before = self.held.link
            on_its_way = self.gate.waiting, self.held.came, self.held._commands, self.texts.waiting
            is_busy = any(on_its_way) or not self._is_idle()
            self.held.send()
            self.texts.render()
            self.gate.let_through(1000)
            while self.held.came:
                self.held.give()
            await self.turns()
            if not self.subscriber.connected or self.held.link is not before:
                await until(lambda: self.subscriber.connected)
                is_busy = True
            quiet = 0 if is_busy else quiet + 1

    def doing(self):
        """Return what is not done yet, for the error message of an endless run."""
        subscriber = self.subscriber
        frames = [(b.code, b.frames.qsize(), b.task) for b in self.browsers]
        names = {name: future.done() for name, future in self.held._wanted.items()}
        frames.append((names, self.held._unanswered, self.client.pubsub_shardchannels()))
        return self.app.realtime.background.tasks, subscriber._filling, subscriber._unready, frames

    def _is_idle(self):
        subscriber = self.subscriber
        busy = self.app.realtime.background.tasks or subscriber._filling or subscriber._unready
        return not busy and all(
            browser.frames.empty() for browser in self.browsers if browser.code is None
        )

    # What must be true

    def check(self):
        assert not self.wrong, self.wrong
        self.check_hub()
        for browser in self.browsers:
            self.check_page(browser)

    def check_hub(self):
        """Every open page belongs to its person's rooms, and no other page belongs to any room."""
        hub, held = self.app.realtime.hub, self.held
        viewers = {browser.page.viewer: browser for browser in self.browsers}
        assert {v for pages in hub.people.values() for v in pages} == set(viewers)
        assert all(hub.people.values())
        counted = Counter()
        for viewer in viewers:
            mine = {rid for rid in self.rids if self.raw.rooms.is_member(rid, viewer.uid)}
            assert viewer.rooms == mine, "belongs elsewhere"
            counted.update([f"user:{viewer.uid}", *(f"room:{rid}" for rid in mine)])
        found = Counter({f"user:{uid}": len(pages) for uid, pages in hub.people.items()})
        found.update({f"room:{rid}": len(room.viewers()) for rid, room in hub.rooms.items()})
        assert found == counted
        for rid, room in hub.rooms.items():
            assert room.groups
            for zone, group in room.groups.items():
                assert group.viewers(), "an empty group"
                assert {viewer.zone for viewer in group.viewers()} == {zone}
                assert all(rid in viewer.rooms for viewer in group.viewers())
                assert {v for v in group.watching if v.watching == rid} == set(group.watching)
                assert set(group.lagging) <= set(group.watching)
                assert {*group.plain, *group.deflating, *group.lagging} == set(group.watching)
        wanted = {
            keys.room_channel(name[5:]) if name[:5] == "room:" else keys.user_channel(name[5:])
            for name in counted
        }
        assert set(held.names) == wanted
        standing = self.client.pubsub_shardchannels()
        assert Counter(standing) == Counter(wanted), "subscribed to what is not wanted, or not"
        assert all(n == 1 for _, n in self.client.pubsub_shardnumsub(*wanted))
        subscriber = self.subscriber
        assert not any((subscriber._filling, subscriber._unready, subscriber._signals))

    def check_marks(self, browser):
        """A room that a page has not shown has a mark for each message that was sent to the page
        and that its person has not read. Marks of messages that were read on another page may
        remain."""
        viewer, rooms = browser.page.viewer, self.app.realtime.hub.rooms
        if viewer.held_marks is not None:
            return  # a list is on its way, and marks after it
        for rid in (viewer.rooms & browser.marks.keys()) - browser.visited:
            if not self.raw.rooms.is_member(rid, browser.uid):
                continue  # the page does not know it yet, and the read mark is gone
            read = int(self.client.hget(keys.read(rid), browser.uid) or 0)
            unread = self.raw.rooms.unread(rid, read, rooms[rid].last)
            assert browser.marks[rid] >= unread, "a mark was taken away"
            assert browser.marks[rid] <= unread or read or rid in viewer.ahead, "a mark was doubled"

    def check_page(self, browser):
        """The page shows what its room has, once each, in order, in its time zone and with present
        names."""
        self.check_marks(browser)
        assert browser.zone == self.person(browser.uid).zone, "an old zone"
        if not browser.room or not self.raw.rooms.is_member(browser.room, browser.uid):
            return
        events = self.raw.messages.after(browser.room, 0, 10_000)
        now = {event.seq: event for event in events}
        numbers = list(browser.list)
        assert numbers == [event.seq for event in events if event.seq >= numbers[0]]
        for seq, html in browser.shown.items():
            name = _NAME.search(html)
            # People who have left the room are shown under the name that they had then (I12).
            if (browser.room, now[seq].uid) not in self.unheard:
                assert (name[1] or name[2]) == now[seq].name, "a name of yesterday"
            for utc, title in _TIME.findall(html):
                then = datetime.fromisoformat(utc).astimezone(UTC)
                local = then.astimezone(ZoneInfo(browser.zone))
                assert title == f"{local:%A, %-d %B %Y, %H:%M %Z}", "another zone"

    async def close_all(self):
        for browser in self.browsers:
            browser.close_nowait(1001)
        await self.drain()
        self.browsers.clear()

    def check_empty(self):
        """No page is open: the hub stores nothing, and no channel is subscribed."""
        hub = self.app.realtime.hub
        assert hub.people == {}
        assert hub.rooms == {}
        assert not hub.marks.exceptions
        assert not hub.writer._ready
        assert not hub.writer._delayed
        assert not list(self.held.names)
        assert self.client.pubsub_shardchannels() == []


def step(**arguments):
    """Declare a rule. A machine with a `focus` uses only the rules that it names."""

    def add(function):
        name = function.__name__
        is_in_focus = precondition(lambda machine: not machine.focus or name in machine.focus)
        return is_in_focus(rule(**arguments)(function))

    return add


class Machine(RuleBasedStateMachine):
    url = client = process = None
    focus = ()  # the names of the rules to use; empty: all

    def __init__(self):
        super().__init__()
        self.world = World(self.url, self.client, self.process)

    which = st.integers(0, 3)
    who = st.integers(0, 2)

    def browser(self, number):
        there = [browser for browser in self.world.browsers if browser.code is None]
        return there[number % len(there)] if there else None

    # Pages

    @step(number=who)
    def a_page_opens(self, number):
        if len(self.world.browsers) < MOST_PAGES:
            self.world.run(self.world.open, number)

    @step(number=which, room=st.integers(0, 1))
    def a_page_watches(self, number, room):
        if browser := self.browser(number):
            browser.watch(self.world.rids[room])
            self.world.run(self.world.turns)

    @step(number=which)
    def a_page_shows_no_room(self, number):
        if browser := self.browser(number):
            browser.watch("")
            self.world.run(self.world.turns)

    @step(number=which)
    def a_heartbeat(self, number):
        if browser := self.browser(number):
            browser.watch(browser.room)
            self.world.run(self.world.turns)

    @step(number=which)
    def a_page_closes(self, number):
        if browser := self.browser(number):
            self.world.run(browser.close_nowait, 1001)
            self.world.run(self.world.turns)

    @step(number=which)
    def a_page_posts(self, number):
        browser = self.browser(number)
        if browser and browser.room:
            nonce = f"n{next(self.world.numbers)}"
            browser.say(type="post", room=browser.room, nonce=nonce, body=f"by page {nonce}")
            self.world.run(self.world.turns)

    @step()
    def pages_confirm(self):
        """Pages confirm what they were sent."""
        self.world.run(self.world.app.realtime.confirmations.ask)
        self.world.run(self.world.turns)

    @step()
    def a_frame_opens(self):
        """A frame without JavaScript opens. It does not wait for anything before the hub knows
        it."""
        hub, person = self.world.app.realtime.hub, self.world.people[2]

        def connect():
            viewer = Viewer(lambda packet: True, lambda code: None, person.uid, zone=ZONES[2])
            self.world.frames.append(hub.connect(viewer))

        self.world.run(connect)

    @step()
    def a_frame_closes(self):
        if self.world.frames:
            self.world.run(self.world.app.realtime.hub.disconnect, self.world.frames.pop())

    # What arrives

    @step(replies=st.integers(0, 4), words=st.integers(0, 4))
    def some_arrives(self, replies, words):
        self.world.run(self.world.let, replies, words)

    @step()
    def an_answer_arrives(self):
        self.world.run(self.world.let, 1, 0)

    @step()
    def all_words_arrive(self):
        """The pub/sub connection is faster than the replies."""
        self.world.run(self.world.let, 0, 1000)

    @step()
    def all_answers_arrive(self):
        """The replies are faster than the pub/sub connection."""
        for _ in range(20):
            self.world.run(self.world.let, 1000, 0)

    @step()
    def texts_are_rendered(self):
        self.world.texts.render()
        self.world.run(self.world.turns)

    @step()
    def all_arrives(self):
        self.world.run(self.world.drain)

    @step()
    def an_answer_is_lost(self):
        error = redis.exceptions.ConnectionError("lost on the way")
        self.world.gate.let_through(1, error)
        self.world.run(self.world.turns)

    @step()
    def the_link_is_cut(self):
        self.world.client.client_kill_filter(_type="pubsub")
        self.world.run(self.world.turns)

    # What others do

    @step(number=who, room=st.integers(0, 1), count=st.integers(1, 3))
    def somebody_posts(self, number, room, count):
        world = self.world
        person = world.person(world.people[number].uid)
        for _ in range(count):
            nonce = f"n{next(world.numbers)}"
            with suppress(NotMember):
                world.raw.messages.post(world.rids[room], person, f"message {nonce}", nonce)

    @step(number=who)
    def somebody_is_renamed(self, number):
        world = self.world
        person = world.person(world.people[number].uid)
        world.raw.people.edit(person, name=f"{NAMES[number]} {next(world.numbers)}")
        is_member = world.raw.rooms.is_member
        world.unheard.update((r, person.uid) for r in world.rids if not is_member(r, person.uid))

    @step(number=who, zone=st.sampled_from(ZONES))
    def somebody_changes_zones(self, number, zone):
        world = self.world
        world.raw.people.edit(world.person(world.people[number].uid), zone=zone)

    @step(number=st.integers(1, 2), room=st.integers(0, 1))
    def somebody_leaves_or_joins(self, number, room):
        world = self.world
        person, rid = world.person(world.people[number].uid), world.rids[room]
        if world.raw.rooms.is_member(rid, person.uid):
            world.raw.rooms.leave(rid, person)
        else:
            world.raw.rooms.join(rid, person)

    @step(number=who)
    def a_refresh(self, number):
        self.world.raw.people.signal_change(self.world.people[number].uid)

    @step(number=who)
    def a_session_ends(self, number):
        world, uid = self.world, self.world.people[number].uid
        world.raw.sessions.end(uid, world.sids[uid])
        world.sids[uid] = public(world.raw.sessions.begin(uid, "guest"))

    # What fails

    @step(part=st.sampled_from(PARTS))
    def a_rendering_fails(self, part):
        self.world.fails.add(part)

    @step(number=which, how=st.sampled_from(("push", "write")))
    def a_write_fails(self, number, how):
        if browser := self.browser(number):
            browser.fails.add(how)

    @invariant()
    def nothing_is_wrong(self):
        assert not self.world.wrong, self.world.wrong
        for browser in self.world.browsers:
            if browser.code is None:
                self.world.check_marks(browser)

    def teardown(self):
        world = self.world
        try:
            world.run(world.settle)
            world.check()
            world.run(world.close_all)
            world.check_empty()
        finally:
            world.stop()
