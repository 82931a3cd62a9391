"""Present names: everything that an open page keeps about a person follows every change."""

import itertools
import re
from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import redis
from websockets.exceptions import ConnectionClosed

from chat.store import keys

from ..running import DEADLINE, Visitor
from .page import Page
from .test_people import picture, save

_numbers = itertools.count(1)


@pytest.fixture
def tea(ann, bob):
    return ann.create_room("Tea", "closed", [bob.uid])


def a_name(ann):
    save(ann, name=f"Annabel {next(_numbers)}")


def a_picture(ann):
    save(ann, picture(), name="Ann")


def no_picture(ann):
    save(ann, picture(), name="Ann")
    save(ann, name="Ann", no_picture="1")


def a_tag(ann):
    """Another person's name, which tells the later one apart."""
    name = f"Twin {next(_numbers)}"
    Visitor(ann.url, name)
    save(ann, name=name)


def back_again(ann):
    save(ann, name="Somebody else")
    save(ann, name="Ann")


CHANGES = [a_name, a_picture, no_picture, a_tag, back_again]


def author(html: str, body: str) -> str:
    """How the author of a message looks in the last place in which it is shown: picture, name
    and tag."""
    shown = re.findall(r'<li id="m-\d+" class="message.*?</li>', html, re.S)
    item = [item for item in shown if body in item][-1]
    return re.search(r'data-author="[^>]*>(.*?)<a class="message__time"', item, re.S)[1]


def wait_author(page: Page, body: str, as_in: str) -> None:
    """Read until the page shows the author of a message as another page does."""
    page.wait_shown(body)
    while author("".join(page.frames), body) != author(as_in, body):
        assert page.receive() is not None, "the author is still shown as before"


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_open_page_posts_as_its_person_is_called_now(ann, bob, tea, change):
    mine, reading = Page(ann).watch(tea), Page(bob).watch(tea)
    mine.post(tea, "before")
    reading.wait_shown("before")
    change(ann)
    mine.post(tea, "after")
    mine.watch(tea, to=tea, nonce="pending", body="pending")
    reading.wait_shown("pending")
    for body in ("before", "after", "pending"):
        wait_author(reading, body, ann.room(tea))
        wait_author(mine, body, ann.room(tea))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_page_that_opens_during_the_change_posts_as_its_person_is_called_now(
    ann, bob, tea, change
):
    """The handshake knows the person as before."""
    reading = Page(bob).watch(tea)
    mine = Page(ann)
    change(ann)
    mine.watch(tea)
    mine.post(tea, "after")
    reading.wait_shown("after")
    wait_author(reading, "after", ann.room(tea))


WAYS = {
    "a name": lambda store, who: store.people.edit(who, name="Annabel"),
    "a picture": lambda store, who: store.people.edit(who, picture="p1"),
    "a role": lambda store, who: store.people.edit(who, role="moderator"),
    "a tag": lambda store, who: store.people.edit(who, tag="abcd"),
    "an account": lambda store, who: store.accounts.create("annabel", "Annabel", "hash", who),
    "the first admin": lambda store, who: store.accounts.become_first_admin(who),
    "an admin": lambda store, who: store.accounts.make_admin(who),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_whatever_changes_how_somebody_looks_is_told(client, store, way):
    """In the rooms of that person, and to the open pages of that person and of everyone who has
    that name in the list."""
    ann, bob = store.people.create("Ann"), store.people.create("Bob")
    tea, direct = store.rooms.create("Tea", "open", ann), store.rooms.direct(ann, [bob])
    wanted = {keys.room_channel(tea): f"~{ann.uid}", keys.room_channel(direct): f"~{ann.uid}"}
    wanted |= {keys.user_channel(ann.uid): "", keys.user_channel(bob.uid): ""}
    listening = client.pubsub()
    listening.ssubscribe(*wanted)
    told = set()
    way(store, ann)
    while told != set(wanted.items()):
        message = listening.get_sharded_message(timeout=DEADLINE)
        assert message, set(wanted.items()) - told
        if message["type"] == "smessage":
            told.add((message["channel"], message["data"]))
    listening.close()


def test_whoever_is_quoted_or_reacted_is_called_by_the_new_name(ann, bob, tea):
    ann.post(tea, "quoted")
    reading = Page(bob).watch(tea)
    reading.wait_shown("quoted")
    number = max(reading.shown)
    reading.say(type="post", room=tea, body="an answer", nonce="answer1", reply=str(number))
    reading.wait_shown("an answer")
    save(ann, name="Annabel")
    frame = reading.wait_for('<bdi class="quote__author">Annabel</bdi>')
    assert "an answer" in frame


def test_every_time_is_in_the_zone_of_now(ann, tea):
    """A zone that changes between a page's handshake and its first word brings it back."""
    page = Page(ann)
    save(ann, name="Ann", zone="Asia/Tokyo")
    with suppress(ConnectionClosed):  # it may have been sent away already
        page.watch(tea)
    assert page.wait_closed() == 1012
    page.reconnect()
    page.watch(tea)
    page.post(tea, "hello")
    page.wait_shown("hello")
    utc, shown = re.findall(
        r'<time datetime="([^"]+)"[^>]*>([^<]+)</time>.*?hello', page.frames[-1], re.S
    )[0]
    then = datetime.fromisoformat(utc).astimezone(ZoneInfo("Asia/Tokyo"))
    assert shown.endswith(f"{then:%H:%M}")


def test_a_name_that_changed_unheard_is_shown_when_the_link_is_back(server, ann, bob, tea):
    """The word that somebody is renamed may be lost with the link to Redis."""
    reading = Page(bob).watch(tea)
    ann.post(tea, "before")
    reading.wait_shown("before")
    socket = str(server.data / "valkey" / "valkey.sock")
    with redis.Redis(unix_socket_path=socket, decode_responses=True) as database:
        # Nothing is said of this change, as if it were lost.
        database.hset(keys.user(ann.uid), "name", "Annabel")
        database.client_kill_filter(_type="pubsub")
        wait_author(reading, "before", ann.room(tea))
        database.hset(keys.user(ann.uid), "name", "Ann")
