"""Runs the machine of repeats_machine.py with examples from hypothesis, and checks that it finds
typical bugs when they are put in."""

import pytest

from chat.domain.errors import NotFound
from chat.store import keys
from chat.store.messages import Messages
from chat.store.room_kinds import RANDOM
from chat.store.room_pointers import RoomPointers
from chat.store.rooms import Rooms
from chat.store.tokens import Tokens
from chat.store.webhooks import Webhooks

from ..cut_line import CutLine
from .explore import FOUND, explore
from .repeats_machine import Machine


@pytest.fixture
def machine(valkey, monkeypatch):
    """Run the machine; raises the error that it finds."""
    monkeypatch.setattr(Machine, "line", CutLine.from_url(valkey.url, decode_responses=True))

    def run(examples, gives_up, steps=40):
        monkeypatch.setattr(Machine, "gives_up", gives_up)
        explore(Machine, examples, steps)

    return run


@pytest.mark.parametrize("gives_up", [False, True], ids=["who repeats", "who gives up"])
def test_a_repeated_change_is_made_once_and_completely(machine, gives_up):
    machine(40, gives_up)


# Typical bugs: the machine must find each of them


def room_twice(patch):
    """Repeating the creation of a room creates another room."""
    create = Rooms.create

    def anew(self, name, kind, owner, members=(), about="", nonce=""):
        return create(self, name, kind, owner, members, about)

    patch.setattr(Rooms, "create", anew)


def seat_twice(patch):
    """Somebody who leaves and gets no answer keeps the seat. The repeat stops because they are not
    a member, and the repair of a wrong list repairs only the list."""
    leave, write, leaving = Rooms._leave, RoomPointers._write, []

    def early(self, rid, uid, data):
        if not self.client.zscore(keys.members(rid), uid):
            raise NotFound("That person is not in this room.")
        leaving.append(uid)
        try:
            leave(self, rid, uid, data)
        finally:
            leaving.pop()

    def mend(self, rid, uids, kind, joined):
        if kind != RANDOM or all(joined) or leaving:
            return write(self, rid, uids, kind, joined)
        for uid in uids:
            self.client.srem(keys.user_rooms(uid), rid)

    patch.setattr(Rooms, "_leave", early)
    patch.setattr(RoomPointers, "_write", mend)


def sits_twice(patch):
    """Repeating `join_random` takes another seat."""
    join_random = Rooms.join_random
    patch.setattr(
        Rooms, "join_random", lambda self, by, seats, nonce="": join_random(self, by, seats)
    )


def list_once(patch):
    """Repeating a join does nothing, because the person is a member already."""
    come = Rooms._enter

    def early(self, rid, uid, data, kind):
        if not self.client.zscore(keys.members(rid), uid):
            come(self, rid, uid, data, kind)

    patch.setattr(Rooms, "_enter", early)


def forgets_who_was_in_it(patch):
    """When the end of a room is repeated, it has no members, so nobody's list is corrected."""
    agree_room = RoomPointers.agree_room

    def early(self, rid):
        self.client.delete(keys.past_members(rid))
        agree_room(self, rid)

    patch.setattr(RoomPointers, "agree_room", early)


def no_dedupe(patch):
    """A resent message is stored again."""
    post = Messages.post

    def again(self, rid, author, body, nonce="", reply=0):
        return post(self, rid, author, body, reply=reply)

    patch.setattr(Messages, "post", again)


def tries_after_done(patch):
    """An attempt is counted after its delivery was removed."""

    def again(self, delivery, at):
        name = f"{delivery.rid} {delivery.seq}"
        self.client.zadd(keys.webhook_queue(delivery.uid), {name: at}, xx=True)
        self.client.hset(keys.webhook_attempts(delivery.uid), name, delivery.tries + 1)

    patch.setattr(Webhooks, "retry", again)


def lists_first(patch):
    """A revoked token is removed from the list first, after which nobody can revoke it."""

    def end(self, uid, tids):
        if tids:
            self.client.srem(keys.tokens(uid), *tids)
        for tid in tids:
            self.client.delete(keys.token(tid))

    patch.setattr(Tokens, "_end", end)


BUGS = room_twice, seat_twice, sits_twice, list_once, forgets_who_was_in_it
BUGS += no_dedupe, tries_after_done, lists_first


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_that_is_put_in_is_found(machine, monkeypatch, bug):
    bug(monkeypatch)
    with pytest.raises(FOUND):
        machine(300, gives_up=False)


def test_without_the_background_job_abandoned_changes_stay_unfinished(machine, monkeypatch):
    monkeypatch.setattr("tests.faults.repeats_machine.UnfinishedChanges.look", lambda self: 0)
    with pytest.raises(FOUND):
        machine(300, gives_up=True)
