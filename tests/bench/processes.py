"""What Linux says about processes: CPU time, memory, children, cores."""

import os
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


def stat(pid):
    """The fields of /proc/PID/stat that follow the command: [0] state, [1] parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pids):
    """User and system time of these processes together, in seconds (resolution: one tick)."""
    return sum((int(stat(pid)[11]) + int(stat(pid)[12])) * TICK for pid in pids)


def resident_kb(pids):
    """Resident memory of these processes together, in KB."""
    status = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(text.partition("VmRSS:")[2].split()[0]) for text in status)


def busy_seconds():
    """Time any core has spent on anything since boot, in seconds, stolen time included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * TICK


def descendants(pid):
    """The processes below this one, as {pid: command line}."""
    found = {}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found[child] = command_line(child)
            found |= descendants(child)
    return found


def command_line(pid):
    """A process's command line; "" when it is gone."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return command.replace(b"\0", b" ").decode(errors="replace").strip()


def pin(pid, core):
    """Keep every thread of a process on one core, where there are two or more."""
    if len(os.sched_getaffinity(0)) < 2 and core not in os.sched_getaffinity(0):
        return
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
