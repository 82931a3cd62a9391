"""Requests that are too frequent, too many or too large are refused with a clear error, for all
processes together."""

import html
import itertools
import os
import re
import signal
import time

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from websockets.exceptions import InvalidStatus

from chat.config import Settings
from chat.domain.errors import TooOften
from chat.realtime.connection_limits import REWRITTEN_KEYS, ConnectionLimits
from chat.services.limits import RATES, Limits, span
from chat.services.rooms import MAX_ROOMS, MAX_ROOMS_BY_OTHERS
from chat.store import Store, keys
from chat.store.connections import ALIVE_SECONDS

from ..running import Server, Visitor, wait_until
from .page import Page, reads
from .test_api import Program
from .test_serving import worker_of

PERSON, ADDRESS = 4, 30  # pages
FAST = "sending messages too fast"
names = (f"Person {n}" for n in itertools.count(1))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Two processes, with the limits that everybody has but few pages."""
    folder = tmp_path_factory.mktemp("chat")
    pages = {"CHAT_PAGES_PER_PERSON": str(PERSON), "CHAT_PAGES_PER_ADDRESS": str(ADDRESS)}
    running = Server(folder, CHAT_WORKERS="2", CHAT_SIGN_IN="guest,password", **pages).start()
    with opened(running) as client:
        # Pages of a process count at the other when that one has heard of it, at its next beat.
        wait_until(lambda: client.zcard(keys.PROCESSES) == 2, "both processes")
        first = dict(client.zrange(keys.PROCESSES, 0, -1, withscores=True))
        wait_until(
            lambda: all(
                client.zscore(keys.PROCESSES, process) != score for process, score in first.items()
            ),
            "both have heard of each other",
        )
    yield running
    running.clean_up()


def opened(server):
    """The running chat's own database."""
    return redis.Redis.from_url(f"unix://{server.data}/valkey/valkey.sock", decode_responses=True)


@pytest.fixture
def ann(server):
    """Somebody new, who has used up nothing."""
    return Visitor(server.url, next(names))


@pytest.fixture
def inside(server):
    """The running chat's own database; a test may let what addresses have used be forgotten."""
    with opened(server) as client:
        yield client


@pytest.fixture(autouse=True)
def rested(inside):
    """The tests are many people at one address: none has come too often yet."""
    for key in inside.scan_iter("chat:throttle:*"):
        inside.delete(key)


def kept(answer):
    """The text in the composer of a page."""
    return html.unescape(re.search(r'<input [^>]*id="body"[^>]* value="([^"]*)"', answer.text)[1])


def two_pages(server, visitor):
    """A page of the visitor at each of the two workers."""
    first = Page(visitor)
    while worker_of(server, second := Page(visitor)) == worker_of(server, first):
        second.close()
    return first, second


# Messages


def test_who_writes_too_fast_is_told_so_and_nothing_else_is_lost(ann):
    rid = ann.create_room("Tea")
    page = Page(ann).watch(rid)
    began = time.monotonic()
    for n in range(40):
        page.post(rid, f"message {n}", f"k{n}")
    answers = [page.wait_for(f"#c-k{n}") for n in range(40)]
    allowed = RATES["post"].most + 5 * (time.monotonic() - began) + 1
    refused = [n for n, answer in enumerate(answers) if FAST in reads(answer)]
    stored = [n for n in range(40) if n not in refused]
    assert stored[:20] == list(range(20))
    assert len(stored) <= allowed
    page.close()
    while ann.post(rid, f"message {refused[0]}", f"k{refused[0]}").status_code == 429:
        pass
    later = Page(ann).watch(rid)
    later.wait_shown(f"message {refused[0]}")
    assert len(later.bodies) == len(stored) + 1


def test_without_javascript_the_text_stays_in_the_composer(ann):
    rid = ann.create_room("Tea")
    answers = [ann.post(rid, f"message {n} <&>") for n in range(60)]
    refused = next(n for n, answer in enumerate(answers) if answer.status_code == 429)
    assert refused >= RATES["post"].most
    assert kept(answers[refused]) == f"message {refused} <&>"
    assert FAST in reads(answers[refused].text)
    assert answers[refused].headers["retry-after"] == "1"
    assert f"message {refused} " not in re.sub("<input.*?>", "", ann.room(rid))


def test_a_program_is_told_so_in_json(ann):
    program = Program(ann)
    rid = ann.create_room("Tea")
    path = f"/rooms/{rid}/messages"
    answers = [program.http.post(path, json={"body": "hello"}) for _ in range(60)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["status"] == 429
    assert FAST in refused.json()["error"]["text"]
    assert refused.headers["retry-after"] == "1"


def test_editing_counts_as_writing(ann):
    rid = ann.create_room("Tea")
    ann.post(rid, "first")
    path = f"/rooms/{rid}/messages/2/edit"
    answers = [ann.submit(path, body=f"text {n}") for n in range(60)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert FAST in reads(refused.text)
    assert "text " in refused.text, "what was typed is still there"


def test_reacting_counts_as_writing(ann):
    rid = ann.create_room("Tea")
    ann.post(rid, "first")
    path = f"/rooms/{rid}/reactions"
    answers = [ann.submit(path, react="2 999", emoji="🦊") for _ in range(60)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert FAST in reads(refused.text)
    assert 'value="🦊"' in refused.text, "what was typed is still there"


def test_two_processes_count_together(server, ann):
    """Both pages at once send what each of them might alone."""
    rid = ann.create_room("Tea")
    pages = two_pages(server, ann)
    began = time.monotonic()
    for n in range(30):
        for at, page in enumerate(pages):
            page.post(rid, f"message {n} of {at}", f"k{at}-{n}")
    answers = [page.wait_for(f"#c-k{at}-{n}") for n in range(30) for at, page in enumerate(pages)]
    stored = [answer for answer in answers if FAST not in reads(answer)]
    assert 20 <= len(stored) <= 20 + 5 * (time.monotonic() - began) + 1


def test_one_who_writes_too_fast_holds_up_nobody_else(server, ann):
    bob = Visitor(server.url, next(names))
    rid = ann.create_room("Tea")
    bob.join(rid)
    loud, calm = Page(ann).watch(rid), Page(bob).watch(rid)
    for n in range(50):
        loud.post(rid, f"message {n}")
    calm.post(rid, "may I", "b1")
    assert FAST not in reads(calm.wait_for("#c-b1"))
    calm.wait_shown("may I")
    loud.wait_shown("may I")
    while loud.receive(0.5):
        pass


# What else is done too often


def test_joining_rooms(ann):
    rid = ann.create_room("Tea")
    answers = [ann.submit(f"/rooms/{rid}/join") for _ in range(RATES["join"].most + 1)]
    assert [answer.status_code for answer in answers] == [303] * 30 + [429]
    assert "joined too many rooms" in reads(answers[-1].text)
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3


def test_starting_rooms(ann):
    for n in range(RATES["start"].most):
        ann.create_room(f"Room {n}")
    answer = ann.submit("/rooms", "/rooms/new", name="One more", kind="open", about="a topic")
    assert answer.status_code == 429
    assert "created too many rooms" in reads(answer.text)
    assert 'value="One more"' in answer.text
    assert 'value="a topic"' in answer.text


def test_changing_ones_profile(ann):
    answers = [ann.submit("/me", "/me", name="Ann", about=f"{n}") for n in range(31)]
    assert [answer.status_code for answer in answers] == [303] * 30 + [429]
    assert "changed your profile too often" in reads(answers[-1].text)
    assert 'value="30"' in answers[-1].text


def test_being_in_too_many_rooms(server, ann, inside):
    """Direct rooms, which others begin, are not counted."""
    store = Store(inside)
    person = store.people.get(ann.uid)
    owner = store.people.create("Somebody")
    for n in range(MAX_ROOMS - 1):
        store.rooms.create(f"Room {n}", "open", owner, [person])
    store.rooms.direct(person, [owner])
    rid = ann.create_room("The last one")
    other = Visitor(server.url, next(names)).create_room("One too many")
    answer = ann.submit(f"/rooms/{other}/join")
    assert answer.status_code == 403
    assert f"in {MAX_ROOMS} rooms" in reads(answer.text)
    store.rooms.end(rid, person)
    ann.join(other)


def test_frames_are_read_more_slowly_and_none_is_lost(ann):
    page = Page(ann)
    began = time.monotonic()
    for _ in range(90):
        page.say(type="watch", room="")
    rid = ann.create_room("Tea")
    page.post(rid, "at last", "k1")
    page.wait_for("#c-k1")
    assert time.monotonic() - began > 1.4, "sixty at once, then twenty a second"
    assert page.code is None


# Open pages


def handshake(visitor):
    """Open and close a page; returns why that was refused, or ""."""
    try:
        Page(visitor).close()
    except InvalidStatus as error:
        return error.response.body.decode()
    return ""


def refused(visitor):
    """The answer to a handshake that is refused."""
    with pytest.raises(InvalidStatus) as found:
        Page(visitor)
    return found.value.response


def test_a_person_has_so_many_pages_over_all_processes(server, inside, ann):
    first, second = two_pages(server, ann)
    # Those that were closed on the way are counted until the next beat.
    wait_until(lambda: inside.hvals(keys.user_pages(ann.uid)) == ["1", "1"], "the two counted")
    others = [Page(ann) for _ in range(PERSON - 2)]
    wait_until(lambda: ann.get("/connection").text, "all of them counted")
    answer = refused(ann)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert f"You have {PERSON} pages open" in answer.body.decode()
    assert f"You have {PERSON} pages open" in ann.get("/connection").text, "for the page to say"
    assert first.code is second.code is None
    others[0].close()
    wait_until(lambda: handshake(ann) == "", "room for one more")
    wait_until(lambda: not ann.get("/connection").text, "nothing more to say")


def test_an_address_has_so_many_pages_whoever_they_are(server, inside):
    visitors = [Visitor(server.url, next(names)) for _ in range(ADDRESS // PERSON + 2)]
    rid = visitors[0].create_room("Tea")

    def is_calm():
        return not any(map(int, inside.hvals(keys.address_pages("127.0.0.1"))))

    wait_until(is_calm, "calm")
    pages = [Page(visitor) for visitor in (visitors * PERSON)[:ADDRESS]]
    answer = refused(visitors[-1])
    assert answer.status_code == 429
    assert "from your network" in answer.body.decode()
    stream = visitors[0].get(f"/rooms/{rid}/stream")
    assert stream.status_code == 429, "without JavaScript it is a page as well"
    assert "CHAT_PROXIES" in server.log()
    for page in pages:
        page.close()
    wait_until(lambda: not visitors[-1].get("/connection").text, "room for others")
    # A process knows at once what closed there, and the other one at the next beat only.
    wait_until(is_calm, "room at both processes")
    with visitors[0].http.stream("GET", f"/rooms/{rid}/stream") as response:
        assert response.status_code == 200
        chunks = response.iter_text()
        assert next(chunks)
        count = keys.user_pages(visitors[0].uid)
        wait_until(lambda: inside.hvals(count) == ["1"], "its count")
    wait_until(lambda: not inside.exists(count), "its end")


def test_an_address_opens_so_many_pages_a_minute(ann):
    """Those that are refused for another reason count as well."""
    while "Too many people are using the chat from your network" not in handshake(ann):
        pass


def test_pages_of_a_process_that_died_do_not_count(store, client):
    key = keys.user_pages("ann")
    store.connections.beat("dead")
    assert store.connections.beat("alive") == ["dead"]
    assert store.connections.enter(key, 3, "dead", 3, ["alive"])
    assert not store.connections.enter(key, 3, "alive", 1, ["dead"])
    client.zincrby(keys.PROCESSES, -ALIVE_SECONDS - 1, "dead")
    others = store.connections.beat("alive")
    assert others == []
    assert store.connections.enter(key, 3, "alive", 1, others)


def test_pages_that_stay_open_count_for_as_long(store, client):
    """What is written down ends a day after its last change, and another database may have lost
    it."""
    limits = ConnectionLimits(store, Settings())
    people = [f"p{n}" for n in range(2 * REWRITTEN_KEYS + 1)]
    for uid in people:
        limits.enter(uid, "192.0.2.1")
    limits.update()
    client.flushdb()
    for _ in range(5):  # a round may be in its middle
        limits.update()
    assert [client.hvals(keys.user_pages(uid)) for uid in people] == [["1"]] * len(people)
    assert client.hvals(keys.address_pages("192.0.2.1")) == [str(len(people))]
    for uid in people:
        limits.leave(uid, "192.0.2.1")
    for _ in range(4):
        limits.update()
    assert client.keys("chat:*pages*") == [], "and no longer"


def test_what_closed_while_redis_was_away_is_written_down_later(valkey, store, client):
    limits = ConnectionLimits(store, Settings())
    limits.enter("ann", "192.0.2.1")
    assert client.hvals(keys.user_pages("ann")) == ["1"]
    os.kill(valkey.process.pid, signal.SIGSTOP)
    try:
        limits.store.client = redis.Redis.from_url(valkey.url, socket_timeout=0.2)
        limits.leave("ann", "192.0.2.1")
        limits.update()
    finally:
        os.kill(valkey.process.pid, signal.SIGCONT)
    limits.store.client = client
    limits.update()
    assert not client.exists(keys.user_pages("ann"), keys.address_pages("192.0.2.1"))


def test_without_redis_pages_open_and_nobody_writes_uncounted():
    """The limits, that is; what else the page needs of Redis is refused as ever."""
    away = Store(redis.Redis(port=1, retry=Retry(NoBackoff(), 0)))
    ConnectionLimits(away, Settings()).enter("ann", "192.0.2.1")
    with pytest.raises(redis.ConnectionError):
        Limits(away.rate_limits, 1000).use("login", "ann")


# The bucket


def test_a_bucket_gives_what_it_holds_and_fills_by_time(store):
    take = store.rate_limits.take
    assert [take("tea", "ann", 5, 1, 3) for _ in range(4)] == [(2, 0), (1, 0), (1, 0), (1, 0)]
    given, wait = take("tea", "ann", 5, 1)
    assert given == 0
    assert 0 < wait <= 0.2
    assert take("tea", "bob", 5, 1) == (1, 0)
    wait_until(lambda: take("tea", "ann", 5, 1)[0], "the next one")


def test_a_clock_that_is_set_back_keeps_nobody_out_for_long(store, client):
    client.set(keys.rate_limit("tea", "ann"), 9 * 10**15)
    given, wait = store.rate_limits.take("tea", "ann", 5, 10)
    assert (given, wait) == (0, 2)


def test_what_was_taken_ahead_is_used_up_before_more_is_asked_for(store):
    first, second = Limits(store.rate_limits, 1000), Limits(store.rate_limits, 1000)
    for limits in (first, second) * 10:
        limits.use("post", "ann")
    with pytest.raises(TooOften, match=FAST):
        first.use("post", "ann")


def test_who_writes_on_several_pages_at_once_is_not_taken_for_more(store):
    """What some have taken ahead and do not use is not the whole bucket."""
    for _ in range(8):  # processes, or pages of one process that ask at the same time
        Limits(store.rate_limits, 1000).use("post", "ann")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "a moment"), (2.4, "2 seconds"), (89, "89 seconds"), (890, "15 minutes")],
)
def test_a_wait_is_said_as_people_say_it(seconds, said):
    assert span(seconds) == said


# Sizes


def test_headers(server):
    answer = Visitor(server.url).get("/sign-in", headers={"X-Long": "x" * 9000})
    assert (answer.status_code, answer.text) == (431, "Request Header Fields Too Large")


def test_a_body(ann):
    answer = ann.submit("/rooms", "/rooms/new", name="x" * 70_000)
    assert answer.status_code == 413
    assert "larger than the chat accepts" in answer.text


def test_a_message(ann):
    rid = ann.create_room("Tea")
    answer = ann.post(rid, "é" * 4001)
    assert answer.status_code == 400
    assert "4,001 characters. The limit is 4,000" in reads(answer.text)
    assert kept(answer) == "é" * 4001
    assert ann.post(rid, "é" * 4000).status_code == 303


def test_a_frame(ann):
    page = Page(ann)
    page.socket.send("x" * (256 * 1024 + 1))
    assert page.wait_closed() == 1009


# None


def test_limits_can_be_lifted(tmp_path):
    running = Server(tmp_path / "chat", CHAT_LIMITS="off", CHAT_PAGES_PER_PERSON="1").start()
    try:
        ann = Visitor(running.url, "Ann")
        rid = ann.create_room("Tea")
        pages = [Page(ann).watch(rid) for _ in range(3)]
        for n in range(30):
            pages[0].post(rid, f"message {n}")
        for page in pages:
            page.wait_shown("message 29")
    finally:
        running.clean_up()


def fill_list(inside, uid, count):
    """Put so many rooms on a person's list, until that person looks at it: they are none."""
    inside.sadd(keys.user_rooms(uid), *(f"r{n}" for n in range(count)))


def ways_to_list(by, uid):
    """Everything by which somebody puts a room on the list of somebody else."""
    program, rid = Program(by), by.create_room("Tea", "closed")
    picked = {"members": [uid]}
    yield by.submit("/rooms", "/people", kind="direct", **picked)
    yield by.submit("/rooms", "/rooms/new", name="Cake", kind="closed", **picked)
    yield by.submit(f"/rooms/{rid}/people", f"/rooms/{rid}/people", do="add", **picked)
    for path, more in (
        ("direct-rooms", {}),
        ("rooms", {"name": "Milk"}),
        (f"rooms/{rid}/members", {}),
    ):
        yield program.http.post(f"/{path}", json={**picked, **more})


def test_nobody_is_put_into_rooms_without_end(server, ann, inside):
    """Each page of a person has the list of all their rooms, which others make longer: hundreds of
    guests made it megabytes."""
    uid = ann.uid
    bob, eve = Visitor(server.url, next(names)), Visitor(server.url, next(names))
    known = bob.submit("/rooms", "/people", kind="direct", members=[uid])
    fill_list(inside, uid, MAX_ROOMS)
    answers = list(ways_to_list(eve, uid))
    assert [answer.status_code for answer in answers] == [400] * 6
    assert all(f"is in {MAX_ROOMS} rooms already" in reads(answer.text) for answer in answers)
    again = bob.submit("/rooms", "/people", kind="direct", members=[uid])
    assert again.headers["location"] == known.headers["location"]


def test_people_with_accounts_can_be_reached_when_guests_have_filled_the_list(server, ann, inside):
    uid = ann.uid
    member = Visitor(server.url, next(names))
    inside.hset(keys.user(member.uid), "role", "member")
    fill_list(inside, uid, MAX_ROOMS)
    assert [answer.status_code < 400 for answer in ways_to_list(member, uid)] == [True] * 6
    fill_list(inside, uid, MAX_ROOMS_BY_OTHERS)
    assert [answer.status_code for answer in ways_to_list(member, uid)][1:3] == [400] * 2
