"""`chat serve`: starting, stopping, dying and restarting; each error is one line."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import ANY
from urllib.parse import urlencode

import httpx
import pytest
import redis
from websockets.exceptions import InvalidStatus

from chat.app import create_app
from chat.config import Settings
from chat.web.client_address import FORWARDING_HEADERS

from ..faults.replica import fail_over, state_of
from ..running import ROOT, Server, Visitor, alive, browser, children, opened, wait_until
from .page import Page


def serve(tmp_path, **env):
    """Run `chat serve` where it cannot start; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "chat", "serve"],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), "CHAT_DATA": str(tmp_path / "data"), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_one_line(finished, *words):
    assert finished.returncode == 1
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 1, finished.stderr
    for word in words:
        assert word in lines[0]


def conversation(server, count=5):
    """Ann and Bob in a room, with `count` messages by Ann; returns (ann, bob, room)."""
    ann, bob = Visitor(server.url, "Ann"), Visitor(server.url, "Bob")
    rid = ann.create_room("Tea")
    bob.join(rid)
    for n in range(count):
        assert ann.post(rid, f"message {n}").status_code == 303
    return ann, bob, rid


# What is wrong is said


def test_a_taken_port_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_line(serve(tmp_path, CHAT_BIND=f"127.0.0.1:{port}"), str(port), "CHAT_BIND")


def test_a_data_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "data").write_text("a file, not a folder")
    assert_one_line(serve(tmp_path, CHAT_BIND="127.0.0.1:0"), "data folder", str(tmp_path))


def test_a_redis_that_cannot_be_reached_is_said_without_its_password(tmp_path):
    url = "redis://user:hush@127.0.0.1:1/0"
    finished = serve(tmp_path, CHAT_BIND="127.0.0.1:0", REDIS_URL=url)
    assert_one_line(finished, "cannot reach Redis", "127.0.0.1:1")
    assert "hush" not in finished.stderr


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://127.0.0.1:1?foo=bar", "'foo' is not an option"),
        ("redis+sentinel://127.0.0.1:1/chat?foo=bar", "'foo' is not an option"),
        ("redis://127.0.0.1:1/x", "number of a database"),
        ("rediss://127.0.0.1:1?ssl_ca_certs=/nowhere", "cannot reach Redis"),
        ("redis://a..b", "host:port"),
        ("redis+cluster://127.0.0.1:1,127.0.0.1:2", "cannot reach Redis"),
    ],
)
def test_an_address_of_redis_that_is_wrong_is_said(tmp_path, url, why):
    assert_one_line(serve(tmp_path, CHAT_BIND="127.0.0.1:0", REDIS_URL=url), why)


def test_a_redis_that_is_too_old_is_said(tmp_path):
    """An old server is one that says so: this one answers like Redis 6.2."""
    with socket.socket() as old:
        old.bind(("127.0.0.1", 0))
        old.listen()
        threading.Thread(target=answer_like_redis_6, args=(old,), daemon=True).start()
        url = f"redis://127.0.0.1:{old.getsockname()[1]}"
        assert_one_line(serve(tmp_path, CHAT_BIND="127.0.0.1:0", REDIS_URL=url), "6.2.14", "7.0")


def answer_like_redis_6(listener):
    connection, _ = listener.accept()
    info = b"# Server\r\nredis_version:6.2.14\r\n"
    with connection:
        while asked := connection.recv(65536):
            for command in asked.upper().split(b"*")[1:]:
                if b"INFO\r\n" in command and b"CLIENT" not in command:
                    connection.sendall(b"$%d\r\n%s\r\n" % (len(info), info))
                elif b"HELLO" in command:
                    connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                else:
                    connection.sendall(b"+OK\r\n")


def test_a_bad_setting_is_said(tmp_path):
    assert_one_line(serve(tmp_path, CHAT_WORKERS="many"), "CHAT_WORKERS", "many")


def test_a_second_chat_on_the_same_data_is_refused(mortal_server, tmp_path):
    finished = serve(tmp_path, CHAT_BIND="127.0.0.1:0", CHAT_DATA=str(mortal_server.data))
    assert_one_line(finished, "another chat")


# Starting and stopping


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_cleanly_and_a_second_start_has_all_messages(mortal_server, name):
    _, bob, rid = conversation(mortal_server)
    everything = children(mortal_server.process.pid)
    assert len(everything) == 3, "the embedded Valkey, a worker, the indexer"
    mortal_server.process.send_signal(name)
    assert mortal_server.stop() == 0
    assert not any(alive(pid) for pid in everything)
    mortal_server.start()
    page = bob.room(rid)
    assert [f"message {n}" in page for n in range(5)] == [True] * 5


def test_stopping_asks_pages_to_come_back(mortal_server):
    ann, _, rid = conversation(mortal_server, 1)
    page = Page(ann).watch(rid)
    page.wait_shown("message 0")
    mortal_server.process.terminate()
    assert page.wait_closed() == 1012
    assert mortal_server.stop() == 0


def test_the_secret_is_generated_once_and_for_the_owner_only(mortal_server):
    path = mortal_server.data / "secret"
    first = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first) >= 32
    mortal_server.stop()
    mortal_server.start()
    assert path.read_text() == first


def test_a_redis_of_ones_own_is_used(valkey, tmp_path):
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        client.flushall()
        server = Server(tmp_path / "chat", REDIS_URL=valkey.url).start()
        try:
            Visitor(server.url, "Ann").create_room("Tea")
            assert client.zcard("chat:rooms:open") == 1
            assert not (server.data / "valkey").exists()
        finally:
            server.clean_up()


# Dying and coming back


def test_killing_everything_during_a_conversation_loses_nothing_acknowledged(mortal_server):
    """kill -9 of the supervisor, whose workers end with it and whose Valkey is taken over."""
    ann, bob, rid = conversation(mortal_server, 0)
    page = Page(ann).watch(rid)
    nonces = {page.post(rid, f"message {n:03}"): n for n in range(100)}
    acknowledged = set()
    while len(acknowledged) < 50:
        text = page.receive()
        acknowledged |= {n for nonce, n in nonces.items() if f'"#c-{nonce}"' in text}
    mortal_server.kill()
    mortal_server.start()
    again = Page(bob).watch(rid, after=0)
    again.wait_for("joined")
    again.post(rid, "the end")
    again.wait_shown("the end")
    stored = [int(body[-3:]) for body in again.bodies[:-1]]
    assert acknowledged <= set(stored)
    assert stored == sorted(set(stored)), "in order, each once"


def test_killing_valkey_during_a_conversation_loses_nothing_acknowledged(mortal_server):
    """It is started again, the pages stay open, and a resend with its nonce is single."""
    ann, bob, rid = conversation(mortal_server, 0)
    writer, reader = Page(ann).watch(rid), Page(bob).watch(rid)
    reader.wait_for("joined")
    for n in range(20):
        writer.post(rid, f"message {n:03}", f"k{n}")
        writer.wait_for(f"#c-k{n}")
    pid = mortal_server.valkey()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), "the end of Valkey")
    wait_until(mortal_server.is_ready, "Valkey's return")
    for n in range(20, 40):
        writer.post(rid, f"message {n:03}", f"k{n}")
        writer.wait_for(f"#c-k{n}")
    reader.wait_shown("message 039")
    assert reader.bodies == [f"message {n:03}" for n in range(40)]
    assert reader.code is None
    assert set(reader.times.values()) == {1}


def test_a_valkey_that_cannot_start_is_not_started_without_pause(mortal_server):
    """And comes up when what was wrong is mended."""
    mortal_server.stop()
    (manifest,) = (mortal_server.data / "valkey" / "appendonlydir").glob("*.manifest")
    mortal_server.start()
    good = manifest.read_text()
    manifest.write_text("nonsense\n")
    begun = time.monotonic()
    os.kill(mortal_server.valkey(), signal.SIGKILL)
    wait_until(lambda: mortal_server.log().count("Valkey has died") >= 4, "the fourth try")
    assert time.monotonic() - begun > 2
    manifest.write_text(good)
    wait_until(mortal_server.is_ready, "Valkey's return")


def test_while_valkey_is_away_a_post_is_refused_in_words_and_kept(fresh_server):
    ann, _, rid = conversation(fresh_server, 1)
    page = Page(ann).watch(rid)
    page.wait_shown("message 0")
    page.wait_for('hx-target="#rooms"')  # the last that is asked of Valkey
    os.kill(fresh_server.valkey(), signal.SIGSTOP)
    try:
        page.post(rid, "can you hear me", "v1")
        assert "cannot reach its database" in page.wait_for("#c-v1")
        answer = ann.http.get(f"/rooms/{rid}")
        assert answer.status_code == 503
        assert ann.get("/readyz").status_code == 503
        assert ann.get("/healthz").status_code == 200
    finally:
        os.kill(fresh_server.valkey(), signal.SIGCONT)
    wait_until(fresh_server.is_ready, "Valkey's return")
    lines = re.findall("WARNING.*", fresh_server.log())
    # A busy machine may hold up the loop, of which there is a line as well.
    lines = [line for line in lines if "chat.observability.loop_lag" not in line]
    of_the_worker = [line for line in lines if "chat.search.indexer" not in line]
    assert of_the_worker == [ANY], "one line of a process, whoever finds out"
    assert len(lines) <= 2
    page.post(rid, "can you hear me", "v1")
    page.wait_shown("can you hear me")
    page.post(rid, "the end")
    page.wait_shown("the end")
    assert page.bodies.count("can you hear me") == 1


def test_while_valkey_is_away_a_form_comes_back_with_its_text(mortal_server):
    """503, and everything that was written on the page that says so; JSON for programs."""
    ann, _, rid = conversation(mortal_server, 0)
    token = re.search(r'name="csrf_token" value="([^"]+)"', ann.room(rid))[1]
    form = {"csrf_token": token, "body": "a long & careful text", "nonce": "w1"}
    os.kill(mortal_server.valkey(), signal.SIGSTOP)
    try:
        answer = ann.http.post(f"/rooms/{rid}/messages", data=form)
        assert answer.status_code == 503
        assert "a long &amp; careful text" in answer.text
        assert "cannot reach its database" in answer.text
        told = ann.http.get("/api/me", headers={"Authorization": "Bearer x"})
        assert (told.status_code, told.headers["content-type"]) == (503, "application/json")
        with pytest.raises(InvalidStatus) as refused:
            Page(ann)
        assert refused.value.response.status_code == 503, "it tries again, later each time"
    finally:
        os.kill(mortal_server.valkey(), signal.SIGCONT)
    wait_until(mortal_server.is_ready, "Valkey's return")
    assert ann.http.post(f"/rooms/{rid}/messages", data=form).status_code == 303
    assert len(re.findall(r"message__body[^>]*>a long &amp; careful text", ann.room(rid))) == 1


def test_a_worker_that_can_fork_no_more_is_replaced(mortal_server):
    (pid,) = mortal_server.workers()
    (forker,) = children(pid)
    os.kill(forker, signal.SIGKILL)
    wait_until(lambda: mortal_server.workers() not in ([], [pid]), "another worker")
    wait_until(mortal_server.is_ready, "its readiness")
    ann = Visitor(mortal_server.url, "Ann")
    rid = ann.create_room("Tea", "open")
    ann.post(rid, "*bold*")
    assert "<em>bold</em>" in ann.get(f"/rooms/{rid}").text


def test_a_worker_that_dies_is_replaced(mortal_server):
    _, bob, rid = conversation(mortal_server, 1)
    (pid,) = mortal_server.workers()
    page = Page(bob).watch(rid)
    page.wait_shown("message 0")
    os.kill(pid, signal.SIGKILL)
    assert page.wait_closed() == 1006
    wait_until(lambda: mortal_server.workers() not in ([], [pid]), "another worker")
    wait_until(mortal_server.is_ready, "its readiness")
    assert "message 0" in bob.room(rid)


def test_a_link_cut_between_publish_and_subscribe_is_repaired(mortal_server):
    """What was published while the subscriber was away is read from the stream."""
    ann, bob, rid = conversation(mortal_server, 0)
    page = Page(bob).watch(rid)
    page.wait_for("joined")
    url = f"unix://{mortal_server.data}/valkey/valkey.sock"
    with redis.Redis.from_url(url, decode_responses=True) as client:
        for n in range(30):
            if n % 3 == 0:
                client.client_kill_filter(_type="pubsub")
            assert ann.post(rid, f"message {n:02}").status_code == 303
    page.wait_shown("message 29")
    assert page.bodies == [f"message {n:02}" for n in range(30)]
    assert set(page.times.values()) == {1}
    assert page.code is None


def test_a_failover_that_loses_what_was_shown_is_told_to_every_page(mortal_server):
    """Numbers are used again before the process, or a page, comes back: the list is replaced."""
    ann, bob, rid = conversation(mortal_server, 2)
    page = Page(bob).watch(rid)
    page.wait_shown("message 1")
    away = Page(bob).watch(rid)
    away.wait_shown("message 1")
    url = f"unix://{mortal_server.data}/valkey/valkey.sock"
    replica = state_of(url)
    ann.post(rid, "lost")
    for each in (page, away):
        each.wait_shown("lost")
    away.close()
    fail_over(url, replica)
    for n in range(3):
        assert ann.post(rid, f"kept {n}").status_code == 303
    assert page.wait_closed() == 1012
    for each in (page, away):
        each.reconnect()
        each.watch(rid)
        each.wait_shown("kept 2")
        assert each.bodies == ["message 0", "message 1", "kept 0", "kept 1", "kept 2"]


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("two"), CHAT_WORKERS="2", CHAT_LIMITS="off").start()
    yield running
    running.clean_up()


def test_two_workers_serve_one_conversation(two_workers):
    """Pages on both see the same messages in the same order, whichever they are sent to."""
    first, second = two_workers.workers()
    ann, _, rid = conversation(two_workers, 0)
    pages = [Page(ann).watch(rid) for _ in range(4)]
    while {worker_of(two_workers, page) for page in pages} != {first, second}:
        pages.append(Page(ann).watch(rid))
        assert len(pages) < 100, "the kernel gives everything to one worker"
    for page in pages:
        page.wait_for("joined")
    for n, page in enumerate(pages):
        page.post(rid, f"message {n}")
    for page in pages:
        for n in range(len(pages)):
            page.wait_shown(f"message {n}")
    assert len({tuple(page.bodies) for page in pages}) == 1


def worker_of(server, page):
    """The process id of the worker that holds the other end of a page's socket."""
    own, theirs = (f":{port:04X}" for port in (page.socket.local_address[1], server.port))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    inode = next(line[9] for line in lines if line[1].endswith(theirs) and line[2].endswith(own))
    for pid in server.workers():
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(file) == f"socket:[{inode}]":
                    return pid
    return None


def test_a_worker_that_dies_takes_only_its_own_pages_along(two_workers):
    first, second = two_workers.workers()
    ann, _, rid = conversation(two_workers, 0)
    pages = {}
    while len(pages) < 2:
        page = Page(ann).watch(rid)
        pages.setdefault(worker_of(two_workers, page), page)
    os.kill(first, signal.SIGKILL)
    assert pages[first].wait_closed() == 1006
    pages[second].post(rid, "still here")
    pages[second].wait_shown("still here")
    died = time.monotonic()
    wait_until(lambda: len(two_workers.workers()) == 2, "another worker", 2)
    pages[first].reconnect()
    pages[first].watch(rid).wait_shown("still here")
    print(f"back {time.monotonic() - died:.1f} s after the death")
    assert second in two_workers.workers()


def test_a_post_on_its_way_when_the_chat_stops_is_stored_and_answered(mortal_server):
    """Half of it has come before SIGTERM, the other half comes after."""
    ann, bob, rid = conversation(mortal_server, 0)
    page = Page(bob).watch(rid)
    token = re.search(r'name="csrf_token" value="([^"]+)"', ann.room(rid))[1]
    body = urlencode({"csrf_token": token, "body": "the last word", "nonce": "n"}).encode()
    head = (
        f"POST /rooms/{rid}/messages HTTP/1.1\r\nHost: 127.0.0.1:{mortal_server.port}\r\n"
        f"Cookie: {ann.cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", mortal_server.port), timeout=10) as sock:
        sock.sendall(head.encode() + body[:20])
        mortal_server.process.terminate()
        assert page.wait_closed() == 1012
        sock.sendall(body[20:])
        answer = sock.recv(65536).decode()
        assert answer.startswith("HTTP/1.1 303")
        assert "connection: close" in answer.lower()
    assert mortal_server.stop() == 0
    mortal_server.start()
    assert "the last word" in bob.room(rid)


# Other code takes over


@pytest.fixture
def own_code(tmp_path):
    """A chat of two workers that runs a copy of the code."""
    for name in ("chat", "templates", "static"):
        shutil.copytree(ROOT / name, tmp_path / "code" / name)
    server = Server(tmp_path / "data", PYTHONPATH=str(tmp_path / "code"), CHAT_WORKERS="2")
    server.env["CHAT_LIMITS"] = "off"
    server.code = tmp_path / "code" / "chat" / "web" / "health.py"
    server.start()
    yield server
    opened.pop_all().close()
    server.clean_up()


class Hammer(threading.Thread):
    """Reads and writes without a pause; `again`: on a new connection each time."""

    def __init__(self, visitor, rid, again):
        super().__init__(daemon=True)
        self.visitor, self.rid, self.again = visitor, rid, again
        self.token = re.search(r'name="csrf_token" value="([^"]+)"', visitor.room(rid))[1]
        self.posted = []
        self.failed = []
        self.over = False
        self.start()

    def run(self):
        headers = {"Cookie": self.visitor.cookie}
        if self.again:
            headers["Connection"] = "close"
        with browser(self.visitor.url, headers=headers) as http:
            while not self.over:
                body = f"{self.name} {len(self.posted)}"
                form = {
                    "csrf_token": self.token,
                    "body": body,
                    "nonce": f"n{body}".replace(" ", "-"),
                }
                try:
                    read = http.get(f"/rooms/{self.rid}")
                    wrote = http.post(f"/rooms/{self.rid}/messages", data=form)
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                else:
                    self.posted.append(body)
                    if (read.status_code, wrote.status_code) != (200, 303):
                        self.failed.append(f"{read.status_code} {wrote.status_code}")


def test_new_workers_take_over_without_a_request_that_fails(own_code):
    """Pages are asked to come back, and do; what runs afterwards is the code on the disk."""
    ann, _, rid = conversation(own_code, 0)
    before = own_code.workers()
    cyd = Visitor(own_code.url, "Cyd")
    quiet = cyd.create_room("Quiet")
    pages = [Page(cyd).watch(quiet) for _ in range(10)]
    own_code.code.write_text(own_code.code.read_text().replace('"ok\\n", 200', '"new\\n", 200'))
    assert httpx.get(f"{own_code.url}/healthz").text == "ok\n"
    hammers = [Hammer(ann, rid, again) for again in (False, True, False)]
    wait_until(lambda: all(len(hammer.posted) > 5 for hammer in hammers), "the first posts")
    told = own_code.console("reload")
    assert "is replacing its workers" in told.stdout, told.stderr
    for page in pages:
        assert page.wait_closed() == 1012
        page.reconnect()
    cyd.post(quiet, "the end")
    wait_until(lambda: "all are new" in own_code.log(), "the last hand-over")
    wait_until(lambda: not any(alive(pid) for pid in before), "the end of the old ones", 20)
    for hammer in hammers:
        hammer.over = True
        hammer.join()
    assert [hammer.failed for hammer in hammers] == [[], [], []]
    assert len(own_code.workers()) == 2
    assert not set(own_code.workers()) & set(before)
    assert httpx.get(f"{own_code.url}/healthz").text == "new\n"
    for page in pages:
        page.reconnect()  # those that came to the old second worker were sent away once more
        page.watch(quiet).wait_shown("the end")


def test_workers_that_cannot_start_change_nothing_and_are_not_tried_without_a_pause(own_code):
    ann, _, rid = conversation(own_code, 1)
    before = own_code.workers()
    good = own_code.code.read_text()
    own_code.code.write_text("raise RuntimeError('unfinished')\n")
    own_code.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old workers stay" in own_code.log(), "the refusal")
    assert own_code.workers() == before
    assert "message 0" in ann.room(rid)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: "another starts in 4 s" in own_code.log(), "longer and longer pauses")
    # Once for SIGHUP, then after 1 and 2 s; before those at once, if the killed one was settled.
    assert own_code.log().count("RuntimeError: unfinished") in (3, 4)
    own_code.code.write_text(good)
    wait_until(lambda: len(own_code.workers()) == 2, "another worker")
    wait_until(own_code.is_ready, "its readiness")


def test_nobody_is_asked_to_reload_where_no_chat_runs(tmp_path):
    server = Server(tmp_path)
    told = server.console("reload")
    assert told.returncode == 1
    assert told.stderr == f"chat: no chat is running on {tmp_path} (CHAT_DATA)\n"


# Behind a proxy


@pytest.mark.parametrize(
    ("proxies", "address"),
    [
        ("", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.10"),
        ("127.0.0.0/8, 203.0.113.10", "198.51.100.7"),
    ],
)
def test_the_visitor_is_who_the_known_proxies_say(tmp_path, proxies, address):
    """What the visitor claims stands before what the proxies added, and counts for nothing."""
    server = Server(tmp_path / "chat", CHAT_PROXIES=proxies).start()
    try:
        visitor = Visitor(server.url)
        claimed = "192.0.2.1, 198.51.100.7, 203.0.113.10"
        visitor.http.headers["X-Forwarded-For"] = claimed
        visitor.sign_in("Ann")
        assert f"guest, {address}, last seen" in visitor.get("/me/sessions").text
    finally:
        server.clean_up()


# What it measures


def measures(server, **headers):
    """/metrics as numbers, by name and labels without the process id."""
    answer = httpx.get(f"{server.url}/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert all('pid="' in line for line in lines)
    pairs = [re.sub(r',?pid="\d+"', "", line).replace("{}", "").split() for line in lines]
    return {name: float(value) for name, value in pairs}


def test_metrics_count_what_happens(mortal_server):
    ann, bob, rid = conversation(mortal_server, 0)
    page = Page(bob).watch(rid)
    page.wait_for("joined")
    before = measures(mortal_server)
    for n in range(3):
        assert ann.post(rid, f"message {n}", f"k{n}").status_code == 303
        assert ann.post(rid, f"message {n}", f"k{n}").status_code == 303, "a repeat"
    page.wait_shown("message 2")
    after = measures(mortal_server)
    assert after["chat_messages_posted_total"] - before["chat_messages_posted_total"] == 3
    assert after["chat_events_total"] - before["chat_events_total"] == 3
    assert (after["chat_connections"], after["chat_rooms"]) == (1, 1)
    assert (after["chat_room_viewers"], after["chat_subscriptions"]) == (1, 2), "room and person"
    assert after["chat_redis_connected"] == 1
    assert after["chat_slow_readers_total"] == 0
    assert after["process_resident_memory_bytes"] > 1e7
    wait_until(
        lambda: (
            measures(mortal_server)["chat_loop_lag_seconds_count"]
            > after["chat_loop_lag_seconds_count"]
        ),
        "another look at the loop",
    )
    page.close()
    gauges = "chat_connections", "chat_rooms", "chat_room_viewers", "chat_subscriptions"
    wait_until(
        lambda: not any(measures(mortal_server)[gauge] for gauge in gauges), "nobody to be left"
    )


def test_metrics_are_not_for_everybody(tmp_path):
    server = Server(tmp_path / "chat", CHAT_METRICS="127.0.0.3").start()
    try:
        assert httpx.get(f"{server.url}/metrics").status_code == 404
        local = httpx.HTTPTransport(local_address="127.0.0.3")
        with httpx.Client(transport=local) as allowed:
            assert allowed.get(f"{server.url}/metrics").status_code == 200
    finally:
        server.clean_up()


@pytest.mark.parametrize("header", FORWARDING_HEADERS)
def test_metrics_are_not_for_what_came_through_a_proxy(server, header):
    assert measures(server)
    answer = httpx.get(f"{server.url}/metrics", headers={header: "127.0.0.1"})
    assert answer.status_code == 404


def test_where_no_sockets_are_served_redis_is_all_that_has_to_be_ready(store):
    """As under a WSGI server, which has no subscriber."""
    client = create_app(Settings(secret_key="k" * 32), store).test_client()
    assert client.get("/readyz").status_code == 200


def test_what_redis_cannot_take_is_the_senders_matter(store, monkeypatch, caplog):
    """No check is known to let such a value through. If one did, Redis would not be away."""
    client = create_app(Settings(secret_key="k" * 32, limits=False), store).test_client()

    def refuse(*_):
        raise redis.DataError("this command cannot be sent to Redis")

    monkeypatch.setattr(store.bans, "is_banned", refuse)
    client.application.config["WTF_CSRF_ENABLED"] = False
    answer = client.post("/sign-in", data={"name": "Ann"})
    assert answer.status_code == 400
    assert "cannot store" in answer.text
    assert "cannot be sent to Redis" in caplog.text
