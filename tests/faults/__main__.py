"""`make faults`: the long form. `make faults ARGS="--seed N --seconds S"` replays a run."""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from .faults import FAULTS, name
from .play import play, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=420.0, help="at least; a round is whole")
    parser.add_argument("--pages", type=int, default=150)
    parser.add_argument("--rate", type=float, default=40.0, help="messages a second")
    parser.add_argument("--only", default="", help="faults whose names have this in them")
    parser.add_argument("--keep", type=Path, help="a new folder for records and logs")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.only in name(fault)]
    folder = options.keep or Path(tempfile.mkdtemp(prefix="chat-faults-"))
    # Ended from outside, it clears up too: what was mounted, and the networks.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"seed {options.seed}", flush=True)
    run = asyncio.run(
        play(
            folder,
            options.seed,
            options.seconds,
            faults,
            options.pages,
            rate=options.rate,
            say=lambda text: print(text, flush=True),
        )
    )
    print(f"\n{table(run)}\n")
    print(
        f"{run.verdict.lost} acknowledged messages were lost in failovers to a replica that lagged"
    )
    for broken in run.broken[:20]:
        print(f"BROKEN {broken.promise}: {broken.text}")
    for problem in run.problems[:20]:
        print(f"PROBLEM: {problem}")
    if run.broken or run.problems:
        print(f"seed {run.seed}; records and logs are in {folder}")
        return 1
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
