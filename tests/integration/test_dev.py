"""`make dev` serves the current files: each kind of file is changed in a copy of the project, and
the next response has the change."""

import os
import shutil
import signal
import subprocess
import sys

import httpx
import pytest

from ..running import ROOT, free_port, wait_until


class DevServer:
    """`python -m tools.dev` in a copy of the project."""

    def __init__(self, folder):
        self.root = folder / "copy"
        ignore = shutil.ignore_patterns("__pycache__")
        for name in ("chat", "templates", "static", "tools"):
            shutil.copytree(ROOT / name, self.root / name, ignore=ignore)
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.dev"],
                cwd=self.root,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "CHAT_BIND": self.url.removeprefix("http://"),
                    "CHAT_DATA": str(folder / "data"),
                },
            )

    def change(self, name, old, new):
        """Replace `old`, which is in the file, by `new`, as an editor does: all at once."""
        path = self.root / name
        text = path.read_text()
        assert old in text
        part = path.with_name(f"{path.name}~")  # editors' backups cause no reload
        part.write_text(text.replace(old, new))
        part.replace(path)

    def answer(self, path):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(self.url + path, follow_redirects=True).text
        except httpx.TransportError:  # it starts
            return ""

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    running = DevServer(tmp_path_factory.mktemp("dev"))
    yield running
    assert running.stop() == 0


def test_a_change_of_any_file_is_in_the_next_answer(dev):
    wait_until(lambda: "</form>" in dev.answer("/sign-in"), "the first page")
    assert f"Chat is on {dev.url}" in dev.log.read_text()

    dev.change("templates/sign_in.html", "</form>", "</form><p>from the template</p>")
    wait_until(lambda: "from the template" in dev.answer("/sign-in"), "the changed template")

    dev.change("static/css/03-base.css", ":root {", ":root, .from-the-style-sheet {")
    wait_until(lambda: "from-the-style-sheet" in dev.answer("/static/chat.css"), "the changed CSS")

    dev.change("chat/web/health.py", '"ok', '"changed ok')
    wait_until(lambda: "changed ok" in dev.answer("/healthz"), "the changed code")
    dev.change("chat/web/health.py", '"changed ok', '"ok')


def test_a_mistake_leaves_the_old_code_serving_until_it_is_corrected(dev):
    wait_until(lambda: "</form>" in dev.answer("/sign-in"), "the first page")
    wait_until(lambda: dev.answer("/healthz") == "ok\n", "the code as it is")
    dev.change("chat/web/health.py", '"ok', '"changed ok" oops "')
    wait_until(lambda: "SyntaxError" in dev.log.read_text(), "the traceback")
    wait_until(lambda: "the old workers stay" in dev.log.read_text(), "the end of the reload")
    assert dev.answer("/healthz") == "ok\n"
    dev.change("chat/web/health.py", '"changed ok" oops "', '"corrected ok')
    wait_until(lambda: dev.answer("/healthz") == "corrected ok\n", "the corrected code")


def test_a_change_of_the_supervisor_restarts_it(dev):
    wait_until(lambda: "</form>" in dev.answer("/sign-in"), "the first page")
    dev.change("chat/server/supervisor.py", "Chat is on", "The changed chat is on")
    wait_until(lambda: f"The changed chat is on {dev.url}" in dev.log.read_text(), "the restart")
    wait_until(lambda: "</form>" in dev.answer("/sign-in"), "the page of the new process")
