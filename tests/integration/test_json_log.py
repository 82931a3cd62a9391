"""The log as JSON (CHAT_LOG=json) of the running chat: supervisor, workers, indexer."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from chat.store import keys

from ..running import Server, Visitor, wait_until
from .page import Page


class LoggingServer(Server):
    """A server whose standard error goes to a file of its own. Its console is the test's."""

    def __init__(self, data: Path, **env: str) -> None:
        self.stderr = data.with_name("stderr")
        # A shell, for the supervisor's own standard error is set before it starts.
        super().__init__(data, CHAT_LOG="json", **env)
        self.inside = ("sh", "-c", f'exec "$0" "$@" 2>>"{self.stderr}"')

    def lines(self) -> list[dict]:
        """All lines so far that are complete."""
        whole, _, _ = self.stderr.read_text().rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def wait_for_line(self, **fields: str) -> dict:
        """The first line in which each field has this text in it."""

        def found() -> list[dict]:
            return [
                line
                for line in self.lines()
                if all(name in line and text in line[name] for name, text in fields.items())
            ]

        wait_until(found, f"a line with {fields}")
        return found()[0]


@pytest.fixture
def logging_server(tmp_path):
    running = LoggingServer(
        tmp_path / "chat", CHAT_WORKERS="2", CHAT_PROXIES="127.0.0.1", CHAT_LIMITS="off"
    )
    yield running.start()
    running.clean_up()


def a_page_more_on_each_worker(server: Server, ann: Visitor, rid: str) -> bool:
    """Open a page, and return whether every worker has one: then each is started and subscribed,
    and logs that the link is lost."""
    Page(ann).watch(rid).wait_for("created this room")
    texts = [httpx.get(f"{server.url}/metrics").text for _ in range(8)]
    counts = [re.search(r'chat_connections\{pid="(\d+)"\} (\S+)', text) for text in texts]
    return {count[1] for count in counts if float(count[2])} == set(map(str, server.workers()))


def test_every_line_is_an_object_and_names_its_request(logging_server):
    server = logging_server
    ann = Visitor(server.url, "Ann")
    rid = ann.create_room("Tea")
    fine = ann.get(f"/rooms/{rid}")
    assert fine.headers["x-request-id"] != ann.get(f"/rooms/{rid}").headers["x-request-id"]
    broken = ann.create_room("Broken")
    # Shown before it breaks: of the warnings about Redis, a process writes the first only.
    page = Page(ann).watch(broken)
    page.wait_for("created this room")
    wait_until(lambda: a_page_more_on_each_worker(server, ann, broken), "a page on each worker")
    with server.redis() as client:
        client.set(keys.events(broken), "no stream")  # SET replaces a key of any type
        page.say(type="watch", room=broken, after="0-1")
        line = server.wait_for_line(message="must reconnect", connection_id="")
        assert len(line["connection_id"]) >= 12
        assert line["request_id"]
        # What makes every request for this room fail.
        client.hset(keys.room(rid), "seq", 'no number\n{"level": "INFO"}')

    made = ann.get(f"/rooms/{rid}")
    sent = ann.get(f"/rooms/{rid}", headers={"X-Request-Id": "edge-1.A_b"})
    assert (made.status_code, sent.status_code) == (500, 500)
    assert sent.headers["x-request-id"] == "edge-1.A_b"
    for answer in (made, sent):
        line = server.wait_for_line(request_id=answer.headers["x-request-id"])
        assert (line["level"], line["logger"]) == ("ERROR", "chat.error_pages")
        assert f"/rooms/{rid}" in line["message"]
        assert line["exception"].startswith("Traceback")
        assert 'no number\\n{"level": "INFO"}' in line["exception"]
        assert line["timestamp"].endswith("+00:00")
        assert "connection_id" not in line
    for bad in ("a b", "x" * 65, "a\tb", '"}', "é", ""):
        answer = ann.get(f"/rooms/{rid}", headers={"X-Request-Id": bad.encode()})
        assert answer.headers["x-request-id"] != bad

    with server.redis() as client:  # a room id that is no UTF-8, for the indexer alone
        wait_until(lambda: client.spublish(keys.ROOMS, b"\xff"), "the indexer's subscription")
    uncaught = {"exception": "search/indexer.py", "message": "not caught"}
    assert "request_id" not in server.wait_for_line(**uncaught)
    os.kill(server.valkey(), signal.SIGKILL)
    for found in (
        {"logger": "chat.operator", "message": "the embedded Valkey has died"},
        {"logger": "chat.redis_client.pubsub"},
    ):
        assert "request_id" not in server.wait_for_line(**found)
    wait_until(server.is_ready, "readiness")
    assert server.stop() == 0
    assert server.stderr.read_text().endswith("\n")
    assert server.lines()
    assert "first-run" not in server.stderr.read_text()


def test_an_id_is_taken_from_our_proxies_only(tmp_path):
    running = LoggingServer(tmp_path / "chat", CHAT_PROXIES="192.0.2.1")
    try:
        visitor = Visitor(running.start().url)
        answer = visitor.get("/healthz", headers={"X-Request-Id": "mine"})
        assert answer.headers["x-request-id"] not in ("", "mine")
    finally:
        running.clean_up()


def test_a_chat_that_cannot_start_says_so_in_the_same_format(tmp_path):
    def start(**env: str) -> subprocess.CompletedProcess[str]:
        return Server(tmp_path / "chat", **env).console("serve")

    refused = start(CHAT_LOG="json", CHAT_PING="x")
    assert refused.returncode == 1
    line = json.loads(refused.stderr)
    assert (line["level"], line["message"]) == (
        "CRITICAL",
        "CHAT_PING='x': expected a whole number from 1 to 25",
    )
    plain = start(CHAT_PING="x")
    assert plain.stderr == f"chat: {line['message']}\n"
    assert "CHAT_LOG='xml'" in start(CHAT_LOG="xml").stderr


def test_the_plain_log_has_no_ids(ann):
    assert "x-request-id" not in ann.get("/", headers={"X-Request-Id": "a"}).headers
