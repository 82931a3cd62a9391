"""Requests that change something come from the chat's own pages, whatever token they have."""

import re

import pytest
import redis
from websockets.exceptions import InvalidStatus

from chat.app import create_app
from chat.config import Settings
from chat.store import Store

from ..running import Server, Visitor
from .page import Page

REFUSED = "sent from another site"
ARGUMENTS = {"rid": "r", "uid": "u", "seq": "1", "name": "n", "secret": "s", "fid": "f"}
HERE, ELSEWHERE = "{here}", "https://evil.example"
ALLOWED = [
    {},
    {"Origin": HERE},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": HERE, "Sec-Fetch-Site": "same-origin"},
    {"Origin": HERE, "Sec-Fetch-Site": "none"},
]
NOT_ALLOWED = [
    {"Origin": ELSEWHERE},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "{here}/"},
    {"Origin": "{here}.evil.example"},
    {"Origin": "{HERE}"},
    {"Origin": "{here} https://evil.example"},
    {"Origin": "https://{host}"},
    {"Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "SAME-ORIGIN"},
    {"Sec-Fetch-Site": "same-origin, same-origin"},
    {"Sec-Fetch-Site": "invented-later"},
    {"Origin": HERE, "Sec-Fetch-Site": "cross-site"},
    {"Origin": HERE, "Sec-Fetch-Site": "same-site"},
    {"Origin": ELSEWHERE, "Sec-Fetch-Site": "same-origin"},
    {"Origin": "null", "Sec-Fetch-Site": "none"},
    {"Origin": ELSEWHERE, "Referer": "{here}/"},
]


def filled(headers, url):
    host = url.partition("//")[2]
    return {
        name: value.replace("{here}", url).replace("{HERE}", url.upper()).replace("{host}", host)
        for name, value in headers.items()
    }


@pytest.fixture(scope="module")
def unsafe(tmp_path_factory):
    """Method, path and endpoint of each request that changes something."""
    settings = Settings(secret_key="x" * 32, data=tmp_path_factory.mktemp("data"))
    routes = []
    for rule in create_app(settings, Store(redis.Redis())).url_map.iter_rules():
        path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", lambda m: ARGUMENTS.get(m[1], "1"), rule.rule)
        for method in sorted(rule.methods - {"GET", "HEAD", "OPTIONS"}):
            routes.append((method, path, rule.endpoint))
    assert len(routes) > 50
    return routes


def is_exempt(endpoint):
    return endpoint.startswith("api.") or endpoint == "jwt_sign_in.sign_in"


@pytest.mark.parametrize("headers", NOT_ALLOWED, ids=str)
def test_a_page_of_another_site_changes_nothing(server, ann, unsafe, headers):
    """Though it has the cookie and the token."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', ann.get("/").text)[1]
    for method, path, endpoint in unsafe:
        if is_exempt(endpoint):
            continue
        answer = ann.http.request(
            method, path, data={"csrf_token": token}, headers=filled(headers, server.url)
        )
        assert (answer.status_code, REFUSED in answer.text) == (403, True), (method, path)
        assert set(answer.headers) >= HEADERS_KEPT


HEADERS_KEPT = {"content-security-policy", "x-content-type-options", "cache-control"}


@pytest.mark.parametrize("headers", ALLOWED, ids=str)
def test_a_page_of_the_chat_does_what_it_may(server, headers):
    ann, sent = Visitor(server.url), filled(headers, server.url)
    ann.http.headers.update(sent)
    ann.sign_in("Ann")
    rid = ann.create_room("Tea")
    assert ann.post(rid, "hello").status_code == 303
    assert "hello" in ann.room(rid)
    assert ann.submit("/sign-out").status_code == 303


def test_what_was_written_is_not_lost(ann):
    rid = ann.create_room("Tea")
    ann.http.headers["Origin"] = ELSEWHERE
    answer = ann.post(rid, "many <words>")
    assert answer.status_code == 403
    assert "many &lt;words&gt;</textarea>" in answer.text
    assert "many" not in ann.room(rid)


def test_reading_is_not_asked_where_it_comes_from(server, ann):
    """A link of another site leads here."""
    headers = {"Origin": ELSEWHERE, "Sec-Fetch-Site": "cross-site"}
    assert ann.get("/rooms", headers=headers).status_code == 200
    assert ann.http.head("/rooms", headers=headers).status_code == 200
    assert ann.http.options("/rooms", headers=headers).status_code == 200


def test_cookies_open_nothing_in_the_api(server, ann, unsafe):
    """It is exempt, because nobody has a token by way of a browser."""
    for method, path, endpoint in unsafe:
        if endpoint.startswith("api."):
            for headers in ({}, {"Sec-Fetch-Site": "same-origin", "Origin": server.url}):
                answer = ann.http.request(method, path, json={}, headers=headers)
                assert answer.status_code == 401, (method, path)


def test_another_site_may_hand_somebody_over_where_the_settings_say_so(unsafe):
    """Which the route sees to itself: tests/integration/test_jwt.py."""
    assert [e for *_, e in unsafe if is_exempt(e) and not e.startswith("api.")] == [
        "jwt_sign_in.sign_in"
    ]


@pytest.mark.parametrize("headers", [h for h in NOT_ALLOWED if all(h.values())], ids=str)
def test_a_page_of_another_site_opens_no_socket(server, ann, headers):
    with pytest.raises(InvalidStatus) as refused:
        Page(ann, **filled(headers, server.url))  # with our own Origin, where there is no other
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_page_of_the_chat_opens_a_socket(ann, site):
    Page(ann, **{"Sec-Fetch-Site": site}).watch(ann.create_room("Tea")).wait_for("1 online")


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory):
    """People reach it by https, through a proxy that passes the Host on."""
    data = tmp_path_factory.mktemp("chat")
    running = Server(data, CHAT_ORIGIN="https://chat.example.org", CHAT_PROXIES="127.0.0.1").start()
    yield running
    running.clean_up()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://chat.example.org"}, 303),
        ({"Origin": "https://chat.example.org", "Sec-Fetch-Site": "same-origin"}, 303),
        ({}, 303),
        ({"Origin": "http://chat.example.org"}, 403),
        ({"Origin": "https://chat.example.org:444"}, 403),
        ({"Origin": "https://other.example.org", "X-Forwarded-Host": "other.example.org"}, 403),
        ({"Origin": "http://chat.example.org", "X-Forwarded-Proto": "http"}, 403),
        ({"Origin": "{here}"}, 403),
    ],
)
def test_behind_a_proxy_the_address_that_people_type_counts(behind_a_proxy, headers, status):
    visitor = Visitor(behind_a_proxy.url)
    visitor.http.headers["Host"] = "chat.example.org"
    page = visitor.get("/sign-in")
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
    # The cookie is Secure, and the proxy's connection is not.
    cookie = page.headers["set-cookie"].partition(";")[0]
    sent = {**filled(headers, behind_a_proxy.url), "Cookie": cookie}
    answer = visitor.http.post("/sign-in", data={"csrf_token": token, "name": "Ann"}, headers=sent)
    assert answer.status_code == status, answer.text
