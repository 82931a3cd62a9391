"""`make faults`: the long form. `make faults ARGS="--seed N --seconds S"` replays a run.

It has three parts, in an order that the seed gives: a Valkey and its replica (most of the time),
the same behind Sentinels, and a cluster of three. Each fault happens at least once.
"""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .plan import PLAN, name
from .play import Run, play, table

OTHERS_PAGES, OTHERS_RATE = 60, 20.0  # on the deployments with Sentinels and with the cluster
EXAMPLES = 8  # printed for each kind of error
OTHERS_SECONDS = 0.1  # share of the whole run that each of these deployments gets


def main() -> int:
    options = _options()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="chat-faults-"))
    # Clean up mounts and networks when a signal ends the run, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"seed {options.seed}", flush=True)
    chosen = options.deployments or list(PLAN)
    failed = False
    for part in random.Random(options.seed).sample(list(PLAN), len(PLAN)):
        faults = [fault for fault in PLAN[part][1] if options.only in name(fault)]
        if part in chosen and faults:
            failed |= _tell(_run(part, faults, folder / part, options))
    if failed:
        print(f"seed {options.seed}; records and logs are in {folder}")
        return 1
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=600.0, help="at least; ends with a round")
    parser.add_argument("--pages", type=int, default=150)
    parser.add_argument("--rate", type=float, default=40.0, help="messages a second")
    parser.add_argument("--only", default="", help="only faults with this in their names")
    for part in PLAN:
        parser.add_argument(
            f"--{part}",
            dest="deployments",
            action="append_const",
            const=part,
            help="only this part",
        )
    parser.add_argument("--keep", type=Path, help="new folder for records and logs")
    return parser.parse_args()


def _run(part: str, faults: list, folder: Path, options: argparse.Namespace) -> Run:
    print(f"\n{part}:", flush=True)
    main, share = part == "pair", OTHERS_SECONDS * (len(PLAN) - 1)
    return asyncio.run(
        play(
            folder,
            options.seed,
            options.seconds * (1 - share if main else OTHERS_SECONDS),
            faults,
            options.pages if main else min(options.pages, OTHERS_PAGES),
            rate=options.rate if main else min(options.rate, OTHERS_RATE),
            say=lambda text: print(text, flush=True),
            kind=PLAN[part][0],
        )
    )


def _tell(run: Run) -> bool:
    """Print the result of a run. Returns True if something is wrong."""
    print(f"\n{table(run)}\n")
    print(f"{run.verdict.lost} acknowledged messages were lost in failovers to a lagging replica")
    for promise, count in sorted(Counter(broken.promise for broken in run.broken).items()):
        print(f"BROKEN {promise}, {count} times:")
        for broken in [broken for broken in run.broken if broken.promise == promise][:EXAMPLES]:
            print(f"  {broken.text}")
    for problem in run.problems[:EXAMPLES]:
        print(f"PROBLEM: {problem}")
    return bool(run.broken or run.problems)


if __name__ == "__main__":
    sys.exit(main())
