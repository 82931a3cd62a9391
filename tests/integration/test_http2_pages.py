"""Pages over HTTP/2 (RFC 8441), many on one connection: the same promises hold for each of them as
for a page with its own connection, and nothing that happens to one affects the others."""

import asyncio
import itertools
import json
import os
import random
import signal
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from ..faults.reading import Refused, Reset, Shown, Stored, told
from ..http2 import H2Line, H2Refused
from ..running import Server, Visitor

DEADLINE = 60.0
LONG = "x" * 3900


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    env = {"CHAT_H2C": "on", "CHAT_LIMITS": "off", "CHAT_PING": "1"}
    running = Server(tmp_path_factory.mktemp("chat"), **env).start()
    yield running
    log = running.log()
    running.clean_up()
    assert "Traceback" not in log, log


@pytest.fixture
def tell():
    """Run a story; what it has connected is cut at its end, however that comes."""

    def run(story):
        async def main():
            lines = []
            opening = H2Line.open

            async def opened(port):
                lines.append(await opening(port))
                return lines[-1]

            try:
                async with asyncio.timeout(DEADLINE):
                    await story(opened)
            finally:
                for line in lines:
                    line.cut()
                await asyncio.gather(*(line.over.wait() for line in lines))
                await asyncio.sleep(0)

        asyncio.run(main())

    return run


class Page:
    """A page that shows one room, whatever it is connected by."""

    numbers = itertools.count()

    def __init__(self, visitor, rid):
        self.visitor, self.rid = visitor, rid
        self.shown, self.order, self.cursor = {}, [], ""
        self.stored, self.refused = set(), set()
        self.socket = None

    async def open(self, line, **options):
        """Connect, and say what it has."""
        assert self.socket is None or not self.socket.late
        self.line = line
        self.socket = await line.socket(
            "/live", origin=self.visitor.url, cookie=self.visitor.cookie, **options
        )
        await self.say(type="watch", room=self.rid, after=self.cursor, epoch="", digest="")
        return self

    async def say(self, **fields):
        await self.socket.send(json.dumps({**fields, "headers": {"HX-Request": "true"}}))

    async def post(self, body):
        """Send a message and wait until it is acknowledged."""
        nonce = f"h2-{next(self.numbers)}"
        await self.say(type="post", room=self.rid, nonce=nonce, body=body)
        await self.until(lambda: nonce in self.stored)

    async def say_and_hear(self, body):
        """Send a message and wait until it is shown."""
        await self.post(body)
        await self.until_shown(body)

    async def until(self, true):
        while not true():
            self.hear(await self.socket.recv())

    async def until_shown(self, body):
        await self.until(lambda: body in self.shown.values())

    def hear(self, text):
        for what in told(text):
            if isinstance(what, Shown) and what.room == self.rid:
                self.order += [what.seq] if what.seq not in self.shown else []
                self.shown[what.seq] = what.body
                self.cursor = f"{what.seq}-{what.at}"
            elif isinstance(what, Reset):
                self.shown, self.order = {}, []
            elif isinstance(what, Stored):
                self.stored.add(what.nonce)
            assert not isinstance(what, Refused), what

    @property
    def bodies(self):
        assert self.order == sorted(self.order)
        return [self.shown[seq] for seq in self.order if self.shown[seq]]


@pytest.fixture
def room(server):
    """Ann and Bob in a room in which nothing was said yet."""
    ann, bob = Visitor(server.url, "Ann"), Visitor(server.url, "Bob")
    rid = ann.create_room("Tea")
    bob.join(rid)
    return ann, bob, rid


def test_many_pages_and_requests_share_a_connection(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        line, other = await connect(server.port), await connect(server.port)
        pages = [await Page(ann, rid).open(line) for _ in range(5)]
        pages += [await Page(bob, rid).open(line) for _ in range(5)]
        pages += [await Page(bob, rid).open(other)]
        said = []
        for n in range(30):
            said.append(f"message {n} {LONG if n % 10 == 9 else ''}".strip())
            await pages[n % 11].post(said[-1])
            if n % 5 == 0:
                status, _, body = await line.request("GET", f"/rooms/{rid}", cookie=ann.cookie)
                assert status == 200
                assert said[-1].encode() in body
        for page in pages:
            await page.until_shown(said[-1])
            assert page.bodies == said

    tell(story)


def test_a_page_that_is_cut_comes_back_and_its_neighbours_do_not_notice(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        line = await connect(server.port)
        stays, goes = await Page(ann, rid).open(line), await Page(bob, rid).open(line)
        await goes.post("both are there")
        said = ["both are there"]
        for n in range(12):
            goes.socket.close()  # in whatever state it is
            said.append(f"message {n}")
            await stays.post(said[-1])
            await goes.open(line)
            if n % 3 == 0:
                await goes.until_shown(said[-1])
        for page in (stays, goes):
            await page.until_shown(said[-1])
            assert page.bodies == said
        assert not line.over.is_set()

    tell(story)


def test_all_pages_of_a_connection_that_is_cut_come_back_by_another(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        steady = await Page(ann, rid).open(await connect(server.port))
        pages, said = [Page(bob, rid) for _ in range(8)], []
        for n in range(6):
            line = await connect(server.port)
            for page in pages:
                await page.open(line)
            said += [f"before {n}", f"while they are away {n}"]
            await steady.post(said[-2])
            if n % 2:
                await asyncio.gather(*(page.until_shown(said[-2]) for page in pages))
            line.cut()
            for page in pages:
                assert await page.socket.wait_closed() == 1006
            await steady.post(said[-1])
        line = await connect(server.port)
        for page in pages:
            await page.open(line)
            await page.until_shown(said[-1])
            assert page.bodies == said

    tell(story)


def test_a_page_that_never_reads_is_ended_and_its_neighbours_hear_all(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        line = await connect(server.port)
        stays = await Page(ann, rid).open(line)
        silent = await Page(bob, rid).open(line, reads=False)
        said = [f"{n} {LONG}" for n in range(700)]  # beyond its window and what may wait for it
        for body in said:
            await stays.post(body)
        await silent.socket.wait_closed()
        await stays.say_and_hear("Bob does not read")
        assert stays.bodies == [*said, "Bob does not read"]
        back = await Page(bob, rid).open(line)
        await back.until_shown("Bob does not read")

    tell(story)


def test_a_page_that_reads_slowly_hears_all(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        line = await connect(server.port)
        writes, slow = await Page(ann, rid).open(line), await Page(bob, rid).open(line)
        await slow.post("here")
        slow.socket.reads = False
        said = ["here", *(f"{n} {LONG}" for n in range(60))]
        for body in said[1:]:
            await writes.post(body)
        slow.socket.read_on()
        await slow.until_shown(said[-1])
        assert slow.bodies == said

    tell(story)


def test_who_answers_pings_stays_and_who_does_not_is_cut_alone(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        line = await connect(server.port)
        stays, dead = await Page(ann, rid).open(line), await Page(bob, rid).open(line)
        await dead.post("still here")
        dead.socket.answers = False
        assert await dead.socket.wait_closed() == 1006
        assert dead.socket.pings
        assert stays.socket.pings
        await stays.say_and_hear("Bob is gone")
        assert stays.bodies == ["still here", "Bob is gone"]

    tell(story)


def test_nobody_and_other_sites_are_refused_with_a_reason(server, room, tell):
    ann, _, _ = room

    async def story(connect):
        line = await connect(server.port)
        for status, headers in (
            (401, {"origin": server.url}),
            (403, {"origin": "http://elsewhere.test", "cookie": ann.cookie}),
        ):
            with pytest.raises(H2Refused) as refused:
                await line.socket("/live", **headers)
            assert refused.value.status == status
        with pytest.raises(H2Refused):
            await line.socket("/", origin=server.url, cookie=ann.cookie)
        status, _, _ = await line.request("GET", "/", cookie=ann.cookie)
        assert status == 200

    tell(story)


def test_who_signs_out_is_closed_for_good_and_others_stay(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        line = await connect(server.port)
        stays, goes = await Page(ann, rid).open(line), await Page(bob, rid).open(line)
        await goes.post("a last word")
        await asyncio.to_thread(bob.submit, "/sign-out")
        assert await goes.socket.wait_closed() == 1008
        await stays.say_and_hear("Bob is out")
        assert stays.bodies == ["a last word", "Bob is out"]

    tell(story)


def test_a_page_that_is_left_is_closed_as_it_asked(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        line = await connect(server.port)
        stays, goes = await Page(ann, rid).open(line), await Page(bob, rid).open(line)
        await goes.post("goodbye")
        goes.socket.say_goodbye(1001)
        assert await goes.socket.wait_closed() == 1001
        await stays.say_and_hear("Bob has gone")
        assert stays.bodies == ["goodbye", "Bob has gone"]

    tell(story)


def test_a_reload_sends_every_page_of_a_connection_back(server, room, tell):
    ann, bob, rid = room

    async def story(connect):
        line = await connect(server.port)
        pages = [await Page(who, rid).open(line) for who in (ann, bob, ann, bob)]
        await pages[0].post("before")
        for page in pages:
            await page.until_shown("before")
        os.kill(server.process.pid, signal.SIGHUP)
        assert {await page.socket.wait_closed() for page in pages} == {1012}
        await line.over.wait()
        line = await connect(server.port)
        for page in pages:
            await page.open(line)
        await pages[0].post("after")
        for page in pages:
            await page.until_shown("after")
            assert page.bodies == ["before", "after"]

    tell(story)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_to_connections_everybody_hears_all(server, room, tell, seed):
    """Streams are reset, connections are cut, windows stay shut for a while, at any moment."""
    ann, bob, rid = room
    chance = random.Random(seed)

    async def story(connect):
        steady = await Page(ann, rid).open(await connect(server.port))
        lines = [await connect(server.port) for _ in range(3)]
        pages = [await Page(chance.choice([ann, bob]), rid).open(lines[n % 3]) for n in range(12)]
        listening = [asyncio.create_task(live(page, lines, chance)) for page in pages]
        said = []
        for n in range(150):
            said.append(f"message {n} {LONG if chance.random() < 0.2 else ''}".strip())
            await steady.post(said[-1])
            page = chance.choice(pages)
            what = chance.choice(["reset", "shut", "open", "goodbye", "", "", "", "cut"])
            if what == "reset":
                page.socket.close()
            elif what == "goodbye":
                page.socket.say_goodbye()
            elif what == "shut":
                page.socket.reads = False
            elif what == "open":
                page.socket.read_on()
            elif what == "cut" and chance.random() < 0.5:
                line = chance.choice(lines)
                lines[lines.index(line)] = await connect(server.port)
                line.cut()
        for page in pages:
            page.socket.read_on()
        await steady.say_and_hear("the end")
        await asyncio.gather(*listening)
        for page in (steady, *pages):
            assert page.bodies == [*said, "the end"]

    tell(story)


async def live(page, lines, chance):
    """Be a page that comes back whenever it is closed, until it has heard the end."""
    while "the end" not in page.shown.values():
        try:
            page.hear(await page.socket.recv())
        except ConnectionClosed:
            with suppress(OSError):
                await page.open(chance.choice(lines))
