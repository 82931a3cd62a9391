"""Processes whose clock is wrong.

    clock = Clock(folder / "clock", 30)
    Server(folder, REDIS_URL=..., **clock.python).start()
    clock.set(-3600)  # from now on, while it runs

All processes that inherit the environment have the clock: of `chat serve` its workers and the
indexer. Only the time of day moves; the monotonic clock is the real one, as it is on a machine
whose clock is set. `python` is for programs in Python; `native` for those in C, such as Valkey, by
libfaketime (Debian's package of that name), and is empty without it: ask `FAKETIME` first.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import pytest

FAKETIME = next(iter(glob("/usr/lib/*/faketime/libfaketime.so.1")), "")
ROOT = Path(__file__).parents[1]


class Clock:
    """A clock that is `seconds` ahead of the machine's, behind it where negative. `file` is where
    processes read that."""

    def __init__(self, file: Path, seconds: int = 0) -> None:
        self.file = file
        self.set(seconds)

    def set(self, seconds: int) -> None:
        """Be `seconds` ahead of the machine's clock from now on; processes see it within 0.1 s."""
        # A reader must not find the file empty: it would take that for no difference.
        whole = self.file.with_name(f"{self.file.name}.new")
        whole.write_text(f"{seconds:+d}")
        whole.replace(self.file)

    @property
    def python(self) -> dict[str, str]:
        """What a program in Python is started with to have this clock."""
        path = f"{ROOT / 'tests' / 'wrong_clock'}:{ROOT}"
        return {"PYTHONPATH": path, "WRONG_CLOCK": str(self.file)}

    @property
    def native(self) -> dict[str, str]:
        """What a program in C is started with to have this clock; nothing without libfaketime."""
        if not FAKETIME:
            return {}
        return {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@contextmanager
def clock_ahead(seconds: float) -> Iterator[None]:
    """Within, this process is a host whose clock is so far ahead, behind where negative."""
    right = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: right() + seconds)
        yield
