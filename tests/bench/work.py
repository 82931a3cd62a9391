"""The load generator: a process that connects to one server and prints one line of JSON.

It reads a task (a JSON object) from standard input:

    work       "fanout", "paced", "idle", "storm" or "pages"
    dialect    a name in dialects.DIALECTS
    port       where the server listens, on 127.0.0.1
    rooms      room ids; connection number n watches room n modulo their number
    headers    lists of header lines; connection n has list n modulo their number
    server, redis   process ids whose CPU time is read at both ends of the measured window
    seconds, warmup, viewers, core   numbers
    in_flight  fanout: messages under way in each room
    deflate    true: offer compression, and fail when the server does not agree to it
    half_of    paced: whose rate of "sixteen" it is half of
    rate       paced: messages a second
    supervisor, missed, concurrency   storm: who starts the worker anew, how many messages the
               pages miss, how many of them come back at the same time
    page       pages: the path of the page
    sample     number and text of a message as the chat sends it, for the floor to repeat
"""

import gc
import json
import os
import resource
import signal
import sys
from collections import deque
from time import perf_counter

from tests.bench.load import SAMPLES, Load, LoadError, Room
from tests.bench.paging import Readers
from tests.bench.processes import resident_kb, workers
from tests.bench.windows import Window, percentile
from tests.bench.wire import CLOSE, frame

SWEEP = 16  # sockets that are read between two looks at the clock
RETURN_LIMIT = 120  # seconds for all pages to reconnect after a restart


def fanout(task):
    """Measure viewers of one room (or a few) with messages always in flight."""
    load = Load(task)
    rooms = [Room(name, task["in_flight"]) for name in task["rooms"]]
    load.open(task["viewers"], rooms)
    load.idle(0.5)
    load.talk(rooms, task["warmup"])
    load.latencies.clear()
    deliveries, messages, received = load.deliveries, load.messages, load.bytes
    window = Window(task["server"], task["redis"])
    load.talk(rooms, task["seconds"])
    result = window.close()
    result |= {
        "viewers": task["viewers"],
        "deliveries": load.deliveries - deliveries,
        "messages": load.messages - messages,
        "bytes": load.bytes - received,
        "sample": load.sample,
    }
    load.finish(rooms)
    return result | latencies(load)


def latencies(load):
    """Return the latencies that the sampled viewers have seen, in seconds."""
    return {
        "p50": percentile(load.latencies, 0.50),
        "p99": percentile(load.latencies, 0.99),
        "timed": len(load.latencies),
    }


def paced(task):
    """Measure viewers of one room with messages at a given rate, whether earlier ones have arrived
    or not.

    A message's latency counts from when it was due. Only the sampled viewers are read as soon as
    something arrives. The others are read now and then, so that their number does not slow this
    process down. At the end, each must have received the last message.
    """
    load = Load(task)
    room = Room(task["rooms"][0])
    load.open(task["viewers"], [room])
    load.idle(0.5)
    unsampled = Unsampled(load, room)
    pace(load, room, unsampled, task["warmup"])
    load.latencies.clear()
    messages = load.messages
    window = Window(task["server"], task["redis"])
    pace(load, room, unsampled, task["seconds"])
    result = window.close() | {"viewers": task["viewers"], "messages": load.messages - messages}
    result["deliveries"] = result["messages"] * task["viewers"]
    limit = perf_counter() + 5
    while not unsampled.has(room, len(load.sent_at) - 1) and perf_counter() < limit:
        load.turn(0)
        unsampled.sweep()
    # For each sampled viewer: messages that have not arrived by now are late by at least this much.
    load.latencies += [perf_counter() - at for at in load.sent_at[room.arrived :]] * SAMPLES
    result["overloaded"] = room.arrived < room.sent or percentile(load.latencies, 0.5) > 1
    return result | {"rate": task["rate"]} | latencies(load)


def pace(load, room, unsampled, seconds):
    """Post at the task's rate for this long."""
    due = start = perf_counter()
    step = 1 / load.task["rate"]
    while (now := perf_counter()) < start + seconds:
        while due <= now:
            load.say(room, due)
            due += step
        load.turn(0.001 if due - now > 0.002 else 0)
        unsampled.sweep()


class Unsampled:
    """All viewers except the sampled ones, of which some are read at a time."""

    def __init__(self, load, room):
        self.tails = {}
        self.order = deque()
        sampled = [viewer for viewer in load.viewers.values() if viewer.sampled][:SAMPLES]
        for fileno, viewer in load.viewers.items():
            viewer.sampled = viewer in sampled
            if not viewer.sampled:
                load.epoll.modify(fileno, 0)
                self.order.append(viewer)
                self.tails[viewer] = b""
        room.senders = deque(sampled)
        room.seen = {room.arrived: len(sampled)}

    def sweep(self):
        """Read the sockets of the next few."""
        for _ in range(min(SWEEP, len(self.order))):
            viewer = self.order[0]
            self.order.rotate(-1)
            try:
                data = viewer.recv(1 << 18)
            except BlockingIOError:
                continue
            if not data:
                raise LoadError("the server closed a connection")
            self.tails[viewer] = (self.tails[viewer] + data)[-4096:]

    def has(self, room, number):
        """Return True if every viewer, sampled or not, has received everything up to this
        message."""
        mark = f"bench-{number:08d}".encode()
        return room.arrived == room.sent and all(mark in tail for tail in self.tails.values())


def idle(task):
    """Measure the connection rate, and the memory of connections while no messages are sent."""
    load = Load(task)
    rooms = [Room(name) for name in task["rooms"]]
    load.open(20, rooms)
    load.idle(1)
    before = resident_kb(task["server"])
    window = Window(task["server"], task["redis"])
    load.open(task["viewers"], rooms)
    result = window.close()
    load.idle(2)
    result["connections"] = task["viewers"]
    result["kb_before"], result["kb_after"] = before, resident_kb(task["server"])
    return result


class Storm(Load):
    """Pages that lose their server and reconnect. htmx would wait and spread them out; these
    reconnect at once, a fixed number at a time."""

    def __init__(self, task):
        super().__init__(task)
        self.leaving = False
        self.errors = 0
        self.reasons = {}

    def lost(self, viewer, reason):
        """Expected while the worker ends. Later it is an error, after which the page tries
        again."""
        fileno = viewer.sock.fileno()
        if fileno < 0:
            return
        del self.viewers[fileno]
        viewer.sock.close()
        if self.leaving:
            return
        self.errors += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if not viewer.live:
            self.opening -= 1
        self.connect(viewer.room)

    def control(self, viewer, opcode, payload):
        """Answer a Close frame, as a browser does."""
        if opcode == CLOSE and self.leaving:
            viewer.sock.send(frame(CLOSE, payload[:2]))
        super().control(viewer, opcode, payload)


def storm(task):
    """Measure pages of one room whose worker is restarted; they miss some messages meanwhile."""
    load = Storm(task)
    room = Room(task["rooms"][0])
    load.open(task["viewers"], [room])
    load.idle(1)
    began, cursor = perf_counter(), load.cursor
    server = restart(load, task)
    room.seen, room.viewers, room.senders = {}, 0, deque()
    load.open(1, [room])
    room.in_flight = task["missed"]
    load.post(room)
    load.finish([room])
    load.hello = lambda name: load.dialect.back(name, cursor, task["missed"])
    restarted = perf_counter() - began
    window = Window(server, task["redis"])
    load.open(task["viewers"] - 1, [room])
    result = window.close()
    return result | {
        "pages": task["viewers"],
        "restart": restarted,
        "errors": load.errors,
        "reasons": load.reasons,
    }


def restart(load, task):
    """Ask the worker to stop, wait until all pages are disconnected and a new worker runs, and
    return its process ids."""
    load.leaving = True
    for pid in task["server"]:
        os.kill(pid, signal.SIGTERM)
    limit = perf_counter() + RETURN_LIMIT
    while load.viewers or set(workers(task["supervisor"])) & set(task["server"]):
        load.turn(0.1)
        if perf_counter() > limit:
            raise LoadError(f"{len(load.viewers)} pages were not disconnected")
    while len(found := workers(task["supervisor"])) < len(task["server"]):
        load.turn(0.1)
        if perf_counter() > limit:
            raise LoadError("no new worker was started")
    load.leaving = False
    return found


def pages(task):
    """Measure a page that several connections request at the same time."""
    readers = Readers(task["port"], task["page"], task["headers"][0])
    readers.read(task["warmup"])
    shown, size = readers.shown, readers.bytes
    window = Window(task["server"], task["redis"])
    readers.read(task["seconds"])
    result = window.close()
    if readers.shown == shown:
        raise LoadError(f"no page arrived in {task['seconds']:.0f} s")
    return result | {"pages": readers.shown - shown, "bytes": readers.bytes - size}


WORK = {"fanout": fanout, "paced": paced, "idle": idle, "storm": storm, "pages": pages}


def main():
    """Do the task on standard input, print its result or {"error": …}."""
    task = json.load(sys.stdin)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if task["core"] is not None:
        os.sched_setaffinity(0, {task["core"]})
    gc.disable()
    try:
        print(json.dumps(WORK[task["work"]](task)))
    except (LoadError, OSError, KeyError, ValueError) as error:
        print(json.dumps({"error": str(error) or type(error).__name__}))


if __name__ == "__main__":
    main()
