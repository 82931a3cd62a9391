"""Drafts on the running chat."""

import html

import pytest
import redis

from chat.store import keys
from chat.store.drafts import Drafts

from ..running import wait_until
from .page import Page

ASKS = "/draft?nonce="  # where a page asks for the text that is kept


@pytest.fixture
def page(ann, tea):
    """Ann's page of the room, live."""
    page = Page(ann).watch(tea)
    page.wait_for("joined")
    return page


def draft(visitor, rid):
    """What a composer of the room is given; nothing without what asks for it."""
    asks, given = ASKS in visitor.room(rid), visitor.get(f"/rooms/{rid}/draft?nonce=n").text
    assert asks == bool(given)
    return given


def write(page, rid, body, nonce="n1"):
    """A pause in typing; waits until the text is kept."""
    page.say(type="name", room=rid, body=body, nonce=nonce)
    path = f"/rooms/{rid}/draft?nonce=n"
    wait_until(lambda: body in html.unescape(page.visitor.get(path).text), "the draft")


def test_what_was_written_is_there_for_its_author_in_its_room(ann, bob, tea, page):
    other = ann.create_room("Other")
    write(page, tea, "the kettle")
    assert 'value="the kettle"' in draft(ann, tea)
    assert draft(bob, tea) == draft(ann, other) == ""
    write(page, tea, "the kettle\n<is> on")
    assert ">the kettle\n&lt;is&gt; on</textarea>" in draft(ann, tea)
    swap = ann.get(f"/rooms/{tea}", headers={"HX-Request": "true"})
    assert ASKS in swap.text


def test_what_is_sent_is_kept_no_longer(ann, tea, page):
    """Not what stood in the field at the last pause, and not what was kept from an earlier page."""
    write(page, tea, "the ket", "n1")
    page.post(tea, "the kettle", "n1")
    page.wait_shown("the kettle")
    wait_until(lambda: draft(ann, tea) == "", "the draft to go")
    write(page, tea, "again", "n2")
    page.close()
    page.reconnect()
    page.watch(tea)
    page.say(type="post", room=tea, body="again", nonce="n3", kept="1")
    page.wait_shown("again")
    wait_until(lambda: draft(ann, tea) == "", "the draft to go")
    page.close()


def test_what_is_sent_beside_it_leaves_it(ann, tea, page):
    """A message that was refused is sent again, from a form before the one being typed in."""
    write(page, tea, "next", "n2")
    nonce = page.post(tea, "before", "n1")
    page.wait_for(f"#c-{nonce}")
    ann.submit(f"/rooms/{tea}/preview")
    assert 'value="next"' in draft(ann, tea)
    page.say(type="name", room=tea, body="", nonce="n2")
    wait_until(lambda: draft(ann, tea) == "", "the emptied draft to go")


def test_what_was_on_its_way_is_kept_no_longer_when_it_is_stored(ann, tea, page):
    write(page, tea, "on its w", "n1")
    page.close()
    page.reconnect()
    page.watch(tea, to=[tea], nonce=["n1"], body=["on its way"], reply=[""])
    page.wait_shown("on its way")
    wait_until(lambda: draft(ann, tea) == "", "the draft to go")
    page.close()


def test_a_form_that_is_sent_ends_it_and_leaving_does(ann, bob, tea, page):
    write(page, tea, "one")
    ann.post(tea, "two")
    assert draft(ann, tea) == ""
    theirs = Page(bob).watch(tea)
    theirs.wait_for("two")
    write(theirs, tea, "mine")
    bob.submit(f"/rooms/{tea}/leave")
    bob.join(tea)
    assert draft(bob, tea) == ""


def test_nothing_is_kept_of_a_room_that_is_not_on_screen(ann, tea, page):
    write(page, tea, "here")
    page.say(type="name", room=ann.create_room("Other"), body="there", nonce="n2")
    page.say(type="name", room=tea, body="here still", nonce="n1")
    wait_until(lambda: "here still" in draft(ann, tea), "the draft")


# The store


@pytest.fixture
def bea(store):
    return store.people.create("Bea")


def test_drafts_last_a_while_and_only_what_could_be_sent(client, store, bea):
    store.drafts.keep(bea.uid, "r1", "  tea\x00 \ud800")
    assert store.drafts.of(bea.uid, "r1") == "tea"
    assert 0 < client.ttl(keys.drafts(bea.uid)) <= 30 * 24 * 3600
    for text in (" \n", "x" * 4001):
        store.drafts.keep(bea.uid, "r1", text)
        assert client.exists(keys.drafts(bea.uid)) == 0


def test_a_message_ends_what_is_its_beginning(store, bea):
    for body, left in (("tea for two", ""), ("coffee", "tea"), ("tea", "")):
        store.drafts.keep(bea.uid, "r1", "tea")
        store.drafts.sent(bea.uid, "r1", body)
        assert store.drafts.of(bea.uid, "r1") == left


def test_an_export_holds_no_drafts(store, bea):
    rid = store.rooms.create("Tea", "open", bea)
    store.drafts.keep(bea.uid, rid, "not for others")
    records = list(store.exporter(whole=True, secrets=True).everything())
    assert bea.uid in str(records)
    assert "not for others" not in str(records)


def test_while_the_database_is_away_nothing_is_refused():
    with redis.Redis(port=1, decode_responses=True) as nowhere:
        drafts = Drafts(nowhere)
        drafts.keep("bea", "r1", "tea")
        drafts.sent("bea", "r1", "tea")
        assert drafts.of("bea", "r1") == ""
