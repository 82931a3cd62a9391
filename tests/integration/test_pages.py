"""Every page as plain forms and links on the running chat, with its protection."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import httpx
import pytest

from ..running import Visitor
from .page import reads

# Signing in


def test_who_is_not_signed_in_is_asked_to_and_led_back(server, ann, tea):
    stranger = Visitor(server.url)
    answer = stranger.get(f"/rooms/{tea}")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/sign-in?next=/rooms/{tea}"
    answer = stranger.submit(
        "/sign-in", answer.headers["location"], name="Eve", next=f"/rooms/{tea}"
    )
    assert answer.headers["location"] == f"/rooms/{tea}"


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "​"])
def test_a_name_that_cannot_be_used_comes_back_with_the_reason(server, name):
    answer = Visitor(server.url).submit("/sign-in", "/sign-in", name=name)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert f'value="{name}"' in answer.text


def test_signing_out_ends_it(server):
    visitor = Visitor(server.url, "Eve")
    assert visitor.get("/").status_code == 200
    assert visitor.submit("/sign-out").status_code == 303
    assert visitor.get("/").status_code == 303


def test_an_address_alone_changes_nothing(ann, tea):
    """What a link, an image or a browser that looks ahead can open."""
    for path in ("/sign-out", f"/rooms/{tea}/join", "/me/sessions/end", f"/rooms/{tea}/end"):
        ann.get(path)
    assert "Tea" in ann.room(tea)


def test_people_at_once_stay_themselves(server):
    """Requests that overlap in one process know their own person only."""
    names = [f"Person {n} of many" for n in range(8)]
    visitors = [Visitor(server.url, name) for name in names]

    def look(pair):
        visitor, name = pair
        seen = [visitor.get("/me").text for _ in range(25)]
        return all(f'value="{name}"' in page for page in seen)

    with ThreadPoolExecutor(len(names)) as pool:
        assert all(pool.map(look, zip(visitors, names, strict=True)))


def test_htmx_is_told_to_go_and_sign_in(server):
    answer = Visitor(server.url).get("/rooms/x", headers={"HX-Request": "true"})
    assert answer.headers["hx-redirect"] == "/sign-in"


# Rooms


def test_home_without_rooms_says_what_to_do(server):
    html = Visitor(server.url, "Eve").get("/").text
    assert "You have not joined any rooms yet" in html
    assert 'href="/rooms/new"' in html


def test_create_list_join_read_and_post(ann, bob):
    """The whole of it without JavaScript."""
    rid = ann.create_room("Book club")
    assert "Book club" in bob.get("/rooms").text
    assert "Join to read" in bob.get(f"/rooms/{rid}").text
    bob.join(rid)
    answer = bob.post(rid, "Hello <b>all</b>")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/rooms/{rid}"
    page = ann.room(rid)
    assert "Hello &lt;b&gt;all&lt;/b&gt;" in page
    assert "Bob joined" in reads(page)
    assert "Hello &lt;b&gt;all" in ann.get("/").text, "the last line stands in the list"


@pytest.mark.parametrize("name", ["", "x" * 61])
def test_a_room_name_that_cannot_be_used_comes_back(ann, name):
    answer = ann.submit("/rooms", "/rooms/new", name=name, kind="open")
    assert answer.status_code == 400
    assert f'value="{name}"' in answer.text


def test_a_double_submit_of_one_form_posts_once(ann, tea):
    token = re.search(r'name="csrf_token" value="([^"]+)"', ann.room(tea))[1]
    nonce = re.search(r'name="nonce" id="nonce" value="([^"]+)"', ann.room(tea))[1]
    for _ in range(2):
        fields = {"csrf_token": token, "nonce": nonce, "body": "only once"}
        assert ann.http.post(f"/rooms/{tea}/messages", data=fields).status_code == 303
    assert ann.room(tea).count(">only once</div>") == 1


def test_a_refused_message_keeps_its_text(ann, tea):
    answer = ann.post(tea, "x" * 4001)
    assert answer.status_code == 400
    assert "too long" in answer.text
    assert "x" * 4001 in answer.text


@pytest.mark.parametrize(
    ("change", "seq", "body", "is_valid_form", "status"),
    [
        ("edit", 3, "new", False, 400),
        ("edit", 3, "x" * 4001, True, 400),
        ("edit", 99, "new", True, 404),
        ("delete", 3, "", False, 400),
        ("delete", 99, "", True, 404),
    ],
)
def test_each_error_of_a_change_appears_in_its_message(
    ann, tea, change, seq, body, is_valid_form, status
):
    ann.post(tea, "hello")
    token = re.search(r'name="csrf_token" value="([^"]+)"', ann.room(tea))[1]
    answer = ann.http.post(
        f"/rooms/{tea}/messages/{seq}/{change}",
        data={"csrf_token": token if is_valid_form else "", "body": body},
        headers={"HX-Request": "true"},
    )
    assert answer.status_code == status
    assert f"#m-{seq} .editor .editor__error" in answer.text
    assert 'role="alert"' in answer.text
    assert "<html" not in answer.text


def test_older_messages_by_link(ann, tea):
    for n in range(60):
        ann.post(tea, f"message {n:02}")
    page = ann.room(tea)
    assert "message 59" in page
    assert ">message 05<" not in page
    older = re.search(r'href="(/rooms/[^"]+\?before=\d+)"', page)[1]
    answer = ann.get(older)
    assert ">message 05<" in answer.text
    assert "<html" in answer.text
    fragment = ann.get(older, headers={"HX-Request": "true"}).text
    assert ">message 05<" in fragment
    assert "<html" not in fragment


def test_a_permalink_shows_the_message_among_its_neighbours(ann, tea):
    for n in range(60):
        ann.post(tea, f"message {n:02}")
    page = ann.get(f"/rooms/{tea}/messages/10").text
    assert 'id="m-10"' in page
    assert "Jump to newest" in page
    assert ann.get(f"/rooms/{tea}/messages/999").status_code == 404


def test_a_room_switch_swaps_the_panel_only(ann, tea):
    html = ann.get(f"/rooms/{tea}", headers={"HX-Request": "true"}).text
    assert "<html" not in html
    assert '<section id="panel"' in html
    assert 'hx-target="#rooms"' in html


def test_the_next_composer_has_another_nonce(ann, tea):
    forms = [ann.get(f"/rooms/{tea}/composer?after=n1").text for _ in range(2)]
    nonces = {re.search(r'id="c-([^"]+)"', form)[1] for form in forms}
    assert len(nonces) == 2
    assert ann.get(f"/rooms/{tea}/composer?after=%22%3E").status_code == 404


def test_the_stream_shows_what_is_said_as_it_is_said(ann, bob, tea):
    with bob.http.stream("GET", f"/rooms/{tea}/stream") as answer:
        pieces = answer.iter_text()
        assert "<ol" in next(pieces)
        ann.post(tea, "live without scripts")
        assert "live without scripts" in next(p for p in pieces if "without" in p)


def test_the_stream_begins_after_the_number_asked_for(ann, bob, tea):
    ann.post(tea, "earlier")
    with bob.http.stream("GET", f"/rooms/{tea}/stream?after=2") as answer:
        text = ""
        for piece in answer.iter_text():
            text += piece
            if "earlier" in text:
                break


# Who may see what


PATHS = ["", "/messages?before=5", "/messages/1", "/stream"]


@pytest.mark.parametrize("path", PATHS)
def test_a_closed_room_is_not_there_for_others(ann, bob, path):
    rid = ann.create_room("Secret", kind="closed")
    answer = bob.get(f"/rooms/{rid}{path}")
    assert answer.status_code == 404
    assert "Secret" not in answer.text
    assert bob.get("/rooms/nowhere" + path).text == answer.text


@pytest.mark.parametrize("path", PATHS[1:])
def test_an_open_room_is_read_by_members_only(ann, bob, path):
    rid = ann.create_room("Open")
    ann.post(rid, "among us")
    answer = bob.get(f"/rooms/{rid}{path}")
    assert answer.status_code == 403
    assert "among us" not in answer.text


def test_who_is_no_member_cannot_post_or_join_what_is_closed(ann, bob):
    closed, open_ = ann.create_room("Secret", kind="closed"), ann.create_room("Open")
    for rid, status in [(closed, 404), (open_, 403), ("nowhere", 404)]:
        answer = bob.submit(f"/rooms/{rid}/messages", body="let me in")
        assert answer.status_code == status
        assert "let me in" in answer.text, "what was written is given back"
    assert bob.submit(f"/rooms/{closed}/join").status_code == 404


FORMS = ["/sign-in", "/sign-out", "/rooms", "/rooms/{rid}/join", "/rooms/{rid}/messages"]


@pytest.mark.parametrize("path", FORMS)
def test_every_form_needs_its_token(ann, tea, path):
    for token in ({}, {"csrf_token": "x"}):
        fields = {"name": "x", "body": "mine", **token}
        answer = ann.http.post(path.format(rid=tea), data=fields)
        assert answer.status_code == 400
        assert "expired" in answer.text
        assert "mine" in answer.text
    assert ">mine</div>" not in ann.room(tea)


# What every answer carries


PAGES = [
    "/",
    "/rooms",
    "/rooms/new",
    "/rooms/random",
    "/people",
    "/people/picker",
    "/sign-in",
    "/nowhere",
    "/static/chat.css",
    "/healthz",
]


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_is_strict_everywhere(server, ann, path):
    headers = ann.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src {server.url}/static/vendor/;" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_the_cookie_is_not_for_scripts_or_other_sites(server):
    answer = Visitor(server.url).submit("/sign-in", "/sign-in", name="Eve")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie


def test_signing_in_takes_a_new_session(server):
    """A session that was planted before is not the one that is signed in (fixation)."""
    visitor = Visitor(server.url)
    visitor.get("/sign-in")
    before = visitor.cookie
    visitor.sign_in("Eve")
    assert visitor.cookie != before
    planted = httpx.get(f"{server.url}/", headers={"Cookie": before})
    assert planted.status_code == 303


def test_pages_are_not_kept_and_fingerprinted_files_are(server, ann):
    assert ann.get("/").headers["cache-control"] == "no-store"
    css = re.search(r'href="(/static/chat\.[0-9a-f]{12}\.css)"', ann.get("/").text)[1]
    answer = ann.get(css)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    again = ann.get(css, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert not again.content
    assert ann.get("/static/chat.css").headers["cache-control"] == "no-cache"
    assert ann.get("/static/../chat/app.py").status_code == 404


def test_a_file_is_compressed_for_who_asks(server, ann):
    path = "/static/vendor/htmx-4.0.1.min.js"
    packed = ann.get(path)
    plain = ann.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content


ODD = [
    "/sign-in?next=//[",
    "/sign-in?next=http://[",
    "/rooms/a%0d%0ab",
    "/rooms/{tea}/messages?before=" + "9" * 4400,
    "/rooms/{tea}/messages?before=-1",
    "/rooms/{tea}/messages/" + "9" * 23,
    "/rooms/{tea}/messages/x",
    "/rooms/{tea}/composer?after=" + "n" * 65,
    "/rooms/x%22,%22type%22:%22evil/composer?after=n1",
    "/static/vendor/",
    "/%ff%fe",
]


@pytest.mark.parametrize("path", ODD)
def test_an_odd_address_is_no_crash(server, ann, tea, path):
    for visitor in (ann, Visitor(server.url)):
        assert visitor.get(path.format(tea=tea)).status_code in (200, 303, 400, 404)


def test_a_file_for_caches_carries_no_cookie(ann):
    for path in ("/static/chat.css", "/static/vendor/htmx-4.0.1.min.js", "/healthz"):
        assert "set-cookie" not in ann.get(path).headers


def test_a_long_nonce_is_not_kept(ann, tea):
    assert ann.post(tea, "hello", "n" * 5000).status_code == 303


def test_an_unknown_page_says_so(ann):
    answer = ann.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no such page." in answer.text


def test_too_large_a_body_is_refused(ann):
    answer = ann.http.post("/rooms", content=b"x" * 300_000)
    assert answer.status_code == 413


def test_my_style_sheet_is_mine(server, ann):
    page = ann.get("/").text
    uid, version = re.search(r'href="/me\.css\?([\w-]+)\.([0-9a-f]{12})"', page).groups()
    css = ann.get(f"/me.css?{uid}.{version}")
    assert f'[data-author="{uid}"]' in css.text
    assert css.headers["content-type"].startswith("text/css")
    assert Visitor(server.url).get(f"/me.css?{uid}").text == ""


def test_it_is_alive_and_ready(server):
    for path in ("/healthz", "/readyz"):
        assert httpx.get(f"{server.url}{path}").text == "ok\n"


# Reading on where one was


def test_what_is_new_since_the_last_visit_is_marked(ann, bob):
    rid = ann.create_room("Tea")
    bob.join(rid)
    assert "New since" not in bob.room(rid)
    ann.post(rid, "Seen")
    bob.room(rid)
    ann.post(rid, "Unseen")
    page = bob.room(rid)
    assert page.index(">Seen<") < page.index("New since your last visit") < page.rindex(">Unseen<")
    assert "New since" not in bob.room(rid), "all of it has been seen now"
    for n in range(60):
        ann.post(rid, f"more {n}")
    assert re.search(r'messages/5#m-5">60 new since your last visit', bob.room(rid))


def test_what_is_no_message_is_nothing_new(server, ann, bob):
    rid = ann.create_room("Tea")
    bob.join(rid)
    ann.post(rid, "tea?")
    bob.room(rid)
    Visitor(server.url, "Cyd").join(rid)
    ann.submit(f"/rooms/{rid}/messages/3/edit", body="Tea?")
    bob.submit(f"/rooms/{rid}/reactions", react="3 0 👍")
    assert f'id="unread-{rid}"></span>' in bob.get("/").text
    assert "New since" not in bob.room(rid)
    ann.submit(f"/rooms/{rid}/messages/3/delete")
    for n in range(60):
        ann.post(rid, f"more {n}")
    assert bob.get("/").text.split(f'id="unread-{rid}"')[1].split("</span>")[0].count("<i>") == 60
    assert "60 new since your last visit" in bob.room(rid)


def test_a_room_is_unread_again_from_a_message_on(ann, bob):
    rid = ann.create_room("Tea")
    bob.join(rid)
    for n in range(3):
        ann.post(rid, f"message {n}")
    bob.room(rid)
    assert f'id="unread-{rid}"></span>' in bob.get("/").text
    assert bob.submit(f"/rooms/{rid}/messages/4/unread").status_code == 303
    assert f'id="unread-{rid}"><i></i><i></i></span>' in bob.get("/").text
    assert "New since your last visit" in bob.room(rid)


def test_going_to_a_day(ann):
    rid = ann.create_room("Tea")
    for n in range(3):
        ann.post(rid, f"message {n}")
    for day, seq in (("2020-02-29", 1), (f"{date.today()}", 1), ("2999-01-01", 4)):
        answer = ann.get(f"/rooms/{rid}/on?day={day}")
        assert answer.headers["location"] == f"/rooms/{rid}/messages/{seq}#m-{seq}"
    for wrong in ("", "yesterday", "2026-02-30"):
        assert ann.get(f"/rooms/{rid}/on?day={wrong}").status_code == 400


def test_messages_in_a_row_stand_together(ann, bob):
    rid = ann.create_room("Tea")
    bob.join(rid)
    for who, text in ((ann, "one"), (ann, "two"), (bob, "three"), (ann, "four")):
        who.post(rid, text)
    page = ann.room(rid)
    same = re.findall(r'<li id="m-(\d+)" class="message message--continued"', page)
    assert same == ["4"]
    assert page.count('class="day"') == 1


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_pages_are_compressed_for_who_reads_it(ann, tea, encoding):
    for _ in range(30):
        ann.post(tea, "words that repeat themselves")
    plain = ann.get(f"/rooms/{tea}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with ann.http.stream("GET", f"/rooms/{tea}", headers={"Accept-Encoding": encoding}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == encoding
    assert len(packed) * 4 < len(plain.content)
    assert "accept-encoding" in answer.headers["vary"].lower()


def test_what_never_ends_is_not_compressed(ann, tea):
    with ann.http.stream(
        "GET", f"/rooms/{tea}/stream", headers={"Accept-Encoding": "gzip"}
    ) as answer:
        assert "content-encoding" not in answer.headers
        assert b"<!DOCTYPE html>" in next(answer.iter_raw())


def test_the_chat_can_be_installed(ann):
    """What a browser asks of a page before it offers to keep it as an application."""
    address = re.search(r'<link rel="manifest" href="([^"]+)"', ann.get("/").text)[1]
    answer = ann.get(address)
    assert answer.headers["content-type"].startswith("application/manifest+json")
    manifest = answer.json()
    assert manifest["display"] == "standalone"
    assert ann.get(manifest["start_url"]).status_code == 200
    for icon in manifest["icons"]:
        assert ann.get(icon["src"]).headers["content-type"].startswith(icon["type"])
    for shortcut in manifest["shortcuts"]:
        assert ann.get(shortcut["url"]).status_code == 200
