"""make bench: the chat and its peers under the same load, as a table and as JSON."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.bench import report
from tests.bench.processes import cpu_seconds
from tests.bench.servers import CLIENT_CORE, ROOT, SERVERS, Node, NotInstalled, ServerError

TOTAL_LIMIT = 285  # seconds for everything
WARMUP = 1  # seconds of the same load before each measured window
OVERHEAD = 60  # seconds a load process may take beyond its window: connecting, settling
RESULTS = Path(__file__).parent / "results" / "latest.json"


def options():
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    names = [server.name for server in SERVERS]
    parser.add_argument("--only", default=",".join(names), help=f"some of {','.join(names)}")
    parser.add_argument("--seconds", type=float, default=6, help="each measured window (6)")
    parser.add_argument("--viewers", type=int, default=500, help="viewers of the one room (500)")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections (2000)")
    every = ",".join(report.MEASURES)
    parser.add_argument("--scenarios", default=every, help=f"some of {every}")
    parser.add_argument("--node", action="store_true", help="install the Node peer when missing")
    parser.add_argument("--quick", action="store_true", help="2 s windows, 200 idle connections")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    found = parser.parse_args()
    found.only = found.only.split(",")
    # Memory first: a process that was busy holds free memory that connections then fill.
    found.scenarios = sorted(found.scenarios.split(","), key=lambda name: name != "idle")
    if unknown := set(found.only) - set(names) | set(found.scenarios) - set(report.MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if found.quick:
        found.seconds, found.idle = min(found.seconds, 2), min(found.idle, 200)
    return found


def task(scenario, chosen):
    """What the load generator is asked to do; `rooms` is how many rooms it needs."""
    talk = {"scenario": "fanout", "rooms": 1, "in_flight": 1, "viewers": chosen.viewers}
    return {
        "idle": {"scenario": "idle", "rooms": 1, "viewers": chosen.idle},
        "one": talk,
        "sixteen": talk | {"in_flight": 16},
        "pair": talk | {"viewers": 2},
        "pairs": talk | {"rooms": 8, "viewers": 16, "in_flight": 2},
        "pages": {"scenario": "pages", "rooms": 1, "viewers": 1},
    }[scenario]


def measure(server, scenario, chosen, limit):
    """Run one scenario in a load process of its own; returns its result or {"error": …}."""
    left = limit - time.monotonic()
    if left < chosen.seconds + WARMUP + 3:
        return {"error": "no time left"}
    try:
        server.begin()
        work = task(scenario, chosen)
        work |= {
            "dialect": server.dialect,
            "port": server.port,
            "rooms": server.open_rooms(work["rooms"]),
            "headers": server.headers(),
            "server": server.pids,
            "redis": server.redis_pids,
            "seconds": chosen.seconds,
            "warmup": WARMUP,
            "core": CLIENT_CORE if len(os.sched_getaffinity(0)) > 1 else None,
        }
        return generate(work, min(left, chosen.seconds + WARMUP + OVERHEAD))
    except (ServerError, OSError) as error:
        return {"error": str(error)}


def generate(work, limit):
    """Let a load process do its work, for `limit` seconds at most."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.load"],
            input=json.dumps(work),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=limit,
        )
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"error": "took too long"}
    except ValueError:
        return {"error": (done.stderr.strip().splitlines() or ["no result"])[-1]}


def settle(server):
    """Wait, for at most five seconds, until the server has buried its last connections."""
    limit = time.monotonic() + 5
    with suppress(OSError):  # it may have gone; the next measurement says so
        while time.monotonic() < limit:
            before = cpu_seconds(server.pids)
            time.sleep(0.3)
            if cpu_seconds(server.pids) - before <= 0.03:
                return


def run(servers, chosen, limit):
    """Take the servers through each scenario in turn, so that what is compared is measured within
    seconds; returns {name: what was found}. A server that failed is started anew for the next."""
    found = {server.name: describe(server) for server in servers}
    for scenario in chosen.scenarios:
        for server in servers:
            if scenario not in server.scenarios or found[server.name]["error"]:
                continue
            print(f"{scenario}: {server.name}", file=sys.stderr)
            result = measure(server, scenario, chosen, limit)
            found[server.name]["results"][scenario] = result
            if "error" in result:
                server.end()
            else:
                settle(server)
    return found


def describe(server):
    """Start a server; what the report says of it, with no results yet."""
    error = None
    try:
        server.begin()
    except NotInstalled as reason:
        error = f"not installed: {reason}"
    except (ServerError, OSError) as reason:
        error = f"failed: {reason}"
    return {
        "label": server.label,
        "note": server.note,
        "versions": server.versions(),
        "error": error,
        "results": {},
    }


def main():
    """Measure, print, write the JSON."""
    if not Path("/proc/self/stat").exists():
        sys.exit("make bench reads /proc: it needs Linux")
    chosen, start = options(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    Node.install = chosen.node
    servers = [kind() for kind in SERVERS if kind.name in chosen.only]
    try:
        found = run(servers, chosen, start + TOTAL_LIMIT)
    finally:
        for server in servers:
            server.end()
    data = {
        "machine": report.machine(),
        "options": {key: getattr(chosen, key) for key in ("seconds", "viewers", "idle")},
        "took": time.monotonic() - start,
        "servers": found,
        "ratios": report.ratios(found),
        "disturbed": report.disturbed(found),
    }
    print(report.table(found, data["options"]))
    print(f"\n{report.ratio_lines(data['ratios'])}\n\n{report.facts(data)}")
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
