"""Reactions on the running chat: live, after reconnecting, and as plain forms."""

import html
import re

import pytest

from chat.store import Store

from ..running import Visitor
from .page import Page, reads

LIKE = "👍"


@pytest.fixture
def tea(ann, bob):
    """A room with one message, number 3."""
    rid = ann.create_room("Tea")
    bob.join(rid)
    ann.post(rid, "hello")
    return rid


def react(visitor, rid, seq, emoji, shown=0, **fields):
    return visitor.submit(f"/rooms/{rid}/reactions", react=f"{seq} {shown} {emoji}", **fields)


def row(page_html, seq):
    """Emoji, count and names of the reactions to a message."""
    line = re.search(rf'<li id="m-{seq}".*?</li>', page_html, re.S)[0]
    return [
        f"{reads(text)}: {html.unescape(title)}"
        for title, text in re.findall(r'class="reaction".*?title="([^"]*)">(.*?)</button>', line)
    ]


def test_a_reaction_appears_and_goes_in_every_page_that_shows_the_message(ann, bob, tea):
    pages = [Page(ann).watch(tea), Page(bob).watch(tea)]
    for page in pages:
        page.wait_shown("hello")
    react(bob, tea, 3, LIKE)
    for page in pages:
        told = page.wait_for("reacted with")
        assert f"""#messages[data-live='{tea}'] > #m-3 .reactions" hx-swap="innerHTML">""" in (
            html.unescape(told)
        )
        assert f'value="3 4 {LIKE}" data-uid="{bob.uid}" title="Bob">{LIKE} 1</button>' in told
        assert 'hx-target="#rooms"' not in told, "the list stays as it is"
    react(bob, tea, 3, LIKE, shown=4)
    for page in pages:
        assert '.reactions" hx-swap="innerHTML"></hx-partial>' in page.wait_for("removed")
    assert pages[0].bodies == ["hello"]


def test_who_looks_elsewhere_hears_nothing_of_it(ann, bob, tea):
    page = Page(bob).watch("")
    react(ann, tea, 3, LIKE)
    ann.post(tea, "news")
    told = page.wait_for("news")
    assert told.count(f'"#unread-{tea}" hx-swap="beforeend"><i></i>') == 1
    assert LIKE not in "".join(page.frames)
    assert bob.get("/").text.count("<i></i>") == 2, "hello and news"


def test_who_comes_back_is_shown_how_it_is_now(ann, bob, tea):
    page = Page(bob).watch(tea)
    page.wait_shown("hello")
    page.close()
    for visitor in (ann, bob):
        react(visitor, tea, 3, LIKE)
    react(ann, tea, 3, "🎉")
    react(ann, tea, 3, LIKE, shown=99)
    page.reconnect()
    told = page.watch(tea).wait_for("removed")
    assert f"{LIKE} 1</button>" in told
    assert f"{LIKE} 2</button>" not in told
    assert 'hx-target="#rooms"' not in told
    assert row(bob.room(tea), 3) == [f"{LIKE} 1: Bob", "🎉 1: Ann"]


def test_without_scripts_a_form_reacts_and_leads_back(ann, bob, tea):
    answer = react(bob, tea, 3, LIKE)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/rooms/{tea}#m-3")
    answer = react(bob, tea, 3, LIKE)
    assert answer.status_code == 303, "sent twice"
    assert row(bob.room(tea), 3) == [f"{LIKE} 1: Bob"]
    page = bob.get(f"/rooms/{tea}/messages/3").text
    assert row(page, 3) == [f"{LIKE} 1: Bob"]
    assert re.search(f'value="3 4 {LIKE}" aria-pressed="true"', page)
    answer = bob.submit(f"/rooms/{tea}/reactions", react="3 4", emoji="🦊")
    assert answer.status_code == 303
    assert row(ann.room(tea), 3) == [f"{LIKE} 1: Bob", "🦊 1: Bob"]
    for n in range(60):
        ann.post(tea, f"m{n}")
    answer = react(ann, tea, 3, LIKE)
    assert answer.headers["location"] == f"/rooms/{tea}/messages/3#m-3"


def test_what_is_no_emoji_comes_back_with_the_reason(ann, tea):
    answer = ann.submit(f"/rooms/{tea}/reactions", react="3 0", emoji="<lol>")
    assert answer.status_code == 400
    assert "a single emoji" in answer.text
    assert 'value="&lt;lol&gt;"' in answer.text
    headers = {"HX-Request": "true"}
    token = re.search(r'name="csrf_token" value="([^"]+)"', ann.room(tea))[1]
    fields = {"csrf_token": token, "react": "3 0 x"}
    answer = ann.http.post(f"/rooms/{tea}/reactions", data=fields, headers=headers)
    assert (answer.status_code, 'role="alert"' in answer.text) == (400, True)


@pytest.mark.parametrize("stored", ["→\ufe0f", "☐\ufe0f", "🇽🇽", "⌈\ufe0f"])
def test_a_stored_symbol_that_is_no_emoji_can_be_taken_back_and_not_added(
    server, ann, bob, tea, stored
):
    """Earlier versions took them. A form that is sent twice changes nothing."""
    with server.redis() as client:
        store = Store(client)
        store.messages.react(tea, store.people.get(ann.uid), 3, stored, "on")
    assert row(ann.room(tea), 3) == [f"{stored} 1: Ann"]
    assert react(bob, tea, 3, stored, shown=4).status_code == 400
    assert row(ann.room(tea), 3) == [f"{stored} 1: Ann"]
    for _ in range(2):
        assert react(ann, tea, 3, stored, shown=4).status_code == 303
        assert row(ann.room(tea), 3) == []
    assert react(ann, tea, 3, stored, shown=5).status_code == 400
    react(ann, tea, 3, LIKE)
    assert react(ann, tea, 3, stored, shown=0).status_code == 303, "as a form sent twice"
    assert row(ann.room(tea), 3) == [f"{LIKE} 1: Ann"]


def test_a_symbol_tells_a_stranger_no_more_than_an_emoji(server, ann, tea):
    eve = Visitor(server.url, "Eve")
    answers = [react(eve, rid, 3, text) for rid in (tea, "none") for text in (LIKE, "→\ufe0f")]
    assert [answer.status_code for answer in answers] == [404] * 4


@pytest.mark.parametrize("react", ["", "3", "x y 👍", "99 0 👍", "1 0 👍", "3 x 👍 👍", "-3 0 👍"])
def test_what_makes_no_sense_is_refused(ann, tea, react):
    answer = ann.submit(f"/rooms/{tea}/reactions", react=react)
    assert answer.status_code in (400, 404)
    assert row(ann.room(tea), 3) == []


def test_a_menu_is_shown_in_the_message_or_on_its_page(ann, bob, tea):
    answer = bob.get(f"/rooms/{tea}/menu?after=3")
    assert answer.headers["location"] == f"/rooms/{tea}/messages/3?menu=1#m-3"
    assert '<details class="message-actions" open>' in bob.get(answer.headers["location"]).text
    assert '<details class="message-actions">' in bob.get(f"/rooms/{tea}/messages/3").text
    told = {v: v.get(f"/rooms/{tea}/menu?after=3", headers={"HX-Request": "1"}) for v in (ann, bob)}
    for answer in told.values():
        assert 'hx-target="#messages > #m-3 .message__main"' in answer.text
        assert answer.text.count('class="reaction"') == 8
    assert "Edit or delete" in told[ann].text
    assert "Edit or delete" not in told[bob].text
    assert ann.get(f"/rooms/{tea}/menu?after=99").status_code == 404


def test_the_stream_without_scripts_says_who_reacted(ann, bob, tea):
    with bob.http.stream("GET", f"/rooms/{tea}/stream?after=2") as answer:
        pieces = answer.iter_text()
        head = next(pieces)
        assert '<form id="react"' in head
        react(ann, tea, 3, LIKE)
        said = next(text for text in pieces if "reacted with" in text)
        assert LIKE in said


def test_markup_in_names_stays_text(server, ann, tea):
    from ..running import Visitor

    eve = Visitor(server.url, "<b>\"Eve'")
    eve.join(tea)
    react(eve, tea, 3, LIKE)
    page = ann.room(tea)
    assert row(page, 3) == [f"{LIKE} 1: <b>\"Eve'"]
    assert "<b>" not in page
