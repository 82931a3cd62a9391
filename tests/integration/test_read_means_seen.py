"""Only what a page has confirmed counts as read (I10), on every transport. The clients are sockets
that read or stop reading, and answer pings or not, as each test says. The read mark is taken from
the database.
"""

import html
import json
import re
import select
import threading
from functools import partial

import pytest

from chat.store import keys

from ..running import Server, Visitor, opened, wait_until
from .bridge_client import H2, PING, PONG, TEXT, Raw, frame

PING_SECONDS = 1


@pytest.fixture(scope="module", params=["direct", "plain"])
def server(request, tmp_path_factory):
    """The chat with the direct way to its sockets, and without (as over HTTP/2)."""
    direct = "off" if request.param == "plain" else "on"
    env = {"CHAT_PING": str(PING_SECONDS), "CHAT_DIRECT": direct, "CHAT_LIMITS": "off"}
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_H2C="on", **env).start()
    yield running
    running.clean_up()


class Client:
    """A live page of `visitor`, frame by frame; `buffer` limits what its kernel takes (bytes)."""

    def __init__(self, server: Server, visitor: Visitor, buffer: int | None = None) -> None:
        self.raw = opened.enter_context(Raw(server, buffer))
        headers = ["Origin: http://test", f"Cookie: {visitor.cookie}"]
        assert self.raw.handshake("/live", headers)[0] == 101
        self.texts = ""
        self.last = 0

    def say(self, **fields) -> None:
        self.raw.send_frame(TEXT, json.dumps(fields).encode())

    def watch(self, rid: str, after: int = 0) -> None:
        self.say(type="watch", room=rid, after=str(after))

    def next(self, pongs: bool = True) -> tuple[int, bytes] | None:
        """Take the next frame; answer it when it is a ping, unless `pongs` is False."""
        received = self.raw.recv_frame()
        if received and received[0] == TEXT:
            text = received[1].decode()
            self.texts += text
            self.last = max([self.last, *map(int, re.findall(r'<li id="m-(\d+)"', text))])
        elif received and received[0] == PING and pongs:
            self.raw.send_frame(PONG, received[1])
        return received

    def read_to(self, seq: int, pongs: bool = True) -> None:
        """Take frames until event `seq` of the room is shown."""
        while self.last < seq:
            assert self.next(pongs), f"closed before {seq}"

    def next_ping(self) -> bytes:
        """Take frames up to a ping that asks for something, which is not answered."""
        while True:
            received = self.next(pongs=False)
            assert received, "closed before a ping"
            if received[0] == PING and received[1]:
                return received[1]

    def answer_until(self, true) -> None:
        """Read, and answer pings, until something is true."""

        def is_true():
            if self.raw.received or select.select([self.raw.sock], [], [], 0)[0]:
                assert self.next(), "closed"
            return true()

        wait_until(is_true, "what the client waits for")

    def confirm(self) -> None:
        """Read up to a ping, and answer it."""
        self.raw.send_frame(PONG, self.next_ping())


@pytest.fixture
def database(server):
    with server.redis() as client:
        yield client


@pytest.fixture
def read_of(database, bob, tea):
    """The number up to which Bob has read the room."""
    uid = bob.uid
    return lambda: int(database.hget(keys.read(tea), uid) or 0)


def newest(database, rid) -> int:
    return int(database.hget(keys.room(rid), "seq"))


def time_of(database, rid, seq: int) -> str:
    """The time of an event in ms."""
    return database.xrange(keys.events(rid), f"{seq}-0", f"{seq}-0")[0][1]["at"]


def say(ann, rid, count=3):
    for n in range(count):
        assert ann.post(rid, f"@Bob look, {n}").status_code == 303


def is_unread(visitor, rid) -> bool:
    """Whether another device of this person shows a mark on the room."""
    row = visitor.get("/").text.split(f'id="unread-{rid}"')[1]
    return "<i" in row.split("</span>")[0]


def wait_for_mark(read_of, seq) -> None:
    wait_until(lambda: read_of() == seq, f"the read mark {seq}")


def gone(server, database, uid):
    """True when no page of the person is open any more."""
    return not any(database.hvals(keys.user_pages(uid)))


# The websocket


def test_what_a_client_that_reads_no_more_was_sent_is_not_read(
    server, database, ann, bob, tea, read_of
):
    """It was confirmed up to a number; what was written after that is not read when the ping
    timeout cuts the connection."""
    client = Client(server, bob)
    client.watch(tea)
    client.read_to(newest(database, tea))
    client.confirm()
    wait_for_mark(read_of, newest(database, tea))
    before = read_of()
    say(ann, tea)
    wait_until_cut(server, client)
    assert read_of() == before
    assert is_unread(bob, tea)


def wait_until_cut(server, client):
    """Until the server has cut the connection, which the client does not look at: so the peer's
    address is no more among the connections of this machine."""
    port = client.raw.sock.getsockname()[1]
    name = f"{server.port:04X}".upper(), f"{port:04X}"

    def is_cut():
        with open("/proc/net/tcp") as table:
            lines = [line.split() for line in table]
        ends = [(row[1].rpartition(":")[2], row[2].rpartition(":")[2], row[3]) for row in lines[1:]]
        return not any((near, far) == name and state == "01" for near, far, state in ends)

    wait_until(is_cut, "the end of the connection")


def test_what_a_client_confirms_is_read(server, database, ann, bob, tea, read_of):
    client = Client(server, bob)
    client.watch(tea)
    say(ann, tea)
    client.read_to(newest(database, tea))
    client.answer_until(lambda: read_of() == newest(database, tea))
    assert not is_unread(bob, tea)


def test_a_pong_confirms_only_what_was_written_before_its_ping(
    server, database, ann, bob, tea, read_of
):
    """The pong arrives when more was written, and read by the client's kernel, and even seen."""
    client = Client(server, bob)
    client.watch(tea)
    say(ann, tea, 1)
    asked = newest(database, tea)
    client.read_to(asked, pongs=False)
    ping = client.next_ping()
    shown = client.last
    say(ann, tea)
    client.read_to(newest(database, tea), pongs=False)
    client.raw.send_frame(PONG, ping)
    wait_until(lambda: read_of() > 0, "a read mark")
    wait_until(lambda: read_of() == shown, "the read mark of the ping")
    client.raw.sock.close()
    wait_until(partial(gone, server, database, bob.uid), "the end of the page")
    assert read_of() == shown < newest(database, tea)


def test_a_pong_that_answers_nothing_confirms_nothing(server, database, ann, bob, tea, read_of):
    client = Client(server, bob)
    client.watch(tea)
    client.read_to(newest(database, tea), pongs=False)
    before = read_of()
    for payload in (b"", b"0", b"99", b"9" * 19, b"9" * 30, b"\xff", "²".encode(), b"-1"):
        client.raw.send_frame(PONG, payload)
    client.say(type="watch", room="")
    client.say(type="nonsense")
    client.raw.sock.close()
    wait_until(partial(gone, server, database, bob.uid), "the end of the page")
    assert read_of() == before


def test_a_frame_confirms_what_it_says_the_page_shows(server, database, ann, bob, tea, read_of):
    say(ann, tea)
    seq = newest(database, tea)
    client = Client(server, bob)
    client.watch(tea, after=seq - 1)
    wait_for_mark(read_of, seq - 1)
    client.watch(tea, after=seq)
    wait_for_mark(read_of, seq)


def test_a_frame_that_names_no_number_confirms_nothing(server, database, ann, bob, tea, read_of):
    """It says that the client was alive when it sent it, not what it has received."""
    client = Client(server, bob)
    client.watch(tea)
    client.read_to(newest(database, tea), pongs=False)
    before = read_of()
    say(ann, tea)
    client.read_to(newest(database, tea), pongs=False)
    client.say(type="typing", room=tea)
    client.say(type="name", room=tea, nonce="n1", body="hel")
    client.say(type="watch", room="")
    client.raw.sock.close()
    wait_until(partial(gone, server, database, bob.uid), "the end of the page")
    assert read_of() == before


def test_a_cursor_of_another_life_confirms_nothing(server, database, ann, bob, tea, read_of):
    """Numbers that the database has lost are used again: they were never shown."""
    say(ann, tea)
    before = read_of()
    client = Client(server, bob)
    client.say(type="watch", room=tea, after=str(newest(database, tea)), epoch="another")
    client.read_to(newest(database, tea), pongs=False)
    client.watch(tea, after=newest(database, tea) + 50)
    while client.texts.count('name=epoch]"') < 2:  # with each list that is replaced
        client.next(pongs=False)
    client.raw.sock.close()
    wait_until(partial(gone, server, database, bob.uid), "the end of the page")
    assert read_of() == before


@pytest.mark.parametrize("to", ["another room", "no room"])
def test_what_came_after_the_page_had_left_the_room_is_not_read(
    server, database, ann, bob, tea, read_of, to
):
    """It was written to a page that shows another room already and has nowhere to put it. The
    mark in its room list stays."""
    club = ann.create_room("Club")
    bob.join(club)
    before = read_of()
    client = Client(server, bob)
    client.watch(tea)
    say(ann, tea, 2)
    client.read_to(newest(database, tea), pongs=False)
    ping = client.next_ping()
    client.texts = ""
    client.watch(club if to == "another room" else "")
    client.raw.send_frame(PONG, ping)
    while f'id="unread-{tea}"' not in client.texts:
        client.next()
    row = client.texts.split(f'id="unread-{tea}"')[-1].split("</span>")[0]
    assert row.count("<i") == newest(database, tea) - before
    client.say(type="watch", room=club)
    say(ann, club, 1)
    client.answer_until(
        lambda: database.hget(keys.read(club), bob.uid) == str(newest(database, club))
    )
    assert read_of() == before


@pytest.mark.parametrize("by", ["a pong", "a frame"])
def test_what_was_confirmed_before_the_page_left_the_room_is_read(
    server, database, ann, bob, tea, read_of, by
):
    club = ann.create_room("Club")
    bob.join(club)
    client = Client(server, bob)
    client.watch(tea)
    say(ann, tea)
    client.read_to(newest(database, tea), pongs=False)
    if by == "a pong":
        client.raw.send_frame(PONG, client.next_ping())
        wait_for_mark(read_of, newest(database, tea))
    else:
        client.watch(tea, client.last)  # sent by the click that leads away
    client.texts = ""
    client.watch(club)
    while not re.search(rf'#unread-{tea}[^>]*hx-swap="innerHTML"></', client.texts):
        client.next()
    assert read_of() == newest(database, tea)


def test_who_writes_has_read_what_the_page_shows(server, database, ann, bob, tea, read_of):
    client = Client(server, bob)
    client.watch(tea)
    say(ann, tea)
    client.read_to(newest(database, tea), pongs=False)
    after = f"{client.last}-{time_of(database, tea, client.last)}"
    client.say(type="post", room=tea, body="I see", nonce="n1", after=after)
    wait_for_mark(read_of, client.last + 1)


def test_the_cursor_of_the_room_on_screen_counts_for_no_other(
    server, database, ann, bob, tea, read_of
):
    """A composer whose message was refused is sent again when the page shows another room."""
    client = Client(server, bob)
    client.watch(tea)
    client.read_to(newest(database, tea), pongs=False)
    shown = client.last
    for _ in range(3):
        say(ann, tea)
    client.read_to(newest(database, tea), pongs=False)
    club = bob.create_room("Club")
    client.watch(club)
    top = newest(database, tea)
    after = f"{top}-{time_of(database, tea, top)}"
    client.say(type="post", room=tea, body="Late", nonce="late", after=after)
    wait_until(lambda: newest(database, tea) == top + 1, "the message")
    assert read_of() <= shown
    assert is_unread(bob, tea)


def test_who_writes_has_not_read_what_came_meanwhile(server, database, ann, bob, tea, read_of):
    client = Client(server, bob)
    client.watch(tea)
    client.read_to(newest(database, tea), pongs=False)
    shown = client.last
    say(ann, tea)
    client.read_to(newest(database, tea), pongs=False)
    seen = f"{shown}-{time_of(database, tea, shown)}"
    lost = f"{newest(database, tea)}-1"  # the database has lost that event, and given its number
    for after in ("", seen, f"{10**6}-1", lost):
        top = newest(database, tea)
        client.say(type="post", room=tea, body="I write", nonce=f"n{after}x", after=after)
        client.read_to(top + 1, pongs=False)
        assert read_of() <= shown
    assert is_unread(bob, tea)


def test_a_reader_that_is_too_slow_has_not_read_what_waits_for_it(
    server, database, ann, bob, tea, read_of
):
    client = Client(server, bob, buffer=4096)
    client.watch(tea)
    client.read_to(newest(database, tea))
    client.confirm()
    wait_for_mark(read_of, newest(database, tea))
    before = read_of()
    while not gone(server, database, bob.uid):
        ann.post(tea, "long " * 700)
    assert read_of() == before


def test_a_pong_for_a_number_that_another_event_has_now_confirms_nothing(
    server, database, ann, bob, tea, read_of
):
    client = Client(server, bob)
    client.watch(tea)
    before = read_of()
    say(ann, tea, 1)
    client.read_to(newest(database, tea), pongs=False)
    ping = client.next_ping()
    change_newest(database, tea)
    client.raw.send_frame(PONG, ping)
    club = ann.create_room("Club")  # what is confirmed later is written down later
    bob.join(club)
    client.watch(club)
    say(ann, club, 1)
    seq = newest(database, club)
    client.answer_until(lambda: database.hget(keys.read(club), bob.uid) == str(seq))
    assert read_of() == before


def test_a_page_that_is_sent_away_keeps_what_it_has_not_confirmed(
    server, database, ann, bob, tea, read_of
):
    """Closed with 1008: the session has ended elsewhere."""
    other = Visitor(server.url)
    other.http.cookies = bob.http.cookies
    client = Client(server, bob)
    client.watch(tea)
    client.read_to(newest(database, tea))
    client.confirm()
    wait_for_mark(read_of, newest(database, tea))
    before, uid = read_of(), bob.uid
    say(ann, tea)
    client.read_to(newest(database, tea), pongs=False)
    other.submit("/sign-out")
    wait_until(partial(gone, server, database, uid), "the end of the page")
    assert read_of() == before


def test_the_same_over_http_2(server, database, ann, bob, tea, read_of):
    with H2(server) as h2:
        headers = [("origin", "http://test"), ("cookie", bob.cookie)]
        assert h2.open("/live", headers) == 200
        said = json.dumps({"type": "watch", "room": tea, "after": ""})
        h2.send(frame(TEXT, said.encode()))
        say(ann, tea)
        asked = h2_ping(h2, newest(database, tea))
        h2.send(frame(PONG, asked))
        wait_for_mark(read_of, newest(database, tea))
        before = read_of()
        say(ann, tea)
        h2_ping(h2, newest(database, tea))
    wait_until(partial(gone, server, database, bob.uid), "the end of the page")
    assert read_of() == before


def h2_ping(h2: H2, seq: int) -> bytes:
    """Read until event `seq` is shown and a ping has come after it; returns its payload."""
    shown = f'<li id="m-{seq}"'.encode()

    def ping():
        return re.search(rb"\x89[\x01-\x0f](\d+)", h2.data.partition(shown)[2])

    h2.until(ping)
    return ping()[1]


# Without a socket


def test_a_plain_page_is_read_when_the_browser_asks_for_something_else(
    server, database, ann, bob, tea, read_of
):
    say(ann, tea)
    before, seq = read_of(), newest(database, tea)
    assert bob.get(f"/rooms/{tea}").status_code == 200
    assert read_of() == before, "it may never have arrived"
    assert not is_unread(bob, tea)
    assert read_of() == seq
    assert "served" not in bob.http.cookies


@pytest.mark.parametrize("then", ["post", "reload"])
def test_the_next_request_confirms_the_page_and_no_more(
    server, database, ann, bob, tea, read_of, then
):
    say(ann, tea)
    csrf = re.search(r'name="csrf_token" value="([^"]+)"', bob.room(tea))[1]
    seq = newest(database, tea)
    say(ann, tea)
    if then == "post":
        bob.http.post(f"/rooms/{tea}/messages", data={"csrf_token": csrf, "body": "hello"})
    else:
        bob.room(tea)
    assert read_of() == seq


def test_an_answer_that_never_arrived_confirms_nothing(server, database, ann, bob, tea, read_of):
    say(ann, tea)
    before = read_of()
    kept = dict(bob.http.cookies)
    bob.room(tea)
    bob.http.cookies = kept  # as if it had not come
    assert is_unread(bob, tea)
    assert read_of() == before


@pytest.mark.parametrize("how", ["HEAD", "Sec-Purpose", "Purpose", "X-Moz"])
def test_a_page_that_is_fetched_ahead_confirms_nothing(
    server, database, ann, bob, tea, read_of, how
):
    say(ann, tea)
    before = read_of()
    if how == "HEAD":
        assert bob.http.head(f"/rooms/{tea}").status_code == 200
    else:
        ahead = {how: "prefetch;prerender" if how == "Sec-Purpose" else "prefetch"}
        assert bob.get(f"/rooms/{tea}", headers=ahead).status_code == 200
    assert is_unread(bob, tea)
    assert read_of() == before


def change_newest(database, rid) -> tuple[int, int]:
    """Another event gets the number of the newest; returns the times of both."""
    *entries, (last, event) = database.xrange(keys.events(rid))
    then = int(event["at"])
    database.delete(keys.events(rid))
    for entry, values in [*entries, (last, {**event, "at": then + 5})]:
        database.xadd(keys.events(rid), values, entry)
    return then, then + 5


WAYS_WITHOUT_A_SOCKET = ["the next request", "an image", "mark all as read"]


@pytest.mark.parametrize("way", WAYS_WITHOUT_A_SOCKET)
def test_a_number_that_another_event_has_now_confirms_nothing(
    server, database, ann, bob, tea, read_of, way
):
    """A failover loses events, and others get their numbers. Who was shown the lost ones has not
    seen those."""
    say(ann, tea)
    before, seq = read_of(), newest(database, tea)
    if way == "the next request":
        bob.room(tea)
    elif way == "mark all as read":
        page = bob.get("/unread").text
    then, now = change_newest(database, tea)
    if way == "an image":
        assert bob.get(f"/rooms/{tea}/seen/{seq}-{then}").status_code == 204
    elif way == "mark all as read":
        upto = re.search(rf'name="upto" value="({tea} [^"]+)"', page)[1]
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        bob.http.post("/unread/read", data={"csrf_token": token, "upto": upto})
    bob.get("/")
    assert read_of() == before
    assert bob.get(f"/rooms/{tea}/seen/{seq}-{now}").status_code == 204
    assert read_of() == seq


def test_the_cookie_of_a_page_is_only_for_its_person(server, database, ann, bob, tea, read_of):
    say(ann, tea)
    before = read_of()
    cyd = Visitor(server.url, "Cyd")
    cyd.join(tea)
    cyd.room(tea)
    say(ann, tea)
    uid = cyd.uid
    cyd_has_read = database.hget(keys.read(tea), uid)
    bob.http.cookies.set("served", f"{uid}.{tea}.{newest(database, tea)}")
    bob.get("/")
    assert read_of() == before
    assert database.hget(keys.read(tea), uid) == cyd_has_read
    for odd in ("", "..", f"{bob.uid}", f"{bob.uid}.{tea}", f"{bob.uid}.{tea}.x", "a.b.c.d"):
        bob.http.cookies.set("served", odd)
        assert bob.get("/").status_code == 200
    assert read_of() == before


def test_marked_unread_stays_unread(server, database, ann, bob, tea, read_of):
    say(ann, tea)
    bob.room(tea)
    assert bob.submit(f"/rooms/{tea}/messages/4/unread").status_code == 303
    bob.get("/")
    assert read_of() == 3


def frame_after(seq: int, rid: str, epoch: str = "") -> str:
    return f"/rooms/{rid}/stream?after={seq}&epoch={epoch}"


class Frame:
    """The frame without JavaScript, read piece by piece; it loads nothing by itself."""

    def __init__(self, visitor: Visitor, address: str) -> None:
        answer = opened.enter_context(visitor.http.stream("GET", address))
        assert answer.status_code == 200
        self.text, self.pieces = "", answer.iter_text()

    def read_to(self, what: str) -> str:
        while not (found := re.search(what, self.text)):
            self.text += next(self.pieces)
        return found[1]


def test_what_is_written_to_a_frame_is_read_when_its_browser_says_so(
    server, database, ann, bob, tea, read_of
):
    seq = newest(database, tea)
    shown = Frame(bob, frame_after(seq, tea))
    shown.read_to("(<ol)")
    wait_for_mark(read_of, seq)
    say(ann, tea)
    image = shown.read_to(rf'<img src="([^"]+/{newest(database, tea)}-\d+)"')
    assert read_of() == seq, "it was only written"
    assert bob.get(image).status_code == 204
    assert read_of() == newest(database, tea)


def test_a_frame_asked_for_confirms_what_its_page_has_shown(
    server, database, ann, bob, tea, read_of
):
    """Both the page that holds it and the frame before it say the number."""
    say(ann, tea)
    before, seq = read_of(), newest(database, tea)
    another = Frame(bob, frame_after(seq, tea, "another"))
    another.read_to("(</li>)")
    assert read_of() == before, "that number was of another life"
    Frame(bob, frame_after(seq - 1, tea)).read_to("(</li>)")
    wait_for_mark(read_of, seq - 1)


def test_a_frame_that_names_no_message_confirms_nothing(server, database, ann, bob, tea, read_of):
    say(ann, tea)
    before = read_of()
    shown = Frame(bob, f"/rooms/{tea}/stream")
    say(ann, tea, 1)
    shown.read_to(f'(id="m-{newest(database, tea)}")')
    assert read_of() == before


def test_what_was_open_as_the_process_ended_is_not_read(fresh_server):
    """Neither what the frame was written, whose end brings a refresh, nor what a page was sent. The
    refresh is what confirms the first."""
    server = fresh_server
    ann, bob = Visitor(server.url, "Ann"), Visitor(server.url, "Bob")
    tea, club = ann.create_room("Tea"), ann.create_room("Club")
    for rid in (tea, club):
        bob.join(rid)
    uid = bob.uid

    def read():
        with server.redis() as database:
            return [int(database.hget(keys.read(rid), uid)) for rid in (tea, club)]

    shown, client = Frame(bob, frame_after(2, tea)), Client(server, bob)
    client.watch(club, after=2)
    before = read()
    for rid in (tea, club):
        say(ann, rid)
    shown.read_to("(look, 2)")
    client.read_to(5, pongs=False)
    ending = threading.Thread(target=server.stop)
    ending.start()
    address = html.unescape(shown.read_to(r'refresh" content="\d+; url=([^"]+)"'))
    ending.join()
    server.start()
    assert read() == before
    again = Frame(bob, address)
    wait_until(lambda: read()[0] == 5, "what the refresh confirms")
    again.read_to("(<ol)")
    assert read()[1] == before[1]


# Programs


def test_a_program_reads_messages_without_marking_them(server, database, ann, bob, tea, read_of):
    say(ann, tea)
    before = read_of()
    page = bob.submit(f"/tokens/{bob.uid}", "/me/tokens", name="mine", scopes=["read", "write"])
    token = re.search(r'value="(chat_[\w-]+)"', page.text)[1]
    headers = {"Authorization": f"Bearer {token}"}
    listed = bob.http.get(f"/api/rooms/{tea}/messages", headers=headers)
    assert listed.json()["messages"]
    posted = bob.http.post(f"/api/rooms/{tea}/messages", json={"body": "hello"}, headers=headers)
    assert posted.status_code == 201
    assert read_of() == before
    assert is_unread(bob, tea)
