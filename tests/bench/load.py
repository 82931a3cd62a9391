"""Many websocket connections to one server, and what they receive.

Sockets are read through epoll and not through asyncio: a delivery should cost this process less
than it costs the server. Every viewer of a room gets the same bytes, so a chunk equal to the
last one parsed is counted without being parsed again.
"""

import base64
import os
import select
import socket
from collections import deque
from time import perf_counter

from tests.bench.dialects import DIALECTS
from tests.bench.wire import CLOSE, OFFER, PACKED, PING, PONG, TEXT, Inflater, frame, read_frames

CONCURRENCY = 64  # handshakes under way at once, unless the task says otherwise
CONNECT_LIMIT = 40  # seconds to open all connections, ...
CONNECT_RATE = 100  # ... and one more for each of these connections
PER_ADDRESS = 5000  # connections from one of the addresses 127.0.0.x
STALL_LIMIT = 15  # seconds without a delivery after which the server counts as hung
SAMPLES = 5  # viewers in each room whose deliveries are timed
# Between two unsolicited Pongs of a viewer (RFC 6455, section 5.5.3). A page of the chat sends
# `watch` every 45 s and answers the server's ping every 25 s.
BREATH_SECONDS = 16
SENDERS = 16  # connections per room that take turns to post


class LoadError(Exception):
    """The server did something that ends the measurement. The text appears in the table."""


class Room:
    """The messages in flight in one room. A message has arrived when all viewers have it."""

    def __init__(self, name, in_flight=0):
        self.name = name
        self.in_flight = in_flight
        self.senders = deque()
        self.inflater = Inflater()
        self.viewers = 0
        self.sent = 0
        self.arrived = 0
        self.seen = {}  # how many viewers have received exactly this many messages

    def moved(self, before, now):
        """A viewer has now received `now` messages. Returns True if that completed one."""
        self.seen[now] = self.seen.get(now, 0) + 1
        self.seen[before] -= 1
        if self.seen[before]:
            return False
        del self.seen[before]
        if before != self.arrived:
            return False
        self.arrived = min(self.seen)
        return True


class Viewer:
    """One websocket connection that watches a room."""

    __slots__ = (
        *("hello", "live", "packed", "recv", "rest"),
        *("room", "sampled", "seen", "sock", "upgraded"),
    )

    def __init__(self, sock, room, hello):
        self.sock = sock
        self.recv = sock.recv
        self.room = room
        self.hello = hello
        self.upgraded = self.live = self.sampled = False
        self.rest = b""
        self.seen = 0
        self.packed = 0  # compressed messages received so far


class Load:
    """All connections of this process. The task is described in tests.bench.work."""

    def __init__(self, task):
        self.task = task
        self.dialect = DIALECTS[task["dialect"]](task)
        self.hello = self.dialect.hello
        self.concurrency = task.get("concurrency", CONCURRENCY)
        self.epoll = select.epoll()
        self.viewers = {}
        self.opening = self.opened = 0
        self.sent_at = []
        self.latencies = []
        self.deliveries = self.messages = self.bytes = 0
        self.posting = False
        self.breathing = deque()  # file numbers of viewers, in the order of their pongs
        self.next_breath = 0.0  # when the first of them sends one
        self.cursor = 0  # the last event in any viewer's first answer
        self.sample = None  # number and text of one delivered message
        self.chunk, self.numbers, self.packed = b"", [], 0

    # Opening

    def open(self, count, rooms):
        """Connect `count` viewers, spread over the rooms, and wait until all are live."""
        limit = perf_counter() + CONNECT_LIMIT + count / CONNECT_RATE
        made = 0
        while made < count or self.opening:
            while made < count and self.opening < self.concurrency:
                self.connect(rooms[self.opened % len(rooms)])
                made += 1
            self.turn(1)
            if perf_counter() > limit:
                raise LoadError(f"only {made - self.opening} of {count} connections were opened")

    def connect(self, room):
        """Send one handshake; the answers are read in `turn`."""
        source = (f"127.0.0.{1 + self.opened // PER_ADDRESS % 250}", 0)
        address = ("127.0.0.1", self.task["port"])
        sock = socket.create_connection(address, timeout=5, source_address=source)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sock.send(self.handshake(self.opened))
        self.viewers[sock.fileno()] = Viewer(sock, room, self.hello(room.name))
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        self.opening += 1
        self.opened += 1

    def handshake(self, index):
        """Return the upgrade request, which offers compression only if the task says so."""
        host = f"127.0.0.1:{self.task['port']}"
        headers = self.task["headers"][index % len(self.task["headers"])]
        if self.task.get("deflate"):
            headers = [*headers, f"Sec-WebSocket-Extensions: {OFFER}"]
        lines = [
            f"GET {self.dialect.path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            f"Origin: http://{host}",
            *headers,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def upgrade(self, viewer, data):
        """Read the response to the handshake, and return the bytes that follow it."""
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            viewer.rest = data
            return b""
        status = head.split(b"\r\n", 1)[0].decode(errors="replace")
        if " 101 " not in status + " ":
            self.lost(viewer, f"handshake answered {status}")
            return b""
        if self.task.get("deflate"):
            if b"permessage-deflate" not in head.lower():
                raise LoadError("does not agree to compression")
            viewer.room.inflater.takeover = b"server_no_context_takeover" not in head.lower()
        viewer.upgraded = True
        self.greet(viewer)
        return rest

    def greet(self, viewer, answer=None):
        """The next step of the hello; after the last one the viewer is live."""
        if answer:
            self.cursor = max(self.cursor, self.dialect.cursor(answer))
        try:
            text = viewer.hello.send(answer)
        except StopIteration:
            self.welcome(viewer)
        else:
            if text is not None:
                self.send(viewer, TEXT, text.encode())

    def welcome(self, viewer):
        """A connection watches its room from now on."""
        room = viewer.room
        viewer.live = True
        viewer.sampled = room.viewers % max(1, self.task["viewers"] // SAMPLES) == 0
        viewer.seen = room.arrived
        room.seen[room.arrived] = room.seen.get(room.arrived, 0) + 1
        room.viewers += 1
        if len(room.senders) < SENDERS:
            room.senders.append(viewer)
        self.opening -= 1

    def lost(self, viewer, reason):
        """A connection has ended. Unless this was expected, the measurement ends."""
        raise LoadError(reason)

    # Sending and receiving

    def breathe(self, now):
        """Let the viewers whose turn it is send a pong: each one every BREATH_SECONDS.

        A client that has sent something acknowledges what it receives later than one that only
        listens, and on the loopback interface the server's `write` calls pay for that: some 20 % of
        a delivery. Viewers that never send anything would make every server look cheaper than it is
        with browsers."""
        if now < self.next_breath or not self.viewers:
            return
        if not self.breathing:
            self.breathing.extend(self.viewers)
        viewer = self.viewers.get(self.breathing.popleft())
        if viewer and viewer.live:
            self.send(viewer, PONG, b"")
        self.next_breath = max(now - 0.1, self.next_breath) + BREATH_SECONDS / len(self.viewers)

    def send(self, viewer, opcode, payload):
        """Write one frame. If the buffer is full, the server has stopped reading."""
        try:
            viewer.sock.send(frame(opcode, payload))
        except OSError as error:
            self.lost(viewer, f"send: {error}")

    def post(self, room):
        """Post until the room has its number of messages in flight."""
        while room.sent - room.arrived < room.in_flight:
            self.say(room, perf_counter())

    def say(self, room, at):
        """Post one message that is due at a certain time; the senders take turns."""
        room.sent += 1
        text = self.dialect.post(room.name, len(self.sent_at)).encode()
        self.sent_at.append(at)
        self.send(room.senders[0], TEXT, text)
        room.senders.rotate(-1)

    def turn(self, timeout):
        """Read what has arrived, waiting for at most `timeout` seconds."""
        viewers = self.viewers
        for fileno, _ in self.epoll.poll(timeout, 256):
            viewer = viewers.get(fileno)
            if viewer is None:
                continue
            try:
                data = viewer.recv(65536)
            except OSError as error:
                self.lost(viewer, f"recv: {error}")
                continue
            if data == self.chunk and not viewer.rest and viewer.live:
                numbers = self.numbers
                viewer.packed += self.packed
            else:
                numbers = self.read(viewer, data)
            if numbers:
                self.deliver(viewer, numbers, len(data))

    def read(self, viewer, data):
        """Parse a chunk, and return the numbers of the messages in it, in order."""
        if not data:
            self.lost(viewer, "the server closed a connection")
            return []
        whole, packed = viewer.live and not viewer.rest, viewer.packed
        data, viewer.rest = viewer.rest + data, b""
        if not viewer.upgraded:
            data = self.upgrade(viewer, data)
        frames, rest = read_frames(data) if viewer.upgraded else ([], viewer.rest)
        viewer.rest = rest
        numbers, plain = [], True
        for opcode, payload in frames:
            if opcode & PACKED:
                payload = self.inflate(viewer, payload)
            if viewer.live and opcode & 15 == TEXT and (some := self.dialect.numbers(payload)):
                numbers += some
                if self.sample is None and len(some) == 1:
                    self.sample = some[0], payload.decode()
            else:
                plain = False
                self.control(viewer, opcode & 15, payload)
        if whole and plain and not rest:
            self.chunk, self.numbers, self.packed = data, numbers, viewer.packed - packed
        return numbers

    def inflate(self, viewer, payload):
        """Return the text of a compressed message."""
        viewer.packed += 1
        return viewer.room.inflater.text(viewer.packed - 1, payload)

    def control(self, viewer, opcode, payload):
        """Handle a frame without a message of the bench."""
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2])
            self.lost(viewer, f"closed with {code} {payload[2:].decode(errors='replace')}".strip())
        elif opcode == PING:
            self.send(viewer, PONG, payload)
        elif opcode == TEXT and (answer := self.dialect.answer(payload)) is not None:
            self.send(viewer, TEXT, answer.encode())
        elif opcode == TEXT and not viewer.live:
            self.greet(viewer, payload)

    def deliver(self, viewer, numbers, size):
        """Count deliveries, time the sampled ones, and post again when all viewers have a
        message."""
        room, before = viewer.room, viewer.seen
        self.deliveries += len(numbers)
        self.bytes += size
        if viewer.sampled:
            now = perf_counter()
            self.latencies += [now - self.sent_at[number] for number in numbers]
        viewer.seen = before + len(numbers)
        arrived = room.arrived
        if room.moved(before, viewer.seen):
            self.messages += room.arrived - arrived
            if self.posting:
                self.post(room)

    # Measured periods

    def talk(self, rooms, seconds):
        """Keep messages in flight in all rooms for this long; they stay in flight afterwards."""
        self.posting = True
        for room in rooms:
            self.post(room)
        end, delivered = perf_counter() + seconds, self.deliveries
        quiet_until = perf_counter() + STALL_LIMIT
        while (now := perf_counter()) < end:
            self.turn(0.1)
            self.breathe(now)
            if self.deliveries != delivered:
                delivered, quiet_until = self.deliveries, now + STALL_LIMIT
            elif now > quiet_until:
                raise LoadError(f"no delivery for {STALL_LIMIT} s")

    def idle(self, seconds):
        """Only answer the server's pings, for this many seconds."""
        end = perf_counter() + seconds
        while perf_counter() < end:
            self.turn(0.1)

    def finish(self, rooms):
        """Wait until the messages in flight have arrived."""
        self.posting = False
        limit = perf_counter() + STALL_LIMIT
        while any(room.arrived < room.sent for room in rooms) and perf_counter() < limit:
            self.turn(0.1)
        missing = sum(room.sent - room.arrived for room in rooms)
        if missing:
            raise LoadError(f"{missing} messages did not reach all viewers")
