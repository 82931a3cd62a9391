"""Runs `chat` commands in forks of one process, which has imported what they need.

Imports would be most of the work of a command. Each command still runs in a process of its own:
with its own environment, output and exit code, ended by os._exit like any other.
"""

import atexit
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MAX_REQUEST_BYTES = 100_000
_lock = threading.Lock()  # one command at a time


def run(args: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`chat` with these arguments, as subprocess.run would answer. `env` is its whole environment,
    but says nothing to the interpreter: that runs already."""
    os.umask(umask := os.umask(0))
    told = json.dumps({"args": args, "env": dict(env), "umask": umask})
    with _lock, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        channel = _channel()
        socket.send_fds(channel, [told.encode()], [out.fileno(), err.fileno()])
        code = int(channel.recv(100))
        texts = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
    return subprocess.CompletedProcess(["chat", *args], code, *texts)


def _channel() -> socket.socket:
    """The way to the process that forks, which starts with the first command."""
    global _started
    if _started is None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.commands", str(theirs.fileno())]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=env, cwd="/", pass_fds=[theirs.fileno()])
        theirs.close()
        _started = ours
        atexit.register(_end, ours, process)
    return _started


_started: socket.socket | None = None


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.wait()


def serve(channel: socket.socket) -> None:
    """Fork for each request, and answer with the exit code. Returns in the children that are to run
    a command; in this process when nobody asks any more."""
    while True:
        told, descriptors, _, _ = socket.recv_fds(channel, MAX_REQUEST_BYTES, 2)
        if not told:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            channel.close()
            for number, descriptor in enumerate(descriptors, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            become(json.loads(told))
            return
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def become(told: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(told["env"])
    os.umask(told["umask"])
    sys.argv = ["chat", *told["args"]]


if __name__ == "__main__":
    from chat import __main__ as chat
    from chat.cli import commands  # noqa: F401

    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
    chat.main()
