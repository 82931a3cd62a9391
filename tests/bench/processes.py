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
    for child in children(pid):
        found[child] = command_line(child)
        found |= descendants(child)
    return found


def children(pid):
    """The process ids right below this one."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text().split()]


def command_line(pid):
    """A process's command line; "" when it is gone."""
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
    """The core of server process `number`: the first ones, of which two are left to others
    where there are four; None where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[number % max(2, len(cores) - 2)] if len(cores) > 1 else None


def client_core():
    """The core of the load generator: the last one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[-1] if len(cores) > 1 else None


def redis_core():
    """The core of Redis: one of its own where there are three, else the load generator's."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[-2] if len(cores) > 2 else client_core()


def workers(supervisor):
    """The process ids of a chat's workers: children of its supervisor. Their own children render
    messages that have markup, which those of the bench have not."""
    return [pid for pid in children(supervisor) if "chat worker" in command_line(pid)]
