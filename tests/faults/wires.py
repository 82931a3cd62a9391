"""Makes each host look like a machine of its own: a network namespace (ip-netns(8)) with two wires,
one to the browsers and one to the database. Packets that are lost on a wire are lost silently."""

import itertools
import os
import shutil
import subprocess
from ipaddress import ip_address

# Addresses for benchmarks (RFC 2544), which lead nowhere: four for each wire.
BLOCKS = 32768
FIRST = ip_address("198.18.0.0")
# A queue that accepts no packet, because each is longer than a byte (tc-tbf(8)).
NOTHING = ("tbf", "rate", "8bit", "burst", "1", "limit", "1")
LITTLE = ("tbf", "rate", "256kbit", "burst", "16kb", "latency", "400ms")
_numbers = itertools.count(os.getpid() * 8)  # two runs at the same time use different wires


class Wire:
    """`near` and `far` are the addresses of its ends, outside and inside the namespace `space`."""

    def __init__(self, space: str) -> None:
        number = next(_numbers) % BLOCKS
        near, far = f"c{number}n", f"c{number}f"
        self.near, self.far = (str(FIRST + 4 * number + end) for end in (1, 2))
        peer = ("peer", "name", far, "netns", space)
        _run("ip", "link", "add", near, "type", "veth", *peer)
        self.ends = (("", near, self.near), (space, far, self.far))
        for where, name, address in self.ends:
            _in(where, "ip", "address", "add", f"{address}/30", "dev", name)
            _in(where, "ip", "link", "set", name, "up")

    def lose(self, to_host: bool = True, from_host: bool = True) -> None:
        """Lose everything from now on, in one direction or both."""
        for (space, name, _), losing in zip(self.ends, (to_host, from_host), strict=True):
            if losing:
                _in(space, "tc", "qdisc", "replace", "dev", name, "root", *NOTHING)

    def narrow(self) -> None:
        """Limit the rate from now on. Excess packets wait, and then are lost."""
        for space, name, _ in self.ends:
            _in(space, "tc", "qdisc", "replace", "dev", name, "root", *LITTLE)

    def heal(self) -> None:
        for space, name, _ in self.ends:
            _in(space, "tc", "qdisc", "del", "dev", name, "root", check=False)


class Space:
    """A network namespace with its wires. Raises OSError and CalledProcessError where namespaces
    cannot be created: they need root (CAP_NET_ADMIN) and iproute2."""

    def __init__(self) -> None:
        self.name = f"chat-faults-{next(_numbers)}"
        _run("ip", "netns", "add", self.name)
        try:
            _in(self.name, "ip", "link", "set", "lo", "up")
            self.front, self.back = Wire(self.name), Wire(self.name)
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise

    @property
    def inside(self) -> tuple[str, ...]:
        """Return what to put before a command so that it runs in the namespace."""
        return ("ip", "netns", "exec", self.name)

    def close(self) -> None:
        """Delete the namespace and its wires."""
        _run("ip", "netns", "del", self.name, check=False)


def several(count: int) -> list[Space]:
    """Return this many namespaces, or none if they cannot be created."""
    if not shutil.which("ip") or not shutil.which("tc"):
        return []
    spaces: list[Space] = []
    try:
        for _ in range(count):
            spaces.append(Space())
    except (OSError, subprocess.CalledProcessError):
        for space in spaces:
            space.close()
        return []
    return spaces


def _in(space: str, program: str, *words: str, check: bool = True) -> None:
    _run(program, *(("-n", space) if space else ()), *words, check=check)


def _run(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=True)
