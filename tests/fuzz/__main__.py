"""Feeds the chat unexpected input, each target for a limited time, with a seed.

    make fuzz
    make fuzz ARGS="--seconds 20 markdown names"

Most targets are functions that parse input from outside (targets.py). Atheris runs them, and looks
for inputs that reach new code. The others need a whole chat: its forms and pages (requests), its
API (schemathesis) and its Redis client (the state machine of the tests, with more examples). A
finding ends its target, and is stored in a file whose name is printed. The exit status is then 1.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..running import ROOT, Server, Visitor, opened
from .targets import TARGETS

API, CLIENT = "api", "redis client"
MACHINE = "tests/integration/test_shared_connection.py"
MACHINE += "::test_everyone_gets_an_answer_of_their_own_or_an_error"


def fuzzed(name: str, seconds: int, seed: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one target of targets.py."""
    command = [sys.executable, "-m", "tests.fuzz.one", name, f"-max_total_time={seconds}"]
    command += [f"-seed={seed}", f"-artifact_prefix={folder}/{name}-", "-max_len=4096"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def explored(seconds: int, seed: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Schemathesis on the API of a running chat, again and again with different seeds."""
    server = Server(folder / "data", CHAT_LIMITS="off").start()
    try:
        ann = Visitor(server.url, "Ann")
        rid = ann.create_room("Tea")
        page = ann.submit("/me/tokens", "/me/tokens", name="t", scopes=["read", "write"])
        token = "chat_" + page.text.partition('value="chat_')[2].partition('"')[0]
        known = f'[parameters]\nrid = "{rid}"\nuid = "{ann.uid}"\nseq = 2\n'
        (folder / "schemathesis.toml").write_text(known)
        end = time.monotonic() + seconds
        while True:
            command = [sys.executable, "-m", "schemathesis.cli", "run"]
            command += [f"{server.url}/api/openapi.json", "--no-color", "--seed", str(seed)]
            command += ["--header", f"Authorization: Bearer {token}", "--max-examples", "50"]
            command += ["--checks", "not_a_server_error,response_schema_conformance"]
            command += ["--generation-database", "none"]
            for name in ("end_room", "leave_room", "delete_message", "remove_member"):
                command += ["--exclude-operation-id", name]
            ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            seed += 1
            if ran.returncode or time.monotonic() > end:
                if "Traceback" in server.log():
                    ran.returncode, ran.stdout = 1, ran.stdout + server.log()
                return ran
    finally:
        opened.pop_all().close()
        server.clean_up()


def driven(seconds: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Run the state machine of the Redis client."""
    end = time.monotonic() + seconds
    while True:
        command = [sys.executable, "-m", "pytest", "-q", "-n0", "--timeout=0", MACHINE]
        command += [f"--hypothesis-seed={seed}", "-p", "no:cacheprovider"]
        env = {**os.environ, "FUZZ_EXAMPLES": "200"}
        ran = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, env=env, check=False
        )
        seed += 1
        if ran.returncode or time.monotonic() > end:
            return ran


def main() -> int:
    names = [*TARGETS, API, CLIENT]
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(names))
    parser.add_argument("--seconds", type=int, default=300, help="for each target (300)")
    parser.add_argument("--seed", type=int, default=1, help="of all choices (1)")
    parser.add_argument("--keep", type=Path, help="where findings are kept (a new folder)")
    given = parser.parse_args()
    if unknown := set(given.targets) - set(names):
        parser.error(f"no such target: {', '.join(unknown)}")
    folder = given.keep or Path(tempfile.mkdtemp(prefix="chat-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in given.targets or names:
        start = time.monotonic()
        if name == API:
            with tempfile.TemporaryDirectory() as data:
                ran = explored(given.seconds, given.seed, Path(data))
        elif name == CLIENT:
            ran = driven(given.seconds, given.seed)
        else:
            ran = fuzzed(name, given.seconds, given.seed, folder)
        taken = time.monotonic() - start
        runs = next((x for x in ran.stderr.splitlines() if x.startswith("Done ")), "")
        print(f"{name:14} {'FOUND' if ran.returncode else 'nothing'} in {taken:.0f} s  {runs}")
        if ran.returncode:
            failed = 1
            log = folder / f"{name.replace(' ', '-')}.log"
            log.write_text(ran.stdout + ran.stderr)
            print(f"  see {log}\n" + "\n".join((ran.stdout + ran.stderr).splitlines()[-25:]))
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(main())
