"""The state of a process, read from the kernel. Linux only: elsewhere the state is unknown."""

from contextlib import suppress
from pathlib import Path

STOPPED, DISK = "T", "D"  # proc(5), /proc/PID/stat: stopped by a signal; in uninterruptible sleep


def state(pid: int) -> str:
    """Return the state letter of the main thread (proc(5)), or "" when it is unknown."""
    return _fields(Path(f"/proc/{pid}/stat"))[0]


def cpu_ticks(pid: int) -> int | None:
    """Return the processor time used, in kernel clock ticks, or None when it is unknown."""
    _, *fields = _fields(Path(f"/proc/{pid}/stat"))
    return int(fields[10]) + int(fields[11]) if fields else None  # utime and stime of proc(5)


def waits_for_disk(pid: int) -> bool:
    """Return True while any thread of the process waits for a disk (False when unknown)."""
    with suppress(OSError):
        return any(
            _fields(task / "stat")[0] == DISK for task in Path(f"/proc/{pid}/task").iterdir()
        )
    return False


def _fields(path: Path) -> list[str]:
    """Return the fields behind the program's name, beginning with the state; [""] when unknown."""
    with suppress(OSError):
        # The program name is in parentheses and can contain any character.
        return path.read_text().rpartition(")")[2].split() or [""]
    return [""]
