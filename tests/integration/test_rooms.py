"""Rooms on the running chat: picking people, changing a room, leaving it; open pages show the
changes. test_store_rooms.py tests the store."""

import re

import pytest

from ..running import Visitor
from .page import Page, reads


@pytest.fixture
def cid(server):
    return Visitor(server.url, "Cid")


@pytest.fixture
def tea(ann, bob):
    """A closed room of Ann's with Bob in it."""
    return ann.create_room("Tea", "closed", [bob.uid])


def watching(visitor, rid):
    """An open page of the room, live."""
    page = Page(visitor).watch(rid)
    page.wait_for("created this room")
    return page


# Starting


def test_a_closed_room_begins_with_the_people_picked(tea, ann, bob, cid):
    assert "Closed room" in bob.room(tea)
    assert cid.get(f"/rooms/{tea}").status_code == 404
    assert cid.submit(f"/rooms/{tea}/join").status_code == 404
    assert "Tea" not in cid.get("/rooms").text


def test_the_people_picked_stay_through_searches(ann, bob, cid):
    """Find, without JavaScript: what was typed and ticked comes back."""
    page = ann.get(f"/rooms/new?name=Club&about=Books&kind=closed&q=cid&members={bob.uid}").text
    assert 'value="Club"' in page
    assert 'value="Books"' in page
    assert re.search(r'value="closed" checked', page)
    assert re.search(rf'value="{bob.uid}" checked', page)
    assert f'value="{cid.uid}"' in page


def test_enter_in_the_search_field_is_a_search(ann, bob):
    answer = ann.submit("/rooms", "/rooms/new", name="Club", kind="open", q="bo", members=bob.uid)
    assert answer.status_code == 200
    assert 'value="Club"' in answer.text
    assert re.search(rf'value="{bob.uid}" checked', answer.text)
    answer = ann.submit("/rooms", "/rooms/new", name="Club", kind="open", q="bo", do="start")
    assert answer.status_code == 303


def test_a_search_as_one_types_gives_boxes_only(ann, bob):
    answer = ann.get(f"/people/picker?q=nobody-is-called-that&members={bob.uid}")
    assert "<html" not in answer.text
    assert re.search(rf'value="{bob.uid}" checked', answer.text)
    assert "Nobody else matches" in answer.text


def test_a_refused_room_keeps_what_was_picked(ann, bob):
    answer = ann.submit("/rooms", "/rooms/new", name="", kind="closed", members=bob.uid)
    assert answer.status_code == 400
    assert re.search(rf'value="{bob.uid}" checked', answer.text)
    assert re.search(r'value="closed" checked', answer.text)


def test_an_id_that_is_nobodys_is_not_picked(ann, bob):
    """Ids that are names of keys among them."""
    picked = [bob.uid, "random_rooms", "chat:rooms:open", "../x", ""]
    rid = ann.create_room("Club", "closed", picked)
    assert "2 members" in ann.room(rid)


def test_writing_to_the_same_people_leads_to_the_same_room(ann, bob, cid):
    first = ann.submit("/rooms", "/people", kind="direct", members=bob.uid)
    assert first.status_code == 303
    again = bob.submit("/rooms", "/people", kind="direct", members=ann.uid)
    assert again.headers["location"] == first.headers["location"]
    group = ann.submit("/rooms", "/people", kind="direct", members=[bob.uid, cid.uid])
    assert group.headers["location"] != first.headers["location"]
    assert '<h1 id="room-name" class="panel__name"><bdi>Bob</bdi>' in ann.room(
        first.headers["location"].rpartition("/")[2]
    )


def test_writing_to_nobody_is_explained(ann):
    answer = ann.submit("/rooms", "/people", kind="direct")
    assert answer.status_code == 400
    assert "Choose between one and 9 people" in answer.text


# Changing


def test_a_new_name_appears_everywhere_at_once(tea, ann, bob):
    reading, elsewhere = watching(bob, tea), Page(bob).watch("")
    fields = {"name": "Coffee", "about": "Beans", "kind": "closed"}
    assert ann.submit(f"/rooms/{tea}/edit", f"/rooms/{tea}/edit", **fields).status_code == 303
    shown = reading.wait_for("Ann renamed the room to Coffee")
    assert f"#panel[data-room='{tea}'] .panel__name" in shown
    assert "<title>Coffee · Chat</title>" in shown
    assert f'hx-target="#name-{tea}"' in elsewhere.wait_for("Coffee")
    topic = "Ann set the topic to Beans"  # in the same frame when both came in one turn
    assert topic in reads(shown) or reading.wait_for(topic)
    assert "Coffee" in bob.room(tea)
    assert "Beans" in bob.room(tea)


def test_a_name_that_cannot_be_used_changes_nothing(tea, ann):
    answer = ann.submit(
        f"/rooms/{tea}/edit", f"/rooms/{tea}/edit", name="", about="All new", kind="open"
    )
    assert answer.status_code == 400
    assert 'value="All new"' in answer.text
    page = ann.room(tea)
    assert "Closed room" in page
    assert "All new" not in page


def test_an_opened_room_is_found_and_closed_again(tea, ann, bob, cid):
    reading = watching(bob, tea)
    fields = {"name": "Tea", "about": ""}
    ann.submit(f"/rooms/{tea}/edit", f"/rooms/{tea}/edit", kind="open", **fields)
    reading.wait_for("opened the room to everyone")
    assert cid.get(f"/rooms/{tea}").status_code == 200
    ann.submit(f"/rooms/{tea}/edit", f"/rooms/{tea}/edit", kind="closed", **fields)
    reading.wait_for("only members can find it")
    assert cid.get(f"/rooms/{tea}").status_code == 404


# People come and go


def test_who_is_added_sees_the_room_appear(tea, ann, bob, cid):
    reading, waiting = watching(bob, tea), Page(cid).watch("")
    ann.submit(f"/rooms/{tea}/people", f"/rooms/{tea}/people", members=cid.uid)
    shown = reading.wait_for("Ann added Cid")
    assert "3 members" in shown
    waiting.wait_for(f'id="room-{tea}"')
    assert cid.post(tea, "Thank you").status_code == 303
    reading.wait_shown("Thank you")


def test_who_is_removed_is_out_at_once(tea, ann, bob):
    watched, other = watching(bob, tea), watching(ann, tea)
    path = f"/rooms/{tea}/people"
    assert ann.submit(f"{path}/{bob.uid}/remove", path).status_code == 303
    watched.wait_for("You are no longer in this room")
    assert "1 member" in other.wait_for("Ann removed Bob")
    assert bob.get(f"/rooms/{tea}").status_code == 404
    nonce = watched.post(tea, "still here?")
    watched.wait_for("There is no such room")
    assert nonce
    ann.post(tea, "among ourselves")
    other.wait_shown("among ourselves")
    assert "among ourselves" not in watched.bodies


def test_leaving_takes_the_room_off_every_page(tea, ann, bob):
    watched, reading = watching(bob, tea), watching(ann, tea)
    assert "somebody who manages" in bob.get(f"/rooms/{tea}/leave").text
    assert bob.submit(f"/rooms/{tea}/leave").status_code == 303
    watched.wait_for("You are no longer in this room")
    watched.wait_for("You have not joined any rooms yet")
    assert "1 member" in reading.wait_for("Bob left")
    assert bob.submit(f"/rooms/{tea}/leave").status_code == 404


@pytest.mark.parametrize("kind", ["open", "closed"])
def test_who_is_not_in_a_room_cannot_leave_or_end_it(ann, bob, cid, kind):
    rid = ann.create_room("Tea", kind, [bob.uid])
    for act in ("leave", "end"):
        assert cid.submit(f"/rooms/{rid}/{act}").status_code in (403, 404)
    assert bob.submit(f"/rooms/{rid}/end").status_code == 403
    assert "2 members" in ann.room(rid)
    assert "left" not in reads(ann.room(rid))


def test_the_owner_is_asked_whom_to_hand_the_room_to(tea, ann, bob):
    assert ann.submit(f"/rooms/{tea}/leave").status_code == 403
    assert f'<option value="{bob.uid}">Bob' in ann.get(f"/rooms/{tea}/leave").text
    answer = ann.submit(f"/rooms/{tea}/owner", f"/rooms/{tea}/leave", uid=bob.uid, leave="1")
    assert answer.headers["location"] == "/"
    assert "the owner of the room" in bob.room(tea)
    assert bob.get(f"/rooms/{tea}/edit").status_code == 200
    assert ann.get(f"/rooms/{tea}").status_code == 404


def test_handing_over_to_who_is_not_there_is_refused(tea, ann, cid):
    answer = ann.submit(f"/rooms/{tea}/owner", f"/rooms/{tea}/leave", uid=cid.uid)
    assert answer.status_code == 400
    assert "must be one of the members" in answer.text


def test_an_ended_room_is_nowhere(tea, ann, bob):
    watched = watching(bob, tea)
    assert "disappears for all of its 2 members" in ann.get(f"/rooms/{tea}/end").text
    assert ann.submit(f"/rooms/{tea}/end").status_code == 303
    watched.wait_for("You are no longer in this room")
    for visitor in (ann, bob):
        assert visitor.get(f"/rooms/{tea}").status_code == 404
        assert f"room-{tea}" not in visitor.get("/").text


@pytest.mark.parametrize(("epoch", "shown"), [("", []), ("another", ["one", "two"])])
def test_the_stream_without_javascript_knows_another_life_of_the_database(tea, ann, epoch, shown):
    """Its numbers were given once more: those of the page count for nothing."""
    for body in ("one", "two"):
        ann.post(tea, body)
    with ann.http.stream("GET", f"/rooms/{tea}/stream?after=3&epoch={epoch}") as answer:
        pieces = answer.iter_text()
        text = next(pieces)
        ann.post(tea, "three")
        while "three" not in text:
            text += next(pieces)
    assert [body for body in ("one", "two") if f">{body}</div>" in text] == shown


def test_the_stream_without_javascript_ends_with_the_membership(tea, ann, bob):
    with bob.http.stream("GET", f"/rooms/{tea}/stream") as answer:
        text = ""
        for piece in answer.iter_text():
            if 'class="messages"' in piece:
                ann.submit(f"/rooms/{tea}/people/{bob.uid}/remove", f"/rooms/{tea}/people")
            text += piece
    assert "http-equiv" in text  # it asks once more, and is refused
    assert bob.get(f"/rooms/{tea}/stream").status_code == 404


# Who may do what


@pytest.mark.parametrize("path", ["edit", "end", "owner", "people"])
def test_only_who_manages_a_room_changes_it(tea, ann, bob, cid, path):
    fields = {"name": "Mine", "about": "", "kind": "open", "uid": bob.uid, "members": cid.uid}
    assert bob.submit(f"/rooms/{tea}/{path}", **fields).status_code == 403
    assert cid.submit(f"/rooms/{tea}/{path}", **fields).status_code == 404
    assert bob.submit(f"/rooms/{tea}/people/{ann.uid}/remove").status_code == 403
    assert "Add people" not in bob.get(f"/rooms/{tea}/people").text


def test_strangers_meet_and_part(server):
    """Two who do not know each other; the button is back when both have left."""
    dan, eve = Visitor(server.url, "Dan"), Visitor(server.url, "Eve")
    assert 'href="/rooms/random"' in dan.get("/").text
    room = dan.submit("/rooms/random", "/rooms/random").headers["location"]
    assert eve.submit("/rooms/random", "/rooms/random").headers["location"] == room
    assert 'href="/rooms/random"' not in dan.get("/").text
    rid = room.rpartition("/")[2]
    reading = watching(dan, rid)
    assert eve.submit(f"/rooms/{rid}/leave").status_code == 303
    reading.wait_for("Eve left")
    assert dan.submit(f"/rooms/{rid}/leave").status_code == 303
    reading.wait_for('href="/rooms/random"')
    assert eve.submit("/rooms/random", "/rooms/random").headers["location"] != room


# Messages change


def test_an_edit_is_seen_where_the_message_stands(tea, ann, bob):
    reading = watching(bob, tea)
    ann.post(tea, "Teh kettle")
    reading.wait_shown("Teh kettle")
    seq = max(reading.shown)
    page = ann.get(f"/rooms/{tea}/messages/{seq}").text
    assert f'href="/rooms/{tea}/messages/{seq}/edit"' in page
    at = f"/rooms/{tea}/messages/{seq}/edit"
    assert "Teh kettle</textarea>" in ann.get(at).text
    assert ann.submit(at, at, body="The kettle").status_code == 303
    shown = reading.wait_for("The kettle")
    assert f"> #m-{seq} .message__body" in shown.replace("&gt;", ">")
    assert "edited" in bob.room(tea)
    assert "Teh kettle" not in bob.room(tea)
    answer = ann.submit(at, at, body="  ")
    assert answer.status_code == 400
    assert "empty" in answer.text


def test_a_deleted_message_is_gone_for_everyone(tea, ann, bob):
    reading = watching(bob, tea)
    ann.post(tea, "Oops, a secret")
    reading.wait_shown("Oops, a secret")
    seq = max(reading.shown)
    assert ann.submit(f"/rooms/{tea}/messages/{seq}/delete").status_code == 303
    assert f"> #m-{seq}" in reading.wait_for("A message was deleted").replace("&gt;", ">")
    for visitor in (ann, bob):
        assert "Oops" not in visitor.room(tea) + visitor.get("/").text
    assert ann.get(f"/rooms/{tea}/messages/{seq}").status_code == 404


def test_what_others_wrote_is_theirs(tea, ann, bob, cid):
    ann.post(tea, "Mine")
    at = f"/rooms/{tea}/messages/2"
    assert "edit" not in bob.get(at).text.partition("panel__foot")[2]
    for visitor, status in ((bob, 403), (cid, 404)):
        assert visitor.get(f"{at}/edit").status_code == status
        assert visitor.submit(f"{at}/edit", body="Yours").status_code == status
        assert visitor.submit(f"{at}/delete").status_code == status
    assert ">Mine</div>" in ann.room(tea)
