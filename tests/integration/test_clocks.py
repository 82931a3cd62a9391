"""Two hosts whose clocks differ over one database: nobody can tell."""

import os
import subprocess
import sys

from ..clocks import Clock
from ..running import wait_until

PROGRAM = """
import datetime, sys, time
for _ in sys.stdin:
    time.sleep(0.01)
    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)
"""


def test_a_process_has_the_clock_it_is_given(tmp_path):
    """The tool works: what is shown below is shown of clocks that differ."""
    clock = Clock(tmp_path / "clock", 3600)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **clock.python},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:

        def ask():
            process.stdin.write("\n")
            process.stdin.flush()
            return [float(word) for word in process.stdout.readline().split()]

        first = ask()
        assert abs(first[1] - first[0]) < 1
        clock.set(-30)
        wait_until(lambda: -3660 < ask()[0] - first[0] < -3600, "the other time")
        second = ask()
        assert abs(second[1] - second[0]) < 1
        assert 0 < second[2] - first[2] < 60
        process.stdin.close()
