"""Accounts on the running chat: the first one, signing in and up, sessions, administrators."""

import re

import httpx
import pytest
from flask import g

from chat.app import create_app
from chat.config import AUTH_METHODS, Settings
from chat.domain.errors import Refused
from chat.store.tokens import MAX_TOKENS
from chat.web.admin import change_role

from ..running import Server, Visitor
from .page import Page

GOOD = "seven wet umbrellas"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A chat with accounts and a first administrator, Ada, whose requests do not come through the
    proxy that reports addresses."""
    env = {"CHAT_SIGN_IN": "guest,password", "CHAT_PROXIES": "127.0.0.1"}
    running = Server(tmp_path_factory.mktemp("chat"), **env).start()
    running.ada = account(Visitor(running.url), "ada", running.setup_link()).http.cookies
    yield running
    running.clean_up()


@pytest.fixture
def ada(server):
    """Where she signed in at first: to do so for each test would be too many tries."""
    visitor = Visitor(server.url)
    visitor.http.cookies.update(server.ada)
    assert visitor.get("/").status_code == 200
    return visitor


@pytest.fixture
def ben(server):
    """Somebody with an account of their own for each test."""
    login = f"ben-{next(COUNT)}"
    return account(Visitor(server.url), login)


COUNT = iter(range(1000))


def account(visitor, login, at="/sign-up", password=GOOD):
    answer = visitor.submit(at, at, login=login, name=login.title(), password=password)
    assert answer.status_code == 303, answer.text
    visitor.login = login
    return visitor


def sign_in(visitor, login, password=GOOD):
    return visitor.submit("/sign-in", "/sign-in", login=login, password=password)


# Signing in and up


def test_an_account_comes_back_as_the_same_person(server, ben):
    uid = ben.uid
    other = Visitor(server.url)
    assert sign_in(other, ben.login.upper()).status_code == 303
    assert other.uid == uid


def test_a_guest_who_makes_an_account_keeps_rooms_and_name(server):
    guest = Visitor(server.url, "Gus")
    rid, uid = guest.create_room("Tea"), guest.uid
    account(guest, "gus")
    assert guest.uid == uid
    assert guest.get(f"/rooms/{rid}").status_code == 200


@pytest.mark.parametrize(
    ("login", "password"), [("ada", "wrong password"), ("nobody", GOOD), ("", ""), ("ada", "")]
)
def test_who_cannot_sign_in_is_told_nothing_more(server, login, password):
    answer = sign_in(Visitor(server.url), login, password)
    assert answer.status_code == 400
    assert "Login or password is wrong." in answer.text
    assert f'value="{login}"' in answer.text
    assert password == "" or password not in answer.text


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("tiny", "too short"),
        ("password123", "common password"),
        ("aaaaaaaaaaaa", "easy to guess"),
        ("x" * 257, "too long"),
    ],
)
def test_a_bad_password_is_refused_and_the_rest_kept(server, password, why):
    visitor = Visitor(server.url)
    answer = visitor.submit("/sign-up", "/sign-up", login="kim", name="Kim", password=password)
    assert answer.status_code == 400
    assert why in answer.text
    assert 'value="kim"' in answer.text
    assert 'value="Kim"' in answer.text
    assert password not in answer.text


@pytest.mark.parametrize("login", ["a", "-x", "a b", "ä" * 3, "x" * 33])
def test_a_login_that_cannot_be_used_is_explained(server, login):
    answer = Visitor(server.url).submit("/sign-up", "/sign-up", login=login, password=GOOD)
    assert answer.status_code == 400
    assert "A login has 2 to 32 letters" in answer.text


def test_a_taken_login_stays_its_owners(server, ben):
    answer = Visitor(server.url).submit("/sign-up", "/sign-up", login=ben.login, password=GOOD)
    assert answer.status_code == 400
    assert "taken" in answer.text


def test_guessing_is_slowed_down(server, ben):
    guesser = Visitor(server.url)
    codes = [sign_in(guesser, ben.login, f"guess {n}").status_code for n in range(12)]
    assert codes[:10] == [400] * 10
    assert codes[10:] == [429] * 2
    assert sign_in(Visitor(server.url), ben.login).status_code == 429, "the right one as well"


def test_who_guesses_does_not_keep_the_owner_out(server, ben):
    """They come from another address."""
    guesser = Visitor(server.url)
    guesser.http = httpx.Client(
        base_url=server.url, transport=httpx.HTTPTransport(local_address="127.0.0.9")
    )
    with guesser.http:
        codes = [sign_in(guesser, ben.login, f"guess {n}").status_code for n in range(12)]
    assert codes[10:] == [429] * 2
    assert sign_in(Visitor(server.url), ben.login).status_code == 303


def test_a_way_that_is_off_is_not_there(tmp_path):
    running = Server(tmp_path / "chat", CHAT_SIGN_IN="password", CHAT_SIGN_UP="off").start()
    try:
        account(Visitor(running.url), "ada", "/first-run")
        visitor = Visitor(running.url)
        assert "Start chatting" not in visitor.get("/sign-in").text
        assert visitor.submit("/sign-in", "/sign-in", name="Eve").status_code == 404
        assert visitor.get("/sign-up").status_code == 404
    finally:
        running.clean_up()
    assert "guest" in AUTH_METHODS


# Sessions


def test_ending_a_session_ends_its_pages_at_once(server, ben):
    other = Visitor(server.url)
    sign_in(other, ben.login)
    page, own = Page(other).watch(""), Page(ben).watch("")
    listed = ben.get("/me/sessions").text
    sid = next(s for s in re.findall(r'name="sid" value="(\w+)"', listed) if present(ben) != s)
    assert ben.submit("/me/sessions/end", "/me/sessions", sid=sid).status_code == 303
    assert page.wait_closed() == 1008
    assert other.get("/").status_code == 303
    assert ben.get("/").status_code == 200
    own.say(type="watch", room="", after="0")
    assert own.code is None


def present(visitor):
    """The id of the visitor's own session."""
    listed = visitor.get("/me/sessions").text
    return re.search(r'value="(\w+)"><button class="button button--quiet">Sign out', listed)[1]


def test_all_other_sessions_can_be_ended(server, ben):
    others = [Visitor(server.url) for _ in range(2)]
    for other in others:
        sign_in(other, ben.login)
    assert ben.submit("/me/sessions/end", "/me/sessions").status_code == 303
    assert [other.get("/").status_code for other in others] == [303, 303]
    assert ben.get("/").status_code == 200


def test_a_new_password_ends_all_other_sessions(server, ben):
    other = Visitor(server.url)
    sign_in(other, ben.login)
    fields = {"old": "wrong", "password": "eleven dry towels", "again": "eleven dry towels"}
    assert ben.submit("/me/password", "/me/password", **fields).status_code == 400
    fields["old"] = GOOD
    assert ben.submit("/me/password", "/me/password", **fields).status_code == 303
    assert other.get("/").status_code == 303
    assert sign_in(Visitor(server.url), ben.login).status_code == 400
    assert sign_in(Visitor(server.url), ben.login, "eleven dry towels").status_code == 303


def test_a_new_password_ends_tokens(server, ben):
    """The old one may be how somebody made a token."""
    answer = ben.submit(f"/tokens/{ben.uid}", "/me/tokens", name="laptop", scopes=["read"])
    secret = re.search(r'value="(chat_[^"]+)"', answer.text)[1]
    headers = {"Authorization": f"Bearer {secret}"}
    assert ben.get("/api/me", headers=headers).status_code == 200
    assert "your tokens" in ben.get("/me/password").text
    fields = {"old": GOOD, "password": "eleven dry towels", "again": "eleven dry towels"}
    assert ben.submit("/me/password", "/me/password", **fields).status_code == 303
    assert ben.get("/api/me", headers=headers).status_code == 401


def test_a_session_without_javascript_ends_too(server, ben):
    rid = ben.create_room("Tea")
    other = Visitor(server.url)
    sign_in(other, ben.login)
    with other.http.stream("GET", f"/rooms/{rid}/stream") as answer:
        for piece in answer.iter_text():
            if 'class="messages"' in piece:
                ben.submit("/me/sessions/end", "/me/sessions")
    assert other.get(f"/rooms/{rid}/stream").status_code == 303


# Administrators


def test_only_admins_see_the_admins_pages(server, ben):
    guest, stranger = Visitor(server.url, "Gil"), Visitor(server.url)
    for path in ("/admin/people", "/admin/audit"):
        assert ben.get(path).status_code == guest.get(path).status_code == 403
        assert stranger.get(path).status_code == 303
    for act in ("role", "deactivate", "activate", "sign-out", "reset"):
        path = f"/admin/people/{ben.uid}/{act}"
        assert guest.submit(path, role="admin").status_code == 403


def test_an_admin_gives_roles(ada, ben):
    assert ada.submit(f"/admin/people/{ben.uid}/role", role="moderator").status_code == 303
    assert "moderator" in ada.get(f"/admin/people?q={ben.login}").text
    assert "gave the role moderator to" in ada.get("/admin/audit").text
    assert ada.submit(f"/admin/people/{ben.uid}/role", role="emperor").status_code == 400
    assert ada.submit("/admin/people/nobody/role", role="member").status_code == 404


def test_an_admin_stays_one(ada):
    for act in ("role", "deactivate"):
        answer = ada.submit(f"/admin/people/{ada.uid}/{act}", role="guest")
        assert answer.status_code == 403
    assert ada.get("/admin/people").status_code == 200


def test_of_two_admins_who_demote_each_other_at_once_one_stays(store, monkeypatch):
    app = create_app(Settings(secret_key="k" * 32), store)
    ada, bea = (store.people.create(name, "admin") for name in ("Ada", "Bea"))

    def demote(by, whom):
        with app.test_request_context():
            g.person = by
            change_role(by, whom.uid, "member")

    def after_the_other(person, edit=store.people.edit, **fields):
        monkeypatch.undo()
        demote(bea, ada)
        return edit(person, **fields)

    monkeypatch.setattr(store.people, "edit", after_the_other)
    with pytest.raises(Refused):
        demote(ada, bea)
    assert [store.people.get(one.uid).role for one in (ada, bea)] == ["member", "admin"]


def test_who_may_start_rooms_is_a_role_that_counts_at_once(tmp_path):
    """Also for who is signed in already, and only for as long as it is given."""
    env = {"CHAT_SIGN_IN": "guest,password", "CHAT_CREATE_ROOMS": "moderators"}
    running = Server(tmp_path / "chat", **env).start()
    try:
        ada = account(Visitor(running.url), "ada", "/first-run")
        ben = account(Visitor(running.url), "ben")
        ada.create_room("Tea")
        for role, status in (("member", 403), ("moderator", 200), ("member", 403)):
            ada.submit(f"/admin/people/{ben.uid}/role", role=role)
            assert ben.get("/rooms/new").status_code == status
            answer = ben.submit("/rooms", "/", name="Club", kind="open")
            assert answer.status_code == (303 if status == 200 else 403)
        assert Visitor(running.url, "Gil").get("/rooms/new").status_code == 403
    finally:
        running.clean_up()


def test_who_is_deactivated_is_out_and_can_come_back(server, ada, ben):
    uid, page, token = ben.uid, Page(ben).watch(""), token_of(ben)
    assert ada.submit(f"/admin/people/{uid}/deactivate").status_code == 303
    assert page.wait_closed() == 1008
    assert ben.get("/").status_code == 303
    assert "Login or password is wrong." in sign_in(Visitor(server.url), ben.login).text
    assert "deactivated" in ada.get(f"/admin/people?q={ben.login}").text
    ada.submit(f"/admin/people/{uid}/activate")
    assert status_of(ben, token) == 401, "nor do tokens come back"
    assert sign_in(Visitor(server.url), ben.login).status_code == 303


def test_what_a_banned_person_wrote_goes_before_all_eyes(server, ada, ben):
    """In rooms they have left too, and in those the administrator was never in."""
    cat = Visitor(server.url, "Cat")
    tea, left = cat.create_room("Tea"), cat.create_room("Left")
    for rid in (tea, left):
        ben.join(rid)
        ben.post(rid, "spam one")
        cat.post(rid, "I object")
        ben.post(rid, "spam two")
    ben.submit(f"/rooms/{left}/leave")
    page, uid = Page(cat).watch(tea), ben.uid
    page.wait_shown("spam two")
    ada.submit(f"/admin/people/{uid}/deactivate", messages="1")
    page.wait_for('id="m-5"')  # the second of them, as one that was deleted
    assert ben.get("/").status_code == 303
    for rid in (tea, left):
        room = cat.room(rid)
        assert "spam" not in room
        assert "I object" in room
        assert room.count("deleted") >= 2
    assert "deleted all messages of" in ada.get("/admin/audit").text
    assert "deactivated" in ada.get(f"/admin/people?q={ben.login}").text


def test_from_where_a_banned_person_was_nobody_signs_in(server, ada, ben):
    def come(address):
        visitor = Visitor(server.url)
        visitor.http.headers["X-Forwarded-For"] = address
        return visitor

    def tries(visitor):
        ways = [("/sign-in", {"name": "Zed"}), ("/sign-in", {"login": ben.login, "password": GOOD})]
        ways.append(("/sign-up", {"login": f"zed-{next(COUNT)}", "name": "Z", "password": GOOD}))
        for path, fields in ways:
            visitor.http.cookies.clear()
            yield visitor.submit(path, path, **fields)

    pest, neighbour = come("2a00:1450:4001:81b::200e"), come("2a00:1450:4001:81b::7")
    account(pest, f"pest-{next(COUNT)}")
    neighbour.sign_in("Nell")
    uid = pest.uid
    ada.submit(f"/admin/people/{uid}/deactivate", networks="1")
    assert "blocked: 2a00:1450:4001:81b::/64" in ada.get("/admin/people").text
    for answer in tries(come("[2a00:1450:4001:81b:0:1::1]:1000")):
        assert answer.status_code == 403
        assert "from your network" in answer.text
    assert 'value="Zed"' in next(tries(come("2a00:1450:4001:81b::9%eth0"))).text
    assert neighbour.get("/").status_code == 200
    assert sign_in(come("2a00:1450:4001:81b::9"), "ada").status_code == 303
    assert [answer.status_code for answer in tries(come("2a00:1450:4001:82b::1"))] == [303] * 3
    ada.submit(f"/admin/people/{uid}/activate")
    assert [answer.status_code for answer in tries(pest)] == [303] * 3


def test_a_network_that_is_everybodys_is_never_kept_out(server, ada, ben):
    """Behind a proxy that is not told of, all have its address. The administrator is told so."""
    told = ada.submit(f"/admin/people/{ben.uid}/deactivate", networks="1")
    assert "no network was blocked" in told.text
    assert "deactivated" in told.text
    assert "blocked" not in ada.get("/admin/people").text
    assert Visitor(server.url, "Gil").get("/").status_code == 200


def status_of(visitor, token):
    """What the API answers to a token."""
    return httpx.get(
        f"{visitor.url}/api/me", headers={"Authorization": f"Bearer {token}"}
    ).status_code


def token_of(visitor):
    page = visitor.submit(f"/tokens/{visitor.uid}", "/me/tokens", name="mine", scopes="read").text
    token = re.search(r'value="(chat_[\w-]+)"', page)[1]
    assert status_of(visitor, token) == 200
    return token


def test_an_admin_signs_somebody_out_everywhere(ada, ben):
    page, token = Page(ben).watch(""), token_of(ben)
    assert ada.submit(f"/admin/people/{ben.uid}/sign-out").status_code == 303
    assert page.wait_closed() == 1008
    assert status_of(ben, token) == 401


def test_a_link_for_a_new_password_works_once(server, ada, ben):
    answer = ada.submit(f"/admin/people/{ben.uid}/reset")
    link = re.search(r'value="(http[^"]+)"', answer.text)[1].removeprefix(server.url)
    forgetful, token = Visitor(server.url), token_of(ben)
    assert ben.login in forgetful.get(link).text
    assert forgetful.submit(link, link, password="short", again="short").status_code == 400
    fields = {"password": "nine red kettles", "again": "nine red kettles"}
    assert forgetful.submit(link, link, **fields).status_code == 303
    assert forgetful.get("/").status_code == 200
    assert ben.get("/").status_code == 303
    assert forgetful.get(link).status_code == 404
    assert status_of(ben, token) == 401
    assert sign_in(Visitor(server.url), ben.login, "nine red kettles").status_code == 303
    assert "password link" in ada.get("/admin/audit").text


def test_a_link_for_a_new_password_is_of_no_use_after_another_or_a_change(server, ada, ben):
    uid, stranger, new = ben.uid, Visitor(server.url), "nine red kettles"

    def link():
        page = ada.submit(f"/admin/people/{uid}/reset").text
        return re.search(r'value="(http[^"]+)"', page)[1].removeprefix(server.url)

    links = [link(), link()]
    assert [stranger.get(link).status_code for link in links] == [404, 200]
    ben.submit("/me/password", "/me/password", old=GOOD, password=new, again=new)
    assert sign_in(Visitor(server.url), ben.login, new).status_code == 303
    for shut_out in ("sign-out", "deactivate"):
        links.append(link())
        ada.submit(f"/admin/people/{uid}/{shut_out}")
    ada.submit(f"/admin/people/{uid}/activate")
    assert [stranger.get(link).status_code for link in links] == [404] * 4


def test_what_is_a_guests_ends_with_the_guest(server):
    """Nobody can come back as a guest who has signed out: tokens, seats and rooms are let go."""
    gil, hal = Visitor(server.url, "Gil"), Visitor(server.url, "Hal")
    rid, token = gil.create_room("Tea"), token_of(gil)
    hal.join(rid)
    seat = gil.submit("/rooms/random").headers["location"]
    assert gil.submit("/sign-out").status_code == 303
    assert status_of(gil, token) == 401
    assert hal.get(f"/rooms/{rid}/edit").status_code == 200, "it is Hal's now"
    assert hal.submit("/rooms/random").headers["location"] != seat, "it was empty, and vanished"


def test_a_login_is_nothing_to_search_for_but_for_those_in_a_room_with_its_owner(server):
    """That there is such a login is what somebody looks for who is about to guess its password."""
    zed, gil = Visitor(server.url), Visitor(server.url, "Gil")
    fields = {"login": "secret-login", "name": "Zed", "password": GOOD}
    assert zed.submit("/sign-up", "/sign-up", **fields).status_code == 303
    assert [
        gil.get(f"/search?q=from:{login}").status_code for login in ("secret-login", "no-login")
    ] == [400, 400]
    gil.join(zed.create_room("Tea"))
    assert gil.get("/search?q=from:secret-login").status_code == 200


def test_nobody_has_more_tokens_than_anybody_needs(ben):
    for _ in range(MAX_TOKENS):
        token_of(ben)
    answer = ben.submit(f"/tokens/{ben.uid}", "/me/tokens", name="one more", scopes="read")
    assert answer.status_code == 403
    assert "Revoke one that is no longer needed" in answer.text
    assert 'value="one more"' in answer.text


def test_older_entries_of_the_audit(ada, ben):
    for _ in range(51):
        ada.submit(f"/admin/people/{ben.uid}/activate")
    older = re.search(r'href="(/admin/audit\?before=[\d-]+)"', ada.get("/admin/audit").text)[1]
    assert ada.get(older).status_code == 200
    assert ada.get("/admin/audit?before=nonsense").status_code == 404
