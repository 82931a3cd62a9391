"""A process that hangs is detected, its stacks are logged, and it alone is replaced."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from chat.media import images
from chat.observability.replaced_processes import KINDS, REASONS, ReplacedCounts
from chat.server import embedded_valkey
from chat.server.embedded_valkey import EmbeddedValkey
from chat.server.valkey_process import Probe, ValkeyWatch
from chat.server.watchdog import Silence

from ..running import ROOT, Server, Visitor, alive, browser, children, cmdline, opened, wait_until
from .page import Page

LIMIT = 4  # seconds of silence; the default is 10
MANY = 40  # requests, each on a connection of its own: both workers get some


# What Python runs first in each process of a chat. SIGUSR2 makes the process hang, holding Python's
# lock; and where the file `flag` is, no worker becomes ready.
HANG = """
import os, signal, sys, time

def hang_here(*_):
    while True:
        pass

def start_never(event, args):
    if event == "import" and args[0] == "chat.app" and os.path.exists({flag!r}):
        time.sleep(3600)

signal.signal(signal.SIGUSR2, hang_here)
sys.addaudithook(start_never)
"""


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """Two workers, of which tests have one hang, and what is beside them."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "sitecustomize.py").write_text(HANG.format(flag=str(folder / "flag")))
    running = Server(
        tmp_path_factory.mktemp("chat"),
        CHAT_LIMITS="off",
        CHAT_WORKERS="2",
        CHAT_WATCHDOG=str(LIMIT),
        PYTHONPATH=f"{folder}:{ROOT}",
    )
    running.flag = folder / "flag"
    running.start()
    yield running
    running.clean_up()


@pytest.fixture
def chat(lasting):
    """That chat, with all that belongs to it and no log."""
    wait_until(lambda: len(everybody(lasting)) == 4, "all processes")
    wait_until(lasting.is_ready, "its readiness")
    lasting.forget_log()
    yield lasting
    opened.pop_all().close()


def everybody(server):
    return [pid for pid in children(server.process.pid) if alive(pid)]


def indexers(server):
    return [pid for pid in everybody(server) if b"chat\0indexer\0" in cmdline(pid)]


def indexer(server):
    wait_until(lambda: indexers(server), "an indexer")
    return indexers(server)[0]


def replaced(server):
    """How many processes were, by kind and reason; each worker has the same numbers."""
    text = httpx.get(f"{server.url}/metrics", verify=False).text
    sample = r'processes_replaced_total{kind="(\w+)",pid="\d+",reason="(\w+)"} (\S+)'
    found = re.findall(sample, text)
    return {(kind, reason): int(float(number)) for kind, reason, number in found}


def assert_replaced(server, before, kind, reason="hung"):
    after = replaced(server)
    assert {key for key in after if after[key] != before[key]} == {(kind, reason)}


def test_a_stopped_worker_is_replaced_and_every_request_answered(chat):
    ann = Visitor(chat.url, "Ann")
    rid = ann.create_room("Tea")
    stopped, other = chat.workers()
    counted = replaced(chat)
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: not alive(stopped), "its end")
    wait_until(lambda: len(chat.workers()) == 2, "another worker")
    for _ in range(MANY):
        answer = httpx.get(
            f"{chat.url}/rooms/{rid}", verify=False, headers={"Cookie": ann.cookie}, timeout=30
        )
        assert answer.status_code == 200
    assert other in chat.workers(), "nothing happened to it"
    (line,) = chat.log().strip().splitlines()
    assert re.fullmatch(
        rf"worker \d \(process {stopped}\) was silent for {LIMIT} s \(stopped by a signal\). "
        "It was killed; another one starts",
        line,
    )
    assert_replaced(chat, counted, "worker")


def test_no_request_waits_longer_than_the_watchdog(chat):
    """Those that the stopped worker would have got are answered by its successor."""
    stopped = chat.workers()[1]
    answers = []

    def ask():
        with contextlib.suppress(httpx.HTTPError):
            answers.append(httpx.get(f"{chat.url}/healthz", verify=False, timeout=30).status_code)

    os.kill(stopped, signal.SIGSTOP)
    asking = [threading.Thread(target=ask) for _ in range(MANY)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert set(answers) == {200}
    # Connections wait in the kernel, for the supervisor holds their socket; but the stopped
    # process may have been about to take one.
    assert len(answers) >= MANY - 1
    assert not alive(stopped)


def test_pages_of_a_stopped_worker_come_back_and_miss_nothing(chat):
    ann, bob = Visitor(chat.url, "Ann"), Visitor(chat.url, "Bob")
    rid = ann.create_room("Tea")
    bob.join(rid)
    pages = [Page(bob).watch(rid) for _ in range(8)]
    for page in pages:
        page.wait_for("joined")
    stopped = chat.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: not alive(stopped), "its end")
    ann.http.close()  # a connection to it may be among them
    ann.http = browser(chat.url, cookies=ann.http.cookies)
    opened.callback(ann.http.close)
    assert ann.post(rid, "after").status_code == 303
    for page in pages:
        while "after" not in page.bodies:
            page.receive()
            if page.code is not None:
                page.reconnect()
                page.watch(rid)
        assert page.bodies == ["after"]


def test_the_log_has_the_stack_of_a_worker_whose_loop_is_stuck(chat):
    stuck, counted = chat.workers()[0], replaced(chat)
    os.kill(stuck, signal.SIGUSR2)
    wait_until(lambda: not alive(stuck), "its end")
    wait_until(lambda: len(chat.workers()) == 2, "another worker")
    stack, _, after = chat.log().partition(f"(process {stuck}) was silent for {LIMIT} s. It was")
    assert after, chat.log()
    assert "hang_here" in stack
    assert "bridge/server.py" in stack, "what it was in"
    wait_until(chat.is_ready, "its readiness")
    assert_replaced(chat, counted, "worker")


def test_a_worker_that_does_not_become_ready_is_replaced(chat):
    died = chat.workers()[0]
    chat.flag.touch()
    os.kill(died, signal.SIGKILL)
    wait_until(lambda: f"was not ready within {3 * LIMIT} s" in chat.log(), "the end of the wait")
    chat.flag.unlink()
    wait_until(lambda: len(chat.workers()) == 2, "another worker")
    stuck = int(re.search(r"process (\d+)\) was not ready", chat.log())[1])
    wait_until(lambda: not alive(stuck), "its end")
    assert "start_never" in chat.log(), "its stack"


@pytest.mark.parametrize(
    ("told", "said"), [(signal.SIGSTOP, " (stopped by a signal)"), (signal.SIGUSR2, "")]
)
def test_an_indexer_that_hangs_is_replaced(chat, told, said):
    ann = Visitor(chat.url, "Ann")
    rid = ann.create_room("Tea")
    hung, counted = indexer(chat), replaced(chat)
    os.kill(hung, told)
    ann.post(rid, f"porridge {said}")
    wait_until(lambda: not alive(hung), "its end")
    line = f"the indexer (process {hung}) was silent for {LIMIT} s{said}. It was killed"
    wait_until(lambda: line in chat.log(), "the line in the log")
    assert ("hang_here" in chat.log()) == (told == signal.SIGUSR2)
    wait_until(lambda: f"/rooms/{rid}/" in ann.get("/search?q=porridge").text, "its successor")
    assert_replaced(chat, counted, "indexer")


def test_a_stopped_valkey_is_started_again_with_all_that_was_acknowledged(chat):
    ann = Visitor(chat.url, "Ann")
    rid = ann.create_room("Tea")
    for n in range(20):
        assert ann.post(rid, f"message {n}").status_code == 303
    stopped, counted = chat.valkey(), replaced(chat)
    before = set(everybody(chat))
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: not alive(stopped), "its end")
    wait_until(chat.is_ready, "its return")
    assert [f"message {n}</div>" in ann.room(rid) for n in range(20)] == [True] * 20
    assert before - set(everybody(chat)) == {stopped}, "the others are as they were"
    assert f"(process {stopped}) did not answer for {LIMIT} s (stopped by a signal)" in chat.log()
    assert_replaced(chat, counted, "valkey")


def test_who_is_stopped_again_and_again_is_noticed_as_soon_each_time(chat):
    """A longer limit is for what may be slow."""
    for _ in range(2):
        stopped = indexer(chat)
        os.kill(stopped, signal.SIGSTOP)
        wait_until(lambda: not alive(stopped), "its end")  # noqa: B023
        line = rf"{stopped}\) was (silent for|not ready within) {LIMIT} s \(stopped"
        wait_until(lambda: re.search(line, chat.log()), "the line in the log")  # noqa: B023
        wait_until(lambda: len(everybody(chat)) == 4, "another indexer")


def test_a_machine_that_was_suspended_replaces_nobody(chat):
    """All processes stop for longer than the limit, and go on, the supervisor first."""
    everyone = [chat.process.pid, *everybody(chat)]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    later = time.monotonic() + LIMIT + 1
    wait_until(lambda: time.monotonic() > later, "the end of the suspension")
    for pid in everyone:
        os.kill(pid, signal.SIGCONT)
    wait_until(chat.is_ready, "its readiness")
    later = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > later, "the looks of the supervisor")
    assert [chat.process.pid, *everybody(chat)] == everyone
    assert "killed" not in chat.log()


@pytest.mark.parametrize("told", [signal.SIGSTOP, signal.SIGKILL])
def test_a_redis_of_ones_own_is_not_touched_nor_anybody_because_of_it(tmp_path, told):
    valkey = EmbeddedValkey(tmp_path / "valkey")
    valkey.start()
    server = Server(tmp_path / "chat", REDIS_URL=valkey.url, CHAT_WATCHDOG="3")
    try:
        server.start()
        wait_until(lambda: len(everybody(server)) == 2, "worker and indexer")
        before = everybody(server)
        os.kill(valkey.process.pid, told)
        later = time.monotonic() + 6
        wait_until(lambda: time.monotonic() > later, "twice the limit")
        assert everybody(server) == before
        if told == signal.SIGSTOP:
            valkey.process.send_signal(signal.SIGCONT)
        else:
            valkey.process.wait()
            valkey.spawn()
        wait_until(server.is_ready, "its return")
        assert "killed" not in server.log()
    finally:
        valkey.process.send_signal(signal.SIGCONT)
        server.clean_up()
        valkey.stop()


# The children of a worker


def forker(worker):
    return children(worker)[0]


@pytest.fixture
def one_worker(mortal_server):
    """With a room of Ann's, and the child that renders messages."""
    ann = Visitor(mortal_server.url, "Ann")
    rid = ann.create_room("Tea")
    ann.post(rid, "*first*")
    assert "<em>first</em>" in ann.room(rid)
    (worker,) = mortal_server.workers()
    mortal_server.worker = worker
    (mortal_server.texts,) = children(forker(worker))
    return mortal_server, ann, rid


def test_a_stopped_child_that_renders_messages_is_replaced_and_readyz_says_so(one_worker):
    server, ann, rid = one_worker
    os.kill(server.texts, signal.SIGSTOP)
    assert ann.post(rid, "*second*").status_code == 303
    reading = threading.Thread(target=ann.room, args=(rid,))
    reading.start()
    told = "The text renderer does not answer\n"
    wait_until(
        lambda: httpx.get(f"{server.url}/readyz", verify=False).text == told, "the word of readyz"
    )
    reading.join()
    wait_until(lambda: not alive(server.texts), "its end")
    assert "<em>second</em>" in ann.room(rid)
    assert server.workers() == [server.worker]
    assert server.is_ready()


def test_a_worker_whose_fork_server_is_stopped_is_replaced_and_readyz_says_so(one_worker):
    """Meanwhile nobody waits for a child that it does not make: messages are shown as they were
    typed after a while, unless the next worker has them sooner."""
    server, ann, rid = one_worker
    os.kill(forker(server.worker), signal.SIGSTOP)
    os.kill(server.texts, signal.SIGKILL)
    assert ann.post(rid, "*second*").status_code == 303
    shown = []
    reading = threading.Thread(target=lambda: shown.append(ann.room(rid)))
    reading.start()
    told = "The fork server does not answer\n"
    wait_until(
        lambda: httpx.get(f"{server.url}/readyz", verify=False).text == told, "the word of readyz"
    )
    wait_until(lambda: not alive(server.worker), "the end of the worker")
    reading.join()
    assert re.search(r"<em>second</em>|\*second\*", shown[0])
    wait_until(server.is_ready, "another worker")
    assert server.workers() != [server.worker]


@pytest.mark.parametrize(("program", "is_stuck"), [("while True: pass", False), ("", True)])
def test_the_child_of_an_image_has_to_do_something(monkeypatch, program, is_stuck):
    """One that works may take all its time; one that was stopped is not waited for."""
    monkeypatch.setattr(images, "STUCK_SECONDS", 0.5)
    monkeypatch.setattr(images, "POLL_SECONDS", 0.1)
    code = "import os; os.close(1)\n" + (program or "os.kill(os.getpid(), 19)  # SIGSTOP")
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1) as child:
        assert child.stdout.read() == b"", "it has begun"
        began = time.monotonic()
        work = images.Progress(child.pid)
        _, ended = images._until_closed(child.stderr.fileno(), 2.0, work)
        early = time.monotonic() - began < 2.0
        child.kill()
    assert not ended
    assert early == is_stuck


# The embedded Valkey


def test_the_log_of_a_valkey_that_hangs_has_its_stacks_and_its_file_is_whole(tmp_path):
    valkey = EmbeddedValkey(tmp_path, options=("--enable-debug-command", "yes"))
    valkey.start()
    watch, said = ValkeyWatch(valkey, Silence(2.0, 2.0, 2.0)), []
    with valkey.client() as client:
        client.set("a", "acknowledged")
    wait_until(lambda: watch.look(0.0) or watch._silence.has_started, "its first answer")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(valkey.socket)
        asking.sendall(b"DEBUG SLEEP 60\r\n")
        hung = valkey.process
        wait_until(
            lambda: said.append(watch.look(0.02)) or hung.poll() is not None, "the end of Valkey"
        )
    watch._probe.reset()
    (line,) = filter(None, said)
    assert f"(process {hung.pid}) did not answer for 2 s; its stacks are in valkey.log" in line
    assert "STACK TRACE" in (tmp_path / "valkey.log").read_text()
    assert not list(tmp_path.glob("core*"))
    valkey.spawn()
    valkey.wait()
    with valkey.client() as client:
        assert client.get("a") == b"acknowledged"
    valkey.stop()


def test_a_valkey_that_is_busy_with_a_script_lives(tmp_path):
    valkey = EmbeddedValkey(tmp_path, options=("--busy-reply-threshold", "100"))
    valkey.start()
    try:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(valkey.socket)
            asking.sendall(b"EVAL 'while true do end' 0\r\n")
            wait_until(lambda: not valkey.answers(), "the script")
            probe = Probe(valkey.socket)
            for _ in range(2):
                wait_until(probe.is_answered, "BUSY")
            with valkey.client() as client:
                client.script_kill()
    finally:
        valkey.stop()


@pytest.mark.parametrize(
    ("answer", "lives"),
    [
        (b"+PONG\r\n", True),
        (b"-LOADING Valkey is loading the dataset in memory\r\n", True),
        (b"-BUSY Valkey is busy running a script.\r\n", True),
        (b"-ERR max number of clients reached\r\n", True),
        (b"", False),
    ],
)
def test_any_answer_says_that_it_lives(tmp_path, answer, lives):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        probe = Probe(path)
        assert not probe.is_answered(), "it does not wait"
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(100) == b"PING\r\n"
            assert not probe.is_answered()
            connection.sendall(answer)
        assert probe.is_answered() == lives
        assert not probe.is_answered(), "an answer counts once"


def test_where_nobody_listens_nobody_lives(tmp_path):
    assert not Probe(str(tmp_path / "none")).is_answered()


def test_a_valkey_that_hangs_and_was_left_by_an_earlier_chat_holds_no_start_up(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(embedded_valkey, "MAX_ORPHAN_SECONDS", 0.2)
    first, second = EmbeddedValkey(tmp_path), EmbeddedValkey(tmp_path)
    first.start()
    with first.client() as client:
        client.set("a", "acknowledged")
    os.kill(first.process.pid, signal.SIGSTOP)
    first._lock.close()  # its chat was killed
    reaping = threading.Thread(target=first.process.wait)
    reaping.start()
    second.start()
    reaping.join()
    with second.client() as client:
        assert client.get("a") == b"acknowledged"
    second.stop()


# The numbers


def test_what_is_replaced_is_counted_by_kind_and_reason():
    counts = ReplacedCounts.new()
    same = ReplacedCounts(os.dup(counts.descriptor))
    for n, (kind, reason) in enumerate((kind, reason) for kind in KINDS for reason in REASONS):
        for _ in range(n):
            counts.add(kind, reason)
        (metric,) = same.collect()
        labels = {"kind": kind, "reason": reason}
        assert [sample.value for sample in metric.samples if sample.labels == labels] == [n]
    (metric,) = same.collect()
    assert [sample.value for sample in metric.samples] == [0, 1, 2, 3, 4, 5]
    for descriptor in (counts.descriptor, same.descriptor):
        os.close(descriptor)
