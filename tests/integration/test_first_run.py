"""How a chat gets its first administrator: from this machine, and with the link that the server
prints."""

import itertools
import re
import threading
import time
from ipaddress import ip_network

import pytest

from chat.app import create_app
from chat.auth import setup_link
from chat.config import Settings
from chat.store.accounts import MAX_SETUP_LINKS, SETUP_LINK_SECONDS

from ..running import Server, Visitor, opened
from .test_oidc import settings as oidc_settings
from .test_oidc import sign_in as sign_in_by_oidc
from .test_sign_in import GOOD, account

PUBLIC = {"CHAT_SIGN_IN": "guest,password", "CHAT_PROXIES": "10.9.9.9"}
FIELDS = {"login": "ada", "name": "Ada", "password": GOOD}


@pytest.fixture
def start(tmp_path):
    """Starts a chat with these settings, for one test."""
    number = itertools.count()

    def start(**env: str) -> Server:
        running = Server(tmp_path / f"chat{next(number)}", **env)
        opened.callback(running.clean_up)
        return running.start()

    return start


def is_admin(visitor):
    return visitor.get("/admin/people").status_code == 200


# From this machine


def test_one_of_many_at_once_makes_the_first_account(start):
    running = start(CHAT_SIGN_IN="password", CHAT_WORKERS="2")
    assert "/first-run/" not in running.log(), "nobody needs the link"
    assert Visitor(running.url).get("/sign-in").headers["location"] == "/first-run"
    assert Visitor(running.url).get("/sign-up").status_code == 404
    assert one_of_five_becomes_admin(running, "/first-run")
    assert Visitor(running.url).get("/first-run").status_code == 404


def one_of_five_becomes_admin(running, path):
    visitors, answers = [Visitor(running.url) for _ in range(5)], []

    def make(visitor, n):
        fields = {"login": f"admin-{n}", "name": "", "password": GOOD}
        answers.append(visitor.submit(path, path, **fields).status_code)

    threads = [threading.Thread(target=make, args=(v, n)) for n, v in enumerate(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers.count(303) == 1 and sum(map(is_admin, visitors)) == 1


LOCAL = {"sign_in": ("password",)}
HOSTS = ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "chat.localhost"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_visit_from_this_machine_needs_no_link(store, tmp_path, host):
    assert "Create the account" in first_page(store, tmp_path, LOCAL, host).text


@pytest.mark.parametrize(
    ("settings", "host", "peer", "headers"),
    [
        ({"host": "0.0.0.0"}, "localhost", "127.0.0.1", {}),
        ({"host": "::"}, "localhost", "::1", {}),
        ({"host": "192.0.2.1"}, "localhost", "127.0.0.1", {}),
        ({"origin": "https://chat.example.org"}, "localhost", "127.0.0.1", {}),
        ({"origin": "https://chat.example.org"}, "chat.example.org", "127.0.0.1", {}),
        ({"proxies": (ip_network("10.0.0.0/8"),)}, "localhost", "127.0.0.1", {}),
        ({}, "chat.example.org", "127.0.0.1", {}),  # a name that leads here: rebinding
        ({}, "localhost.example.org", "127.0.0.1", {}),
        ({}, "127.0.0.1.example.org", "127.0.0.1", {}),
        ({}, "192.0.2.1:8000", "127.0.0.1", {}),
        ({}, "[::1", "127.0.0.1", {}),
        ({}, "localhost", "192.0.2.1", {}),
        ({}, "localhost", "127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ({}, "localhost", "127.0.0.1", {"Forwarded": "for=127.0.0.1"}),
        ({}, "localhost", "127.0.0.1", {"Via": "1.1 tunnel"}),
        ({}, "localhost", "127.0.0.1", {"X-Real-IP": "127.0.0.1"}),
        ({}, "localhost", "127.0.0.1", {"Origin": "https://chat.example.org"}),
        ({}, "localhost", "127.0.0.1", {"Origin": "null"}),
    ],
)
def test_any_other_visit_needs_the_link(store, tmp_path, settings, host, peer, headers):
    answer = first_page(store, tmp_path, {**LOCAL, **settings}, host, peer, headers)
    assert "<form" not in answer.text
    assert "chat admin link" in answer.text or answer.status_code in (400, 421)


def first_page(store, tmp_path, settings, host, peer="127.0.0.1", headers=()):
    app = create_app(Settings(secret_key="x" * 32, data=tmp_path, **settings), store)
    headers = {"Host": host, **dict(headers)}
    client = app.test_client()
    return client.get("/first-run", headers=headers, environ_base={"REMOTE_ADDR": peer})


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"origin": "https://chat.example.org"}, "https://chat.example.org/first-run/s3cret"),
        ({"host": "0.0.0.0"}, "http://ADDRESS-OF-THIS-MACHINE:8000/first-run/s3cret"),
        (
            {"host": "::1", "proxies": (ip_network("10.0.0.0/8"),)},
            "http://[::1]:8000/first-run/s3cret",
        ),
    ],
)
def test_what_is_printed_is_a_whole_address(settings, address):
    assert f"    {address}\n" in setup_link.notice(Settings(**settings), "s3cret", 8000)


def test_a_chat_that_turns_passwords_on_later_gives_the_role_to_nobody(start):
    """People are there, and an administrator is not: the next visitor is one of them, on this
    machine too."""
    guests = start(CHAT_SIGN_IN="guest")
    Visitor(guests.url, "Gil")
    assert "/first-run/" not in guests.log()
    guests.stop()
    guests.env["CHAT_SIGN_IN"] = "guest,password"
    guests.start()
    visitor = Visitor(guests.url)
    assert "chat admin link" in visitor.get("/first-run").text
    answer = visitor.submit("/first-run", "/sign-in", **FIELDS)
    assert answer.status_code == 403
    assert 'value="ada"' in answer.text, "what was typed is still there"
    assert "Find the link for the first administrator" in visitor.get("/sign-in").text
    assert Visitor(guests.url, "Gus").get("/").status_code == 200, "guests still come in"
    ada = account(Visitor(guests.url), "ada", guests.setup_link())
    assert is_admin(ada)
    assert "Create one" in visitor.get("/sign-in").text


# With the link


def test_on_a_public_host_only_the_link_makes_the_admin(start):
    running = start(**PUBLIC, CHAT_WORKERS="2")
    assert f"{running.url}/first-run/" in running.log()
    visitor = Visitor(running.url)
    assert visitor.get("/sign-in").headers["location"] == "/first-run"
    assert "docker compose logs chat" in visitor.get("/first-run").text
    link = running.setup_link()
    assert one_of_five_becomes_admin(running, link)
    assert visitor.get(link).status_code == 404, "it worked once"
    assert visitor.get("/first-run").status_code == 404
    assert "chat already has an administrator" in running.console("admin", "link").stderr


def test_a_link_that_was_made_up_says_where_to_get_one(start):
    running = start(**PUBLIC)
    for wrong in ("x", "a" * 32, "%ff%fe", running.setup_link().rpartition("/")[2][:-1]):
        answer = Visitor(running.url).get(f"/first-run/{wrong}")
        assert answer.status_code == 404
        assert "This link does not work" in answer.text
        assert "chat admin link" in answer.text
    codes = [Visitor(running.url).get("/first-run/x").status_code for _ in range(101)]
    assert codes[-1] == 429, "tries are counted"
    assert Visitor(running.url).get(running.setup_link()).status_code == 200, (
        "but not the right one"
    )
    failed = "sign-in failed from 127.0.0.1: a wrong link for the first administrator"
    assert failed in running.log()


def test_a_link_goes_on_working_after_a_restart_and_a_mistake(start):
    """Several hosts, and starts one after the other, print one each."""
    running = start(**PUBLIC)
    first = running.setup_link()
    running.stop()
    running.start()
    asked = running.console("admin", "link").stdout
    assert running.setup_link() != first
    link = re.search(r"/first-run/[\w-]+", asked)[0]
    for path in (first, running.setup_link(), link):
        answer = Visitor(running.url).submit(path, path, login="-", password=GOOD)
        assert answer.status_code == 400
    guest = Visitor(running.url)
    assert guest.submit("/sign-in", link, name="Gil").status_code == 303
    uid, rid = guest.uid, guest.create_room("Tea")
    assert is_admin(account(guest, "gil", link)), "a guest goes on as the same person"
    assert guest.uid == uid
    assert guest.get(f"/rooms/{rid}").status_code == 200
    assert Visitor(running.url).get(first).status_code == 404


def test_a_login_that_is_taken_uses_nothing_up(store):
    store.accounts.create("ada", "Ada", "hash")
    for _ in range(2):
        with pytest.raises(Exception, match="taken"):
            store.accounts.create_admin("ada", "Ada", "hash")
        assert not store.accounts.has_admin()
    assert store.accounts.create_admin("ben", "Ben", "hash").role == "admin"


def test_links_expire_and_are_few(store, client, monkeypatch):
    old = store.setup_links.make()
    assert 0 < client.ttl("chat:first-run") <= SETUP_LINK_SECONDS
    assert old not in str(client.zrange("chat:first-run", 0, -1))
    clock = itertools.count(time.time() + SETUP_LINK_SECONDS + 1)
    monkeypatch.setattr(store.clock, "now", lambda: next(clock))
    assert not store.setup_links.is_valid(old)
    made = [store.setup_links.make() for _ in range(3 * MAX_SETUP_LINKS)]
    assert client.zcard("chat:first-run") == MAX_SETUP_LINKS
    assert not store.setup_links.is_valid(old)
    assert store.setup_links.is_valid(made[-1])


def test_without_passwords_whoever_signed_in_becomes_the_admin(start, provider):
    """By a provider of OpenID Connect; the link waits until they have signed in there."""
    running = start(**oidc_settings(provider))
    link = running.setup_link()
    zoe, eve = Visitor(running.url), Visitor(running.url)
    assert zoe.get(link).headers["location"] == f"/sign-in?next={link.replace('/', '%2F')}"
    sign_in_by_oidc(zoe, sub="7", name="Zoe")
    sign_in_by_oidc(eve, sub="8", name="Eve")
    assert eve.submit("/first-run", "/", **FIELDS).status_code == 403
    before = zoe.cookie
    assert "Zoe" in zoe.get(link).text
    assert zoe.submit(link, link).status_code == 303
    assert is_admin(zoe)
    assert zoe.cookie != before, "with more rights, another cookie"
    assert eve.submit(link, "/").status_code == 404
    assert not is_admin(eve)
    assert "became the first administrator" in zoe.get("/admin/audit").text


def test_in_a_chat_of_guests_the_link_is_made_on_the_console_only(start):
    running = start(CHAT_SIGN_IN="guest")
    assert "/first-run/" not in running.log()
    link = re.search(r"/first-run/[\w-]+", running.console("admin", "link").stdout)[0]
    gil = Visitor(running.url)
    to = gil.get(link).headers["location"]
    answer = gil.submit("/sign-in", to, name="Gil", next=link)
    assert answer.headers["location"] == link
    assert "You are a guest" in gil.get(link).text
    assert gil.submit(link, link).status_code == 303
    assert is_admin(gil)
