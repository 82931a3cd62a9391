"""The load generator: a process of its own that speaks to one server and prints one JSON line.

It reads a task (a JSON object) from standard input:

    scenario   "fanout", "idle" or "pages"
    dialect    a name in dialects.DIALECTS
    port       where the server listens, on 127.0.0.1
    rooms      room ids; the viewers are spread over them evenly
    headers    lists of header lines, dealt out to the connections in turn
    server, redis   process ids whose CPU time is read at both ends of the measured window
    seconds, warmup, viewers, in_flight, core   numbers; `in_flight` counts per room

Sockets are read through epoll and not through asyncio: a delivery should cost this process less
than it costs the server. Every viewer of a room gets the same bytes, so a chunk equal to the
last one parsed is counted without being parsed again.
"""

import base64
import gc
import json
import os
import resource
import select
import socket
import struct
import sys
from collections import deque
from time import perf_counter, process_time

from tests.bench.dialects import DIALECTS
from tests.bench.processes import busy_seconds, cpu_seconds, resident_kb

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
CONCURRENCY = 64  # handshakes under way at once
CONNECT_LIMIT = 40  # seconds for all connections together
STALL_LIMIT = 15  # seconds without a delivery after which the server counts as hung
SAMPLES = 5  # viewers per room whose deliveries are timed
SENDERS = 16  # connections per room that take turns to post
PAGE_CONNECTIONS = 4
PAGE_MESSAGES = 50


class LoadError(Exception):
    """The server did something that ends the measurement; the text goes into the table."""


def frame(opcode, payload):
    """A masked websocket frame, as clients must send it; payload under 64 KiB."""
    key = os.urandom(4)
    mask = int.from_bytes((key * (len(payload) // 4 + 1))[: len(payload)])
    masked = (int.from_bytes(payload) ^ mask).to_bytes(len(payload))
    size = len(payload)
    head = struct.pack("!BB", 128 | opcode, 128 | size)
    if size > 125:
        head = struct.pack("!BBH", 128 | opcode, 128 | 126, size)
    return head + key + masked


def read_frames(data):
    """The whole frames at the front of data, as (opcode, payload), and the bytes after them."""
    frames, at, end = [], 0, len(data)
    while end - at >= 2:
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
        if start + size > end:
            break
        frames.append((data[at] & 15, data[start : start + size]))
        at = start + size
    return frames, data[at:]


class Room:
    """One room's messages under way. A message has arrived when all viewers have it."""

    def __init__(self, name, in_flight):
        self.name = name
        self.in_flight = in_flight
        self.senders = deque()
        self.viewers = 0
        self.sent = 0
        self.arrived = 0
        self.seen = {}  # how many viewers have had exactly this many messages

    def moved(self, before, now):
        """A viewer has now had `now` messages; true when that completed one."""
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

    __slots__ = ("hello", "live", "recv", "rest", "room", "sampled", "seen", "sock", "upgraded")

    def __init__(self, sock, room, hello):
        self.sock = sock
        self.recv = sock.recv
        self.room = room
        self.hello = hello
        self.upgraded = self.live = self.sampled = False
        self.rest = b""
        self.seen = 0


class Load:
    """All connections of this process and what they have received."""

    def __init__(self, task):
        self.task = task
        self.dialect = DIALECTS[task["dialect"]]()
        self.epoll = select.epoll()
        self.viewers = {}
        self.opening = 0
        self.sent_at = []
        self.latencies = []
        self.deliveries = self.messages = self.bytes = 0
        self.posting = False
        self.chunk, self.numbers = b"", []

    # Opening

    def open(self, count, rooms):
        """Connect `count` viewers, dealt out over the rooms, and wait until all are live."""
        limit = perf_counter() + CONNECT_LIMIT
        made = 0
        while made < count or self.opening:
            while made < count and self.opening < CONCURRENCY:
                self.connect(rooms[made % len(rooms)], len(self.viewers))
                made += 1
            self.turn(1)
            if perf_counter() > limit:
                raise LoadError(f"{count - self.opening} of {count} connections came up")

    def connect(self, room, index):
        """Send one handshake; the answers are read in `turn`."""
        sock = socket.create_connection(("127.0.0.1", self.task["port"]), timeout=5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sock.send(self.handshake(index))
        self.viewers[sock.fileno()] = Viewer(sock, room, self.dialect.hello(room.name))
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        self.opening += 1

    def handshake(self, index):
        """The upgrade request; it offers no extension, hence nobody compresses."""
        host = f"127.0.0.1:{self.task['port']}"
        headers = self.task["headers"][index % len(self.task["headers"])]
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
        """Read the handshake's answer; returns the bytes that follow it."""
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            viewer.rest = data
            return b""
        status = head.split(b"\r\n", 1)[0].decode(errors="replace")
        if " 101 " not in status + " ":
            raise LoadError(f"handshake answered {status}")
        viewer.upgraded = True
        self.greet(viewer)
        return rest

    def greet(self, viewer, answer=None):
        """The next step of the hello; after the last one the viewer is live."""
        try:
            text = viewer.hello.send(answer)
        except StopIteration:
            self.welcome(viewer)
        else:
            if text is not None:
                self.send(viewer, TEXT, text.encode())

    def welcome(self, viewer):
        """A connection that watches its room now."""
        room = viewer.room
        viewer.live = True
        viewer.sampled = room.viewers % max(1, self.task["viewers"] // SAMPLES) == 0
        viewer.seen = room.arrived
        room.seen[room.arrived] = room.seen.get(room.arrived, 0) + 1
        room.viewers += 1
        if len(room.senders) < SENDERS:
            room.senders.append(viewer)
        self.opening -= 1

    # Sending and receiving

    def send(self, viewer, opcode, payload):
        """Write one frame; a full buffer means that the server has stopped reading."""
        try:
            viewer.sock.send(frame(opcode, payload))
        except OSError as error:
            raise LoadError(f"send: {error}") from error

    def post(self, room):
        """Fill the room up to its messages in flight, the senders taking turns."""
        while room.sent - room.arrived < room.in_flight:
            room.sent += 1
            text = self.dialect.post(room.name, len(self.sent_at)).encode()
            self.sent_at.append(perf_counter())
            self.send(room.senders[0], TEXT, text)
            room.senders.rotate(-1)

    def turn(self, timeout):
        """Read what has come, for at most `timeout` seconds when nothing has."""
        viewers = self.viewers
        for fileno, _ in self.epoll.poll(timeout, 256):
            viewer = viewers[fileno]
            try:
                data = viewer.recv(65536)
            except OSError as error:
                raise LoadError(f"recv: {error}") from error
            if data == self.chunk and not viewer.rest and viewer.live:
                numbers = self.numbers
            else:
                numbers = self.read(viewer, data)
            if numbers:
                self.deliver(viewer, numbers, len(data))

    def read(self, viewer, data):
        """Parse a chunk: the numbers of the messages in it, in their order."""
        if not data:
            raise LoadError("the server closed a connection")
        whole = viewer.live and not viewer.rest
        data, viewer.rest = viewer.rest + data, b""
        if not viewer.upgraded:
            data = self.upgrade(viewer, data)
        frames, rest = read_frames(data) if viewer.upgraded else ([], viewer.rest)
        viewer.rest = rest
        numbers, plain = [], True
        for opcode, payload in frames:
            if viewer.live and opcode == TEXT and (delivered := self.dialect.numbers(payload)):
                numbers += delivered
            else:
                plain = False
                self.control(viewer, opcode, payload)
        if whole and plain and not rest:
            self.chunk, self.numbers = data, numbers
        return numbers

    def control(self, viewer, opcode, payload):
        """A frame that delivers no message of ours."""
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2])
            raise LoadError(f"closed with {code} {payload[2:].decode(errors='replace')}".strip())
        if opcode == PING:
            self.send(viewer, PONG, payload)
        elif opcode == TEXT and (answer := self.dialect.answer(payload)) is not None:
            self.send(viewer, TEXT, answer.encode())
        elif opcode == TEXT and not viewer.live:
            self.greet(viewer, payload)

    def deliver(self, viewer, numbers, size):
        """Count, time the sampled ones, and post again when all viewers have a message."""
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

    # Windows of time

    def talk(self, rooms, seconds):
        """Keep the rooms' messages in flight for so long; they go on being so."""
        self.posting = True
        for room in rooms:
            self.post(room)
        end, delivered = perf_counter() + seconds, self.deliveries
        quiet_until = perf_counter() + STALL_LIMIT
        while (now := perf_counter()) < end:
            self.turn(0.1)
            if self.deliveries != delivered:
                delivered, quiet_until = self.deliveries, now + STALL_LIMIT
            elif now > quiet_until:
                raise LoadError(f"no delivery for {STALL_LIMIT} s")

    def idle(self, seconds):
        """Only answer what the server asks, for so many seconds."""
        end = perf_counter() + seconds
        while perf_counter() < end:
            self.turn(0.1)

    def finish(self, rooms):
        """Let what is under way arrive, for at most five seconds."""
        self.posting = False
        limit = perf_counter() + 5
        while any(room.arrived < room.sent for room in rooms) and perf_counter() < limit:
            self.turn(0.1)
        missing = sum(room.sent - room.arrived for room in rooms)
        if missing:
            raise LoadError(f"{missing} messages did not reach all viewers")


class Window:
    """Clocks read at both ends of a measured stretch of time, all in seconds."""

    def __init__(self, task):
        self.task = task
        self.start = self.read()

    def read(self):
        """Wall clock, the server's, Redis's and this process's CPU, everybody's CPU."""
        return (
            perf_counter(),
            cpu_seconds(self.task["server"]),
            cpu_seconds(self.task["redis"]),
            process_time(),
            busy_seconds(),
        )

    def close(self):
        """What passed since the start; `others` is CPU of processes that are not ours."""
        wall, server, redis, client, busy = (
            now - then for now, then in zip(self.read(), self.start, strict=True)
        )
        return {
            "seconds": wall,
            "server_cpu": server,
            "redis_cpu": redis,
            "client_cpu": client,
            "others_cpu": max(0.0, busy - server - redis - client),
        }


def percentile(values, share):
    """The value below which this share of the values lies; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def fanout(task):
    """Viewers of one room (or a few) and messages always in flight."""
    load = Load(task)
    rooms = [Room(name, task["in_flight"]) for name in task["rooms"]]
    load.open(task["viewers"], rooms)
    load.idle(0.5)
    load.talk(rooms, task["warmup"])
    load.latencies.clear()
    deliveries, messages, received = load.deliveries, load.messages, load.bytes
    window = Window(task)
    load.talk(rooms, task["seconds"])
    result = window.close()
    result |= {
        "deliveries": load.deliveries - deliveries,
        "messages": load.messages - messages,
        "bytes": load.bytes - received,
        "p50": percentile(load.latencies, 0.50),
        "p99": percentile(load.latencies, 0.99),
        "timed": len(load.latencies),
    }
    load.finish(rooms)
    return result


def idle(task):
    """Connection rate and the memory that connections hold while nothing is said."""
    load = Load(task)
    rooms = [Room(name, 0) for name in task["rooms"]]
    load.open(20, rooms)
    load.idle(1)
    before = resident_kb(task["server"])
    window = Window(task)
    load.open(task["viewers"], rooms)
    result = window.close()
    load.idle(2)
    result["connections"] = task["viewers"]
    result["kb_before"], result["kb_after"] = before, resident_kb(task["server"])
    return result


def pages(task):
    """A room of fifty messages, read over four keep-alive connections."""
    load = Load(task)
    rooms = [Room(task["rooms"][0], 1)]
    load.open(1, rooms)
    load.posting = True
    load.post(rooms[0])
    limit = perf_counter() + STALL_LIMIT
    while rooms[0].sent < PAGE_MESSAGES and perf_counter() < limit:
        load.turn(0.1)
    load.finish(rooms)
    readers = Readers(task, f"/rooms/{task['rooms'][0]}")
    readers.read(task["warmup"])
    shown, size = readers.shown, readers.bytes
    window = Window(task)
    readers.read(task["seconds"])
    result = window.close()
    return result | {"pages": readers.shown - shown, "bytes": readers.bytes - size}


class Readers:
    """Keep-alive HTTP connections that ask for one page over and over."""

    def __init__(self, task, path):
        host = f"127.0.0.1:{task['port']}"
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *task["headers"][0]]
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.epoll = select.epoll()
        self.shown = self.bytes = 0
        self.pending = {}
        for _ in range(PAGE_CONNECTIONS):
            sock = socket.create_connection(("127.0.0.1", task["port"]), timeout=5)
            self.epoll.register(sock.fileno(), select.EPOLLIN)
            self.pending[sock.fileno()] = [sock, b""]
            sock.sendall(self.request)

    def read(self, seconds):
        """Ask again whenever a page is complete, for so many seconds."""
        end = perf_counter() + seconds
        while perf_counter() < end:
            for fileno, _ in self.epoll.poll(0.1):
                state = self.pending[fileno]
                data = state[0].recv(1 << 20)
                if not data:
                    raise LoadError("the server closed a page's connection")
                state[1] += data
                if size := page_length(state[1]):
                    self.shown += 1
                    self.bytes += size
                    state[1] = b""
                    state[0].sendall(self.request)


def page_length(data):
    """The size of a complete 200 answer in bytes, 0 while it is incomplete."""
    head, end, content = data.partition(b"\r\n\r\n")
    if not end:
        return 0
    status, *lines = head.lower().split(b"\r\n")
    if b" 200" not in status:
        raise LoadError(f"the room's page answered {status.decode(errors='replace')}")
    headers = dict(line.split(b":", 1) for line in lines)
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        return len(data) if content.endswith(b"0\r\n\r\n") else 0
    return len(data) if len(content) >= int(headers[b"content-length"]) else 0


SCENARIOS = {"fanout": fanout, "idle": idle, "pages": pages}


def main():
    """Do the task on standard input, print its result or {"error": …}."""
    task = json.load(sys.stdin)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if task["core"] is not None:
        os.sched_setaffinity(0, {task["core"]})
    gc.disable()
    try:
        print(json.dumps(SCENARIOS[task["scenario"]](task)))
    except (LoadError, OSError, KeyError, ValueError) as error:
        print(json.dumps({"error": str(error) or type(error).__name__}))


if __name__ == "__main__":
    main()
