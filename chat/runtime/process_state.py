"""The state of a process, read from the kernel. Linux only: elsewhere the state is unknown."""

from contextlib import suppress
from pathlib import Path

STOPPED, DISK = "T", "D"  # proc(5), /proc/PID/stat: stopped by a signal; in uninterruptible sleep


def state(pid: int) -> str:
    """Return the state letter of the main thread (proc(5)), or "" when it is unknown."""
    return _state_letter(Path(f"/proc/{pid}/stat"))


def cpu_ticks(pid: int) -> int | None:
    """Return the processor time used, in kernel clock ticks, or None when it is unknown."""
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])  # utime and stime of proc(5), after pid and name
    return None


def waits_for_disk(pid: int) -> bool:
    """Return True while any thread of the process waits for a disk (False when unknown)."""
    with suppress(OSError):
        return any(
            _state_letter(task / "stat") == DISK for task in Path(f"/proc/{pid}/task").iterdir()
        )
    return False


def _state_letter(path: Path) -> str:
    with suppress(OSError, IndexError):
        # The program name is in parentheses and can contain any character.
        return path.read_text().rpartition(")")[2].split()[0]
    return ""
