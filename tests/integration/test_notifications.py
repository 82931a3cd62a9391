"""Mentions and notification levels on the running chat."""

import html
import re

import pytest

from ..running import Visitor, wait_until
from .page import Page, reads


@pytest.fixture
def zed(server):
    """Somebody whom nobody else in this module is called like."""
    return Visitor(server.url, "Zed Zorn")


@pytest.fixture
def tea(ann, bob, zed):
    rid = ann.create_room("Tea")
    for visitor in (bob, zed):
        visitor.join(rid)
    return rid


def row(visitor, rid):
    """A room's row in the room list."""
    found = re.search(rf'<li id="room-{rid}".*?</li>', visitor.get("/").text, re.S)
    return found[0] if found else ""


def listed(visitor, path="/mentions"):
    """The inbox as it reads, item by item."""
    items = re.findall(r'<li class="mention-list__item">(.*?)</li>', visitor.get(path).text, re.S)
    return [" ".join(reads(item).split()) for item in items]


def test_a_mention_is_marked_for_whom_it_is_about(ann, zed, tea):
    ann.post(tea, "tea, @zed zorn? <b> @nobody")
    mark = f'<span class="mention" data-uid="{zed.uid}">@zed zorn</span>'
    for visitor in (ann, zed):
        assert f"tea, {mark}? &lt;b&gt; @nobody" in visitor.room(tea)
    style = zed.get("/me.css").text
    assert f'.mention:is([data-uid~="{zed.uid}"], [data-uid~="*"])' in style


def test_who_looks_elsewhere_gets_a_mark_and_a_count(ann, bob, zed, tea):
    page = Page(zed).watch("")
    watching = Page(bob).watch(tea)
    ann.post(tea, "@Zed Zorn!")
    told = html.unescape(page.wait_for("Zed Zorn!"))
    mark = f'data-uid="{zed.uid}" data-by="{ann.uid}"></i>'
    assert f'hx-target="#unread-{tea}" hx-swap="beforeend"><i {mark}' in told
    assert f'#mentions" hx-swap="beforeend"><i data-room="{tea}" {mark}' in told
    assert 'class="mention"' in watching.wait_for("Zed Zorn!")
    assert row(zed, tea).count('<i data-uid="*"></i>') == 1
    assert zed.get("/").text.count(f'<i data-room="{tea}" data-uid="*"></i>') == 1
    page.watch(tea, after=0).wait_for(f"""#mentions > [data-room='{tea}']" hx-swap="delete">""")
    page.wait_shown("@Zed Zorn!")
    wait_until(lambda: 'data-uid="*"' not in row(zed, tea), "what the page has confirmed")


def test_an_edit_marks_anew(ann, bob, zed, tea):
    page = Page(bob).watch(tea)
    ann.post(tea, "@Zed")
    page.wait_shown("@Zed")
    ann.submit(f"/rooms/{tea}/messages/4/edit", body="@Zed Zorn")
    assert f'data-uid="{zed.uid}">@Zed Zorn</span>' in page.wait_for("@Zed Zorn")
    assert len(listed(zed)) == 1


def test_the_inbox_shows_mentions_in_context(ann, bob, zed, tea):
    assert "Nobody has mentioned you yet" in zed.get("/mentions").text
    bob.post(tea, "who pours?")
    ann.post(tea, "@Zed Zorn does")
    zed.room(tea)
    zed.post(tea, "@room and so do you")
    (found,) = listed(zed)
    assert re.fullmatch(r"Tea, \S+ Bob: who pours\? AAnn@Zed Zorn does", found)
    assert f'href="/rooms/{tea}/messages/5#m-5"' in zed.get("/mentions").text
    assert [text.split("Zed Zorn")[-1] for text in listed(bob)] == ["@room and so do you"]
    bob.post(tea, "@Zed Zorn: oh")
    assert listed(zed)[0].split(" ")[2] == "New"
    ann.submit(f"/rooms/{tea}/messages/5/delete")
    assert len(listed(zed)) == 1
    zed.submit(f"/rooms/{tea}/leave")
    assert listed(zed) == []


def test_the_inbox_goes_on_page_by_page(ann, zed, tea):
    for n in range(35):
        ann.post(tea, f"@Zed Zorn {n}.")
    first = zed.get("/mentions").text
    older = re.search(r'href="(/mentions\?before=\d+)"', first)[1]
    texts = [text.split("@Zed Zorn ")[-1] for text in listed(zed) + listed(zed, older)]
    assert texts == [f"{n}." for n in reversed(range(35))]
    assert "before=" not in zed.get(older).text
    assert "There are no older mentions" in zed.get("/mentions?before=1").text


def test_a_level_is_chosen_by_a_form(ann, zed, tea):
    page = Page(zed).watch("")
    details = f"/rooms/{tea}/people"
    assert re.search(r'value="" checked>', zed.get(details).text)
    for level in ("mentions", "nothing"):
        answer = zed.submit(f"/rooms/{tea}/level", level=level)
        assert answer.headers["location"] == f"{details}?level=1"
        assert f'value="{level}" checked>' in zed.get(details).text
        assert f'data-level="{level}"' in row(zed, tea)
        page.wait_for(f'<li id="room-{tea}" class="row" data-level="{level}">')
    ann.post(tea, "@Zed Zorn")
    assert "data-room=" not in zed.get("/").text.split('id="rooms"')[0]
    zed.submit(f"/rooms/{tea}/level", level="hidden")
    assert row(zed, tea) == ""
    assert f'<li><a href="/rooms/{tea}">' in page.wait_for("1 hidden room")
    assert zed.submit(f"/rooms/{tea}/level", level="loud").status_code == 400
    assert "data-level" not in row(ann, tea)


def test_names_are_offered_while_somebody_types(ann, zed, tea):
    page = Page(ann).watch(tea)
    page.wait_for("joined")
    page.say(type="name", room=tea, body="tea, @zo")
    told = page.wait_for("composer__names")
    assert """hx-vals='{"name": "Zed Zorn"}'""" in told
    page.say(type="name", room=tea, body="tea, @ro")
    assert "everyone in the room" in page.wait_for("composer__names")
    page.say(type="name", room=tea, body="tea")
    assert 'hx-swap="innerHTML"></hx-partial>' in page.wait_for("composer__names")


def test_a_name_is_put_where_it_was_begun(ann, tea):
    token = re.search(r'name="csrf_token" value="([^"]+)"', ann.room(tea))[1]
    fields = {"csrf_token": token, "nonce": "n1", "name": "Zed Zorn"}
    cases = {"tea, @zo": "tea, @Zed Zorn ", "@": "@Zed Zorn ", "tea": "tea @Zed Zorn "}
    for body, completed in cases.items():
        fields["body"] = body
        answer = ann.http.post(f"/rooms/{tea}/names", data=fields, headers={"HX-Request": "1"})
        assert f'value="{completed}"' in answer.text
    assert f'value="{completed}"' in ann.submit(f"/rooms/{tea}/names", **fields).text
