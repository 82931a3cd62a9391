"""Each row of the tables of limits, on the running chat: a person with an empty bucket is refused,
and normal use is not."""

import re
import time

import httpx
import pytest
import redis
from werkzeug.routing import Map

from chat.app import create_app
from chat.config import Settings
from chat.services.limits import BURST_BYTES, BYTES_PER_SECOND, RATES
from chat.services.rate_limits import ROUTES
from chat.store import Store, keys

from ..running import Server, Visitor, browser, opened
from .page import Page, reads
from .test_limits import FAST, names, refused

EMPTY = 9 * 10**15  # a bucket that is full again in the far future
NETWORK = "127.0.0.9"  # of nobody else
PASSWORD = "seven wet umbrellas"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_SIGN_IN="guest,password").start()
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def inside(server):
    with server.redis() as client:
        yield client


@pytest.fixture(scope="module")
def store(inside):
    return Store(inside)


@pytest.fixture(scope="module")
def routes() -> Map:
    return create_app(Settings(secret_key="x" * 32), Store(redis.Redis(port=1))).url_map


def empty(inside, whose, *buckets):
    """Use up buckets of a person or a network that has taken nothing ahead from them."""
    for bucket in buckets:
        inside.set(keys.rate_limit(bucket, whose), EMPTY)


def requests(routes, rid="room", uid="person"):
    """Every route with an address: endpoint, method, path."""
    values = {"rid": rid, "uid": uid, "seq": "1", "fid": "f", "name": "n", "emoji": "x"}
    values |= {"secret": "s", "path": "chat.css"}
    address = routes.bind("")
    for rule in routes.iter_rules():
        if rule.websocket:
            continue
        given = {name: values[name] for name in rule.arguments}
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield rule.endpoint, method, address.build(rule.endpoint, given, method)


@pytest.fixture
def ann(server, store):
    """Somebody new, who has asked for nothing yet but to come in; `ann.uid` is not to be asked for
    by a page."""
    visitor = Newcomer(server.url)
    visitor.name = next(names)
    visitor.sign_in(visitor.name)
    visitor.found = store.people.find(visitor.name)[0]
    return visitor


class Newcomer(Visitor):
    @property
    def uid(self):
        return self.found.uid


def test_whoever_has_used_up_a_bucket_is_refused_by_each_of_its_routes(routes, inside, ann):
    """Before anything else is looked at: the rooms and people of these requests do not exist."""
    empty(inside, ann.uid, *RATES)
    for endpoint, method, path in requests(routes):
        budget = ROUTES[endpoint]
        if not budget.bucket or budget.by_network or endpoint.startswith("api."):
            continue
        answer = ann.http.request(method, path)
        assert answer.status_code == 429, (endpoint, path)
        assert int(answer.headers["retry-after"]) >= 1, endpoint
        assert RATES[budget.bucket].why in answer.text, endpoint


def test_so_is_a_program(server, routes, inside, ann, store):
    secret = store.tokens.make(ann.uid, "mine", ("read", "write"))
    empty(inside, ann.uid, *RATES)
    with browser(server.url, headers={"Authorization": f"Bearer {secret}"}) as program:
        for endpoint, method, path in requests(routes):
            if not endpoint.startswith("api.") or endpoint == "api.openapi":
                continue
            answer = program.request(method, path, json={})
            assert answer.status_code == 429, (endpoint, path)
            assert int(answer.headers["retry-after"]) >= 1, endpoint
            assert RATES[ROUTES[endpoint].bucket].why in answer.json()["error"]["text"], endpoint


def test_visitors_count_by_their_network(server, routes, inside):
    """Nobody asks for more than their network may, whatever it is; what is free goes on."""
    for bucket in ("anonymous", "address", "oidc", "hand-over"):
        empty(inside, NETWORK, bucket)
    transport = httpx.HTTPTransport(local_address=NETWORK)
    with httpx.Client(base_url=server.url, transport=transport) as far:
        for endpoint, method, path in requests(routes):
            answer = far.request(method, path)
            free = ROUTES[endpoint].free
            assert (answer.status_code == 429) == (not free), (endpoint, path)
        assert far.get("/nowhere").status_code == 429
        assert far.get("/healthz").status_code == 200


def test_a_network_of_people_has_a_budget_too(server, inside, ann):
    transport = httpx.HTTPTransport(local_address="127.0.0.8")
    far = opened.enter_context(
        httpx.Client(base_url=server.url, transport=transport, cookies=ann.http.cookies)
    )
    empty(inside, "127.0.0.8", "network")
    answer = far.get("/rooms")
    assert answer.status_code == 429
    assert "your network" in answer.text
    assert ann.get("/rooms").status_code == 200


def test_a_socket_too_many_is_refused(inside, ann):
    empty(inside, ann.uid, "socket")
    assert refused(ann).status_code == 429


@pytest.mark.parametrize("htmx", [False, True])
def test_what_is_refused_is_said_where_people_look(inside, ann, htmx):
    """On a page of its own, or, for a part of a page, beside it: nothing of that is replaced."""
    empty(inside, ann.uid, "view")
    answer = ann.get("/rooms/new", headers={"HX-Request": "true"} if htmx else {})
    assert answer.status_code == 429
    assert RATES["view"].why in answer.text
    assert ("<html" in answer.text) == (not htmx)
    assert answer.headers.get("hx-reswap") == ("none" if htmx else None)


def test_what_was_written_is_in_the_answer(inside, ann):
    rid = ann.create_room("Tea")
    page = ann.get(f"/rooms/{rid}").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    form = {"csrf_token": token, "body": "a long letter"}
    empty(inside, ann.uid, "view", "post")
    while (answer := ann.http.post(f"/rooms/{rid}/messages", data=form)).status_code != 429:
        pass
    assert "a long letter" in answer.text


# Buckets that the service behind a request takes from


def within(login, rid, seq, uid):
    """Requests of the owner of a room, with a message `seq` and a member `uid`, that would succeed:
    endpoint, the buckets it takes from, the request, its fields, its files."""
    room = f"/rooms/{rid}"
    named = {"name": "Ann", "login": login, "password": PASSWORD}
    members = [uid]
    file = {"files": ("a.txt", b"some bytes")}
    one = f"{room}/messages/{seq}"
    direct = {"kind": "direct", "members": members, "do": "1"}
    api = f"/api{room}"
    return [
        ("messages.post", ["post"], f"{room}/messages", {"body": "x"}, {}),
        ("messages.post", ["file"], f"{room}/messages", {"body": "x"}, file),
        ("messages.edit", ["post"], f"{one}/edit", {"body": "y"}, {}),
        ("messages.delete", ["post"], f"{one}/delete", {}, {}),
        ("reactions.react", ["post"], f"{room}/reactions", {"react": f"{seq} {seq} 👍"}, {}),
        ("room_settings.edit", ["post"], f"{room}/edit", {"name": "New", "kind": "open"}, {}),
        ("profiles.edit", ["profile"], "/me", {"name": "Anna"}, {}),
        ("members.add", ["members"], f"{room}/people", {"members": members, "do": "1"}, {}),
        ("members.remove", ["members"], f"{room}/people/{uid}/remove", {}, {}),
        ("rooms.create", ["start"], "/rooms", {"name": "N", "kind": "open", "do": "1"}, {}),
        ("rooms.create", ["write"], "/rooms", direct, {}),
        ("search.page", ["search"], "GET /search?q=hello", {}, {}),
        ("sign_in.sign_in", ["guest", "guest-day", "guests"], "/sign-in", {"name": "Ann"}, {}),
        ("sign_in.sign_in", ["address"], "/sign-in", {"login": "nobody", "password": "x"}, {}),
        ("sign_up.sign_up", ["sign-up"], "/sign-up", named, {}),
        ("api.find", ["search"], "GET /api/search?q=hello", {}, {}),
        ("api.edit_me", ["profile"], "PATCH /api/me", {"name": "Anna"}, {}),
        ("api.create_room", ["start"], "POST /api/rooms", {"name": "N"}, {}),
        ("api.write_to", ["write"], "POST /api/direct-rooms", {"members": members}, {}),
        ("api.add_members", ["members"], f"POST {api}/members", {"members": members}, {}),
        ("api.remove_member", ["members"], f"DELETE {api}/members/{uid}", {}, {}),
        ("api.edit_room", ["post"], f"PATCH {api}", {"about": "more"}, {}),
        ("api.post_message", ["post"], f"POST {api}/messages", {"body": "x"}, {}),
        ("api.post_file", ["post"], f"POST {api}/files?name=a.txt", {"any": "bytes"}, {}),
        ("api.post_file", ["file"], f"POST {api}/files?name=a.txt", {"any": "bytes"}, {}),
        ("api.edit_message", ["post"], f"PATCH /api{one}", {"body": "z"}, {}),
        ("api.delete_message", ["post"], f"DELETE /api{one}", {}, {}),
        ("api.react", ["post"], f"PUT /api{one}/reactions/👍", {}, {}),
        ("api.take_back", ["post"], f"DELETE /api{one}/reactions/👍", {}, {}),
    ]


BY_OTHER_TESTS = {
    ("first_admin.page_of_link", "address"),  # test_first_run
    ("first_admin.use_link", "address"),
    ("live.live", "page"),  # test_limits.test_an_address_opens_so_many_pages_a_minute
    ("sign_in.sign_in", "login"),  # test_sign_in.test_tries_are_counted...
    ("passwords.change", "login"),
    ("passwords.change", "account"),
}


ROWS = [
    (n, bucket) for n, row in enumerate(within("Somebody", "room", "1", "uid")) for bucket in row[1]
]


def test_each_bucket_within_is_tried():
    rows = {(name, bucket) for name, row in ROUTES.items() for bucket in row.within}
    tried = {
        (row[0], bucket) for row in within("Somebody", "room", "1", "uid") for bucket in row[1]
    }
    assert tried | BY_OTHER_TESTS == rows


@pytest.mark.parametrize(("row", "bucket"), ROWS)
def test_a_service_takes_from_its_bucket(server, store, inside, ann, row, bucket):
    """Ann, and whoever asks for her, from an address whose buckets nobody has taken from."""
    far = httpx.HTTPTransport(local_address=NETWORK)
    far = opened.enter_context(
        httpx.Client(base_url=server.url, transport=far, cookies=ann.http.cookies)
    )
    if not store.accounts.has_admin():
        store.accounts.create_admin("admin", "Admin", "x")
    for name in ("anonymous", "address", "guest"):
        inside.delete(keys.rate_limit(name, NETWORK))
    secret = store.tokens.make(ann.uid, "mine", ("read", "write"))
    token = re.search(r'name="csrf_token" value="([^"]+)"', far.get("/me").text)[1]
    me, other = store.people.get(ann.uid), store.people.create("Somebody")
    rid = store.rooms.create("Tea", "open", me, [other])
    seq = store.messages.post(rid, me, "hello", "n1")
    _, _, where, form, files = within(f"ann{time.time_ns()}"[:30], rid, seq, other.uid)[row]
    method, _, path = where.rpartition(" ")
    whose = {"guests": "", "guest": NETWORK, "guest-day": NETWORK, "address": NETWORK}
    whose = {**whose, "sign-up": NETWORK}.get(bucket, ann.uid)
    empty(inside, whose, bucket)
    if path.startswith("/api/"):
        auth = {"Authorization": f"Bearer {secret}"}
        answer = far.request(method, path, json=form or None, headers=auth)
    elif method:
        answer = far.request(method, path)
    else:
        answer = far.post(path, data={"csrf_token": token, **form}, files=files or None)
    inside.delete(keys.rate_limit(bucket, whose))
    assert answer.status_code == 429, answer.text
    assert RATES[bucket].why in answer.text.replace("&#39;", "'")


# What a page draws


def test_frames_draw_no_more_than_their_budget(server, store, ann):
    """Ten pages of a guest ask again and again for all that was said."""
    me = store.people.get(ann.uid)
    rid = store.rooms.create("Tea", "open", me)
    for n in range(200):
        store.messages.post(rid, me, f"{n} " + "word " * 780, f"n{n}")
    pages = [Page(ann) for _ in range(10)]
    began, answers = time.monotonic(), []

    def read(seconds):
        """How many of the pages were sent something meanwhile."""
        came = [text for page in pages if (text := page.receive(seconds)) is not None]
        answers.extend(map(len, came))
        return len(came)

    for _ in range(16):
        for page in pages:
            page.say(type="watch", room=rid, after="2")
        read(0.05)
    while read(0.2):
        pass
    drawn, most = sum(answers), max(answers)
    assert most > 100_000, "each answer is large"
    allowed = BURST_BYTES + BYTES_PER_SECOND * (time.monotonic() - began) + most
    assert BURST_BYTES / 2 < drawn <= allowed


# What people do


def test_ten_busy_minutes_at_once_meet_no_limit(store, ann):
    """What a person does who switches rooms, searches while typing and has ten tabs, whose chat is
    started anew now and then; without the minutes between. An hour as it passes is in
    tests/unit/test_rate_limits.py."""
    me = store.people.get(ann.uid)
    rids = [store.rooms.create(f"Room {n}", "open", me) for n in range(5)]
    for minute in range(10):
        for n in range(12):
            rid = rids[n % len(rids)]
            assert ann.get(f"/rooms/{rid}", headers={"HX-Request": "true"}).status_code == 200
            assert ann.get(f"/rooms/{rid}/composer?after=k{n}").status_code == 200
        for letters in range(4):
            assert ann.get(f"/search?q={'word'[: letters + 1]}").status_code == 200
            assert ann.get(f"/go?q={'room'[: letters + 1]}&all").status_code == 200
        assert ann.get("/unread").status_code == ann.get("/mentions").status_code == 200
        if minute % 5 == 0:
            pages = [Page(ann).watch(rids[0]) for _ in range(10)]
            for n, page in enumerate(pages):
                page.say(type="name", room=rids[0], body=f"hello {n}", nonce="k")
            for n, page in enumerate(pages[:5]):
                page.post(rids[0], f"hello {minute} {n}", f"k{minute}-{n}")
                assert FAST not in reads(page.wait_for(f"#c-k{minute}-{n}"))
            for page in pages:
                page.close()
