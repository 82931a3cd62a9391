"""Finding messages on the running chat: only those that the person may read, in their present
form."""

import html
import re

import pytest

from ..running import Visitor, alive, children, cmdline, wait_until


@pytest.fixture
def tea(ann, bob):
    """A closed room of Ann's with Bob in it."""
    return ann.create_room("Tea", "closed", [bob.uid])


def hits(visitor, q, **more):
    """What a search finds, as it reads, by the addresses of the messages."""
    page = visitor.get("/search", params={"q": q, **more}).text
    links = re.findall(r'class="found__link" href="([^"#]+)#m-\d+">(.*?)</a>', page, re.S)
    return {address: re.sub(r"\s+", " ", html.unescape(text)) for address, text in links}


def wait_for(visitor, q, count=1):
    """Until a search finds so many messages."""
    wait_until(lambda: len(hits(visitor, q)) == count, f"{count} messages with {q!r}")
    return hits(visitor, q)


def test_a_message_is_found_by_its_words_and_leads_to_its_place(ann, bob, tea):
    ann.post(tea, "The kettle <sings>")
    ((address, text),) = wait_for(bob, "KETTLE").items()
    assert "Tea" in text
    assert "Ann" in text
    assert "The <mark>kettle</mark> <sings>" in text
    assert "The kettle" in bob.get(address).text
    assert hits(bob, "kett")
    assert hits(bob, '"kettle sings"')
    assert not hits(bob, '"sings kettle"')


def test_who_is_not_in_a_room_finds_nothing_of_it(server, ann, bob, tea):
    ann.post(tea, "hedgehog in the garden")
    wait_for(bob, "hedgehog")
    eve = Visitor(server.url, "Eve")
    eve.create_room("Tea", "closed")
    assert not hits(eve, "hedgehog")
    assert not hits(eve, "hedgehog in:Tea")
    assert not hits(eve, "in:Tea from:Ann")
    assert "hedgehog in the" not in eve.get("/search?q=hedgehog").text
    bob.submit(f"/rooms/{tea}/leave", f"/rooms/{tea}/leave")
    assert not hits(bob, "hedgehog")


def test_an_open_room_is_searched_by_those_who_have_joined(server, ann):
    rid = ann.create_room("Square", "open")
    ann.post(rid, "fireworks tonight")
    wait_for(ann, "fireworks")
    eve = Visitor(server.url, "Eve")
    assert not hits(eve, "fireworks")
    eve.join(rid)
    assert hits(eve, "fireworks")


def test_what_was_changed_or_deleted_is_found_as_it_is(ann, tea):
    ann.post(tea, "rhubarb pie")
    ((address, _),) = wait_for(ann, "rhubarb").items()
    ann.submit(f"{address}/edit", f"{address}/edit", body="apple pie of mine")
    assert not hits(ann, "rhubarb"), "at once, however late the index is"
    wait_for(ann, '"apple pie of mine"')
    ann.submit(f"{address}/delete", f"{address}/edit")
    assert not hits(ann, '"apple pie of mine"')


def test_a_person_a_room_and_days_narrow_it(ann, bob, tea):
    other = ann.create_room("Kitchen garden", "closed", [bob.uid])
    for visitor, rid in ((ann, tea), (bob, tea), (bob, other)):
        visitor.post(rid, "parsnip soup")
    wait_for(ann, "parsnip", 3)
    assert len(hits(ann, "parsnip from:bob")) == 2
    assert len(hits(ann, "parsnip from:me")) == 1
    assert len(hits(ann, 'parsnip in:"Kitchen garden"')) == 1
    assert len(hits(ann, "parsnip in:garden from:bob")) == 1
    assert len(hits(ann, "parsnip on:today")) == 3
    assert not hits(ann, "parsnip before:yesterday")
    assert not hits(ann, "parsnip after:today")
    assert len(hits(ann, "in:garden")) == 1


@pytest.mark.parametrize("name", ["Herb garden", 'The "garden"', "& co?"])
def test_a_room_leads_to_a_search_of_its_own(ann, name):
    rid = ann.create_room(name, "closed")
    other = ann.create_room("Meadow", "closed")
    for room in (rid, other):
        ann.post(room, f"sorrel of {name}")
    wait_for(ann, "sorrel", 2)
    page = html.unescape(ann.get(f"/rooms/{rid}/people").text)
    link = re.search(r'href="(/search\?[^"]*)"', page)[1]
    found = re.findall(r'found__link" href="/rooms/([^/]+)/', ann.get(link).text)
    assert set(found) == {rid}


@pytest.mark.parametrize(
    ("q", "told"),
    [
        ("in:nowhere-at-all", "You are not in a room called “nowhere-at-all”."),
        ("from:nobody-at-all", "Nobody here is called “nobody-at-all”."),
        ("on:someday", "“someday” is not a date."),
        ("from:", "Write a name after from:"),
        ("never-written-anywhere", "No messages found"),
        ("", "both words, in any order"),
        ('") OR (*', "both words, in any order"),
    ],
)
def test_what_cannot_be_found_is_told_in_plain_words(ann, q, told):
    answer = ann.get("/search", params={"q": q})
    assert answer.status_code in (200, 400)
    assert told in html.unescape(answer.text)
    assert f'value="{html.escape(q)}"'.replace("&quot;", "&#34;") in answer.text, (
        "what was typed stays"
    )


def test_pages_go_back_to_the_oldest(ann):
    rid = ann.create_room("Long", "closed")
    for n in range(45):
        ann.post(rid, f"walnut {n}")
    wait_for(ann, "walnut 44")
    seen, page = [], "/search?q=walnut"
    while page:
        text = ann.get(page).text
        seen += re.findall(r"</mark> (\d+)", text)
        older = re.search(r'href="(/search\?[^"]*older=[^"]*)"', text)
        page = html.unescape(older[1]) if older else ""
    assert seen == [str(n) for n in range(44, -1, -1)]


def test_as_one_types_only_what_was_found_is_sent(ann, tea):
    ann.post(tea, "marmalade")
    wait_for(ann, "marmalade")
    answer = ann.get("/search?q=marma", headers={"HX-Request": "true"})
    assert "<mark>marmalade</mark>" in answer.text
    assert "<html" not in answer.text
    assert '<hx-partial hx-target="#told"' in answer.text


def test_a_file_is_found_by_its_name(ann, tea):
    page = ann.get(f"/rooms/{tea}").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    fields = {"csrf_token": token, "body": ""}
    sent = {"files": ("Almanac 1898.txt", b"rain", "text/plain")}
    assert ann.http.post(f"/rooms/{tea}/messages", data=fields, files=sent).status_code == 303
    ((_, text),) = wait_for(ann, "almanac").items()
    assert "<mark>Almanac</mark> 1898.txt" in text


def test_programs_find_the_same_by_the_api(ann, bob, tea):
    ann.post(tea, "gooseberry one")
    ann.post(tea, "gooseberry two")
    wait_for(bob, "gooseberry", 2)
    page = bob.submit("/tokens/" + bob.uid, "/me/tokens", name="x", scopes="read").text
    token = re.search(r'value="(chat_[\w-]+)"', page)[1]
    headers = {"Authorization": f"Bearer {token}"}
    asked = {"q": "gooseberry in:Tea", "limit": "1"}
    first = bob.get("/api/search", params=asked, headers=headers).json()
    assert [(hit["room"], hit["message"]["body"]) for hit in first["hits"]] == [
        (tea, "gooseberry two")
    ]
    second = bob.get("/api/search", params={**asked, "older": first["older"]}, headers=headers)
    assert [hit["message"]["body"] for hit in second.json()["hits"]] == ["gooseberry one"]
    assert second.json()["older"] == ""
    refused = bob.get("/api/search", params={"q": "on:someday"}, headers=headers)
    assert refused.status_code == 400


def test_a_chat_that_cannot_keep_an_index_says_so(fresh_server):
    ann = Visitor(fresh_server.url, "Ann")
    rid = ann.create_room("Tea")
    ann.post(rid, "tea")
    wait_for(ann, "tea")
    fresh_server.stop()
    for path in fresh_server.data.glob("search.sqlite*"):
        path.unlink()
    (fresh_server.data / "search.sqlite").mkdir()
    fresh_server.start()
    text = ann.get("/search?q=tea").text
    assert "Messages are still being indexed" in text
    (fresh_server.data / "search.sqlite").rmdir()


def test_the_indexer_ends_with_its_chat_and_finds_later_what_it_missed(fresh_server):
    ann = Visitor(fresh_server.url, "Ann")
    rid = ann.create_room("Tea")
    ann.post(rid, "before")
    wait_for(ann, "before")
    (indexer,) = (
        pid for pid in children(fresh_server.process.pid) if b"chat\0indexer\0" in cmdline(pid)
    )
    fresh_server.kill()
    wait_until(lambda: not alive(indexer), "the end of the indexer")
    (fresh_server.data / "search.sqlite").unlink()
    fresh_server.start()
    wait_for(ann, "before")
