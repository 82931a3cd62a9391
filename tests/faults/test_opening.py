"""A page opens while messages are posted in its rooms, step by step, with the real delivery
code."""

import json

import greenback
import pytest

from chat.app import create_app
from chat.config import Settings
from chat.realtime.client_messages import parse
from chat.rendering.room_list import digest
from chat.store import Store

from .machine import World


@pytest.fixture
def world(valkey, client):
    app = create_app(Settings(secret_key="x" * 32), Store(client))
    world = World(app, valkey.url, client)
    yield world
    world.stop()


def test_a_page_gets_the_list_if_others_were_sent_more_before_it_was_connected(world):
    """The page was loaded with the same list that is read now, and both are outdated: what happened
    meanwhile was sent only to other pages."""
    ann, bob = world.browsers
    shown = digest(world.store.rooms.of(bob.person.uid))
    texts: list[str] = []
    bob.frame = lambda: parse(json.dumps({"type": "watch", "room": "", "digest": shown}))
    bob.write = lambda frame: texts.append(frame.decode(errors="replace"))
    read = world.store.rooms.of_session

    def read_and_be_late(*args):
        answer = read(*args)
        world.post(ann.person)
        greenback.await_(world.give())
        return answer

    world.store.rooms.of_session = read_and_be_late
    try:
        world.run(world.come_back, bob)
    finally:
        del world.store.rooms.of_session
    (pushed,) = [text for text in texts if '"#rooms" hx-swap="innerHTML"' in text]
    row = pushed.split(f'id="unread-{world.rid}"')[1].split("</span>")[0]
    unread = world.store.rooms.of(bob.person.uid)[0].unread
    assert row.count("<i>") == unread > 0


def test_a_page_whose_list_is_current_gets_no_other(world):
    _, bob = world.browsers
    shown = digest(world.store.rooms.of(bob.person.uid))
    texts: list[str] = []
    bob.frame = lambda: parse(json.dumps({"type": "watch", "room": "", "digest": shown}))
    bob.write = lambda frame: texts.append(frame.decode(errors="replace"))
    world.run(world.come_back, bob)
    assert not [text for text in texts if '"#rooms" hx-swap="innerHTML"' in text]
