"""Messages that change after they were written."""

import pytest

from chat.errors import NotFound, Refused
from chat.events import DELETE, DELETED, EDIT, POST, START
from chat.store import keys


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
    store.messages.revise(tea, ann, seq, "the")
    assert seen(store, tea) == [(1, START, ""), (2, POST, "the"), (3, EDIT, "the")]
    assert [event.edited for event in store.messages.after(tea, 1)] == [True, True]
    assert store.messages.missed(tea, ann.uid, 2, "").events[0].number == seq


def test_the_same_body_again_is_no_event(store, ann, tea):
    seq = store.messages.post(tea, ann, "the")
    store.messages.revise(tea, ann, seq, "the")
    assert store.rooms.get(tea).seq == seq


def test_nothing_of_a_deleted_message_remains(store, client, ann, tea):
    seq = store.messages.post(tea, ann, "secret one", "n1")
    store.messages.revise(tea, ann, seq, "secret two")
    store.messages.delete(tea, ann, seq)
    assert seen(store, tea) == [(1, START, ""), (2, DELETED, ""), (3, EDIT, ""), (4, DELETE, "")]
    everything = str(client.xrange(keys.events(tea))) + str(client.hgetall(keys.room(tea)))
    assert "secret" not in everything + str(client.hgetall(keys.edits(tea)))
    with pytest.raises(NotFound):
        store.messages.around(tea, seq)
    with pytest.raises(NotFound):
        store.messages.revise(tea, ann, seq, "again")


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


def test_only_the_author_changes_a_message_or_who_may(store, ann, bob, tea):
    seq = store.messages.post(tea, ann, "mine")
    for change in (
        lambda: store.messages.revise(tea, bob, seq, "yours"),
        lambda: store.messages.delete(tea, bob, seq),
    ):
        with pytest.raises(Refused):
            change()
    store.messages.revise(tea, bob, seq, "ours", others=True)
    assert seen(store, tea)[1] == (2, POST, "ours")
    stranger = store.people.create("Eve")
    with pytest.raises(NotFound):
        store.messages.delete(tea, stranger, seq, others=True)


@pytest.mark.parametrize("seq", [0, 1, 99])
def test_only_messages_can_be_changed(store, ann, tea, seq):
    with pytest.raises(NotFound):
        store.messages.revise(tea, ann, seq, "x")
    with pytest.raises(NotFound):
        store.messages.delete(tea, ann, seq)
