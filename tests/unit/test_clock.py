"""The clock that hosts share, and that nothing is compared with a host's own clock."""

import ast
import time
from pathlib import Path

import pytest

from chat.store.clock import Clock

CHAT = Path(__file__).parents[2] / "chat"

ALLOWED = {
    "cli/archive.py": (1, "the date in the head of a file, for people"),
    "cli/backup.py": (1, "the date in the head of a file, for people"),
    "bridge/config.py": (1, "the Date header, which HTTP has say the time of who answers"),
    "rendering/transcript.py": (1, "when a transcript was made, for people"),
    "server/purge.py": (1, "the age of a file that the same machine has dated"),
    "store/clock.py": (1, "what is shown before the database has said what time it is"),
    "store/import_rules.py": (1, "keeps nonsense out of a file, with a day to spare"),
    "rendering/local_time.py": (1, "what is shown before a clock is named"),
}
"""How often a module may ask a host what time of day it is, and why. What one host writes and
another compares with now is compared by `store.clock.Clock`, or in a script by TIME."""

ASKED = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "clock_gettime"},
    "datetime": {"now", "today", "utcnow"},
    "date": {"today"},
}


def host_times(text):
    """Where a module asks for the time of day, as `module.function`."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            of = node.value
            name = of.id if isinstance(of, ast.Name) else getattr(of, "attr", "")
            if node.attr in ASKED.get(name, ()):
                found.append(f"{name}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [f"time.{one.name}" for one in node.names if one.name in ASKED["time"]]
    return found


def test_only_what_is_named_here_asks_a_host_what_time_it_is():
    found = {
        str(path.relative_to(CHAT)): host_times(path.read_text()) for path in CHAT.rglob("*.py")
    }
    asking = {name: len(times) for name, times in found.items() if times}
    assert asking == {name: count for name, (count, _) in ALLOWED.items()}


@pytest.mark.parametrize(
    "text",
    [
        "import time\nnow = time.time()",
        "import time\nask = time.time_ns",
        "from time import time, sleep",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from datetime import date\ndate.today()",
        "import time\ntime.strftime('%H')",
    ],
)
def test_each_way_to_ask_is_found(text):
    assert len(host_times(text)) == 1


def test_what_is_no_time_of_day_is_not_found():
    asks = ("time.monotonic()", "loop.time()", "clock.now()", "times.today()", "client.time()")
    assert host_times("\n".join(asks)) == []


def test_libraries_are_told_what_time_it_is():
    """These ask the host by themselves, unless they are given a time."""
    for path in CHAT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = (
                getattr(node.func, "attr", getattr(node.func, "id", ""))
                if isinstance(node, ast.Call)
                else ""
            )
            if name == "JWTClaimsRegistry":
                assert "now" in [keyword.arg for keyword in node.keywords], path
            assert name not in ("formatdate", "format_datetime", "uuid1", "http_date"), path


class Database:
    """Its clock, and how often it was asked."""

    def __init__(self, now):
        self.now, self.asked = now, 0

    def __call__(self, keys):
        self.asked += 1
        return f"{self.now:.6f}"


def test_the_database_is_asked_once_and_its_time_goes_on(monkeypatch):
    database = Database(5000.0)
    clock = Clock(database)
    assert clock.estimate() == pytest.approx(time.time(), abs=1), "nobody has said yet"
    assert clock.now() == pytest.approx(5000, abs=1)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    right = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: right() + 10)
    assert clock.now() == pytest.approx(5010, abs=1)
    assert clock.estimate() == pytest.approx(5010, abs=1)
    assert database.asked == 1


def test_a_clock_is_put_right_when_the_databases_is_set():
    clock = Clock(Database(5000.0))
    clock.now()
    clock.correct(1400.0, time.monotonic())
    assert clock.now() == pytest.approx(1400, abs=1)


def test_a_slow_answer_is_off_by_half_its_way_at_most(monkeypatch):
    ticks = iter([100.0, 104.0, 104.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    clock = Clock(Database(5000.0))
    assert clock.now() == 5002.0, "the database spoke some time within four seconds"


def test_who_stores_a_time_is_refused_while_nobody_knows_it():
    def away(keys):
        raise ConnectionError

    clock = Clock(away)
    with pytest.raises(ConnectionError):
        clock.now()
