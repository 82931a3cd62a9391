"""`make bench`: measures the chat and its peers under the same load, as tables and as JSON."""

import argparse
import json
import resource
import shlex
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from tests.bench import report
from tests.bench.columns import DELIVERIES
from tests.bench.ours import Chat, Gunicorn, TwoWorkers
from tests.bench.processes import client_core
from tests.bench.promises import promises
from tests.bench.scenarios import BY_NAME, SCENARIOS
from tests.bench.server import ROOT, NotInstalled, ServerError
from tests.bench.theirs import Channels, FlaskSocketIO, Floor, Hypercorn, SocketIO, Uvloop, Ws

SERVERS = (
    *(Chat, TwoWorkers, Gunicorn),
    *(Floor, Uvloop, Ws, SocketIO, FlaskSocketIO, Channels, Hypercorn),
)
LIMIT, FULL_LIMIT = 285, 1740  # seconds for all measurements
WARMUP = 1  # seconds of the same load before each measured window
OVERHEAD = 60  # seconds a load process may take beyond its window: connecting, settling, ...
PER_VIEWER = 0.02  # ... and for each viewer
RESULTS = Path(__file__).parent / "results" / "latest.json"


def options():
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    names = [server.name for server in SERVERS]
    parser.add_argument("--full", action="store_true", help="all scenarios, 6 s windows")
    parser.add_argument("--quick", action="store_true", help="1 s windows, few connections")
    parser.add_argument("--only", default=",".join(names), help=f"some of {','.join(names)}")
    parser.add_argument("--scenarios", help=f"some of {','.join(BY_NAME)}")
    parser.add_argument("--seconds", type=float, help="each measured window (3; with --full 6)")
    parser.add_argument("--viewers", type=int, default=500, help="viewers of the one room (500)")
    parser.add_argument("--no-install", action="store_true", help="call neither npm nor cc")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the tables into README and docs"
    )
    found = parser.parse_args()
    found.only = found.only.split(",")
    asked = found.scenarios.split(",") if found.scenarios else None
    if unknown := set(found.only) - set(names) | set(asked or ()) - set(BY_NAME):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    found.scenarios = [one for one in SCENARIOS if is_wanted(one, found, asked)]
    found.seconds = found.seconds or (1 if found.quick else 6 if found.full else 3)
    found.idle, found.crowd = (200, 300) if found.quick else (2000, 10_000)
    found.warmup = min(WARMUP, found.seconds / 2)
    return found


def is_wanted(scenario, chosen, asked):
    """Return True if a scenario must be measured: one that is named, or one of the chosen set."""
    if asked:
        return scenario.name in asked
    return (chosen.full or not scenario.full) and not (chosen.quick and scenario.slow)


class Run:
    """One run. The servers take turns in each scenario, so that compared figures are measured
    within the same minute. `found` has the results by server."""

    def __init__(self, chosen, limit):
        self.chosen = chosen
        self.limit = limit
        self.servers = [kind() for kind in SERVERS if kind.name in chosen.only]
        self.found = {server.name: self.describe(server) for server in self.servers}

    def describe(self, server):
        """Return what the report says about a server, without results."""
        error = None
        try:
            server.install(bring=not self.chosen.no_install)
        except NotInstalled as reason:
            error = f"not installed: {reason}"
        return {
            "label": server.label,
            "note": server.note,
            "versions": server.versions(),
            "scenarios": server.scenarios,
            "error": error,
            "results": {},
        }

    def all(self):
        """Measure everything. A server that failed is started again for the next scenario."""
        for scenario in self.chosen.scenarios:
            for server in self.servers:
                found = self.found[server.name]
                if scenario.name not in server.scenarios or found["error"]:
                    continue
                began = time.monotonic()
                if scenario.fresh:
                    server.end()
                result = found["results"][scenario.name] = self.measure(server, scenario)
                took = time.monotonic() - began
                print(f"{scenario.name}: {server.name}, {took:.0f} s", file=sys.stderr)
                if "error" in result or result.get("overloaded"):
                    server.end()

    def measure(self, server, scenario):
        """Return one server's result, or {"error": …}."""
        try:
            if self.limit - time.monotonic() < self.chosen.seconds + WARMUP + 3:
                raise ServerError("no time left")
            server.begin()
            task = scenario.task(self.chosen)
            result = generate(self.complete(server, task), self.patience(task))
            if "error" not in result:
                server.find()
                server.settle()
            return result
        except ServerError as error:
            return {"error": str(error)}
        except Exception as error:  # a measurement that fails must not lose the others
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}"}

    def complete(self, server, task):
        """Return the task with everything that the load generator needs."""
        task |= {
            "dialect": server.dialect,
            "port": server.port,
            "server": server.pids,
            "redis": server.redis_pids,
            "seconds": self.chosen.seconds,
            "warmup": self.chosen.warmup,
            "core": client_core(),
        }
        ours = self.found.get("chat", {}).get("results", {})
        if server.dialect == "floor":
            task["sample"] = ours.get("one", {}).get("sample")
        if task["work"] == "paced":
            name = task["half_of"]
            most = self.found.get(name, {}).get("results", {}).get("sixteen", {"error": True})
            if "error" in most:
                raise ServerError(f"needs {name} and sixteen in the same run")
            task["rate"] = DELIVERIES(most) / task["viewers"] / 2
        return task | server.prepare(task)

    def patience(self, task):
        """Return the seconds after which a load process is given up."""
        needed = self.chosen.seconds + WARMUP + OVERHEAD + task["viewers"] * PER_VIEWER
        return max(1, min(self.limit - time.monotonic(), needed))

    def end(self):
        """Stop all servers."""
        for server in self.servers:
            server.end()


def generate(task, limit):
    """Do the task in a process of its own, for `limit` seconds at most."""
    module = "tests.bench.browser" if task["work"] == "bandwidth" else "tests.bench.work"
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(task),
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


def main():
    """Measure, print, write the JSON and, when asked to, the documents."""
    if not Path("/proc/self/stat").exists():
        sys.exit("make bench reads /proc: it needs Linux")
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # servers inherit it
    run = Run(chosen, 0)
    start = time.monotonic()
    run.limit = start + (FULL_LIMIT if chosen.full else LIMIT)
    try:
        run.all()
    finally:
        run.end()
    arguments = shlex.join(sys.argv[1:])
    data = {
        "command": f'make bench ARGS="{arguments}"' if arguments else "make bench",
        "machine": report.machine(),
        "options": {name: f"{getattr(chosen, name):,}" for name in ("viewers", "idle", "crowd")},
        "seconds": chosen.seconds,
        "chosen": [scenario.name for scenario in chosen.scenarios],
        "took": time.monotonic() - start,
        "servers": run.found,
    }
    kept = promises(run.found)
    print(f"{report.promise_table(kept)}\n\n{report.group_tables(data)}\n\n{report.facts(data)}")
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    data["promises"] = [asdict(one) for one in kept]
    chosen.json.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    if chosen.write_docs:
        report.write_documents(data, kept)


if __name__ == "__main__":
    main()
