"""Uploads in progress: nobody can fill the disk with requests that never end."""

import select
import socket

import httpx
import pytest

from chat.app import create_app
from chat.config import Settings
from chat.domain.errors import FilesAway, TooOften
from chat.media.avatars import FREE_BYTES
from chat.services.uploads import MAX_UPLOADS_OF_NETWORK, MAX_UPLOADS_OF_PERSON, Uploads

from ..running import Server, Visitor, opened, wait_until
from .test_api import Program
from .test_files import send

MB = 2**20
GB = 2**30


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A chat with its limits."""
    running = Server(tmp_path_factory.mktemp("chat")).start()
    yield running
    running.clean_up()


class Begun:
    """Requests of a person that say they have 4 MB, send a little and go no further."""

    def __init__(self, person):
        self.place = person.url.removeprefix("http://").split(":")
        self.cookie, self.token = person.cookie, Program(person).token
        self.open = []

    def ask(self, target, kind, body, *headers):
        sock = socket.create_connection((self.place[0], int(self.place[1])), timeout=30)
        opened.callback(sock.close)
        self.open.append(sock)
        lines = [f"POST {target} HTTP/1.1", "Host: chat", f"Content-Type: {kind}", *headers]
        sock.sendall("\r\n".join([*lines, f"Content-Length: {4 * MB}", "", ""]).encode() + body)
        return sock

    def post(self, target, name):
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a.txt"\r\n\r\n'
        kind, cookie = "multipart/form-data; boundary=b", f"Cookie: {self.cookie}"
        return self.ask(target, kind, head.encode() + b"x" * MB, cookie)

    def post_as_program(self, rid):
        bearer = f"Authorization: Bearer {self.token}"
        target = f"/api/rooms/{rid}/files?name=a.txt"
        return self.ask(target, "text/plain", b"x" * MB, bearer)

    def end(self):
        for sock in self.open:
            sock.close()


def answered(socks):
    """Those that have an answer before the request has ended."""
    return select.select(socks, [], [], 0.01)[0]


@pytest.mark.parametrize("way", ["a message", "a picture", "a program"])
def test_one_person_sends_a_few_at_once(server, ann, bob, tea, way):
    begun = Begun(ann)

    def begin():
        if way == "a program":
            return begun.post_as_program(tea)
        target = "/me" if way == "a picture" else f"/rooms/{tea}/messages"
        return begun.post(target, "picture" if way == "a picture" else "files")

    socks = [begin() for _ in range(MAX_UPLOADS_OF_PERSON + 3)]
    wait_until(lambda: len(answered(socks)) >= 3, "refusals")
    assert {sock.recv(12).split()[1] for sock in answered(socks)} == {b"429"}
    assert len(set(socks) - set(answered(socks))) == MAX_UPLOADS_OF_PERSON
    assert send(bob, tea, ("b.bin", b"x" * 100_000)).status_code == 303
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    begun.end()
    wait_until(lambda: send(ann, tea, ("a.bin", b"x" * 100_000)).status_code == 303)


@pytest.mark.parametrize("target", ["/me", "/rooms/x/messages"])
def test_who_is_not_signed_in_sends_none(server, target):
    visitor = Visitor(server.url)
    visitor.get("/sign-in")
    sent = visitor.http.post(target, files={"picture": ("a.png", b"x" * 100_000)})
    assert sent.status_code == 413


@pytest.fixture
def app(store):
    app = create_app(Settings(secret_key="x" * 32), store)
    with app.app_context():
        yield app


def test_what_is_under_way_is_counted_by_person_and_network(app):
    uploads = Uploads(free=lambda: (100 * GB, 200 * GB))
    ends = [uploads.begin(f"u{n}", "192.0.2.1", MB) for n in range(MAX_UPLOADS_OF_NETWORK)]
    with pytest.raises(TooOften):
        uploads.begin("another", "192.0.2.1", MB)
    uploads.begin("another", "192.0.2.2", MB)()
    ends.pop()()
    uploads.begin("another", "192.0.2.1", MB)()
    for end in ends:
        end()
    assert uploads.bytes == 0
    assert not uploads._under_way


def test_what_is_under_way_leaves_room_on_the_disk(app):
    uploads = Uploads(free=lambda: (FREE_BYTES + 10 * MB, 200 * GB))
    end = uploads.begin("u1", "192.0.2.1", 6 * MB)
    with pytest.raises(FilesAway):
        uploads.begin("u2", "192.0.2.1", 6 * MB)
    end()
    uploads.begin("u2", "192.0.2.1", 6 * MB)()
