"""No answer is so large that other commands would wait long behind it, however much data there is.
The bytes are counted in a chat with 10,000 people, 2,000 rooms and the longest possible texts, for
every page, every operation of the API, and the background work."""

import asyncio
import json
import re

import pytest
import redis

from chat.api.endpoints import OPERATIONS
from chat.domain.validation import MAX_BODY_CHARS, MAX_NAME_CHARS
from chat.store import Person, keys
from chat.store.history import History
from chat.store.messages import MAX_EMOJI, MAX_REACTIONS
from chat.store.presence import Changes

from .big import MEMBERS, WIDE, Big
from .counted import Counted
from .test_growth import children, cookie, more_paths, paths, settings  # noqa: F401

MOST_BYTES = 80_000  # of the answers to what one caller asks in one piece: 0.2 s at 400 KB/s
# The reactions to one message, each with the name its author had then, are one value.
LARGEST_VALUE = MAX_REACTIONS * (4 * MAX_NAME_CHARS + 60)
MOST_SENT = 100_000  # bytes of the commands that one caller asks in one piece
# Who is in a room begins and ends with it, in one step: some 20 bytes each, once in a room's life.
ALL_MEMBERS = 24 * MEMBERS
# Commands that have a connection of their own, behind which nobody waits. HSCAN counts as it likes.
BESIDE = 30 * LARGEST_VALUE


@pytest.fixture(scope="module")
def large(valkey):
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        client.flushall()
        big = Big(client, longest=True)
        people = big.uids[: MAX_REACTIONS // MAX_EMOJI]
        emoji = [chr(0x1F600 + n) for n in range(MAX_EMOJI)]
        each = [[one, uid, WIDE * MAX_NAME_CHARS, 1] for one in emoji for uid in people]
        for seq in range(200, 250):
            client.hset(keys.reactions(big.talk), seq, json.dumps(each, ensure_ascii=False))
        bob = big.store.people.get(big.uids[0])
        for seq in range(100, 150):
            big.store.messages.edit(
                big.talk, bob, seq, f"changed {seq}" + WIDE * (MAX_BODY_CHARS - 20)
            )
            big.store.messages.post(big.talk, bob, WIDE * MAX_BODY_CHARS, reply=seq)
        for rid in big.rooms:
            client.hset(keys.drafts(big.ann.uid), rid, WIDE * MAX_BODY_CHARS)
        yield big


@pytest.fixture
def walking(valkey, settings, children, large):  # noqa: F811
    """Tells a story, given what counts; at its end nothing was wrong."""

    def tell(story):
        wrong = []

        def judge(name, count, most=0):
            largest = MOST_BYTES if count.largest < MOST_BYTES else LARGEST_VALUE
            if count.piece > (most or largest):
                wrong.append(f"{name}: answers of {count.piece:,} bytes to {count.largest_of}")
            if count.sent > (most or MOST_SENT):
                wrong.append(f"{name}: {count.sent:,} bytes of commands")

        async def told():
            making = Counted(valkey.url, settings, children, counts_calls=False)
            async with making as counted:
                await counted.app.store.client.ask(("PING",), {})
                await story(counted, judge)

        asyncio.run(told())
        assert not wrong, "\n".join(wrong)

    return tell


def test_of_no_page(walking, large):
    async def story(counted, judge):
        mine, walked = cookie(counted, large), 0
        for name, path in {**paths(counted.app, large), **more_paths(large)}.items():
            for is_swap in (False, True):
                headers = {"hx_request": "true"} if is_swap else {}
                answer = await counted.get(path, mine, **headers)
                assert answer.status < 500, path
                walked += answer.status == 200
                judge(f"{name} {path[:60]}", answer.count)
        assert walked > 60

    walking(story)


def test_of_no_operation(walking, large):
    async def story(counted, judge):
        token = large.store.tokens.make(large.ann.uid, "counts", ["read"])
        for operation in OPERATIONS:
            if operation.method != "GET" or operation.id == "get_file":
                continue
            for rid in (large.room, large.talk):
                path = re.sub(r"<rid>", rid, f"/api{operation.path}")
                path = re.sub(r"<uid>", large.uids[0], re.sub(r"<int:seq>", "1", path))
                for query in ("", "?q=number", "?limit=200", "?skip=150&limit=200", "?after=1"):
                    answer = await counted.get(path + query, "", authorization=f"Bearer {token}")
                    judge(path + query, answer.count)

    walking(story)


def test_of_no_page_that_opens_or_comes_back(walking, large):
    async def story(counted, judge):
        mine = cookie(counted, large)
        frame = {"type": "watch", "room": large.talk, "epoch": "", "digest": "old"}
        for after in (0, 50, 200, 400):
            _, count = await counted.page(mine, {**frame, "after": str(after)})
            judge(f"a page that comes back from {after}", count)
        typed = {"type": "name", "room": large.talk, "body": "@", "nonce": "n"}
        _, count = await counted.page(mine, {**frame, "after": "300"}, typed)
        judge("names that are offered", count)

    walking(story)


def test_of_nothing_that_is_done_to_much(walking, large):
    async def story(counted, judge):
        store, uids = counted.app.store, large.uids
        bob = large.store.people.get(uids[0])

        async def do(name, work, *args, most=0):
            judge(name, await counted.do(work, *args), most)

        await do("a gap", store.messages.gap, large.talk, 1, 500, uids, 0)
        await do("search results", store.messages.several, large.talk, range(1, 300))
        await do("what a person wrote", lambda: list(store.messages.written_by(large.talk, "x")))
        await do("the first since", store.messages.first_since, large.talk, 1)
        await do("a transcript, or webhooks", store.messages.after, large.talk, 1, 1000)
        await do("a new name", store.people.signal_profile, large.ann.uid)
        await do("who is there", store.rooms.uids, large.room)
        await do("who is here", store.presence.here, uids)
        await do("who came", store.presence.announce, [Changes("0", uids[:2000])], {})
        await do("all members", store.rooms.members, large.room)
        await do("a message to all", store.messages.post, large.room, bob, "Hello @here @everyone")
        await do("a long message", store.messages.post, large.room, bob, WIDE * MAX_BODY_CHARS)
        await do("an answer", store.messages.post, large.talk, bob, WIDE * MAX_BODY_CHARS, "", 100)
        made = []
        everybody = [Person(uid, uid) for uid in uids]
        await do(
            "a new room",
            lambda: made.append(store.rooms.create("New", "closed", large.ann, everybody)),
            most=ALL_MEMBERS,
        )
        await do("the end of a room", lambda: store.rooms.end(made[0], large.ann), most=ALL_MEMBERS)

    walking(story)


def test_of_nothing_that_other_processes_do(walking, large):
    async def story(counted, judge):
        store = counted.app.store
        written = History(store.client)

        async def do(name, work, *args, most=0):
            judge(name, await counted.do(work, *args), most)

        await do("the indexer", written.since, large.talk, 0, 0, 500)
        await do("the indexer's look", written.newest, [*large.rooms])
        await do("a dump", lambda: [*store.exporter(True, True).room(large.talk)], most=BESIDE)
        await do("a check", lambda: [*store.integrity.room_checks.room(large.talk)], most=BESIDE)
        await do("files", lambda: [*store.retention.held()])

    walking(story)
