"""What a container engine does with the Dockerfile, by the means that engines use: the steps that
build the chat, and the start command in namespaces, as the user and with the environment that are
declared, on a file system that is read-only but for the volume."""

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from ..running import DEADLINE, ROOT, alive, children, wait_until

Instruction = tuple[str, str]

NEW = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
SCRIPT = str(Path(__file__).with_suffix(".sh"))
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def can_be_run() -> bool:
    """True where one may make namespaces: as root, and not inside most containers."""
    return bool(shutil.which("unshare")) and not subprocess.run([*NEW, "true"]).returncode


def stages() -> list[list[Instruction]]:
    """The Dockerfile's instructions, in order, for each FROM."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)
    found: list[list[Instruction]] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        if name:
            found[-1].append((name, rest.strip()))
    return found


def environment(stage: list[Instruction]) -> dict[str, str]:
    """What ENV declares, over what every image has."""
    env = {"PATH": BASE_PATH}
    for name, rest in stage:
        if name == "ENV":
            pairs = [pair.partition("=") for pair in shlex.split(rest)]
            env |= {key: value.replace("$PATH", env["PATH"]) for key, _, value in pairs}
    return env


def said(stage: list[Instruction], wanted: str) -> str:
    """The last instruction of a name."""
    return [rest for name, rest in stage if name == wanted][-1]


def build(folder: Path) -> Path:
    """The environment that the first stage makes of what is copied, in the order of the
    Dockerfile; returns its folder. What `pip` and `useradd` do there is not done."""
    stage = stages()[0]
    app, src, tmp = (folder / name for name in ("app", "src", "tmp"))
    for made in (app, src, tmp, folder / "root"):
        made.mkdir()
    uv, cache = ROOT / ".venv" / "bin", _uv_cache()
    binds = [f"{app}:/app:rw", f"{src}:/src:rw", f"{tmp}:/tmp:rw"]
    binds += [f"{uv}:{uv}:ro", f"{cache}:{cache}:rw", *_python()]
    env = {**os.environ, **environment(stage), "UV_CACHE_DIR": str(cache), "UV_LINK_MODE": "copy"}
    env |= {"PATH": f"{uv}:{env['PATH']}", "UV_PYTHON": str(_python_executable())}
    for name, rest in stage:
        if name == "COPY":
            _copy(src, rest.split())
        elif name == "RUN" and rest.startswith("uv "):
            argv = [*NEW, "sh", SCRIPT, str(folder / "root"), "0", *binds, "--"]
            argv += [f"{key}={value}" for key, value in env.items()]
            done = subprocess.run(
                [*argv, "sh", "-c", f"cd /src && {rest}"], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
    return app


class Container:
    """The image's start command over a data folder; `env` is what is given at the start."""

    def __init__(self, app: Path, folder: Path, **env: str) -> None:
        self.stage = stages()[-1]
        self.user = int(said(self.stage, "USER").partition(":")[0])
        self.env = {**environment(self.stage), "HOME": "/data", **env}
        self.data = folder / "data"
        self.root = folder / "root"
        self.data.mkdir(mode=0o700)
        self.root.mkdir()
        os.chown(self.data, self.user, self.user)
        self.binds = [f"{app}:/app:ro", f"{self.data}:/data:rw", *_python()]
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is for who is in its network."""
        return f"http://127.0.0.1:{self.env['PORT']}"

    @property
    def pid(self) -> int:
        """The process that is 1 inside."""
        assert self.process is not None
        return children(self.process.pid)[0]

    def start(self) -> "Container":
        argv = [*NEW, "--net", "sh", SCRIPT, str(self.root), str(self.user), *self.binds, "--"]
        command = json.loads(said(self.stage, "CMD"))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*argv, *self._pairs(), *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_until(lambda: children(self.process.pid), "the container's first process")
        with self.network():
            wait_until(self._is_ready, "the container's readiness")
        return self

    def run(self, *command: str) -> int:
        """Run a command inside, as `docker exec` and the health check do; returns its code."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--root"]
        drop = [f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        argv = [*enter, "setpriv", *drop, "env", "-i", *self._pairs(), *command]
        return subprocess.run(argv, stderr=subprocess.DEVNULL).returncode

    def health(self) -> int:
        """What the image's HEALTHCHECK says."""
        return self.run(*json.loads(said(self.stage, "HEALTHCHECK").partition("CMD ")[2]))

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Sockets that this thread opens within are in the container's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self.pid}/ns/net") as its:
            assert libc.setns(its.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                with socket.socket() as sock:
                    fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
                yield
            finally:
                assert libc.setns(own.fileno(), CLONE_NEWNET) == 0

    def stop(self) -> int:
        """End it as engines do; returns the exit code."""
        assert self.process is not None
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def clean_up(self) -> None:
        """Kill what is left; with its first process everything inside ends."""
        if self.process is not None and self.process.poll() is None:
            first = self.pid
            os.kill(first, signal.SIGKILL)
            self.process.wait()
            assert not alive(first)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", verify=False).status_code == 200
        return False

    def _pairs(self) -> list[str]:
        return [f"{key}={value}" for key, value in self.env.items()]


def _copy(src: Path, words: list[str]) -> None:
    *sources, target = words
    for source in sources:
        path = ROOT / source
        if path.is_dir():
            shutil.copytree(path, src / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, src / target)


def _python_executable() -> Path:
    return Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"


def _python() -> list[str]:
    """This Python, where it is not a part of the system."""
    prefix = sys.base_prefix
    return [] if prefix.startswith("/usr") else [f"{prefix}:{prefix}:ro"]


def _uv_cache() -> Path:
    uv = ROOT / ".venv" / "bin" / "uv"
    return Path(subprocess.check_output([uv, "cache", "dir"], text=True).strip())
