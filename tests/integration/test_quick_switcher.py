"""The quick switcher, and the page of all unread messages, on the running chat."""

import html
import re

import pytest

from ..running import Visitor


@pytest.fixture
def zoe(server):
    return Visitor(server.url, "Zoë Zimmer")


def goes(visitor, q):
    answer = visitor.get("/go", params={"q": q})
    return answer.headers.get("location")


def offered(visitor, q):
    """Names as one types, the first first."""
    page = visitor.get("/go", params={"q": q}, headers={"HX-Request": "true"}).text
    return [html.unescape(n) for n in re.findall(r'switcher-results__name"><bdi>(.*?)</bdi>', page)]


# By name


def test_enter_goes_to_the_first_room_or_person(ann, zoe):
    square = zoe.create_room("Quarry square", "open")
    mine = ann.create_room("The quarry", "closed")
    ann.create_room("Requarrying", "closed")
    assert offered(ann, "quar") == ["The quarry", "Quarry square", "Requarrying"]
    assert goes(ann, "quar") == f"/rooms/{mine}"
    assert goes(ann, "QUARRY SQ") == f"/rooms/{square}"
    assert goes(ann, "zimm") == f"/people/{zoe.uid}"
    assert goes(zoe, "zimm") is None, "not to oneself"


def test_the_same_name_comes_first(ann):
    same = ann.create_room("Ox", "closed")
    ann.create_room("Ox cart", "closed")
    assert goes(ann, "ox") == f"/rooms/{same}"


def test_a_closed_room_is_offered_to_its_members_only(ann, zoe):
    ann.create_room("Vault", "closed")
    assert offered(zoe, "vault") == []
    assert goes(zoe, "vault") is None


def test_where_nothing_is_called_so_the_page_says_it_and_leads_on(ann):
    answer = ann.get("/go?q=nothing-is-called-that")
    assert answer.status_code == 200
    assert "No rooms or people match “nothing-is-called-that”." in answer.text
    assert "/search?q=nothing-is-called-that" in answer.text


def test_without_a_name_there_are_ones_rooms_and_all_can_be_shown(ann):
    ann.create_room("Barn one", "closed")
    ann.create_room("Barn two", "closed")
    assert "Barn one" in ann.get("/go").text
    page = ann.get("/go?q=barn&all=1")
    assert page.status_code == 200
    assert {"Barn one", "Barn two"} <= set(re.findall(r"<bdi>(Barn \w+)", page.text))
    assert offered(ann, "") == []


# What is unread


def unread(visitor):
    """What is unread in each room, as it reads."""
    page = visitor.get("/unread").text
    rooms = re.findall(r'unread__room"[^>]*><bdi>(.*?)</bdi>.*?<ol[^>]*>(.*?)</ol>', page, re.S)
    return {
        name: [
            " ".join(html.unescape(re.sub("<[^>]*>", " ", text)).split())
            for text in re.findall(r'found__text"[^>]*>(.*?)</span>', items)
        ]
        for name, items in rooms
    }


def test_each_room_with_something_unread_shows_the_first_of_it(ann, zoe):
    mill = ann.create_room("Mill", "closed", [zoe.uid])
    zoe.room(mill)
    for n in range(7):
        ann.post(mill, f"**flour** {n}")
    assert unread(zoe)["Mill"] == [f"Ann flour {n}" for n in range(5)]
    assert "Mill" not in unread(ann)
    assert f'href="/rooms/{mill}#new"' in zoe.get("/unread").text
    assert 'id="new"' in zoe.room(mill)
    assert "Mill" not in unread(zoe)


def test_what_begins_long_ago_leads_to_its_first_message(ann, zoe):
    mill = ann.create_room("Long mill", "closed", [zoe.uid])
    zoe.room(mill)
    for n in range(60):
        ann.post(mill, f"flour {n}")
    link = re.search(
        rf'class="button button--quiet" href="(/rooms/{mill}[^"]*)"', zoe.get("/unread").text
    )
    assert "flour 0" in zoe.get(link[1].partition("#")[0]).text


def test_what_was_deleted_is_not_shown(ann, zoe):
    mill = ann.create_room("Old mill", "closed", [zoe.uid])
    zoe.room(mill)
    ann.post(mill, "secret flour")
    ann.post(mill, "flour")
    first = re.search(rf"/rooms/{mill}/messages/\d+", zoe.get("/unread").text)[0]
    ann.submit(f"{first}/delete", f"{first}/edit")
    assert unread(zoe)["Old mill"] == ["Ann flour"]


def test_all_is_marked_as_read_but_what_came_meanwhile(ann, zoe):
    rooms = [ann.create_room(f"Mark {n}", "closed", [zoe.uid]) for n in range(2)]
    for rid in rooms:
        zoe.room(rid)
        ann.post(rid, "flour")
    page = zoe.get("/unread").text
    upto = re.findall(r'name="upto" value="([^"]+)"', page)
    assert {field.split()[0] for field in upto} == set(rooms)
    ann.post(rooms[1], "meanwhile")
    answer = zoe.submit("/unread/read", "/unread", upto=upto)
    assert answer.status_code == 303
    assert unread(zoe) == {"Mark 1": ["Ann meanwhile"]}


def test_nobody_marks_rooms_of_others(ann, zoe):
    rid = ann.create_room("Private", "closed")
    assert zoe.submit("/unread/read", "/me", upto=f"{rid} 1").status_code == 303


def test_who_has_read_everything_is_told_so(server):
    eve = Visitor(server.url, "Eve")
    assert "You are all caught up" in eve.get("/unread").text
