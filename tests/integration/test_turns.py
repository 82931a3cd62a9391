"""No text holds the event loop for long, whatever is done with it: turns are counted, not timed."""

import asyncio

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chat.api.schemas import PAGE_SIZE
from chat.domain.validation import MAX_BODY_CHARS
from chat.realtime.packet import Packet
from chat.realtime.viewers import Viewer
from chat.rendering import markdown

from ..corpus import TEXTS, filled
from .turns import Chat, Turns

# Python calls in one turn, and calls from Python: some 8 ms on a machine of 2020.
MAX_CALLS = 100_000


@pytest.fixture(autouse=True)
def no_parser(monkeypatch):
    """In this process nothing is parsed: that is the child's work."""

    def parsed(*_):
        pytest.fail("a text was parsed on the event loop")  # no Exception, which would be caught

    monkeypatch.setattr(markdown, "parse", parsed)


class World:
    """A room of Ann and Eve, and the largest turn of each thing that was done."""

    def __init__(self, chat, ann, eve, rid):
        self.chat, self.ann, self.eve, self.rid = chat, ann, eve, rid
        self.turns, self.largest = Turns(), {}

    async def do(self, what, doing):
        self.turns.reset()
        with self.turns.counted():
            answer = await doing
        self.largest[what] = (self.turns.calls, self.turns.what)
        return answer

    async def say(self, body, by=None):
        person = by or self.ann
        author = await self.chat.call(self.chat.app.store.people.get, person.uid)
        await self.chat.call(self.chat.app.store.messages.post, self.rid, author, body)


def tell(url, folder, story):
    """Run `story(world)` and check what its turns took."""

    async def run():
        chat = Chat(url, folder)
        try:
            ann, eve = await chat.person("Ann"), await chat.person("Eve")
            fields = {"name": "Tea", "kind": "closed", "members": [eve.uid]}
            made = await ann.post("/rooms", data=fields)
            world = World(chat, ann, eve, made.headers["location"].rpartition("/")[2])
            # Once, so that templates are compiled.
            for path in (*READ, f"/rooms/{world.rid}", f"/rooms/{world.rid}/messages"):
                await eve.get(path)
            await eve.post(f"/rooms/{world.rid}/preview", data={"body": "x"})
            await story(world)
            return world.largest
        finally:
            await chat.close()

    largest = asyncio.run(run())
    assert {what: calls for what, calls in largest.items() if calls[0] > MAX_CALLS} == {}
    return largest


READ = ["/", "/unread", "/mentions", "/go?q=t"]


def test_reading_what_costs_most(client, valkey, tmp_path):
    """A room of 300 messages, each of them as hard as one of its kind can be."""

    async def story(world):
        chat, eve, store = world.chat, world.eve, world.chat.app.store
        texts = list(TEXTS.values())
        for number in range(300):
            await world.say(texts[number % len(texts)])
        await world.do("page", eve.get(f"/rooms/{world.rid}"))
        for before in range(300, 0, -50):
            path = f"/rooms/{world.rid}/messages?before={before}"
            await world.do(path, eve.get(path))
        missed = await world.do(
            "missed", chat.call(store.messages.missed, world.rid, eve.uid, 2, "")
        )
        shown = await world.do(
            "its HTML", chat.call(chat.app.fragments.missed_events, missed.events, "")
        )
        await world.do("its frame", asyncio.wait_for(framed(shown), 60))
        for path in READ:
            await world.do(path, eve.get(path))
        found = await chat.call(store.messages.newest, world.rid, PAGE_SIZE)
        assert len(found) == PAGE_SIZE

    tell(valkey.url, tmp_path, story)


async def framed(text):
    return Packet(text).deflated


def test_posting_and_previewing_what_costs_most(client, valkey, tmp_path):
    async def story(world):
        pushed, closed = [], []

        def push(packet):
            pushed.append(packet)
            return True

        room = await world.chat.call(world.chat.app.store.rooms.get, world.rid)
        viewer = Viewer(push, closed.append, world.eve.uid)
        world.chat.app.realtime.hub.connect(viewer)
        world.chat.app.realtime.hub.belong(viewer, world.rid, room.seq, room.at)
        world.chat.app.realtime.hub.watch(viewer, world.rid)
        world.chat.app.realtime.hub.live(viewer, room.seq)
        await world.chat.app.realtime.subscriber.ready(f"room:{world.rid}")
        for name, text in TEXTS.items():
            path = f"/rooms/{world.rid}"
            await world.do(f"post {name}", world.ann.post(f"{path}/messages", data={"body": text}))
            await world.do(f"view {name}", world.eve.post(f"{path}/preview", data={"body": text}))
        texts = list(TEXTS.values())[:20]
        await world.do("a burst", asyncio.gather(*(world.say(text) for text in texts)))
        last = room.seq + len(TEXTS) + len(texts)

        async def all_shown():
            while viewer.sent < last and not closed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        await world.do("its pushes", asyncio.wait_for(all_shown(), 60))
        assert not closed
        assert pushed

    tell(valkey.url, tmp_path, story)


pieces = st.lists(
    st.sampled_from(
        [*"*_~`[](){}<>!&\\@:#|-+=\"'", "\n", "> ", "- ", "1. ", "```", "https://", "a"]
    )
    | st.text(min_size=1, max_size=3),
    min_size=1,
    max_size=5,
).map("".join)


# Ten texts for each chat, which takes longer to start than they do.
@given(st.lists(pieces, min_size=10, max_size=10))
@settings(max_examples=3, phases=[Phase.generate])
def test_any_text(valkey, tmp_path_factory, some):
    async def story(world):
        path = f"/rooms/{world.rid}"
        for text in (filled(piece)[:MAX_BODY_CHARS] for piece in some):
            await world.do(
                f"preview {text[:50]!r}", world.eve.post(f"{path}/preview", data={"body": text})
            )
            await world.do(
                f"post {text[:50]!r}", world.ann.post(f"{path}/messages", data={"body": text})
            )
            await world.do(f"page {text[:50]!r}", world.eve.get(path))

    tell(valkey.url, tmp_path_factory.mktemp("chat"), story)
