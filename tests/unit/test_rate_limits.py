"""Every route, operation and frame has a row in the tables of limits."""

import asyncio
import time

import greenback
import pytest
import redis

from chat.api.endpoints import OPERATIONS
from chat.app import create_app
from chat.config import Settings
from chat.services.limits import BURST_BYTES, BYTES_PER_SECOND, RATES, Limits, Pace, PagesPace
from chat.services.rate_limits import FRAME_COSTS, READS, ROUTES
from chat.store import Store
from chat.web.page_connection import FRAME_TYPES


@pytest.fixture(scope="module")
def app():
    return create_app(Settings(secret_key="x" * 32), Store(redis.Redis(port=1)))


def test_every_route_names_its_bucket(app):
    """A new route needs a row, and a row needs its route."""
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == set(ROUTES)


def test_every_operation_of_the_api_names_its_bucket():
    assert {f"api.{operation.id}" for operation in OPERATIONS} <= set(ROUTES)


def test_every_frame_names_what_it_costs():
    assert set(FRAME_TYPES) == set(FRAME_COSTS)
    assert all(cost > 0 for cost in FRAME_COSTS.values())


@pytest.mark.parametrize("endpoint", ROUTES)
def test_a_row_says_what_is_taken_or_why_nothing_is(app, endpoint):
    budget = ROUTES[endpoint]
    assert bool(budget.free) != bool(budget.bucket or budget.within)
    named = {*budget.within, *([budget.bucket] if budget.bucket else [])}
    assert named <= set(app.limits.rates)


@pytest.mark.parametrize("endpoint", [name for name, row in ROUTES.items() if row.free])
def test_nothing_that_changes_something_is_free(app, endpoint):
    methods = {m for r in app.url_map.iter_rules(endpoint) for m in r.methods}
    assert methods <= {"GET", "HEAD", "OPTIONS"}


def test_no_bucket_is_of_no_use(app):
    """`network` and `anonymous` are everybody's; the rest stand in rows."""
    used = {name for row in ROUTES.values() for name in (row.bucket, *row.within)}
    assert set(app.limits.rates) == used - {""} | {"network", "anonymous"}
    assert set(RATES) >= READS


def test_what_is_taken_ahead_is_a_small_part_of_the_bucket():
    assert all(rate.ahead <= rate.most / 4 for rate in RATES.values() if rate.ahead > 1)


# What a process keeps of a bucket


class Counted:
    """A bucket without an end that counts how often it is asked."""

    def __init__(self, given: int) -> None:
        self.asked, self.given = 0, given

    def take(self, *_: object) -> tuple[int, float]:
        self.asked += 1
        return self.given, 0.0


def test_pages_cost_a_question_for_fifty():
    throttle = Counted(50)
    limits = Limits(throttle, 1000)
    for _ in range(500):
        limits.use("view", "ann")
    assert throttle.asked == 10


def test_what_is_owed_is_paid_by_the_next():
    throttle = Counted(50)
    limits = Limits(throttle, 1000)
    limits.owe("view", "ann", 120)
    assert throttle.asked == 0
    limits.use("view", "ann")
    assert throttle.asked == 3, "121 of them"
    limits.use("view", "bob")
    assert throttle.asked == 4


class Buckets:
    """As bucket.lua, with a clock of the test's own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.full: dict[tuple[str, str], float] = {}

    def take(self, what: str, whose: str, most: int, seconds: int, wanted: int = 1):
        each = seconds / most
        full = max(self.now, self.full.get((what, whose), 0.0))
        there = int((self.now + seconds - full) / each + 1e-9)
        taken = min(-(-there // 4), wanted)
        if taken < 1:
            return 0, full + each - self.now - seconds
        self.full[what, whose] = full + taken * each
        return taken, 0.0


EACH_SECOND = ("post", "view", "view", "picture", "lookup", "network", "network", "network")
"""A message, another room with what stands there, and a name that is looked for."""


@pytest.mark.parametrize("processes", [1, 8])
def test_a_busy_hour_meets_no_limit(processes):
    """One who writes and switches rooms each second, searches all the time, and has ten tabs, all
    of which come back each ten minutes, at whichever process."""
    buckets = Buckets()
    limits = [Limits(buckets, 1000) for _ in range(processes)]
    for second in range(3600):
        buckets.now = float(second)
        at = limits[second % processes]
        for bucket in EACH_SECOND:
            at.use(bucket, "ann")
        if second % 2:
            at.use("search", "ann")
        if second % 15 == 0:
            at.use("change", "ann")
            at.use("preview", "ann")
        if second % 600 == 0:
            for tab in range(10):
                for bucket, count in (("socket", 1), ("view", 2), ("picture", 50)):
                    for _ in range(count):
                        limits[tab % processes].use(bucket, "ann")


def test_a_school_is_one_network():
    """500 people who come within five minutes, and then ask for a page each three seconds."""
    buckets = Buckets()
    limits = Limits(buckets, 1000)
    for n in range(500):
        buckets.now = n * 0.6
        for _ in range(8):
            limits.use("anonymous", "school")
        limits.use("guest", "school")
        limits.use("guest-day", "school")
        for _ in range(3):
            limits.use("page", "school")
    for second in range(300, 3600):
        buckets.now = float(second)
        for _ in range(500 // 3 + 1):
            limits.use("network", "school")
        if second % 1200 == 0:
            for _ in range(1500):
                limits.use("page", "school")


# The pace of frames


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only while somebody sleeps; its hands."""
    now = [1000.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr("chat.services.limits.asyncio.sleep", sleep)
    return now


def run(function):
    asyncio.run(greenback.with_portal_run_sync(function))


def test_many_small_frames_wait_for_nothing(clock):
    """A busy hour of ten pages: something each second on each, a room anew each second."""

    def hour():
        pace = PagesPace()
        for _ in range(3600):
            clock[0] += 1.0
            began = clock[0]
            for _ in range(10):
                pace.keep(FRAME_COSTS["watch"] + 300)
            pace.owe(100_000)
            assert clock[0] == began

    run(hour)


def test_who_draws_more_is_read_more_slowly(clock):
    """However it is divided, no more comes than at once and in time, and one answer."""

    def draw():
        pace, drawn, began = PagesPace(), 0, clock[0]
        for _ in range(200):
            with pace.in_turn():
                pace.owe(2**20)
                drawn += 2**20
            most = BURST_BYTES + BYTES_PER_SECOND * (clock[0] - began) + 2**20
            assert drawn <= most
        assert clock[0] - began > 700

    run(draw)


def test_a_burst_waits_for_nothing_and_the_rest_is_read_at_the_pace(clock):
    def send():
        pace, began = Pace(60, 20), clock[0]
        for n in range(1, 1000):
            pace.keep(1)
            assert clock[0] - began == pytest.approx(max(0, n - 60) / 20)

    run(send)


def test_pages_of_a_person_take_turns():
    """Many that ask at once are counted one after the other; one that is cut off holds up none."""
    at_once, most = 0, 0

    async def page(pace):
        def replay():
            nonlocal at_once, most
            with pace.in_turn():
                at_once += 1
                most = max(most, at_once)
                try:
                    greenback.await_(asyncio.sleep(0))
                finally:
                    at_once -= 1

        await greenback.with_portal_run_sync(replay)

    async def all_pages():
        pace = PagesPace()
        tasks = [asyncio.create_task(page(pace)) for _ in range(20)]
        for n in range(30):
            await asyncio.sleep(0)
            tasks[n % 7 * 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert pace.is_full, "nobody holds the turn"
        await asyncio.wait_for(page(pace), 10)

    asyncio.run(all_pages())
    assert most == 1


def test_paces_that_owe_nothing_are_forgotten(monkeypatch):
    monkeypatch.setattr("chat.services.limits.MAX_ENTRIES", 100)
    limits = Limits(Counted(1), 1000)
    limits._forget_at = 100
    owing = limits.pace("ann")
    owing.owe(BURST_BYTES)
    for n in range(1000):
        limits.pace(f"p{n}")
    assert limits.pace("ann") is owing
    assert len(limits._paces) <= 201
