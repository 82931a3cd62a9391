"""Replies: a message shows the one that it answers, in its present form."""

import html
import re

import pytest

from .page import Page, reads


@pytest.fixture
def tea(ann, bob):
    """A room with one message, number 3."""
    rid = ann.create_room("Tea")
    bob.join(rid)
    ann.post(rid, "tea at four?\nOr at five")
    return rid


def reply(visitor, rid, to, body):
    return visitor.submit(f"/rooms/{rid}/messages", body=body, reply=str(to))


def quotes(page_html):
    found = re.findall(r'<a class="quote" href="([^"]+)">(.*?)</a>', page_html, re.S)
    return [(href, reads(text)) for href, text in found]


def test_the_quote_comes_with_the_message_and_stays_in_the_history(ann, bob, tea):
    page = Page(ann).watch(tea)
    page.wait_shown("tea at four?\nOr at five")
    reply(bob, tea, 3, "with pleasure")
    expected = [(f"/rooms/{tea}/messages/3#m-3", "Ann tea at four?…")]
    assert quotes(page.wait_for(">with pleasure</div>")) == expected
    assert quotes(ann.room(tea)) == expected
    with bob.http.stream("GET", f"/rooms/{tea}/stream?after=3") as answer:
        text = ""
        for piece in answer.iter_text():
            text += piece
            if "with pleasure" in text:
                break
    assert quotes(text) == expected


def test_it_is_quoted_as_it_is_now(ann, bob, tea):
    reply(bob, tea, 3, "yes")
    page = Page(bob).watch(tea)
    page.wait_shown("yes")
    at = f"/rooms/{tea}/messages/3"
    ann.submit(f"{at}/edit", f"{at}/edit", body="coffee at four?")
    told = html.unescape(page.wait_for("edited a message"))
    where = f"#messages[data-live='{tea}'] .quote[href$='/messages/3#m-3']"
    assert f'hx-target="{where} .quote__text" hx-swap="textContent">coffee at four?<' in told
    assert quotes(ann.room(tea)) == [(f"{at}#m-3", "Ann coffee at four?")]
    page.close()
    page.reconnect()
    ann.submit(f"{at}/delete", f"{at}/edit")
    page.watch(tea)
    page.wait_for(f'hx-target="{where}" hx-swap="textContent">A message was deleted<')
    assert quotes(ann.room(tea)) == [(f"{at}#m-3", "A message was deleted")]


@pytest.mark.parametrize("to", ["0", "1", "4", "99", "-3", "x", ""])
def test_what_answers_no_message_is_an_ordinary_one(ann, bob, tea, to):
    reply(bob, tea, to, "all the same")
    page = ann.room(tea)
    assert ">all the same</div>" in page
    assert quotes(page) == []


def test_a_resend_keeps_its_reply(ann, bob, tea):
    """What was on its way when the line broke still answers what it answered."""
    page = Page(bob).watch(tea)
    pending = {"nonce": ["r1", "r2"], "body": ["one", "two"], "reply": ["", "3"]}
    page.watch(tea, to=[tea, tea], **pending)
    page.wait_for("#c-r2")
    page.watch(tea, to=[tea, tea], **pending)
    page.wait_shown("two")
    assert len(quotes(ann.room(tea))) == 1
    page.say(type="post", room=tea, nonce="r3", body="three", reply="3")
    page.wait_shown("three")
    assert len(quotes(ann.room(tea))) == 2
    page.watch(tea, to=tea, nonce="r4", body="an older page")
    page.wait_shown("an older page")


def test_the_composer_says_what_is_answered(ann, bob, tea):
    page = bob.get(f"/rooms/{tea}?reply=3").text
    assert '<input type="hidden" name="reply" value="3">' in page
    assert "Replying to Ann tea at four?…" in reads(page)
    assert 'name="reply" value=""' in bob.room(tea)
    assert 'name="reply" value=""' in bob.get(f"/rooms/{tea}?reply=1").text
    answer = bob.submit(f"/rooms/{tea}/messages", body=" ", reply="3")
    assert answer.status_code == 400
    assert 'name="reply" value="3"' in answer.text
    headers = {"HX-Request": "true"}
    answer = bob.get(f"/rooms/{tea}/reply?to=3", headers=headers).text
    assert 'name="reply" value="3"' in answer
    assert 'name="reply" value=""' in bob.get(f"/rooms/{tea}/reply", headers=headers).text


@pytest.mark.parametrize("where", ["composer", "preview"])
def test_what_is_answered_stays_while_one_writes(bob, tea, where):
    page = bob.submit(f"/rooms/{tea}/{where}", body="so *soon*", lines="1", reply="3").text
    assert 'name="reply" value="3"' in page
    assert "so *soon*</textarea>" in page or 'value="so *soon*"' in page


def test_a_quote_has_no_markup(ann, bob, tea):
    ann.post(tea, "**bold** <b>")
    reply(bob, tea, 4, "yes")
    assert quotes(ann.room(tea)) == [(f"/rooms/{tea}/messages/4#m-4", "Ann bold <b>")]
