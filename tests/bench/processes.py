"""Reads from Linux what processes use: CPU time, memory, children, cores."""

import os
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def stat(pid):
    """Return the fields of /proc/PID/stat after the command: [0] state, [1] parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pids):
    """User and system time of these processes together, in seconds (resolution: one tick)."""
    return sum((int(stat(pid)[11]) + int(stat(pid)[12])) * TICK for pid in pids)


def resident_kb(pids):
    """Resident memory of these processes together, in KB."""
    status = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in status)


def busy_seconds():
    """Return the seconds that all cores together have worked since boot, stolen time included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * TICK


def descendants(pid):
    """Return the descendants of a process, as {pid: command line}."""
    found = {}
    for child in children(pid):
        found[child] = command_line(child)
        found |= descendants(child)
    return found


def children(pid):
    """Return the ids of the children of a process."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text().split()]


def command_line(pid):
    """Return a process's command line; "" if it has ended."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return command.replace(b"\0", b" ").decode(errors="replace").strip()


def pin(pid, core):
    """Keep every thread of a process on one core; None leaves it alone."""
    if core is not None:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def core_count():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def server_core(number=0):
    """Return the core for server process `number`: one of the first cores. Of four or more, two are
    left to others. None if there is only one core."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[number % max(2, len(cores) - 2)] if len(cores) > 1 else None


def client_core():
    """Return the core for the load generator: the last one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[-1] if len(cores) > 1 else None


def redis_core():
    """Return the core for Redis: one of its own if there are three, otherwise the load
    generator's."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[-2] if len(cores) > 2 else client_core()


def workers(supervisor):
    """Return the process ids of a chat's workers, which are children of its supervisor. The
    workers' own children render messages with markup, which the bench does not post."""
    return [pid for pid in children(supervisor) if "chat worker" in command_line(pid)]
