"""Sessions, their pages and streams, and memberships end at once."""

import contextlib
import re
import threading

import httpx
import pytest
import redis
from websockets.exceptions import InvalidStatus

from chat.domain.events import REMOVE
from chat.store import Store, keys
from chat.store.lua import Script
from chat.store.rooms import event_by

from ..running import Server, Visitor
from .page import Page
from .test_sign_in import COUNT, GOOD, account, present, sign_in

AT_ONCE = 1.0  # seconds
NEW = "eleven dry towels"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    ways = {"CHAT_SIGN_IN": "guest,password", "CHAT_LIMITS": "off"}
    running = Server(tmp_path_factory.mktemp("chat"), **ways).start()
    account(Visitor(running.url), "ada", "/first-run")
    yield running
    running.clean_up()


@pytest.fixture
def ada(server):
    visitor = Visitor(server.url)
    sign_in(visitor, "ada")
    return visitor


@pytest.fixture
def ben(server):
    return account(Visitor(server.url), f"ben-{next(COUNT)}")


@pytest.fixture
def bens_phone(server, ben):
    visitor = Visitor(server.url)
    sign_in(visitor, ben.login)
    return visitor


@pytest.fixture
def client(server):
    """The chat's own database."""
    path = str(server.data / "valkey" / "valkey.sock")
    with redis.Redis(unix_socket_path=path, decode_responses=True) as connection:
        yield connection


@pytest.fixture
def store(client):
    return Store(client)


# Sessions. Each way ends that of Ben's phone.


def signing_out(ada, ben, phone):
    return phone.submit("/sign-out")


def ending_it_elsewhere(ada, ben, phone):
    return ben.submit("/me/sessions/end", "/me/sessions", sid=present(phone))


def ending_all_others(ada, ben, phone):
    return ben.submit("/me/sessions/end", "/me/sessions")


def a_new_password(ada, ben, phone):
    fields = {"old": GOOD, "password": NEW, "again": NEW}
    return ben.submit("/me/password", "/me/password", **fields)


def a_link_for_a_new_password(ada, ben, phone):
    answer = ada.submit(f"/admin/people/{ben.uid}/reset")
    link = re.search(r'value="(http[^"]+)"', answer.text)[1].removeprefix(ada.url)
    return Visitor(ada.url).submit(link, link, password=NEW, again=NEW)


def an_admin_who_signs_out_everywhere(ada, ben, phone):
    return ada.submit(f"/admin/people/{ben.uid}/sign-out")


def an_admin_who_deactivates(ada, ben, phone):
    return ada.submit(f"/admin/people/{ben.uid}/deactivate")


def signing_in_as_somebody_else(ada, ben, phone):
    return phone.submit("/sign-in", "/rooms/new", name="Somebody")


ENDS = [
    signing_out,
    ending_it_elsewhere,
    ending_all_others,
    a_new_password,
    a_link_for_a_new_password,
    an_admin_who_signs_out_everywhere,
    an_admin_who_deactivates,
    signing_in_as_somebody_else,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_a_session_ends_with_its_pages_and_its_cookie(server, ada, ben, bens_phone, end):
    rid = bens_phone.create_room("Tea")
    page = Page(bens_phone).watch(rid)
    page.wait_for("created this room")
    cookie, stream = bens_phone.cookie, Stream(bens_phone, rid)
    assert end(ada, ben, bens_phone).status_code == 303
    assert page.wait_closed(AT_ONCE) == 1008
    assert stream.has_ended(AT_ONCE)
    headers = {"Cookie": cookie}
    for path in ("/", "/me", f"/rooms/{rid}", f"/rooms/{rid}/stream"):
        answer = httpx.get(server.url + path, headers=headers)
        assert answer.headers["location"].startswith("/sign-in"), path
    with pytest.raises(InvalidStatus) as refused:
        Page(bens_phone, Cookie=cookie)
    assert refused.value.response.status_code == 401


class Stream:
    """A room's page without JavaScript, read in a thread to its end."""

    def __init__(self, visitor, rid):
        self.began, self.text = threading.Event(), ""
        self.thread = threading.Thread(target=self.read, args=(visitor, rid), daemon=True)
        self.thread.start()
        assert self.began.wait(10)

    def read(self, visitor, rid):
        url, headers = f"{visitor.url}/rooms/{rid}/stream", {"Cookie": visitor.cookie}
        with httpx.stream("GET", url, headers=headers, timeout=60) as answer:
            for piece in answer.iter_text():
                self.text += piece
                self.began.set()

    def has_ended(self, deadline):
        self.thread.join(deadline)
        return not self.thread.is_alive()


def test_a_new_password_renews_the_own_session_too(server, ben):
    """Who had the old cookie, wherever from, has nothing of it."""
    old = ben.cookie
    assert a_new_password(None, ben, None).status_code == 303
    assert ben.get("/").status_code == 200
    answer = httpx.get(f"{server.url}/", headers={"Cookie": old})
    assert answer.status_code == 303


def test_a_link_lets_nobody_in_who_was_deactivated(server, ada, ben):
    answer = ada.submit(f"/admin/people/{ben.uid}/reset")
    link = re.search(r'value="(http[^"]+)"', answer.text)[1].removeprefix(server.url)
    ada.submit(f"/admin/people/{ben.uid}/deactivate")
    visitor = Visitor(server.url)
    assert visitor.get(link).status_code == 404
    assert visitor.submit(link, "/sign-in", password=NEW, again=NEW).status_code == 404


def test_no_page_outlives_a_session_that_ends_while_it_opens(server, store, client):
    """The end is said between the handshake, which was right, and the page's listening: a little
    later each time, counted in words with the database."""
    for words in range(60):
        visitor = Visitor(server.url, "Eve")
        end = threading.Thread(target=end_after, args=(client, store, words, visitor.uid))
        end.start()
        with contextlib.suppress(InvalidStatus):  # ended before the handshake
            assert Page(visitor).wait_closed(AT_ONCE) == 1008
        end.join()


def end_after(client, store, words, uid):
    for _ in range(words):
        client.ping()
    store.sessions.end_all(uid)


# The place in a room


@pytest.fixture
def tea(ben, ada, bens_phone):
    """A closed room of Ada's with Ben in it."""
    return ada.create_room("Tea", "closed", [ben.uid])


def watching(visitor, rid):
    page = Page(visitor).watch(rid)
    page.wait_for("created this room")
    return page


def remove(store, rid, by, uid):
    """What removing does first; its server dies before the rest."""
    event = event_by(REMOVE, store.people.get(by.uid), "Ben")
    assert Script(store.client, "leave")(keys.of_room(rid), event, uid=uid) > 0


def test_nothing_that_follows_a_removal_is_shown_to_who_was_removed(store, ada, ben, tea):
    """Not even what follows at once, nor when the server that removed died of it."""
    removed, elsewhere, here = watching(ben, tea), Page(ben).watch(""), watching(ada, tea)
    elsewhere.wait_for("Tea")
    stream = Stream(ben, tea)
    remove(store, tea, ada, ben.uid)
    for n in range(20):
        store.messages.post(tea, store.people.get(ada.uid), f"among us {n}")
    here.wait_shown("among us 19")
    removed.wait_for("You are no longer in this room")
    for page in (removed, elsewhere):
        page.post("nowhere", "the end", "n-end")
        page.wait_for("#c-n-end")
        assert "among us" not in "".join(page.frames)
    assert stream.has_ended(AT_ONCE)
    assert "among us" not in stream.text


def test_a_removal_while_the_link_to_redis_is_lost_is_noticed(client, store, ada, ben, tea):
    removed, here = watching(ben, tea), watching(ada, tea)
    client.client_kill_filter(_type="pubsub")
    remove(store, tea, ada, ben.uid)
    store.messages.post(tea, store.people.get(ada.uid), "among us")
    here.wait_shown("among us")
    removed.wait_for("You are no longer in this room")
    assert "among us" not in "".join(removed.frames)
