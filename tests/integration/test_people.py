"""Profiles, pictures and presence on the running chat."""

import io
import os
import re
import socket
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from chat.media.avatars import MAX_AVATAR_BYTES

from ..running import Server, Visitor
from .page import Page


@pytest.fixture
def tea(ann, bob):
    return ann.create_room("Tea", "closed", [bob.uid])


def picture(form="PNG", size=(40, 80), color="red", **options):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, form, **options)
    return file.getvalue()


def save(visitor, file=None, **fields):
    token = re.search(r'name="csrf_token" value="([^"]+)"', visitor.get("/me").text)[1]
    files = {"picture": ("me.png", file, "image/png")} if file is not None else None
    return visitor.http.post("/me", data={"csrf_token": token, **fields}, files=files)


def test_a_new_name_is_seen_in_every_open_page(ann, bob, tea):
    ann.post(tea, "Before")
    direct = bob.submit("/rooms", "/people", kind="direct", members=ann.uid).headers["location"]
    reading = Page(bob).watch(tea)
    reading.wait_shown("Before")
    assert save(ann, name="Annabel", about="Tea drinker").status_code == 303
    shown = reading.wait_for("Annabel")
    assert '<li id="m-2"' in shown or f'id="name-{direct.rpartition("/")[2]}"' in shown
    reading.wait_for("Annabel")
    assert "Annabel" in bob.room(tea)
    assert "Tea drinker" in bob.get(f"/people/{ann.uid}").text
    assert "Annabel" in bob.get(direct).text


def test_a_name_that_cannot_be_used_keeps_the_rest(ann):
    answer = save(ann, name=" ", about="Still here", theme="dark")
    assert answer.status_code == 400
    assert 'value="Still here"' in answer.text
    assert re.search('value="dark" checked', answer.text)


def test_a_theme_is_a_sheet_of_its_own(ann):
    assert 'media="screen and (prefers-color-scheme: dark)"' in ann.get("/").text
    save(ann, name="Ann", theme="dark")
    page = ann.get("/").text
    assert 'data-theme="dark"' in page
    assert "/static/dark." in page
    assert "prefers-color-scheme" not in page
    save(ann, name="Ann", theme="light")
    assert "/static/dark." not in ann.get("/").text


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_becomes_a_small_square(ann, bob, tea, form):
    ann.post(tea, "Look at me")
    reading = Page(bob).watch(tea)
    reading.wait_shown("Look at me")
    assert save(ann, picture(form), name="Ann").status_code == 303
    address = rf"/people/{ann.uid}/picture\?[\w-]+"
    shown = re.search(address, reading.wait_for(f"/people/{ann.uid}/picture"))[0]
    answer = bob.get(shown)
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (256, 256)
    assert Visitor(bob.url).get(shown).status_code == 303
    assert save(ann, name="Ann", no_picture="1").status_code == 303
    assert bob.get(shown).status_code == 404
    assert not re.search(address, bob.room(tea))


def test_only_the_address_of_todays_picture_is_kept_by_browsers(ann, bob, tea):
    """An older address shows the present picture too, but it is not cached."""
    ann.post(tea, "Look at me")
    address = rf"/people/{ann.uid}/picture\?[\w-]+"
    shown = []
    for color in ("red", "blue"):
        assert save(ann, picture(color=color), name="Ann").status_code == 303
        shown.append(re.search(address, bob.room(tea))[0])
    old, new = map(bob.get, shown)
    assert old.content == new.content
    assert "immutable" in new.headers["cache-control"]
    bare = bob.get(shown[0].partition("?")[0])
    assert {answer.headers["cache-control"] for answer in (old, bare)} == {"no-store"}
    assert save(ann, name="Ann", no_picture="1").status_code == 303
    assert {bob.get(at).status_code for at in shown} == {404}


def test_a_picture_may_be_large(ann):
    """Megabytes that a picture of noise takes, not only what a plain one does."""
    file = io.BytesIO()
    Image.frombytes("RGB", (1250, 1250), os.urandom(3 * 1250**2)).save(file, "PNG")
    assert 0.8 * MAX_AVATAR_BYTES < len(file.getvalue()) < MAX_AVATAR_BYTES
    assert save(ann, file.getvalue(), name="Ann").status_code == 303


def test_what_is_no_picture_is_refused_with_the_reason(ann):
    for bad in (b"<svg onload=alert(1)>", b"", picture()[:60]):
        answer = save(ann, bad, name="Ann", about="About me")
        assert answer.status_code == 400
        assert "not a picture" in answer.text
        assert 'value="About me"' in answer.text


def test_more_than_a_picture_can_be_is_refused(ann):
    assert save(ann, b"x" * (MAX_AVATAR_BYTES + 2**20), name="Ann").status_code == 413
    assert ann.submit("/rooms", "/rooms/new", name="x" * 70_000).status_code == 413


def test_people_of_one_name_are_told_apart(server, ann, tea):
    other = Visitor(server.url, "Ann")
    tag = re.search(r'class="tag">(#\w{4})<', ann.get(f"/people/{other.uid}").text)[1]
    rid = other.create_room("Twins")
    other.post(rid, "Who am I?")
    assert tag in other.room(rid)


# Presence


def test_who_has_a_page_open_is_here(ann, bob, tea):
    assert ", online" not in ann.get(f"/people/{bob.uid}").text
    reading = Page(ann).watch(tea)
    reading.wait_for("1 online")
    Page(bob).watch(tea)
    reading.wait_for("2 online")
    assert ", online" in ann.get(f"/people/{bob.uid}").text
    assert ann.get(f"/rooms/{tea}/people").text.count(">online<") == 2


def test_coming_and_going_is_no_line_in_the_room(server, ann, bob, tea):
    """Pages that open, reload and vanish are presence, and nothing that is written down."""
    reading = Page(bob).watch(tea)
    for _ in range(5):
        page = Page(ann).watch(tea)
        page.wait_for("created this room")
        page.close()
    page = Page(ann).watch(tea)
    page.socket.socket.shutdown(socket.SHUT_RDWR)
    ann.post(tea, "the second line")
    reading.wait_shown("the second line")
    assert sorted(reading.shown) == [1, 2]
    assert "Traceback" not in server.log()


def test_a_direct_room_has_a_dot_while_the_other_is_here(ann, bob):
    rid = ann.submit("/rooms", "/people", kind="direct", members=bob.uid).headers["location"]
    elsewhere = Page(ann).watch("")
    Page(bob).watch("")
    dots = elsewhere.wait_for(f'class="dot" data-uid="{bob.uid}"')
    assert f"#here-{rid.rpartition('/')[2]}" in dots


def test_presence_is_the_same_in_every_process(tmp_path):
    running = Server(tmp_path / "chat", CHAT_WORKERS="2").start()
    try:
        ann, bob = Visitor(running.url, "Ann"), Visitor(running.url, "Bob")
        rid = ann.create_room("Tea", "closed", [bob.uid])
        reading = Page(ann).watch(rid)
        Page(bob).watch(rid)
        reading.wait_for("2 online")
    finally:
        running.clean_up()


# Time zones


def times(text):
    return re.findall(r'<time datetime="([^"]+)"[^>]*>([^<]+)</time>', text)


def in_zone(utc, zone):
    return f"{datetime.strptime(utc, '%Y-%m-%dT%H:%M%z').astimezone(ZoneInfo(zone)):%H:%M}"


def test_everybody_reads_times_in_a_zone_of_their_own(ann, bob, tea):
    """One event, pushed to three zones, and the same on the page and with JavaScript off."""
    save(ann, name="Ann", zone="Asia/Kolkata")
    save(bob, name="Bob", zone="America/Lima")
    pages = [Page(visitor).watch(tea) for visitor in (ann, bob)]
    for page in pages:
        page.wait_for("created this room")
    bob.post(tea, "What time is it?")
    for visitor, page, zone in zip(
        (ann, bob), pages, ("Asia/Kolkata", "America/Lima"), strict=True
    ):
        [(utc, shown)] = times(page.wait_for("What time is it?"))
        assert shown.endswith(in_zone(utc, zone))
        assert times(visitor.room(tea))[-1] == (utc, shown)
        assert f'row__time">{shown}<' in visitor.get("/").text


def test_a_new_zone_brings_open_pages_back(ann, tea):
    page = Page(ann).watch(tea)
    page.wait_for("created this room")
    save(ann, name="Ann", zone="Pacific/Auckland")
    assert page.wait_closed() == 1012
    page.reconnect()
    page.watch(tea)
    ann.post(tea, "Morning")
    [(utc, shown)] = times(page.wait_for("Morning"))
    assert shown.endswith(in_zone(utc, "Pacific/Auckland"))


def test_what_is_no_zone_is_the_chats_own(ann):
    for name in ("Mars/Olympus", "../../etc/passwd", "Etc/GMT+5"):
        save(ann, name="Ann", zone=name)
        assert "selected" not in ann.get("/me").text
    save(ann, name="Ann", zone="Europe/London")
    assert '<option value="Europe/London" selected>' in ann.get("/me").text
