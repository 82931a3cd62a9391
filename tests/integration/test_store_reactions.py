"""Reactions in the store, which are kept beside the messages."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from chat.domain.errors import NotFound, Refused
from chat.domain.events import POST, REACT, START, UNREACT
from chat.store import keys, messages

from ..running import wait_until_later

LIKE, PARTY = "👍", "🎉"


@pytest.fixture
def ann(store):
    return store.people.create("Ann")


@pytest.fixture
def bob(store):
    return store.people.create("Bob")


@pytest.fixture
def tea(store, ann, bob):
    return store.rooms.create("Tea", "closed", ann, [bob])


@pytest.fixture
def seq(store, ann, tea):
    return store.messages.post(tea, ann, "hello")


def reactions(store, rid, seq):
    """Emoji and names of those who reacted to a message."""
    event = store.messages.before(rid, seq + 1, 1)[0]
    assert event.seq == seq
    return [(reaction.emoji, *reaction.names) for reaction in event.reactions.all]


def test_all_who_reacted_are_known_in_order(store, ann, bob, tea, seq):
    for person, emoji in [(bob, LIKE), (ann, PARTY), (ann, LIKE)]:
        store.messages.react(tea, person, seq, emoji, "on")
    assert reactions(store, tea, seq) == [(LIKE, "Bob", "Ann"), (PARTY, "Ann")]
    store.messages.react(tea, bob, seq, LIKE, "off")
    assert reactions(store, tea, seq) == [(PARTY, "Ann"), (LIKE, "Ann")]


def test_each_is_a_numbered_event(store, ann, tea, seq):
    for wanted in ("on", "off"):
        store.messages.react(tea, ann, seq, LIKE, wanted)
    events = store.messages.newest(tea)
    assert [event.kind for event in events] == [START, POST, REACT, UNREACT]
    assert [(event.about, event.body) for event in events[2:]] == [(seq, LIKE)] * 2


def test_what_is_so_already_is_no_event(store, ann, tea, seq):
    store.messages.react(tea, ann, seq, LIKE, "off")
    for _ in range(3):
        store.messages.react(tea, ann, seq, LIKE, "on")
    assert store.rooms.get(tea).seq == seq + 1


def test_a_click_turns_round_what_the_page_shows_and_its_repeat_nothing(store, ann, bob, tea, seq):
    """A double click, a form sent twice, and a page that was opened before."""
    for _ in range(2):
        store.messages.react(tea, ann, seq, LIKE, 0)
    assert reactions(store, tea, seq) == [(LIKE, "Ann")]
    store.messages.react(tea, bob, seq, LIKE, 0)
    assert reactions(store, tea, seq) == [(LIKE, "Ann", "Bob")]
    for _ in range(2):
        store.messages.react(tea, ann, seq, LIKE, seq + 2)
    assert reactions(store, tea, seq) == [(LIKE, "Bob")]
    store.messages.react(tea, ann, seq, LIKE, seq + 3)
    assert reactions(store, tea, seq) == [(LIKE, "Bob", "Ann")]


def test_reactions_at_once_are_all_counted(store, ann, tea, seq):
    people = [store.people.create(f"P{n}") for n in range(12)]
    for person in people:
        store.rooms.add(tea, ann, person)

    def click(person):
        for _ in range(10):
            store.messages.react(tea, person, seq, LIKE, "on")
            store.messages.react(tea, person, seq, LIKE, "off")
            store.messages.react(tea, person, seq, LIKE, 10**9)

    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(click, people))
    (_, *names), *others = reactions(store, tea, seq)
    assert sorted(names) == sorted(person.name for person in people)
    assert others == []


def test_a_message_takes_so_many_and_no_more(store, ann, bob, tea, seq, monkeypatch):
    for n in range(20):
        store.messages.react(tea, ann, seq, chr(0x1F600 + n), "on")
    with pytest.raises(Refused):
        store.messages.react(tea, ann, seq, LIKE, "on")
    store.messages.react(tea, bob, seq, chr(0x1F600), "on")
    store.messages.react(tea, ann, seq, chr(0x1F601), "off")
    store.messages.react(tea, ann, seq, LIKE, "on")
    monkeypatch.setattr(messages, "MAX_REACTIONS", 21)
    with pytest.raises(Refused):
        store.messages.react(tea, bob, seq, LIKE, "on")


def test_taking_back_again_and_again_leaves_nothing_behind(store, client, ann, tea, seq):
    for n in range(60):
        store.messages.react(tea, ann, seq, chr(0x1F600 + n), "on")
        store.messages.react(tea, ann, seq, chr(0x1F600 + n), "off")
    assert len(json.loads(client.hget(keys.reactions(tea), seq))) == 1


def test_only_members_react_and_only_to_messages(store, ann, bob, tea, seq):
    store.messages.delete(tea, ann, store.messages.post(tea, ann, "gone"))
    store.messages.react(tea, ann, seq, LIKE, "on")
    before = store.rooms.get(tea).seq
    for person, number in [(store.people.create("Eve"), seq)] + [
        (bob, n) for n in (0, 1, 3, 5, 99)
    ]:
        with pytest.raises(NotFound):
            store.messages.react(tea, person, number, LIKE, "on")
    with pytest.raises(NotFound):
        store.messages.react("nowhere", ann, seq, LIKE, "on")
    assert store.rooms.get(tea).seq == before


def test_with_a_message_its_reactions_are_deleted(store, client, ann, tea, seq):
    store.messages.react(tea, ann, seq, LIKE, "on")
    store.messages.delete(tea, ann, seq)
    assert client.hgetall(keys.reactions(tea)) == {}


def test_a_page_that_comes_back_is_told_how_it_is_now(store, ann, bob, tea, seq):
    store.messages.react(tea, ann, seq, LIKE, "on")
    store.messages.react(tea, bob, seq, LIKE, "on")
    events = store.messages.missed(tea, ann.uid, seq, "").events
    assert [event.reactions.all[0].names for event in events] == [("Ann", "Bob")] * 2


def test_names_are_those_of_today(store, ann, bob, tea, seq):
    store.messages.react(tea, bob, seq, LIKE, "on")
    store.people.edit(bob, name="Robert")
    assert reactions(store, tea, seq) == [(LIKE, "Robert")]


def test_a_reaction_makes_no_room_unread(store, client, ann, bob, tea, seq):
    """Nor is it the last line of the room, nor moves it to the top."""
    wait_until_later(client)
    other = store.rooms.create("Club", "closed", ann, [bob])
    for emoji in (LIKE, PARTY):
        store.messages.react(tea, ann, seq, emoji, "on")
    rows = store.rooms.of(bob.uid)
    assert [row.room.rid for row in rows] == [other, tea]
    assert rows[1].room.last.body == "hello"
    assert [row.unread for row in rows] == [1, 2], "started, and hello"
    store.messages.seen(tea, bob.uid, seq)
    store.messages.post(tea, ann, "news")
    assert store.rooms.of(bob.uid)[0].unread == 1


def test_an_ended_room_keeps_no_reactions(store, client, ann, tea, seq):
    store.messages.react(tea, ann, seq, LIKE, "on")
    store.rooms.end(tea, ann)
    assert not client.exists(keys.reactions(tea), keys.uncounted(tea))
