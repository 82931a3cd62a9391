"""make conformance: Autobahn's fuzzing client against our websockets, as the chat serves them.

It opens some hundred connections, each of which does something right or wrong, and judges what
comes back (RFC 6455, RFC 7692). The server echoes text by pushing it, as the chat does with all it
says, once with the direct path to the transport and once without. Prints what is not as it should
be; ends with 1 then.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
WSTEST = Path(sys.prefix) / "autobahn" / "bin" / "python"

FRAMES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
# Messages up to our limit of 256 KiB; larger ones are refused, as tests/integration shows.
SIZES = ["9.1.1", "9.1.2", "9.2.1", "9.2.2", "9.7.*", "9.8.*"]
# Compressed messages, the small ones of each kind; all of them take half an hour.
GROUPS = [f"12.{n}" for n in range(1, 6)] + [f"13.{n}" for n in range(1, 8)]
COMPRESSION = [f"{group}.{n}" for group in GROUPS for n in range(1, 7)]

# Clients that read a smaller window only: compression is declined
# (chat/bridge/permessage_deflate.py).
DECLINED = ("13.3.", "13.5.")


def main():
    parser = argparse.ArgumentParser(prog="make conformance ARGS=…", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every compressed message, half an hour")
    parser.add_argument("--quick", action="store_true", help="no large or compressed messages")
    chosen = parser.parse_args()
    cases = list(FRAMES)
    if chosen.all:
        cases += [*SIZES, "12.*", "13.*"]
    elif not chosen.quick:
        cases += [*SIZES, *COMPRESSION]
    right = [report(agent, found) for agent, found in run(cases).items()]
    sys.exit(not all(right))


def run(cases):
    """Let Autobahn try these cases; returns its results by agent and case."""
    servers = {"direct": start(direct_writes=True), "plain": start(direct_writes=False)}
    try:
        with tempfile.TemporaryDirectory() as folder:
            spec = {
                "outdir": f"{folder}/reports",
                "servers": [
                    {"agent": agent, "url": f"ws://127.0.0.1:{port}/mirror"}
                    for agent, (_, port) in servers.items()
                ],
                "cases": cases,
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
            Path(folder, "spec.json").write_text(json.dumps(spec))
            program = "from autobahntestsuite.wstest import run; run()"
            command = [WSTEST, "-W", "ignore", "-c", program, "-m", "fuzzingclient"]
            subprocess.run(
                [*command, "-s", f"{folder}/spec.json"],
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            return json.loads(Path(folder, "reports", "index.json").read_text())
    finally:
        for process, _ in servers.values():
            process.terminate()
            process.wait()
            process.stdout.close()


def start(**config):
    """The test server's process and its port."""
    command = [sys.executable, "-m", "tests.integration.bridge_app", json.dumps({"config": config})]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return process, int(process.stdout.readline())


def report(agent, found):
    """Print how it went; True when all is as it should be."""
    counts = Counter(result["behavior"] for result in found.values())
    print(f"{agent}: {', '.join(f'{n} {name}' for name, n in counts.most_common())}")
    wrong = [f"{case} {result['behavior']}" for case, result in found.items() if bad(case, result)]
    for text in sorted(wrong):
        print(f"  {text}")
    return bool(found) and not wrong


def bad(case, result):
    """Whether this is a result that must not be."""
    if result["behaviorClose"] not in ("OK", "INFORMATIONAL"):
        return True
    if result["behavior"] == "UNIMPLEMENTED":
        return not case.startswith(DECLINED)
    return result["behavior"] not in ("OK", "INFORMATIONAL")


if __name__ == "__main__":
    main()
