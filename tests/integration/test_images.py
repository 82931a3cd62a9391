"""Images are converted in child processes that can be killed: what these may do, and how the chat
works meanwhile, with hostile images."""

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from chat.domain.errors import Busy, FilesAway
from chat.media import images
from chat.media.image_protocol import ATTACHMENT, SQUARE, STATUS, ImageLimits, NotMade
from chat.media.images import Child
from chat.runtime.executors import IMAGES

from .. import hostile_images
from ..running import ROOT, Visitor, alive, cmdline, wait_until
from .test_files import kept, send, shown
from .test_people import picture, save

MAX_GROWTH_KB = 48 * 1024  # of the server's memory, while it takes a file of 25 MB


def slow():
    """A JPEG of 100 KB that its decoder is busy with for more than any limit."""
    return hostile_images.jpeg_of_scans(50_000)


# What a child may do


def make(sent, task=ATTACHMENT, **limits):
    """What a child makes of an image: its answer, or the reason why there is none."""
    child = Child(task, ImageLimits(**limits))
    try:
        made = child.run(io.BytesIO(sent))
    except NotMade as error:
        return error.reason
    finally:
        assert child._process is not None
        assert child._process.returncode is not None, "it is waited for"
        assert not alive(child._process.pid)
    with made.content:
        content = made.content.read()
    assert len(content) == made.size
    return made.type, made.width, made.height, len(made.small) > 0, content[:4]


def test_a_child_makes_an_image():
    assert make(picture("PNG")) == ("image/png", 40, 80, True, b"\x89PNG")
    assert make(picture("JPEG"), SQUARE) == ("image/webp", 256, 256, False, b"RIFF")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"cpu_seconds": 1, "wall_seconds": 1000}, "time"),
        ({"wall_seconds": 1}, "time"),
        ({"memory_bytes": 100 * 2**20}, "memory"),
        ({"pixels": 1_000_000}, "pixels"),
    ],
)
def test_a_child_is_ended_at_each_limit(limits, reason):
    assert make(slow(), **limits) == reason


def test_a_child_writes_no_more_than_it_may():
    noise = Image.frombytes("RGB", (400, 400), os.urandom(3 * 400 * 400))
    sent = io.BytesIO()
    noise.save(sent, "PNG")
    assert make(sent.getvalue(), output_bytes=400_000) == "bytes"
    assert make(sent.getvalue())[0] == "image/png"


CODE = """
import json, os, socket, resource, sys
sys.path += sys.argv[1:3]
from chat.media import image_child
from chat.media.image_protocol import ImageLimits
nice = os.nice(0)
image_child.restrict(ImageLimits(memory_bytes=300 * 2**20, output_bytes=2**20))
def tried(act):
    try:
        act()
    except BaseException as error:
        return type(error).__name__
    return "done"
print(file=sys.stderr, end=json.dumps({
    "output": tried(lambda: open(1, "wb", closefd=False, buffering=0).write(bytes(2**21))),
    "more": tried(lambda: os.write(1, b"x")),
    "open": tried(lambda: open("/etc/passwd")),
    "write": tried(lambda: open("/tmp/chat-image-child", "w")),
    "socket": tried(socket.socket),
    "pipe": tried(os.pipe),
    "list": tried(lambda: os.listdir("/")),
    "memory": tried(lambda: bytearray(400 * 2**20)),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "nicer": os.nice(0) - nice,
    "environ": dict(os.environ),
}))
"""


def test_a_child_can_open_nothing(tmp_path):
    argv = [*images._PYTHON[:-1], CODE, *images._folders()]
    with open(tmp_path / "answer", "wb") as file:
        done = subprocess.run(argv, env={}, cwd="/", stdout=file, stderr=subprocess.PIPE)
    told = json.loads(done.stderr)
    assert (tmp_path / "answer").stat().st_size == 2**20 + 2**16
    # Where Python starts in the C locale it says so in the environment of its own (PEP 538).
    assert set(told.pop("environ")) <= {"LC_CTYPE"}
    assert told == {
        "output": "done",  # as far as it went
        "more": "OSError",
        "open": "OSError",
        "write": "OSError",
        "socket": "OSError",
        "pipe": "OSError",
        "list": "OSError",
        "memory": "MemoryError",
        "core": [0, 0],
        "nicer": 5,
    }


def test_a_child_inherits_nothing(tmp_path, monkeypatch):
    """No descriptor but its three, no variable, no folder, no session of the server's."""
    secret = open(tmp_path / "secret", "w+")  # noqa: SIM115
    os.set_inheritable(secret.fileno(), True)
    monkeypatch.setenv("SECRET_KEY", "a secret")
    child = Child(ATTACHMENT, ImageLimits(cpu_seconds=20))
    with secret, ThreadPoolExecutor(1) as pool:
        running = pool.submit(child.run, io.BytesIO(slow()))
        try:
            wait_until(lambda: child._process and is_limited(child._process.pid), "its limits")
            of_child = Path(f"/proc/{child._process.pid}")
            assert {name.name for name in (of_child / "fd").iterdir()} == {"0", "1", "2"}
            assert b"SECRET" not in (of_child / "environ").read_bytes()
            assert (of_child / "oom_score_adj").read_text() == "1000\n"
            assert os.readlink(of_child / "cwd") == "/"
            assert os.getsid(child._process.pid) == child._process.pid
        finally:
            child.stop()
        with pytest.raises(NotMade):
            running.result()
    assert not alive(child._process.pid)


def is_limited(pid):
    """Whether a child has come so far that it may open nothing."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    return bool(re.search(r"Max open files +3 +3 ", limits))


def test_a_child_that_was_stopped_before_it_began_never_begins():
    child = Child(ATTACHMENT, ImageLimits())
    child.stop()
    with pytest.raises(Busy):
        child.run(io.BytesIO(picture()))
    assert child._process is None


def test_a_child_ends_by_itself_where_the_server_was_killed(tmp_path):
    (tmp_path / "slow.jpg").write_bytes(slow())
    code = (
        "import sys; from chat.media.images import Child\n"
        "from chat.media.image_protocol import ImageLimits\n"
        "child = Child('attachment', ImageLimits(wall_seconds=1))\n"
        "import threading; run = lambda: child.run(open(sys.argv[1], 'rb'))\n"
        "threading.Thread(target=run, daemon=True).start()\n"
        "while not child._process: pass\n"
        "print(child._process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "slow.jpg"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        pid = int(server.stdout.readline())
        wait_until(lambda: is_limited(pid), "its limits")
        server.kill()
    wait_until(lambda: not alive(pid), "its end")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "broken"),
        ("import os; os.kill(os.getpid(), 9)", "memory"),
        ("import os; os.kill(os.getpid(), 6)", "broken"),
        (f"import sys; sys.exit({STATUS['frames']})", "frames"),
        (f"import sys; sys.exit({STATUS['full']})", FilesAway),
        ("import sys; sys.exit(3)", Busy),
        ("pass", Busy),
        ("raise ValueError", Busy),
        ("print('{}')", Busy),
        ("print('x' * 10_000_000)", Busy),
        ("import sys; sys.stderr.write('x' * 10_000_000)", Busy),
        ("import sys; print('[' * 100_000); sys.exit(10)", "broken"),
    ],
)
def test_whatever_a_child_answers_is_understood(monkeypatch, caplog, answer, said):
    monkeypatch.setattr(images, "_PYTHON", (sys.executable, "-I", "-c", answer))
    if isinstance(said, str):
        assert make(picture(), wall_seconds=20) == said
    else:
        with pytest.raises(said):
            make(picture(), wall_seconds=20)
    assert len(caplog.text) < 8000


def test_what_a_child_has_started_ends_with_it(monkeypatch, tmp_path):
    code = (
        "import subprocess; pid = subprocess.Popen(['sleep', '60']).pid; "
        f"print(pid, file=open({str(tmp_path / 'pid')!r}, 'w'))"
    )
    monkeypatch.setattr(images, "_PYTHON", (sys.executable, "-I", "-c", code))
    assert make(picture(), wall_seconds=1) == "time"
    started = int((tmp_path / "pid").read_text())
    wait_until(lambda: not alive(started), "its end")


def test_the_file_is_at_its_beginning_afterwards(tmp_path):
    """Where an image is kept as a file, it is read again."""
    (tmp_path / "a.png").write_bytes(picture())
    with open(tmp_path / "a.png", "rb") as file, io.BytesIO(picture()) as memory:
        for sent in (file, memory):
            sent.read()
            Child(ATTACHMENT, ImageLimits()).run(sent).content.close()
            assert sent.read() == picture()
            with pytest.raises(NotMade):
                Child(ATTACHMENT, ImageLimits(pixels=1)).run(sent)
            assert sent.read() == picture()


def test_what_takes_long_begins_again_among_its_like(monkeypatch):
    """An image that is not ready in the short time that each gets first is made all the same."""
    monkeypatch.setattr(images, "QUICK", ImageLimits(wall_seconds=0))
    made = asyncio.run(images.make(ATTACHMENT, io.BytesIO(picture()), "ann"))
    with made.content:
        assert made.type == "image/png"
    monkeypatch.setattr(images, "SLOW", ImageLimits(wall_seconds=0))
    with pytest.raises(NotMade, match="time"):
        asyncio.run(images.make(ATTACHMENT, io.BytesIO(picture()), "ann"))


def test_who_goes_away_takes_the_child_along(monkeypatch):
    """A request that is cancelled, while its image is made."""
    code = "import time; time.sleep(60)  # chat.media.image_child"
    monkeypatch.setattr(images, "_PYTHON", (sys.executable, "-I", "-c", code))
    monkeypatch.setattr(images, "QUICK", ImageLimits())

    async def run():
        task = asyncio.create_task(images.make(ATTACHMENT, io.BytesIO(picture()), "ann"))
        await asyncio.to_thread(wait_until, lambda: own_children(os.getpid()), "a child")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: not own_children(os.getpid()), "its end")
        await asyncio.to_thread(wait_until, lambda: not IMAGES._running, "the end of the job")

    asyncio.run(run())


def test_the_server_has_no_decoder_in_its_memory():
    modules = "sys, chat.server.worker, chat.cli.commands"
    code = f"import {modules}; print([m for m in sys.modules if 'PIL' in m])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"


# The chat meanwhile


def own_children(pid):
    """Process ids of the children in which a process makes images."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, (task / "children").read_text().split())
    return [
        child for child in found if b"chat.media.image_child" in cmdline(child) and alive(child)
    ]


def image_children(server):
    return [child for worker in server.workers() for child in own_children(worker)]


def peak_kb(server):
    """The most memory that the worker has had."""
    [worker] = server.workers()
    text = Path(f"/proc/{worker}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1])


@pytest.fixture
def watched(server):
    """A server that stays as it is, whatever is sent to it."""
    server.forget_log()
    before = peak_kb(server)
    yield server
    assert peak_kb(server) - before < MAX_GROWTH_KB
    wait_until(lambda: not image_children(server), "the end of all children")
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("name", hostile_images.OVER)
def test_what_is_over_a_limit_is_kept_as_a_file(watched, ann, bob, tea, name):
    sent = hostile_images.OVER[name]()
    for live in (False, True):
        answer = send(ann, tea, ("huge.png", sent), body="Look", live=live)
        assert answer.status_code in (200, 303), answer.text
    page = bob.room(tea)
    assert page.count("Not shown because it has too many ") == 2
    assert "file__image" not in page
    for at in shown(bob, tea):
        got = bob.get(at)
        assert got.content == sent
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize("name", hostile_images.BROKEN)
def test_what_is_broken_is_refused_and_the_text_stays(watched, ann, tea, name):
    before = kept(watched)
    sent = hostile_images.BROKEN[name]() or b"\0"
    answer = send(ann, tea, ("a.png", sent), body="typed for long")
    assert answer.status_code == 400
    assert "“a.png” is not a picture" in answer.text
    assert 'value="typed for long"' in answer.text
    refused = save(ann, sent, name="Ann", about="About me")
    assert refused.status_code == 400
    assert "not a picture" in refused.text
    assert 'value="About me"' in refused.text
    assert kept(watched) == before


def test_a_picture_of_a_person_that_is_over_a_limit_is_refused_with_the_reason(watched, ann):
    answer = save(ann, hostile_images.png(9000, 9000), name="Ann", about="About me")
    assert answer.status_code == 400
    assert "too many pixels. Choose a smaller one" in answer.text
    assert 'value="About me"' in answer.text


def patient(url, name="", like=None):
    """A visitor who waits as long as it takes on a busy machine; `like`: the same person, in
    another browser."""
    visitor = Visitor(url)
    visitor.http.timeout = 110
    if like:
        visitor.http.cookies = like.http.cookies
    else:
        visitor.sign_in(name)
    return visitor


def end(server, number):
    for pid in image_children(server):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def sending(server, people, rid):
    """All of them send an image that takes long. At the end the children are killed, as the system
    does when memory is short."""
    with ThreadPoolExecutor(len(people)) as pool:
        sent = [pool.submit(send, person, rid, ("slow.jpg", slow())) for person in people]
        try:
            yield sent
        finally:
            while not all(one.done() for one in sent):
                end(server, signal.SIGKILL)
                time.sleep(0.05)


def test_nobody_waits_for_images_that_take_long(watched, tea):
    """Not even where more people send them than there are children."""
    ann = patient(watched.url, "Ann")
    people = [patient(watched.url, f"Eve {n}") for n in range(3)]
    for person in (ann, *people):
        person.join(tea)
    with sending(watched, [*people, patient(watched.url, like=people[0])], tea) as sent:
        wait_until(lambda: image_children(watched), "a child")
        tiny = ("tiny.png", hostile_images.image("PNG", (20, 20)))
        assert send(ann, tea, tiny).status_code == 303
        assert httpx.get(f"{watched.url}/healthz").status_code == 200
        assert not any(one.done() for one in sent)
    assert {one.result().status_code for one in sent} == {303}
    page = ann.room(tea)
    assert page.count("Not shown because it takes too ") == 4
    assert page.count("file__image") == 1


def test_a_decoder_that_crashes_is_a_file_that_is_refused(watched, ann, tea):
    with ThreadPoolExecutor(1) as pool:
        ann = patient(watched.url, like=ann)
        sent = pool.submit(send, ann, tea, ("slow.jpg", slow()), body="typed")
        wait_until(lambda: image_children(watched), "a child")
        end(watched, signal.SIGSEGV)
        assert sent.result().status_code == 400
    assert "not a picture" in sent.result().text
    assert 'value="typed"' in sent.result().text


def test_who_sends_too_many_at_once_is_told_and_keeps_the_text(watched, ann, tea):
    """One is being made, and eight wait; and there are two pools."""

    def one(n):
        return send(patient(watched.url, like=ann), tea, (f"{n}.jpg", slow()), body=f"words {n}")

    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(one, n) for n in range(20)]
        while not all(one.done() for one in sent):
            assert len(image_children(watched)) <= 2, "of one person"
            if any(one.done() and one.result().status_code == 503 for one in sent):
                end(watched, signal.SIGKILL)
            time.sleep(0.01)
    busy = [one.result() for one in sent if one.result().status_code == 503]
    assert busy
    assert {one.result().status_code for one in sent} == {303, 503}
    for answer in busy:
        assert "The server is busy" in answer.text
        assert re.search(r'value="words \d+"', answer.text)
        assert answer.headers["retry-after"]


def test_a_server_that_stops_waits_for_no_image(fresh_server):
    eve = Visitor(fresh_server.url, "Eve")
    rid = eve.create_room("Tea")
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, eve, rid, ("slow.jpg", slow()))
        wait_until(lambda: image_children(fresh_server), "a child")
        [child] = image_children(fresh_server)
        assert fresh_server.stop() == 0
        assert not alive(child)
        assert sent.exception() or sent.result().status_code >= 400
