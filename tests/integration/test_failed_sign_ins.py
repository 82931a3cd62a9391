"""The log of failed sign-ins on the running chat, for every method: one line, and no secret."""

import re

import httpx
import pytest

from ..running import Server, Visitor, wait_until
from .test_sign_in import GOOD, account

SECRET = "correct-horse-battery"  # typed into every field, the wrong ones too
WAYS = {
    "CHAT_SIGN_IN": "guest,password,jwt,oidc",
    "CHAT_PROXIES": "127.0.0.1",
    "CHAT_JWT_SECRET": "s" * 32,
    "CHAT_JWT_ISSUER": "https://www.example.org",
    "CHAT_JWT_AUDIENCE": "chat",
    "CHAT_OIDC_ISSUER": "http://127.0.0.1:9",
    "CHAT_OIDC_CLIENT_ID": "chat",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("chat"), **WAYS).start()
    ada = account(Visitor(running.url), "ada", running.setup_link())
    running.ada = ada.uid
    running.jar = ada.http.cookies
    running.link = ada.submit(f"/admin/people/{account(Visitor(running.url), 'ben').uid}/reset")
    yield running
    running.clean_up()


def post(path, page="/sign-in", **fields):
    return lambda visitor: visitor.submit(path, page, **fields)


def get(path, **headers):
    return lambda visitor: visitor.get(path, headers=headers)


def present_password(visitor):
    visitor.http.cookies = httpx.Cookies(visitor.server.jar)
    other = f"{GOOD} and more"  # the present one as the new one is a form that is sent again
    return visitor.submit("/me/password", "/me/password", old=SECRET, password=other, again=other)


TRIES = {
    "wrong password (person {ada})": post("/sign-in", login="ada", password=SECRET),
    "unknown login": post("/sign-in", login=SECRET, password=SECRET),
    "wrong current password (person {ada})": present_password,
    "a wrong link for a new password": get(f"/sign-in/reset/{SECRET}"),
    "a token was refused": post("/sign-in/token", token=SECRET),
    "a token from a page": lambda visitor: visitor.http.post(
        "/sign-in/token", data={"token": SECRET}, headers={"Origin": "https://evil.example.org"}
    ),
    "OpenID Connect": get(f"/sign-in/oidc/callback?state={SECRET}&code={SECRET}"),
    "unknown token": get("/api/me", Authorization=f"Bearer chat_{SECRET}"),
}


@pytest.mark.parametrize("reason", TRIES)
def test_a_failure_is_one_line_with_the_network_and_no_secret(server, reason):
    visitor = Visitor(server.url)
    visitor.server = server
    number = list(TRIES).index(reason)
    visitor.http.headers["X-Forwarded-For"] = f"203.0.113.{number}"
    server.forget_log()
    assert TRIES[reason](visitor).status_code >= 400
    lines = re.findall("sign-in failed from (.*)", server.log())
    assert len(lines) == 1
    assert lines[0].startswith(f"203.0.113.{number}: {reason.format(ada=server.ada)}")
    assert SECRET not in server.log()


def test_what_is_typed_right_is_no_line(server):
    server.forget_log()
    visitor = Visitor(server.url)
    visitor.http.headers["X-Forwarded-For"] = "203.0.113.77"
    assert visitor.submit("/sign-in", "/sign-in", login="ben", password=GOOD).status_code == 303
    assert visitor.get("/api/me").status_code == 401, "nothing was tried"
    assert "sign-in failed" not in server.log()


def test_too_many_tries_are_told_too(server):
    visitor = Visitor(server.url)
    visitor.http.headers["X-Forwarded-For"] = "198.51.100.9"
    server.forget_log()
    for _ in range(14):
        visitor.submit("/sign-in", "/sign-in", login="cleo", password=SECRET)
    wait_until(lambda: server.log().count("sign-in failed from 198.51.100.9") == 10, "the lines")
    assert SECRET not in server.log()


def test_an_error_on_a_page_whose_address_is_a_secret_does_not_log_the_secret(server):
    """What is broken here is the stored session of the visitor."""
    visitor, client = Visitor(server.url, "Gil"), server.redis()
    link = re.search(r"/sign-in/reset/[\w-]+", server.link.text)[0]
    token = re.search(r'name="csrf_token" value="([^"]+)"', visitor.get(link).text)[1]
    client.hset(f"chat:user:{{{visitor.uid}}}:sessions", mapping=broken_sessions(client, visitor))
    server.forget_log()
    fields = {"csrf_token": token, "password": GOOD, "again": GOOD}
    assert visitor.http.post(link, data=fields).status_code == 500
    assert "in POST '/sign-in/reset/…'" in server.log()
    assert "Traceback" in server.log()
    assert link.rpartition("/")[2] not in server.log()


def broken_sessions(client, visitor):
    """Values at which Python's parser gives up. Other text that is no JSON only ends a session."""
    nested = "[" * 100_000
    return dict.fromkeys(client.hkeys(f"chat:user:{{{visitor.uid}}}:sessions"), nested)
