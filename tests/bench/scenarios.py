"""The scenarios: the tasks for the load generator, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench import columns

MISSED = 3  # messages that a page lacks after the restart
RETURNING = 256  # pages that reconnect at the same time


@dataclass(frozen=True)
class Scenario:
    """group: the title of its table, with the options' names in braces; row: what distinguishes it
    within its group; task: the options to a task for tests.bench.work, where `rooms` and `people`
    are numbers, and what servers need to `prepare`; full: only measured with --full; fresh: needs a
    server that was just started; slow: left out of --quick."""

    name: str
    group: str
    columns: tuple
    task: Callable
    row: str = ""
    full: bool = False
    fresh: bool = False
    slow: bool = False


def fanout(**fields):
    """Return a task: one room, in which each viewer is a different person."""

    def task(chosen):
        viewers = fields.get("viewers", chosen.viewers)
        made = {"work": "fanout", "rooms": 1, "in_flight": 1, "viewers": viewers}
        made |= {"people": viewers} | fields
        return made

    return task


def crowd(work, **fields):
    """Return a task: the crowd in one room."""
    return lambda chosen: {
        "work": work,
        "rooms": 1,
        "viewers": chosen.crowd,
        "people": chosen.crowd,
        **fields,
    }


def idle(chosen):
    """Return a task: idle connections."""
    return {"work": "idle", "rooms": 1, "viewers": chosen.idle, "people": chosen.idle}


def page(**fields):
    """Return a task: a room's page."""
    return lambda chosen: {"work": "pages", "rooms": 1, "viewers": 1, "people": 1} | fields


def weight(chosen):
    """Return a task: two rooms with fifty messages, and ten others in the list."""
    return {"work": "bandwidth", "rooms": 12, "viewers": 1, "people": 1}


def grown(kind, sizes, title, columns, make, slow):
    """Return the scenarios of one table of growth, one for each size; sizes above `slow` are
    slow."""
    return [
        Scenario(f"{kind}-{size}", title, columns, make(size), f"{size:,}", True, slow=size > slow)
        for size in sizes
    ]


SCENARIOS = [
    Scenario("one", "{viewers} viewers, 1 in flight", columns.FANOUT, fanout()),
    Scenario(
        "deflate",
        "{viewers} viewers, 1 in flight, permessage-deflate",
        columns.FANOUT,
        fanout(deflate=True),
    ),
    Scenario("sixteen", "{viewers} viewers, 16 in flight", columns.SIXTEEN, fanout(in_flight=16)),
    Scenario(
        "half",
        "{viewers} viewers, half of what the chat delivers with 16 in flight, fixed rate",
        columns.PACED,
        fanout(work="paced", half_of="chat"),
    ),
    Scenario(
        "calm",
        "{viewers} viewers, half of what Node socket.io delivers with 16 in flight, fixed rate",
        columns.PACED,
        fanout(work="paced", half_of="socketio"),
    ),
    Scenario("pair", "2 viewers, 1 in flight", columns.TALK, fanout(viewers=2)),
    Scenario(
        "senders",
        "2 viewers each, 64 senders (32 rooms of two)",
        columns.TALK,
        fanout(rooms=32, viewers=64, in_flight=2),
    ),
    Scenario("pages", "room page, 50 messages", columns.PAGE, page()),
    Scenario("bandwidth", "what Chromium loads, 50 messages", columns.WEIGHT, weight),
    Scenario("idle", "{idle} idle connections", columns.IDLE, idle, fresh=True),
    Scenario(
        "idle10k",
        "{crowd} idle connections, permessage-deflate",
        columns.IDLE,
        crowd("idle", deflate=True),
        full=True,
        fresh=True,
    ),
    Scenario(
        "storm",
        f"{{crowd}} pages reconnect after a restart, {RETURNING} at a time, "
        f"each missing {MISSED} messages",
        columns.STORM,
        crowd("storm", deflate=True, missed=MISSED, concurrency=RETURNING),
        full=True,
        fresh=True,
    ),
    *grown(
        "viewers",
        (10, 100, 1000, 10_000),
        "viewers of one room, 1 in flight",
        columns.VIEWERS,
        lambda size: fanout(viewers=size),
        1000,
    ),
    *grown(
        "rooms",
        (10, 1000, 100_000),
        "rooms in the store, 2 viewers of one of them, 1 in flight",
        columns.TALK,
        lambda size: fanout(viewers=2, other_rooms=size),
        1000,
    ),
    *grown(
        "history",
        (100, 10_000, 1_000_000),
        "messages in the room, its page",
        columns.PAGE,
        lambda size: page(events=size),
        10_000,
    ),
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

# Scenarios that servers share; each server names those in which it takes part.
FANOUT = ("one", "sixteen", "deflate")
TALK = ("pair", "senders")
IDLE = ("idle", "idle10k")
PAGES = ("pages",)
VIEWERS = tuple(name for name in BY_NAME if name.startswith("viewers-"))
ROOMS = tuple(name for name in BY_NAME if name.startswith("rooms-"))
HISTORY = tuple(name for name in BY_NAME if name.startswith("history-"))
GROWTH = (*VIEWERS, *ROOMS, *HISTORY)
