"""Runs the machine of machine.py with examples from hypothesis, and checks that it finds typical
bugs when they are put in."""

import pytest

from chat.app import create_app
from chat.config import Settings
from chat.realtime import subscriber
from chat.realtime.delivery import PageWriter
from chat.realtime.hub import Hub
from chat.redis_client import pubsub
from chat.store import Store
from chat.store.message_reads import Missed
from chat.store.messages import Messages
from chat.web.page_connection import PageConnection

from .explore import FOUND, explore
from .machine import Machine


@pytest.fixture
def machine(valkey, client, monkeypatch):
    """Run the machine; raises the error that it finds."""
    monkeypatch.setattr(pubsub, "FIRST_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(subscriber, "MAX_EVENTS_READ", 5)
    app = create_app(Settings(secret_key="x" * 32), Store(client))
    monkeypatch.setattr(Machine, "app", app)
    monkeypatch.setattr(Machine, "url", valkey.url)
    monkeypatch.setattr(Machine, "client", client)

    def run(examples, steps=25):
        explore(Machine, examples, steps)

    return run


def test_whatever_happens_everyone_sees_every_message_once_and_in_order(machine):
    machine(60)


# Typical bugs: the machine must find each of them


def no_dedupe(patch):
    """A resend is stored again."""
    post = Messages.post

    def again(self, rid, author, body, nonce="", *more, **others):
        return post(self, rid, author, body, "", *more, **others)

    patch.setattr(Messages, "post", again)


def no_gap_check(patch):
    """A published event is shown although numbers before it are missing."""
    publish = Hub.publish

    def unchecked(self, event):
        room = self.rooms.get(event.room)
        if room is not None and event.seq > room.last:
            room.last = event.seq - 1
        return publish(self, event)

    patch.setattr(Hub, "publish", unchecked)


def no_dup_check(patch):
    """An event that arrives twice is shown twice."""
    publish = Hub.publish

    def unchecked(self, event):
        room = self.rooms.get(event.room)
        if room is None or event.seq > room.last:
            return publish(self, event)
        for group in room.groups.values():
            for viewer in group.watching:
                self.writer.send_text(viewer, self.for_viewers(event, viewer.zone))
        return True

    patch.setattr(Hub, "publish", unchecked)


def silent_loss(patch):
    """A page that cannot be continued gets the events that exist instead of a reset."""
    missed = Messages.missed

    def pretending(self, rid, uid, after, epoch, **kwargs):
        answer = missed(self, rid, uid, after, epoch, **kwargs)
        if answer is None or not answer.replace:
            return answer
        return Missed(self.after(rid, after), False, answer.seq, answer.epoch, answer.first)

    patch.setattr(Messages, "missed", pretending)


def read_then_subscribe(patch):
    """The history is read before new events are held."""
    watch, resume = Hub.watch, PageConnection._resume

    def late(self, rid, last, epoch, entered):
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Hub, "watch", lambda *args: None)
            live_at = []
            inner.setattr(Hub, "live", lambda hub, viewer, upto: live_at.append(upto))
            resume(self, rid, last, epoch, entered)
        if live_at and rid in self.hub.rooms:
            watch(self.hub, self.viewer, rid)
            self.hub.live(self.viewer, live_at[0])

    patch.setattr(PageConnection, "_resume", late)


def same_epoch(patch):
    """Numbers are accepted although they come from another epoch."""
    missed, gap = Messages.missed, Messages.gap
    patch.setattr(
        Messages,
        "missed",
        lambda self, rid, uid, after, epoch, at=0: missed(self, rid, uid, after, ""),
    )
    patch.setattr(
        Messages,
        "gap",
        lambda self, rid, after, limit, uids, at=0: gap(self, rid, after, limit, uids),
    )


def never_apart(patch):
    """A viewer that was once in sync stays in sync forever."""
    patch.setattr(PageWriter, "set_lagging", lambda self, viewer: None)


BUGS = no_dedupe, no_gap_check, no_dup_check, silent_loss
BUGS += read_then_subscribe, same_epoch, never_apart


@pytest.mark.parametrize(
    "bug",
    BUGS,
    ids=lambda bug: bug.__name__,
)
def test_a_bug_that_is_put_in_is_found(machine, monkeypatch, bug):
    bug(monkeypatch)
    with pytest.raises(FOUND):
        machine(200)
