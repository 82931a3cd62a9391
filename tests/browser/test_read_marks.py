"""What a real browser confirms: with a socket, and in the frame without JavaScript."""

import json

import pytest
from playwright.sync_api import expect

from chat.store import keys

from ..running import Server, Visitor
from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser


def read_number(server: Server, rid: str, uid: str) -> int:
    with server.redis() as database:
        return int(database.hget(keys.read(rid), uid) or 0)


def newest(server: Server, rid: str) -> int:
    with server.redis() as database:
        return int(database.hget(keys.room(rid), "seq"))


def test_the_frame_without_javascript_says_what_it_has_shown(people: People, server: Server):
    ann = people.come(server.url, "Ann", java_script_enabled=False)
    rid = ann.create_room("Paper")
    bob = Visitor(server.url, "Bob")
    bob.join(rid)
    frame = ann.page.frame_locator(f"iframe[src^='/rooms/{rid}/stream']")
    expect(frame.locator("ol")).to_have_count(1, timeout=10_000)
    bob.post(rid, "hello")
    expect(frame.locator(".message__body").last).to_have_text("hello")
    with server.redis() as database:
        (uid,) = set(database.zrange(keys.members(rid), 0, -1)) - {bob.uid}
    ann.until(lambda: read_number(server, rid, uid) == newest(server, rid), "the read mark")


def test_who_writes_says_what_the_page_shows(ann: Person, bob: Person, room: str):
    sent: list[dict] = []
    ann.page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda text: sent.append(json.loads(text))),
    )
    ann.page.reload()
    ann.wait_live()
    bob.send("hello")
    ann.wait_for("hello")
    ann.send("I see")
    bob.wait_for("I see")
    (post,) = [frame for frame in sent if frame["type"] == "post"]
    shown = ann.page.locator("#messages > li", has_text="hello").get_attribute("data-id")
    assert post["after"].startswith(f"{shown}-")
