"""Messages that are sent again, because somebody was renamed, are a snapshot, which undoes nothing
that pages were sent while it was read."""

import asyncio
import html
import re

import greenback
import pytest

from chat.app import create_app
from chat.config import Settings
from chat.realtime import refresh
from chat.realtime.background import Background
from chat.realtime.hub import Hub
from chat.realtime.presence import LivePresence
from chat.realtime.refresh import Refresh
from chat.realtime.resume_cache import ResumeCache
from chat.realtime.viewers import Viewer
from chat.store import keys


class Process:
    """What a worker has for one page of `uid` that shows a room. `during(moment)` happens at each
    moment at which messages that are to be shown again have been read, and others may go on."""

    def __init__(self, store, rid: str, uid: str) -> None:
        self.store, self.rid = store, rid
        self.frames: list[str] = []
        fragments = create_app(Settings(secret_key="x"), store).fragments
        self.hub = Hub(
            fragments.for_viewers,
            fragments.for_members,
            fragments.room_row,
            nothing,
            nothing,
            nothing,
        )
        presence, resume_cache = LivePresence(self.hub, store, fragments), ResumeCache(self.hub)
        background = Background(greenback.with_portal_run_sync)
        self.refresh = Refresh(self.hub, store, fragments, self, presence, resume_cache, background)
        self.during = nothing
        self.named, store.people.named = store.people.named, self.name
        viewer = self.hub.connect(Viewer(self.push, nothing, uid))
        seq = store.rooms.get(rid).seq
        self.hub.belong(viewer, rid, seq)
        self.hub.watch(viewer, rid)
        self.hub.live(viewer, seq)

    def push(self, packet) -> bool:
        self.frames.append(html.unescape(packet.text))
        return True

    def name(self, events):
        named = self.named(events)
        self.during("read")
        return named

    async def prepare(self, event) -> None:
        self.during("rendered")

    def hear(self) -> None:
        """What happened in the room comes in."""
        self.during, during = nothing, self.during
        for event in self.store.messages.after(self.rid, self.hub.rooms[self.rid].last):
            self.hub.publish(event)
        self.hub.writer.flush()
        self.during = during

    def see(self, look: str, *args) -> None:
        async def run():
            await greenback.with_portal_run_sync(getattr(self.refresh, look), self.rid, *args)

        asyncio.run(run())

    def last(self, seq: int) -> str:
        """What the page shows of a message: the last that it was told of it."""
        about = re.compile(rf'id="m-{seq}"|> #m-{seq}\b')
        return [frame for frame in self.frames if about.search(frame)][-1]


def nothing(*_):
    """Nothing happens."""


CHANGES = {
    "edited": (lambda m, by, seq: m.edit("tea", by, seq, "the new text"), "the new text"),
    "deleted": (lambda m, by, seq: m.delete("tea", by, seq), "was deleted"),
    "reacted": (lambda m, by, seq: m.react("tea", by, seq, "👍", "on"), "👍"),
}


@pytest.fixture
def ann(store):
    return store.people.create("Ann")


@pytest.mark.parametrize("moment", ["read", "rendered"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("look", ["profile", "names"])
def test_what_is_told_meanwhile_is_not_taken_back(store, client, ann, look, change, moment):
    rid = store.rooms.create("Tea", "open", ann)
    seq = store.messages.post(rid, ann, "the old text")
    other = store.messages.post(rid, ann, "another message")
    process = Process(store, rid, ann.uid)
    client.hset(keys.user(ann.uid), "name", "Annabel")
    make, shown = CHANGES[change]
    left = [moment]

    def during(now):
        if left == [now]:
            left.clear()
            make(AsIn(store.messages, rid), ann, seq)
            process.hear()

    process.during = during
    process.see(look, *([ann.uid] if look == "profile" else []))
    assert not left, "nothing was told meanwhile"
    assert shown in process.last(seq)
    assert "the old text" not in process.last(seq) or change == "reacted"
    assert "Annabel" in process.last(other)
    if change != "deleted":
        assert "Annabel" in process.last(seq), "who wrote it is called by the new name all the same"
    assert not process.hub.rooms[rid].readers


def test_a_quote_of_what_was_deleted_meanwhile_does_not_come_back(store, client, ann):
    rid = store.rooms.create("Tea", "open", ann)
    seq = store.messages.post(rid, ann, "the old text")
    answer = store.messages.post(rid, ann, "an answer", reply=seq)
    process = Process(store, rid, ann.uid)
    client.hset(keys.user(ann.uid), "name", "Annabel")
    left = [True]

    def during(_):
        if left:
            left.clear()
            store.messages.delete(rid, ann, seq)
            process.hear()

    process.during = during
    process.see("profile", ann.uid)
    assert "the old text" not in process.last(answer)


def test_a_message_that_changes_all_the_time_is_not_read_for_ever(store, client, ann):
    rid = store.rooms.create("Tea", "open", ann)
    seq = store.messages.post(rid, ann, "the old text")
    process = Process(store, rid, ann.uid)
    times = [0]

    def during(now):
        if now == "rendered":
            times[0] += 1
            store.messages.edit(rid, ann, seq, f"text {times[0]}")
            process.hear()

    process.during = during
    process.see("profile", ann.uid)
    assert f"text {times[0]}" in process.last(seq)
    assert refresh.MAX_READS <= times[0] < 10 * refresh.MAX_READS


class AsIn:
    """The messages of a room, whatever room is named."""

    def __init__(self, messages, rid: str) -> None:
        self.messages, self.rid = messages, rid

    def __getattr__(self, name):
        return lambda rid, *args: getattr(self.messages, name)(self.rid, *args)
