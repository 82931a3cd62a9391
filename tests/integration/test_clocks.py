"""Two hosts with different clocks on one database: nobody notices."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import greenback
import pytest
from flask import session as cookie

from chat.app import create_app
from chat.auth import jwt
from chat.config import Settings
from chat.domain.events import POST
from chat.media.attachments import FOLDER, Files
from chat.media.avatars import Pictures
from chat.media.orphan_cleanup import OrphanCleanup
from chat.rendering import local_time
from chat.store import Store, accounts, keys, sessions
from chat.store.presence import PRESENT_SECONDS
from chat.store.sessions import IDLE_SECONDS
from chat.web import oidc_sign_in
from chat.webhooks.queueing import now_ms

from ..clocks import FAKETIME, Clock, clock_ahead
from ..faults.database import Database
from ..running import Server, Visitor, wait_until
from ..stored_events import pack
from .page import Page

PROGRAM = """
import datetime, sys, time
for _ in sys.stdin:
    time.sleep(0.01)
    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
"""


def test_a_process_has_the_clock_it_is_given(tmp_path):
    """The tool works: what is shown below is shown of clocks that differ."""
    clock = Clock(tmp_path / "clock", 3600)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **clock.python},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:

        def ask():
            process.stdin.write("\n")
            process.stdin.flush()
            return [float(word) for word in process.stdout.readline().split()]

        first = ask()
        assert abs(first[1] - first[0]) < 1
        clock.set(-30)
        wait_until(lambda: -3660 < ask()[0] - first[0] < -3600, "the other time")
        second = ask()
        assert abs(second[1] - second[0]) < 1
        assert 0 < second[2] - first[2] < 60
        process.stdin.close()


# Two hosts in one process: the database is real, and what they ask the time of day by is not.

DAY = 24 * 3600
DIFFERENCES = (-400 * DAY, -3600, -30, 30, 3600, 400 * DAY)  # seconds between two hosts' clocks


@pytest.fixture(params=DIFFERENCES)
def there(request, client):
    """Another host over the same database, whose clock differs: within `there()` it is what this
    process does, with the store that is given."""

    @contextmanager
    def enter():
        with clock_ahead(request.param):
            yield Store(client)

    return enter


@pytest.fixture
def now(client):
    """The time that counts, in seconds."""
    return lambda: client.time()[0]


def test_a_session_of_one_host_is_one_at_the_other(store, client, there, now):
    with there() as other:
        ann = other.people.create("Ann")
        secret = other.sessions.begin(ann.uid, "password")
    person, session = store.sessions.person(ann.uid, secret)
    assert (person.uid, session.began) == (ann.uid, pytest.approx(now(), abs=2))
    assert store.sessions.of(ann.uid) == [session]
    assert store.sessions.is_on(ann.uid, session.sid)
    old = replace(session, seen=now() - IDLE_SECONDS - 60, began=now() - IDLE_SECONDS - 60)
    client.hset(keys.sessions(ann.uid), session.sid, sessions._packed(old))
    with there() as other:
        assert other.sessions.person(ann.uid, secret) is None
        assert not other.sessions.is_on(ann.uid, session.sid)
        assert other.sessions.of(ann.uid) == []


def test_when_a_session_and_a_token_were_used_last_is_the_databases_time(store, client, there, now):
    ann = store.people.create("Ann")
    secret, token = store.sessions.begin(ann.uid, "password"), store.tokens.make(ann.uid, "t", [])
    [session] = store.sessions.of(ann.uid)
    used_before = replace(session, seen=now() - 2 * sessions.NOTE_SECONDS)
    client.hset(keys.sessions(ann.uid), session.sid, sessions._packed(used_before))
    with there() as other:
        other.sessions.person(ann.uid, secret)
        other.tokens.person(token)
    [session], [used] = store.sessions.of(ann.uid), store.tokens.of(ann.uid)
    assert session.seen == pytest.approx(now(), abs=2)
    assert used.made == used.used == pytest.approx(now(), abs=2)


def test_a_link_for_the_first_admin_works_at_all_hosts_and_as_long(store, client, there):
    with there() as other:
        secret = other.setup_links.make()
    assert store.setup_links.is_valid(secret)
    mine = store.setup_links.make()
    assert store.setup_links.is_valid(secret), "which has not put the other out"
    for digest, _ in client.zscan_iter(keys.SETUP_LINKS):
        client.zincrby(keys.SETUP_LINKS, -accounts.SETUP_LINK_SECONDS, digest)
    with there() as other:
        assert not other.setup_links.is_valid(secret)
        assert not other.setup_links.is_valid(mine)


def test_guests_are_forgotten_after_as_many_days_by_all_hosts(store, client, there, now):
    for name, days in (("New", 0), ("Known", 29), ("Old", 31)):
        guest = store.people.create(name)
        store.people.keep(guest.uid)
        store.sessions.begin(guest.uid, "guest")
        [session] = store.sessions.of(guest.uid)
        seen = replace(session, seen=now() - days * DAY)
        client.hset(keys.sessions(guest.uid), session.sid, sessions._packed(seen))
        if name == "Old":
            old = guest.uid
    with there() as other:
        gone = [uid for step in other.guests.forget(30) for uid in step]
    assert gone == [old]


def test_messages_are_kept_as_many_days_by_all_hosts(store, client, there, now):
    ann = store.people.create("Ann")
    room = store.rooms.create("Tea", "open", ann)
    for n, days in enumerate((31, 29, 0), 2):
        fields = {"at": (now() - days * DAY) * 1000, "data": pack(POST, ann.uid, "Ann", "tea")}
        client.xadd(keys.events(room), fields, id=f"{n}-0")
        client.hset(keys.room(room), "seq", n)
    client.xdel(keys.events(room), "1-0")
    with there() as other:
        assert other.retention.trim(room, messages=0, days=30) == 1
    assert [entry for entry, _ in client.xrange(keys.events(room))] == ["3-0", "4-0"]


def test_what_ends_soon_is_imported_by_all_hosts_and_what_has_ended_by_none(client, there, now):
    for after, comes in ((3600, True), (-3600, False)):
        record = {"is": "person", "uid": f"p{after}", "fields": {"name": "Ann"}}
        with there() as other:
            load = other.importer()
            load._person(record["uid"], {**record, "expires": (now() + after) * 1000})
            assert bool(other.people.get(record["uid"])) == comes


def test_a_file_is_as_old_for_all_hosts(store, client, there, now, tmp_path):
    """A file is swept when the database says that it is old, whatever its own date is."""
    ann, files = store.people.create("Ann"), Files(Pictures(str(tmp_path)), 1)
    folder = tmp_path / FOLDER / "tea"
    folder.mkdir(parents=True)
    for fid in ("young", "old"):
        store.stored_files.keep(fid, "tea", ann, 1)
        (folder / fid).write_bytes(b"x")
        os.utime(folder / fid, (1, 1))  # by a host that takes this for the year 1970
    entry = client.hget(keys.STORED[0], "old").split(" ")
    client.hset(keys.STORED[0], "old", " ".join([*entry[:2], "1000", *entry[3:]]))

    def sweep():
        with there() as other:
            OrphanCleanup(other, files)._round()

    asyncio.run(greenback.with_portal_run_sync(sweep))
    assert [path.name for path in folder.iterdir()] == ["young"]


def test_the_first_wait_of_a_bucket_is_the_same_for_all_hosts(store, there):
    with there() as other:
        while other.rate_limits.take("tea", "ann", 5, 600)[0]:
            pass
    given, wait = store.rate_limits.take("tea", "ann", 5, 600)
    assert (given, wait) == (0, pytest.approx(120, abs=5))


def app_over(store):
    return create_app(Settings(secret_key="x" * 32, oidc_issuer="https://id.example"), store)


def test_a_cookie_of_one_host_is_read_by_the_other_at_once(store, there):
    with there() as other:
        other.clock.now()
        app = app_over(other)
        text = app.session_interface.get_signing_serializer(app).dumps({"uid": "ann"})
    store.clock.now()
    with app_over(store).test_request_context(headers={"Cookie": f"session={text}"}):
        assert dict(cookie) == {"uid": "ann"}


def test_what_was_begun_at_a_provider_by_one_host_is_ended_by_the_other(store, there, now):
    for ago, ends in ((0, True), (oidc_sign_in.MAX_SIGN_IN_SECONDS + 60, False)):
        with there() as other, app_over(other).test_request_context():
            cookie["oidc"] = [["state", "nonce", "verifier", "/", now() - ago]]
            assert bool(oidc_sign_in._take_started("state")) == ends


def test_a_token_of_another_site_is_good_as_long_at_all_hosts(there, now):
    claims = {"iss": "site", "aud": "chat", "sub": "ann"}
    with there() as other:
        jwt.check_claims({**claims, "exp": now() + 60}, "site", "chat", other.clock.now())
        with pytest.raises(jwt.BadToken):
            jwt.check_claims({**claims, "exp": now() - 60}, "site", "chat", other.clock.now())


def test_today_is_the_databases_day(store, monkeypatch):
    """Of a database that takes this for the year 2001."""
    monkeypatch.setattr(local_time, "_clock", time.time)  # put back afterwards
    app_over(store)
    at = 1_000_000_000
    store.clock.correct(at, time.monotonic())
    assert local_time.short_time(at * 1000, "UTC") == "01:46"
    assert local_time.time_of_day() == f"{datetime.fromtimestamp(at):%H:%M}"


def test_deliveries_are_due_at_the_same_time_for_all_hosts(store, there, now):
    with there() as other:
        assert now_ms(other) == pytest.approx(now() * 1000, abs=2000)


# Two hosts as they run


@pytest.fixture
def hosts(tmp_path, client, valkey):
    """Two hosts with a clock each, an hour and half a minute off, over one database."""
    clocks = [Clock(tmp_path / "clock1", 3600), Clock(tmp_path / "clock2", -30)]
    options = {"REDIS_URL": valkey.url, "SECRET_KEY": "x" * 32, "CHAT_LIMITS": "off"}
    running = [
        Server(tmp_path / f"host{n}", **options, **clock.python) for n, clock in enumerate(clocks)
    ]
    try:
        for host, clock in zip(running, clocks, strict=True):
            host.start().clock = clock
        yield running
    finally:
        for host in running:
            host.clean_up()


def at(host, visitor):
    """The same person with the same cookie at another host."""
    there = Visitor(host.url)
    there.http.cookies = visitor.http.cookies
    return there


def test_hosts_whose_clocks_are_wrong_and_set_are_one_chat(hosts, client):
    one, two = hosts
    ann, bob = Visitor(one.url, "Ann"), Visitor(two.url, "Bob")
    rid = ann.create_room("Tea")
    assert "Tea" in at(two, ann).room(rid), "a cookie of a host that is ahead"
    bob.join(rid)
    assert "Tea" in at(one, bob).room(rid), "and of one that is behind"
    pages = [Page(ann).watch(rid), Page(bob).watch(rid)]
    for page in pages:
        page.wait_for("2 online")
    ann.post(rid, "before")
    one.clock.set(-3600)
    two.clock.set(3600)
    at(two, ann).post(rid, "after")
    for page in pages:
        page.wait_shown("after")
    assert "Tea" in at(two, ann).room(rid)
    assert "this session" in at(two, ann).get("/me/sessions").text
    assert client.zcard(keys.PROCESSES) == 2
    assert client.zcard(keys.PRESENT) == 2
    gone = bob.uid
    two.kill()
    client.zincrby(keys.PRESENT, -PRESENT_SECONDS, gone)  # a dead host says nothing
    pages[0].wait_for("1 online")
    assert "Traceback" not in one.log() + two.log()


@pytest.fixture
def database(tmp_path):
    """A Valkey whose clock can be set."""
    running = Database(tmp_path / "database")
    try:
        running.start()
        yield running
    finally:
        running.clean_up()


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_when_the_databases_clock_is_set_everybody_stays(tmp_path, database, seconds):
    options = {"CHAT_WORKERS": "2", "CHAT_LIMITS": "off"}
    host = Server(tmp_path / "host", REDIS_URL=f"redis://127.0.0.1:{database.port}", **options)
    try:
        host.start()
        ann, bob = Visitor(host.url, "Ann"), Visitor(host.url, "Bob")
        rid, gone = ann.create_room("Tea"), bob.uid
        bob.join(rid)
        pages = [Page(ann).watch(rid), Page(bob).watch(rid)]
        for page in pages:
            page.wait_for("2 online")
            page.frames.clear()
        database.clock.set(seconds)
        ends = lambda: database.client.zrange(keys.PRESENT, 0, -1, withscores=True)  # noqa: E731
        now = lambda: database.client.time()[0]  # noqa: E731
        wait_until(
            lambda: (
                len(ends()) == 2
                and all(now() < end <= now() + PRESENT_SECONDS + 1 for _, end in ends())
            ),
            "the times of who is here by the other clock",
        )
        ann.post(rid, "still here")
        for page in pages:
            page.wait_shown("still here")
            assert not any("1 online" in frame or "0 online" in frame for frame in page.frames)
        eve = Visitor(host.url, "Eve")
        eve.join(rid)
        pages[0].wait_for("joined")
        assert "Tea" in eve.get("/").text, "who signs in by the other clock"
        pages[1].close()
        database.client.zincrby(keys.PRESENT, -PRESENT_SECONDS, gone)
        pages[0].wait_for("1 online")
    finally:
        host.clean_up()
