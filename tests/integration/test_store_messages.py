"""Messages in the store that change after they were posted."""

import pytest

from chat.domain.errors import NotFound, Refused
from chat.domain.events import DELETE, DELETED, EDIT, POST, START
from chat.store import keys

from ..faults.replica import fail_over, state_of


@pytest.fixture
def ann(store):
    return store.people.create("Ann")


@pytest.fixture
def bob(store):
    return store.people.create("Bob")


@pytest.fixture
def tea(store, ann, bob):
    return store.rooms.create("Tea", "closed", ann, [bob])


def seen(store, rid):
    return [(event.seq, event.kind, event.body) for event in store.messages.newest(rid)]


def test_an_edited_message_has_its_new_body_everywhere(store, ann, tea):
    seq = store.messages.post(tea, ann, "teh")
    store.messages.edit(tea, ann, seq, "the")
    assert seen(store, tea) == [(1, START, ""), (2, POST, "the"), (3, EDIT, "the")]
    assert [event.edited for event in store.messages.after(tea, 1)] == [True, True]
    assert store.messages.missed(tea, ann.uid, 2, "").events[0].number == seq


def test_the_same_body_again_is_no_event(store, ann, tea):
    seq = store.messages.post(tea, ann, "the")
    store.messages.edit(tea, ann, seq, "the")
    assert store.rooms.get(tea).seq == seq


def test_nothing_of_a_deleted_message_remains(store, client, ann, tea):
    seq = store.messages.post(tea, ann, "secret one", "n1")
    store.messages.edit(tea, ann, seq, "secret two")
    store.messages.delete(tea, ann, seq)
    assert seen(store, tea) == [(1, START, ""), (2, DELETED, ""), (3, EDIT, ""), (4, DELETE, "")]
    everything = str(client.xrange(keys.events(tea))) + str(client.hgetall(keys.room(tea)))
    assert "secret" not in everything + str(client.hgetall(keys.edits(tea)))
    with pytest.raises(NotFound):
        store.messages.around(tea, seq)
    with pytest.raises(NotFound):
        store.messages.edit(tea, ann, seq, "again")


def test_a_room_in_which_everything_was_deleted_stays_in_the_list(store, ann, bob, tea):
    """The list is of memberships, not of what was said."""
    store.messages.delete(tea, ann, store.messages.post(tea, ann, "one"))
    for person in (ann, bob):
        assert [row.room.rid for row in store.rooms.of(person.uid)] == [tea]


def test_a_gap_with_deleted_messages_has_no_holes(store, ann, tea):
    for n in range(2, 8):
        store.messages.post(tea, ann, f"m{n}")
    for seq in (2, 3, 5):
        store.messages.delete(tea, ann, seq)
    seq, events, _ = store.messages.gap(tea, 1, 100, [ann.uid])
    assert [event.seq for event in events] == list(range(2, seq + 1))
    assert [event.seq for event in events if event.kind == DELETED] == [2, 3, 5]


def test_with_a_gap_comes_who_must_not_see_it(store, ann, bob, tea):
    eve = store.people.create("Eve")
    assert store.messages.gap(tea, 0, 9, [ann.uid, eve.uid, bob.uid])[2] == [eve.uid]
    store.rooms.leave(tea, bob)
    assert store.messages.gap(tea, 0, 9, [ann.uid, bob.uid])[2] == [bob.uid]


def test_a_number_that_was_lost_and_used_again_replaces_the_list(store, valkey, ann, tea):
    """The page that comes back shows an event that is not there; its number is another's now."""
    replica = state_of(valkey.url)
    seq = store.messages.post(tea, ann, "lost")
    at = store.messages.newest(tea)[-1].at
    assert not store.messages.missed(tea, ann.uid, seq, "", at=at).replace
    fail_over(valkey.url, replica)
    for n in range(3):
        store.messages.post(tea, ann, f"m{n}")
    missed = store.messages.missed(tea, ann.uid, seq, "", at=at)
    assert missed.replace
    assert [event.body for event in missed.events] == ["", "m0", "m1", "m2"]
    assert store.messages.gap(tea, seq, 100, [ann.uid], at) == (4, None, [])
    assert store.messages.gap(tea, 99, 100, [ann.uid]) == (4, None, [])


def test_a_cursor_older_than_what_is_kept_replaces_the_list(store, client, ann, tea):
    """It is not filled with messages that look deleted."""
    for n in range(2, 12):
        store.messages.post(tea, ann, f"m{n}")
    client.xtrim(keys.events(tea), maxlen=4, approximate=False)
    for after, replaced in [(1, True), (6, True), (7, False), (8, False), (11, False), (0, True)]:
        missed = store.messages.missed(tea, ann.uid, after, "")
        assert missed.replace == replaced, after
        assert [event.kind for event in missed.events if event.kind == DELETED] == []
        assert (store.messages.gap(tea, after, 100, [ann.uid])[1] is None) == replaced
    client.xtrim(keys.events(tea), maxlen=0, approximate=False)
    assert store.messages.missed(tea, ann.uid, 5, "").replace


def test_a_page_behind_by_very_long_messages_gets_the_last_of_them(store, ann, tea):
    """All of them would be more than a slow connection takes before the server gives it up."""
    for n in range(60):
        store.messages.post(tea, ann, str(n) + "x" * 3990)
    missed = store.messages.missed(tea, ann.uid, 2, "")
    assert missed.replace
    assert 20 < len(missed.events) < 30
    assert missed.events[-1].body.startswith("59")
    assert [e.seq for e in missed.events] == list(range(missed.events[0].seq, missed.seq + 1))
    missed = store.messages.missed(tea, ann.uid, missed.seq - 10, "")
    assert not missed.replace
    assert len(missed.events) == 10


def test_a_cursor_whose_message_was_deleted_goes_on(store, ann, tea):
    seq = store.messages.post(tea, ann, "m2")
    at = store.messages.newest(tea)[-1].at
    store.messages.delete(tea, ann, seq)
    missed = store.messages.missed(tea, ann.uid, seq, "", at=at)
    assert (missed.replace, [event.kind for event in missed.events]) == (False, [DELETE])


def test_only_the_author_changes_a_message_or_who_may(store, ann, bob, tea):
    seq = store.messages.post(tea, ann, "mine")
    for change in (
        lambda: store.messages.edit(tea, bob, seq, "yours"),
        lambda: store.messages.delete(tea, bob, seq),
    ):
        with pytest.raises(Refused):
            change()
    store.messages.edit(tea, bob, seq, "ours", others=True)
    assert seen(store, tea)[1] == (2, POST, "ours")
    stranger = store.people.create("Eve")
    with pytest.raises(NotFound):
        store.messages.delete(tea, stranger, seq, others=True)


@pytest.mark.parametrize("seq", [0, 1, 99])
def test_only_messages_can_be_changed(store, ann, tea, seq):
    with pytest.raises(NotFound):
        store.messages.edit(tea, ann, seq, "x")
    with pytest.raises(NotFound):
        store.messages.delete(tea, ann, seq)


def page(store, rid):
    """The kept page, which is to be the same as the newest events read anew."""
    events = store.messages.page(store.rooms.get(rid))
    assert events == store.messages.newest(rid)
    return events


def test_a_page_that_is_kept_is_the_newest_events_whatever_happens(store, client, ann, bob, tea):
    seq = store.messages.post(tea, ann, "teh")
    answer = store.messages.post(tea, bob, "what?", reply=seq)
    for change in (
        lambda: store.messages.post(tea, ann, "more"),
        lambda: store.messages.edit(tea, ann, seq, "the"),
        lambda: store.messages.react(tea, bob, seq, "👍", "on"),
        lambda: store.messages.react(tea, bob, seq, "👍", "off"),
        lambda: store.people.edit(bob, name="Robert"),
        lambda: store.messages.delete(tea, ann, seq),
        lambda: store.messages.delete(tea, bob, answer),
        lambda: store.rooms.edit(tea, ann, "name", "Coffee"),
    ):
        before = page(store, tea)
        change()
        assert page(store, tea) != before
    client.xtrim(keys.events(tea), maxlen=2, approximate=False)
    client.hset(keys.room(tea), "first", store.rooms.get(tea).seq - 1)
    assert len(page(store, tea)) == 2


def test_a_page_is_read_once_while_nothing_happens(store, client, ann, tea):
    store.messages.post(tea, ann, "one")
    first = page(store, tea)
    client.delete(keys.events(tea))  # what is kept is not asked for
    assert store.messages.page(store.rooms.get(tea)) == first


def test_a_page_is_not_kept_of_a_number_that_was_lost_and_used_again(store, valkey, ann, tea):
    replica = state_of(valkey.url)
    store.messages.post(tea, ann, "lost")
    assert page(store, tea)[-1].body == "lost"
    fail_over(valkey.url, replica)
    store.messages.post(tea, ann, "found")
    assert page(store, tea)[-1].body == "found"
    replica = state_of(valkey.url)
    seq = page(store, tea)[-1].seq
    for emoji in ("👍", "👎"):
        store.messages.react(tea, ann, seq, emoji, "on")
        assert [one.emoji for one in page(store, tea)[-1].reactions.all] == [emoji]
        fail_over(valkey.url, replica)
        replica = state_of(valkey.url)


def test_only_so_many_pages_are_kept(store, ann, monkeypatch):
    monkeypatch.setattr("chat.store.message_reads.MAX_CACHED_PAGES", 2)
    rooms = [store.rooms.create(f"Room {n}", "open", ann) for n in range(4)]
    for rid in rooms:
        page(store, rid)
    assert list(store.messages._pages) == rooms[2:]


def test_a_page_that_is_large_is_not_kept(store, ann, monkeypatch):
    monkeypatch.setattr("chat.store.message_reads.MAX_CACHED_PAGE_CHARS", 1000)
    rid = store.rooms.create("Tea", "open", ann)
    for kept in ([rid], []):
        store.messages.post(rid, ann, "x" * 600)
        assert page(store, rid)[-1].body == page(store, rid)[-1].body == "x" * 600
        assert list(store.messages._pages) == kept
