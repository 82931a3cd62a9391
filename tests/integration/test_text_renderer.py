"""Rendering messages in a child process: a real one, which ends or hangs on demand."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import greenback
import pytest

from chat.domain.events import POST, Event
from chat.rendering import markdown, text_renderer
from chat.rendering.text_renderer import TextRenderer

from ..running import ROOT, alive, children, cmdline, wait_until

# What the child runs: a body that says so ends it, or keeps it for good.
CHILD = """
import os, socket, sys, time
from chat.rendering import markdown
from chat.rendering.text_renderer import serve

render = markdown.render

def rendered(body, mentions=()):
    if body.startswith("*end*"):
        os._exit(9)
    if body.startswith("*hang*"):
        while True:
            time.sleep(60)
    if body.startswith("*once*") and not os.path.exists(sys.argv[2]):
        open(sys.argv[2], "w").close()
        os._exit(9)
    return render(body, mentions)

markdown.render = rendered
serve(socket.socket(fileno=int(sys.argv[1])))
"""


class Children:
    """Makes processes that render, and knows them."""

    def __init__(self, folder):
        self.folder, self.made, self.refusals = folder, [], 0

    def connect(self):
        if self.refusals:
            self.refusals -= 1
            raise OSError("no process to be had")
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", CHILD, str(theirs.fileno()), str(self.folder / "once")]
            child = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
        self.made.append(child)
        return ours


@pytest.fixture
def children_of(tmp_path):
    made = Children(tmp_path)
    yield made
    for child in made.made:
        child.kill()
        child.wait()


def story(children, tell):
    """Run `tell(texts)`, a coroutine function, with a renderer."""

    async def run():
        texts = TextRenderer(children.connect)
        try:
            await tell(texts)
        finally:
            texts.close()

    asyncio.run(run())


def asked(function, *args):
    """What a greenlet gets that asks for a text."""
    return asyncio.create_task(greenback.with_portal_run_sync(function, *args))


def event(body, uid="ann"):
    return Event("tea", 1, 1, POST, uid, uid, body)


TEXTS = ["plain <b>", "**bold**", "```python\nx = 1\n```", "[a](https://b.org)", "](*[[&" * 600]


def test_a_greenlet_gets_what_markdown_makes_of_a_text(children_of):
    async def tell(texts):
        for body in TEXTS:
            assert await asked(texts.render, body) == markdown.render(body)
            assert await asked(texts.gist, body) == markdown.gist(body)
        mentions = (("ann", "u1"),)
        assert await asked(texts.render, "hi @Ann", mentions) == markdown.render(
            "hi @Ann", mentions
        )

    story(children_of, tell)
    assert len(children_of.made) == 1


def test_what_was_prepared_is_there_for_those_who_cannot_wait(children_of, caplog):
    async def tell(texts):
        ready = event("**bold**")
        assert not texts.is_ready(ready)
        await texts.prepare(ready)
        assert texts.is_ready(ready)
        assert texts.render("**bold**") == markdown.render("**bold**")
        assert texts.gist("**bold**") == "bold"
        assert "was not rendered in time" not in caplog.text
        assert texts.render("**<b>**\nother") == "**&lt;b&gt;**<br>other"

    story(children_of, tell)
    assert "was not rendered in time" in caplog.text


def test_a_text_that_ends_the_process_is_shown_as_it_was_typed_and_harms_no_other(children_of):
    async def tell(texts):
        bad, once = asked(texts.render, "*end* <b>"), asked(texts.render, "*once*")
        others = [asked(texts.render, f"*{n}*") for n in range(20)]
        assert await bad == "*end* &lt;b&gt;"
        assert await once == markdown.render("*once*")
        assert [await other for other in others] == [markdown.render(f"*{n}*") for n in range(20)]

    story(children_of, tell)
    assert len(children_of.made) == 4


@pytest.mark.parametrize("people", [1, 2, 5])
def test_texts_that_end_the_process_end_it_twice_each_whoever_wrote_them(children_of, people):
    async def tell(texts):
        bad = [event(f"*end* {n}", f"u{n % people}") for n in range(5)]
        await asyncio.gather(*map(texts.prepare, [*bad, event("*good*", "bob")]))
        assert texts.render("*end* 0") == "*end* 0"
        assert texts.render("*good*") == markdown.render("*good*")

    story(children_of, tell)
    assert len(children_of.made) == 2 * 5 + 1


def test_a_process_that_hangs_is_killed(children_of, monkeypatch):
    monkeypatch.setattr(text_renderer, "ANSWER_SECONDS", 0.5)

    async def tell(texts):
        bad, good = asked(texts.render, "*hang*"), asked(texts.render, "*good*")
        assert await bad == "*hang*"
        monkeypatch.setattr(text_renderer, "ANSWER_SECONDS", 30)
        assert await good == markdown.render("*good*")

    story(children_of, tell)
    assert [child.wait() for child in children_of.made[:2]] == [-signal.SIGKILL] * 2


def test_where_no_process_can_be_made_the_next_try_finds_one(children_of, monkeypatch):
    monkeypatch.setattr(text_renderer, "RETRY_SECONDS", 0)
    children_of.refusals = 3

    async def tell(texts):
        assert await asked(texts.render, "*a*") == markdown.render("*a*")

    story(children_of, tell)


def test_where_no_process_can_be_made_for_long_nobody_waits_for_it(children_of, monkeypatch):
    monkeypatch.setattr(text_renderer, "RETRY_SECONDS", 0)
    monkeypatch.setattr(text_renderer, "GIVE_UP_SECONDS", 0)
    children_of.refusals = 10**9

    async def tell(texts):
        for _ in range(2):
            shown = await asyncio.gather(*(asked(texts.render, f"*{n}*") for n in range(100)))
            assert shown == [f"*{n}*" for n in range(100)]
        children_of.refusals = 0
        assert await asked(texts.render, "*1*") == markdown.render("*1*")

    story(children_of, tell)


def test_who_is_gone_takes_nobodys_text_away(children_of):
    async def tell(texts):
        gone, there = asked(texts.render, "*a*"), asked(texts.render, "*a*")
        await asyncio.sleep(0)
        gone.cancel()
        assert await there == markdown.render("*a*")

    story(children_of, tell)


def test_many_texts_of_one_person_do_not_delay_the_one_of_another(children_of):
    """Ann's hundred were first in the queue, and Bob waits for one or two of them."""
    order = []

    async def prepare(texts, one):
        await texts.prepare(one)
        order.append(one.uid)

    async def tell(texts):
        await texts.prepare(event("*first*", "eve"))  # the process is there, and idle
        tasks = [prepare(texts, event(f"**{n}** " * 300, "ann")) for n in range(100)]
        tasks += [prepare(texts, event("*bob*", "bob"))]
        await asyncio.gather(*tasks)

    story(children_of, tell)
    # Two renderings for each message, its text and its line.
    assert order.index("bob") <= 4


MANY = {
    "short": [event(f"*{n}*") for n in range(300)],
    "long": [event(f"*{n}* 👍 " * 300) for n in range(20)],
    "of mentions": [
        replace(event(f"{n} @Bo"), mentions=(("bo", " ".join(map(str, range(1000)))),))
        for n in range(20)
    ],
}


@pytest.mark.parametrize("events", MANY.values(), ids=MANY.keys())
def test_kept_texts_have_a_limit_in_bytes(children_of, monkeypatch, events):
    """Whatever is kept of them: the texts, their HTML, or the ids of those they mention."""
    monkeypatch.setattr(text_renderer, "MAX_KEPT_CHARS", 30_000)

    async def tell(texts):
        for one in events:
            await texts.prepare(one)
        assert 0 < len(texts._kept) < len(events)
        assert texts._kept_chars <= 30_000
        parts = [
            part
            for key, html in texts._kept.items()
            for part in (key, key[1], html, *(part for pair in key[2] for part in pair))
        ]
        assert sum(map(sys.getsizeof, parts)) < 4 * 30_000  # four bytes a character at most
        for one in events:
            assert await asked(texts.gist, one.body) == markdown.gist(one.body)

    story(children_of, tell)


FORKS = """
import os, socket, sys
from chat.runtime.fork_server import ForkServer

def serve(connection):
    names = sorted(os.listdir("/proc/self/fd"), key=int)
    connection.sendall(f"{os.getpid()} {len(names)}\\n".encode())
    connection.recv(1)

listener = socket.create_server(("127.0.0.1", 0))
server = ForkServer.start(serve)
lines = []
for _ in range(2):
    connection = server.connect()
    lines.append(connection.makefile().readline().strip())
    connection.close()
third = server.connect()
lines.append(third.makefile().readline().strip())
print(*lines, sep=" ", flush=True)
sys.stdin.read()
"""


def test_forked_processes_hold_nothing_and_end_with_the_server():
    command = [sys.executable, "-c", FORKS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as server:
        words = server.stdout.readline().split()
        pids, files = [int(word) for word in words[::2]], set(words[1::2])
        assert files == {"5"}  # three, the connection, and the list of them itself
        forker = children(server.pid)[0]
        assert len(set(pids)) == 3
        for pid in pids[:2]:
            wait_until(lambda pid=pid: not alive(pid), "the end of a child nobody is connected to")
        assert alive(pids[2])
        os.kill(forker, signal.SIGINT)  # Ctrl-C is for the server process
        os.kill(pids[2], signal.SIGTERM)
        assert cmdline(pids[2])
        server.kill()
        for pid in (forker, pids[2]):
            wait_until(lambda pid=pid: not alive(pid), "the end of what was forked")


NO_FORKS = """
import os
from chat.runtime.fork_server import ForkServer

forks, real = [], os.fork

def fork():
    forks.append(1)
    if 1 < len(forks) < 5:
        raise BlockingIOError(11, "too many processes")
    return real()

os.fork = fork
server = ForkServer.start(lambda connection: connection.sendall(b"here"))
print([server.connect().makefile().read() for _ in range(5)])
"""


def test_a_fork_that_fails_is_not_the_last_one():
    command = [sys.executable, "-c", NO_FORKS]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert told.stdout.strip() == "['', '', '', 'here', 'here']"
    assert told.stderr.count("cannot fork") == 3
