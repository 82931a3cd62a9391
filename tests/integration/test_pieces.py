"""Data that is read in pieces is complete and in order, whatever happens between two pieces."""

import asyncio
import random
from collections import Counter

import pytest
import uvloop
from greenback import with_portal_run_sync
from redis.exceptions import ConnectionError as RedisConnectionError

from chat.bridge import await_
from chat.domain.events import DELETE, DELETED, EDIT, POST
from chat.domain.validation import MAX_BODY_CHARS
from chat.redis_client.client import LoopRedis
from chat.redis_client.connection import Link
from chat.redis_client.urls import connect
from chat.store import Store, pieces
from chat.store.message_reads import MAX_MISSED_CHARS
from chat.store.pieces import MAX_READERS, PIECE_BYTES, TOGETHER_BYTES, Turns

from ..proxy import Proxy

RATE = 400_000  # bytes a second
LARGEST = MAX_BODY_CHARS * "😀"  # 16 KB


@pytest.fixture
def ann(store):
    return store.people.create("Ann", "member")


@pytest.fixture
def tea(store, ann):
    return store.rooms.create("Tea", "open", ann)


class Meddler:
    """Before each piece but the first of a read, `chance` decides what others do in the room."""

    def __init__(self, store, reader, rid, ann, chance):
        self.others, self.rid, self.ann, self.chance = store, rid, ann, chance
        self.texts = {}  # number of a message: all that it ever said
        self.deeds = [self.post, self.post, self.edit, self.delete, self.react, self.nothing]
        self.pieces = 0
        history = reader.messages.history
        for name in ("_read_events", "_read_selected", "_read_annotations"):
            setattr(history, name, self.meddling(getattr(history, name)))

    def meddling(self, script):
        def call(*args, **values):
            self.pieces += 1
            if self.pieces > 1:
                self.chance.choice(self.deeds)()
            return script(*args, **values)

        return call

    def read(self, function, *args, **kwargs):
        self.pieces = 0
        found = function(*args, **kwargs)
        self.pieces = 0
        return found

    def post(self):
        text = f"word {self.chance.random()} " + "x" * self.chance.choice([1, 50, 700])
        reply = self.chance.choice([*self.texts, 0])
        seq = self.others.messages.post(self.rid, self.ann, text, reply=reply)
        self.texts[seq] = [text]

    def some(self):
        return self.chance.choice([*self.texts])

    def edit(self):
        seq, text = self.some(), f"changed {self.chance.random()}"
        if self.texts[seq] is not None:
            self.others.messages.edit(self.rid, self.ann, seq, text)
            self.texts[seq].append(text)

    def delete(self):
        seq = self.some()
        if self.texts[seq] is not None:
            self.others.messages.delete(self.rid, self.ann, seq)
            self.texts[seq] = None

    def react(self):
        seq = self.some()
        if self.texts[seq] is not None:
            self.others.messages.react(self.rid, self.ann, seq, "👍", 0)

    def nothing(self):
        pass

    def check(self, events):
        """The numbers have no gaps, and a later event says what has changed since."""
        if not events:
            return
        first, last = events[0].seq, events[-1].seq
        assert [event.seq for event in events] == list(range(first, last + 1))
        told = {
            (event.kind, event.number): event.seq
            for event in self.others.messages.after(self.rid, last, 10_000)
        }
        for event in events:
            texts = self.texts.get(event.seq)
            if event.kind == POST and texts is None:
                assert (DELETE, event.seq) in told
            elif event.kind == POST:
                assert event.body in texts
                assert event.body == texts[-1] or (EDIT, event.seq) in told
            elif event.kind == DELETED:
                assert texts is None


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_between_two_pieces_what_is_read_is_whole(
    store, client, ann, tea, monkeypatch, seed
):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 900)
    chance = random.Random(seed)
    reader = Store(client)
    meddler = Meddler(store, reader, tea, ann, chance)
    read = reader.messages
    for _ in range(60):
        meddler.post()
    most_pieces = 0
    for _ in range(6):
        newest = store.rooms.get(tea).seq
        after = chance.randrange(max(2, newest - 250), newest + 1)
        missed = meddler.read(read.missed, tea, ann.uid, after, "")
        most_pieces = max(most_pieces, meddler.pieces)
        meddler.check(missed.events)
        if not missed.replace and missed.events:
            assert missed.events[0].seq == after + 1
        assert missed.seq >= newest or missed.replace
        assert missed.seq == (missed.events[-1].seq if missed.events else after)

        seq, events, gone = meddler.read(read.gap, tea, after, 500, [ann.uid, "nobody"])
        meddler.check(events)
        assert gone == ["nobody"]
        assert seq >= newest
        assert [event.seq for event in events][:1] in ([after + 1], [])
        assert len(events) >= min(500, newest - after)

        for found in (
            meddler.read(read.newest, tea),
            meddler.read(read.page, store.rooms.get(tea)),
            meddler.read(read.before, tea, after),
            meddler.read(read.after, tea, after, 60),
        ):
            meddler.check(found)
        wanted = chance.sample(range(2, newest + 1), 20)
        several = meddler.read(read.several, tea, wanted)
        assert [event.seq for event in several] == [
            seq for seq in wanted if seq in {event.seq for event in several}
        ]
        assert {seq for seq in wanted if meddler.texts.get(seq)} <= {e.seq for e in several}


def before_the_second_read(history, act) -> Counter:
    """Have `act` called before the second piece that `history` reads. Clearing the returned count
    of reads starts again."""
    read, calls = history._read_events, Counter()

    def then_act(*args, **values):
        calls["read"] += 1
        if calls["read"] == 2:
            act()
        return read(*args, **values)

    history._read_events = then_act
    return calls


def test_what_is_trimmed_between_two_pieces_is_no_deletion(store, client, ann, tea, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 900)
    for n in range(60):
        store.messages.post(tea, ann, f"Message {n} " + "x" * 50)
    reader = Store(client)

    def trim():
        client.hset(f"chat:room:{{{tea}}}", "first", 41)
        client.xtrim(f"chat:room:{{{tea}}}:events", minid="41-0", approximate=False)

    history = reader.messages.history
    calls = before_the_second_read(history, trim)
    events = reader.messages.after(tea, 1, 60)
    assert [event.seq for event in events] == list(range(41, 62))
    assert DELETED not in {event.kind for event in events}
    calls.clear()
    missed = reader.messages.missed(tea, ann.uid, 1, "")
    assert missed.replace, "what came next is kept no longer"
    assert [event.seq for event in missed.events] == list(range(41, 62))


def test_who_is_taken_out_between_two_pieces_is_told_nothing(store, client, ann, tea, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 900)
    bob = store.people.create("Bob", "member")
    store.rooms.add(tea, ann, bob)
    for n in range(60):
        store.messages.post(tea, ann, f"Message {n} " + "x" * 50)
    reader = Store(client)
    history = reader.messages.history
    calls = before_the_second_read(history, lambda: store.rooms.leave(tea, bob))
    assert reader.messages.missed(tea, bob.uid, 2, "") is None
    store.rooms.join(tea, bob)
    calls.clear()
    _, events, gone = reader.messages.gap(tea, 2, 500, [bob.uid])
    assert events
    assert gone == [bob.uid]


def test_a_room_that_begins_anew_between_two_pieces_is_shown_anew(
    store, client, ann, tea, monkeypatch
):
    """The next piece would follow by its number and time; only the epoch is another."""
    monkeypatch.setattr(pieces, "PIECE_BYTES", 900)
    for n in range(60):
        store.messages.post(tea, ann, f"Message {n} " + "x" * 50)
    reader = Store(client)
    history = reader.messages.history
    calls = before_the_second_read(
        history, lambda: client.hset(f"chat:room:{{{tea}}}", "epoch", "another")
    )
    missed = reader.messages.missed(tea, ann.uid, 2, "")
    assert missed.replace
    assert missed.epoch == "another"
    client.hset(f"chat:room:{{{tea}}}", "epoch", "a third")
    calls.clear()
    _, events, _ = reader.messages.gap(tea, 2, 500, [ann.uid])
    assert events is None


def test_a_page_that_lacks_too_much_costs_one_piece_and_the_newest_events(
    store, client, ann, tea, monkeypatch
):
    for n in range(60):
        store.messages.post(tea, ann, f"Message {n} " + "x" * 50)
    reader = Store(client)
    history = reader.messages.history
    read, directions = history._read_events, Counter()

    def counted(*args, **values):
        directions[values["direction"]] += 1
        return read(*args, **values)

    history._read_events = counted
    monkeypatch.setattr(pieces, "PIECE_BYTES", 900)
    assert reader.messages.missed(tea, ann.uid, 2, "", limit=40).replace
    assert directions["after"] == 1


# On a slow line


@pytest.fixture
def came(monkeypatch):
    """What came from Redis, in bytes."""
    count, received = Counter(), Link.data_received

    def counted(link, data):
        count["bytes"] += len(data)
        received(link, data)

    monkeypatch.setattr(Link, "data_received", counted)
    return count


@pytest.fixture
def slowly(valkey, client, came):
    """Run a coroutine with the store behind a slow line, and its connection."""

    def run(story):
        async def main():
            line = await Proxy(0, there=str(valkey.socket), rate=RATE).start()
            redis = LoopRedis(connect(f"redis://127.0.0.1:{line.port}"), await_)
            try:
                await asyncio.wait_for(story(Store(redis), redis), 120)
            finally:
                await redis.aclose()
                line.close()

        uvloop.run(main())

    return run


def long_room(store, ann, count):
    rid = store.rooms.create("Long", "open", ann)
    for _ in range(count):
        store.messages.post(rid, ann, LARGEST)
    return rid


async def bytes_before_each_answer(came, redis, work):
    """Do work, and ask for small things one after the other meanwhile; how many bytes came before
    each of these answers. That is what others wait for, on whatever line."""
    link = redis._link
    doing = [asyncio.create_task(with_portal_run_sync(one)) for one in work]
    waited = []
    await asyncio.sleep(0)
    while not all(task.done() for task in doing):
        before = came["bytes"]
        assert await redis.ask(("ECHO", "mine"), {}) == "mine"
        waited.append(came["bytes"] - before)
        await asyncio.sleep(0)
    assert redis._link is link, "the connection was kept"
    return waited, [task.result() for task in doing]


LARGEST_EVENT = 4 * MAX_BODY_CHARS + 500  # bytes


def test_who_comes_back_after_long_gets_the_room_and_nobody_waits(slowly, came, store, ann, tea):
    rid = long_room(store, ann, 300)
    newest = store.rooms.get(rid).seq

    async def story(slow, redis):
        await redis.ask(("PING",), {})

        def come_back():
            return slow.messages.missed(rid, ann.uid, 1, "")

        waited, (missed,) = await bytes_before_each_answer(came, redis, [come_back])
        assert len(waited) > 5
        assert max(waited) <= PIECE_BYTES + LARGEST_EVENT
        assert missed.replace
        assert missed.seq == newest
        assert len(missed.events) == MAX_MISSED_CHARS // MAX_BODY_CHARS
        assert [event.seq for event in missed.events] == list(range(newest - 24, newest + 1))
        assert {event.body for event in missed.events} == {LARGEST}

    slowly(story)


def test_many_who_come_back_at_once_share_the_line(slowly, came, store, ann, tea):
    rids = [long_room(store, ann, 4) for _ in range(3 * MAX_READERS)]

    async def story(slow, redis):
        await redis.ask(("PING",), {})

        def come_back(rid):
            return slow.messages.missed(rid, ann.uid, 1, "")

        work = [lambda rid=rid: come_back(rid) for rid in rids]
        waited, found = await bytes_before_each_answer(came, redis, work)
        assert max(waited) <= TOGETHER_BYTES + MAX_READERS * LARGEST_EVENT
        assert [len(missed.events) for missed in found] == [4] * len(rids)
        assert slow.messages.history.turns.readers == 0

    slowly(story)


def test_a_reader_who_is_cancelled_leaves_the_turn_to_the_next():
    async def main():
        turns, order = Turns(), []

        def read(name, until):
            with turns.turn():
                order.append(name)
                await_(until.wait())

        goes_on = asyncio.Event()
        first = [
            asyncio.create_task(with_portal_run_sync(read, "first", goes_on))
            for _ in range(MAX_READERS)
        ]
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(with_portal_run_sync(read, name, goes_on)) for name in "abc"]
        await asyncio.sleep(0)
        assert order == ["first"] * MAX_READERS
        waiting[0].cancel()
        await asyncio.sleep(0)
        first[0].cancel()  # hands its place to b, who is cancelled in the same turn
        first[1].cancel()
        await asyncio.sleep(0)
        waiting[1].cancel()
        goes_on.set()
        await asyncio.gather(*first, *waiting, return_exceptions=True)
        assert order[-1] == "c"
        assert turns.readers == 0

    asyncio.run(asyncio.wait_for(main(), 20))


def test_who_waits_for_a_turn_learns_at_once_that_redis_is_away():
    """Not one after the other, each after the time-out of the one before."""

    async def main():
        turns, away = Turns(), asyncio.Event()

        def read():
            with turns.turn():
                await_(away.wait())
                raise RedisConnectionError("away")

        reading = [asyncio.create_task(with_portal_run_sync(read)) for _ in range(MAX_READERS)]
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(with_portal_run_sync(read)) for _ in range(100)]
        await asyncio.sleep(0)
        waiting[7].cancel()
        away.set()
        await asyncio.gather(*reading, *waiting, return_exceptions=True)
        told = {str(task.exception()) for task in waiting if not task.cancelled()}
        assert told == {"the connection to Redis was lost"}
        assert turns.readers == 0

        def read_again():
            with turns.turn():
                return "read"

        assert await with_portal_run_sync(read_again) == "read"

    asyncio.run(asyncio.wait_for(main(), 20))
