"""`chat check`: compares rooms and people with what points to them, and repairs it."""

import pytest

from chat.domain.events import START
from chat.store import keys

from ..running import Visitor
from ..stored_events import pack
from .page import Page


@pytest.fixture
def ann(store):
    return store.accounts.create("ann", "Ann Lee", "hash")


@pytest.fixture
def bot(store, ann):
    made = store.people.create("Robot", "member", bot=ann.uid)
    store.webhooks.set(made.uid, "https://bots.example.org", "secret")
    return made


@pytest.fixture
def tea(store, ann, bot):
    rid = store.rooms.create("Tea", "open", ann, [bot])
    seq = store.messages.post(rid, ann, "teh", "n1")
    store.messages.edit(rid, ann, seq, "the")
    return rid


@pytest.fixture
def chat(store, ann, bot, tea):
    """One of everything, by name; all is right."""
    store.tokens.make(ann.uid, "laptop", ["read"])
    random = store.rooms.join_random(ann, 10)
    ended = store.rooms.create("Over", "closed", ann)
    store.rooms.end(ended, ann)
    store.webhooks.queue(bot.uid, tea, "", 3, [2], 1)
    (tid,) = store.client.smembers(keys.tokens(ann.uid))
    assert found(store) == []
    return {
        "ann": ann.uid,
        "bot": bot.uid,
        "tea": tea,
        "random": random,
        "ended": ended,
        "tid": tid,
    }


def found(store):
    return list(store.integrity.everything(settles=0))


def cut_off(client, rid):
    """The stream as it would be without its last event."""
    kept = client.xrange(keys.events(rid))[:-1]
    client.delete(keys.events(rid))
    for entry, fields in kept:
        client.xadd(keys.events(rid), fields, id=entry)


# What breaks, and what it is called; `{tea}` and so on are the ids.
BROKEN = {
    "a member's list lacks a room": (
        lambda client, c: client.srem(keys.user_rooms(c["ann"]), c["tea"]),
        "the room list of {ann} lacks the room {tea}",
    ),
    "a list has a room too many": (
        lambda client, c: client.sadd(keys.user_rooms(c["ann"]), "gone"),
        "the room list of {ann} has gone, which they have not joined",
    ),
    "a draft in a room one is not in": (
        lambda client, c: client.hset(keys.drafts(c["ann"]), "gone", "tea"),
        "a draft of {ann} in gone is stored, but they are not a member",
    ),
    "a member is nobody": (
        lambda client, c: client.zadd(keys.members(c["tea"]), {"nobody": 1}),
        "the room {tea} has a member nobody, who does not exist",
    ),
    "an open room is not found": (
        lambda client, c: client.zrem(keys.OPEN_ROOMS, c["tea"]),
        "the open room {tea} is not in the index of open rooms",
    ),
    "an ended room is found": (
        lambda client, c: client.zadd(keys.OPEN_ROOMS, {c["ended"]: 1}),
        "the index of open rooms has {ended}, which is not one",
    ),
    "a random room is not found": (
        lambda client, c: client.zrem(keys.RANDOM_ROOMS, c["random"]),
        "the random room {random} has the wrong number of seats",
    ),
    "a random room counts too many": (
        lambda client, c: client.zadd(keys.RANDOM_ROOMS, {c["random"]: 7}),
        "the random room {random} has the wrong number of seats",
    ),
    "a random room that is gone": (
        lambda client, c: client.zadd(keys.RANDOM_ROOMS, {"gone": 3}),
        "the index of random rooms has gone, which is not one",
    ),
    "a seat is lost": (
        lambda client, c: client.zrem(keys.RANDOM_SEATS, f"{c['ann']} {c['random']}"),
        "{ann} is in the random room {random} without a seat",
    ),
    "a seat that nobody sits in": (
        lambda client, c: client.zadd(keys.RANDOM_SEATS, {f"{c['bot']} {c['random']}": 0}),
        "{bot} has a seat in {random}, but is not a member",
    ),
    "a file whose message is gone": (
        lambda client, c: client.zadd(keys.files(c["tea"]), {"f1": 77}),
        "the room {tea} lists the file f1 of 77, which lacks it",
    ),
    "a file that its message has not": (
        lambda client, c: client.zadd(keys.files(c["tea"]), {"f1": 2}),
        "the room {tea} lists the file f1 of 2, which lacks it",
    ),
    "a name is not found": (
        lambda client, c: client.zrem(keys.NAMES, f"lee\0{c['ann']}"),
        "{ann} is not found by the name 'Ann Lee'",
    ),
    "a name finds somebody else": (
        lambda client, c: client.zadd(keys.NAMES, {f"eve\0{c['ann']}": 0}),
        "'eve' finds {ann}, who has a different name",
    ),
    "a lookalike is not found": (
        lambda client, c: client.zrem(keys.LOOKALIKES, f"annlee\0{c['ann']}"),
        "{ann} is not found by names that look like 'Ann Lee'",
    ),
    "a lookalike finds somebody else": (
        lambda client, c: client.zadd(keys.LOOKALIKES, {f"eve\0{c['ann']}": 0}),
        "'eve' finds {ann}, who has a different name",
    ),
    "a login is lost": (
        lambda client, c: client.delete(keys.login("ann")),
        "the login 'ann' of {ann} belongs to nobody",
    ),
    "a login leads to somebody else's": (
        lambda client, c: client.set(keys.login("bob"), c["ann"]),
        "the login 'bob' belongs to {ann}, who has a different login",
    ),
    "a token is in no list": (
        lambda client, c: client.srem(keys.tokens(c["ann"]), c["tid"]),
        "a token of {ann} is missing from their list",
    ),
    "a token that is not there": (
        lambda client, c: client.sadd(keys.tokens(c["ann"]), "gone"),
        "the tokens of {ann} include one that does not exist",
    ),
    "a token of nobody": (
        lambda client, c: client.hset(keys.token("gone"), "uid", "nobody"),
        "a token belongs to a person who does not exist",
    ),
    "somebody of another site is nobody": (
        lambda client, c: client.set(keys.subject("digest"), "nobody"),
        "an identity of another site belongs to nobody, who does not exist",
    ),
    "a bot is in no list": (
        lambda client, c: client.srem(keys.BOTS, c["bot"]),
        "{bot} is not in the list of bots",
    ),
    "a person is listed as a bot": (
        lambda client, c: client.sadd(keys.BOTS, c["ann"]),
        "{ann} is listed as a bot, but is not one",
    ),
    "a webhook is in no list": (
        lambda client, c: client.srem(keys.WEBHOOKS, c["bot"]),
        "{bot} is not in the list of bots with a webhook",
    ),
    "a webhook that is not there": (
        lambda client, c: client.sadd(keys.WEBHOOKS, c["ann"]),
        "{ann} is listed as a webhook, but is not one",
    ),
    "a bot was told too much": (
        lambda client, c: client.hset(keys.webhook_cursors(c["bot"]), c["tea"], 99),
        "the cursor of the bot {bot} in {tea} is beyond its end",
    ),
    "a bot was told of a room it left": (
        lambda client, c: client.hset(keys.webhook_cursors(c["bot"]), "gone", 1),
        "the bot {bot} has a cursor in gone, of which it is not a member",
    ),
    "a bot is to be told of a room it left": (
        lambda client, c: client.zadd(keys.webhook_queue(c["bot"]), {"gone 4": 1}),
        "a delivery to the bot {bot} is from a room it has left",
    ),
    "tries of nothing": (
        lambda client, c: client.hset(keys.webhook_attempts(c["bot"]), "gone 4", 1),
        "a delivery to {bot} has attempts, but is not queued",
    ),
    "read by no member": (
        lambda client, c: client.hset(keys.read(c["tea"]), "nobody", 1),
        "nobody has a read mark in {tea}, but is not a member",
    ),
    "read beyond the end": (
        lambda client, c: client.hset(keys.read(c["tea"]), c["ann"], 99),
        "the read mark of {ann} in {tea} is beyond its end",
    ),
    "the text of what is gone": (
        lambda client, c: client.hset(keys.edits(c["tea"]), 99, "x"),
        "the room {tea} stores the text of 99, which is deleted",
    ),
    "the reactions to what is gone": (
        lambda client, c: client.hset(keys.reactions(c["tea"]), 99, "[]"),
        "the room {tea} stores the reactions to 99, which is deleted",
    ),
    "the number is behind the stream": (
        lambda client, c: client.hset(keys.room(c["tea"]), mapping={"seq": 2, "last": "2 1 []"}),
        "the room {tea} does not know its last event, number 3",
    ),
    "the last line is an old one": (
        lambda client, c: client.hset(keys.room(c["tea"]), "last", "2 1 []"),
        "the room {tea} does not know its last event, number 3",
    ),
    "the stream lacks its end": (
        lambda client, c: cut_off(client, c["tea"]),
        "the room {tea} is at number 3, but its last event has number 2",
    ),
    "the stream lacks its beginning": (
        lambda client, c: client.xdel(keys.events(c["tea"]), "1-0"),
        "the room {tea} should begin at number 1, but begins at 2",
    ),
    "an ended room has members": (
        lambda client, c: client.zadd(keys.members(c["ended"]), {c["ann"]: 1}),
        "the room {ended} has ended, but parts of it are still stored",
    ),
    "an ended room stays": (
        lambda client, c: client.persist(keys.events(c["ended"])),
        "the room {ended} has ended, but chat:room:{{{ended}}}:events does not expire",
    ),
    "an ended room is in lists": (
        lambda client, c: client.zadd(keys.past_members(c["ended"]), {c["ann"]: 1}),
        "the room {ended} has ended, but may still be in lists of people",
    ),
    "what is left of a webhook": (
        lambda client, c: client.lpush(keys.webhook_log(c["ann"]), "[]"),
        "parts of a removed webhook of {ann} are still stored",
    ),
    "an account that goes by itself": (
        lambda client, c: client.expire(keys.user(c["ann"]), 100),
        "{ann} is not a guest, but would expire",
    ),
    "what is left of a room": (
        lambda client, c: client.hset(keys.read("gone"), c["ann"], 1),
        "chat:room:{{gone}}:read belongs to nothing that exists",
    ),
    "what is left of a person": (
        lambda client, c: client.sadd(keys.user_rooms("gone"), c["tea"]),
        "chat:user:{{gone}}:rooms belongs to nothing that exists",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_found_said_and_put_right(client, store, chat, what):
    break_it, text = BROKEN[what]
    break_it(client, chat)
    findings = found(store)
    assert text.format(**chat) in [finding.text for finding in findings]
    for finding in findings:
        finding.repair()
    assert found(store) == []


# What cannot be repaired is said too.
HOPELESS = {
    "a room without events": lambda client, c: client.delete(keys.events(c["tea"])),
    "a room without a kind": lambda client, c: client.hdel(keys.room(c["tea"]), "kind"),
    "a login that two have": lambda client, c: client.hset(keys.user(c["bot"]), "login", "ann"),
    "a person without a name": lambda client, c: client.hdel(keys.user(c["bot"]), "name"),
}


@pytest.mark.parametrize("what", HOPELESS)
def test_what_cannot_be_put_right_is_said(client, store, chat, what):
    HOPELESS[what](client, chat)
    assert [finding for finding in found(store) if finding.repair is None]


def test_a_number_that_was_lost_with_the_end_of_the_stream_comes_back(client, store, ann, tea):
    cut_off(client, tea)
    (finding,) = found(store)
    finding.repair()
    assert [event.seq for event in store.messages.newest(tea)] == [1, 2, 3]
    assert store.messages.post(tea, ann, "on") == 4


def test_the_last_line_is_of_what_was_said_before_reactions(client, store, ann, tea):
    for wanted in ("on", "off"):
        store.messages.react(tea, ann, 2, "👍", wanted)
    assert found(store) == []
    line = client.hget(keys.room(tea), "last")
    client.hset(keys.room(tea), "last", "2 1 []")
    (finding,) = found(store)
    finding.repair()
    assert client.hget(keys.room(tea), "last") == line
    store.retention.trim(tea, messages=1, days=0)
    assert found(store) == []


def test_what_is_half_done_is_not_wrong(client, store, ann, tea):
    """It is looked at again, and done by then."""
    client.srem(keys.user_rooms(ann.uid), tea)
    room, looks = store.integrity.room_checks.room, []

    def look(rid):
        if looks:
            store.rooms.pointers.agree(rid, [ann.uid])
        looks.append(rid)
        yield from room(rid)

    store.integrity.room_checks.room = look
    assert found(store) == []
    assert looks == [tea, tea]


def test_many_rooms_are_looked_at_page_by_page(client, store, ann):
    for n in range(1200):
        rid = f"r{n}"
        fields = {"name": "R", "kind": "closed", "epoch": "e", "seq": 1, "owner": ann.uid}
        client.hset(keys.room(rid), mapping={**fields, "last": f"1 1 {pack(START, 'a', 'A')}"})
        client.xadd(keys.events(rid), {"at": 1, "data": pack(START, "a", "A")}, id="1-0")
        client.zadd(keys.members(rid), {ann.uid: 1})
    assert {finding.text for finding in found(store)} == {
        f"the room list of {ann.uid} lacks the room r{n}" for n in range(1200)
    }


# On the console


def test_a_chat_in_use_is_right_and_what_breaks_is_repaired(server):
    ann, bob = Visitor(server.url, "Ann"), Visitor(server.url, "Bob")
    rid = ann.create_room("Tea")
    bob.join(rid)
    page = Page(bob).watch(rid)
    ann.post(rid, "hello")
    page.wait_shown("hello")
    ann.submit("/rooms", kind="direct", members=[bob.uid])
    bob.submit("/rooms/random", "/rooms/random")
    bob.submit(f"/rooms/{rid}/leave")
    page.wait_for("no longer in this room")
    checked = server.console("check")
    assert (checked.returncode, checked.stdout) == (0, "No problems found.\n"), checked.stdout

    with server.redis() as client:
        client.srem(keys.user_rooms(ann.uid), rid)
    checked = server.console("check")
    assert checked.returncode == 1
    assert checked.stdout == f"the room list of {ann.uid} lacks the room {rid}\n"
    assert "1 problem; chat check --repair" in checked.stderr
    repaired = server.console("check", "--repair")
    assert repaired.returncode == 0
    assert repaired.stdout.startswith("Repaired: the room list of")
    assert server.console("check").returncode == 0
    assert rid in ann.get("/").text


def test_what_needs_a_running_chat_says_so(tmp_path):
    from ..running import Server

    ended = Server(tmp_path).console("check")
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "no chat is running" in ended.stderr
