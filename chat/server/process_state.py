"""What the kernel says a process is doing (Linux; elsewhere nothing is known)."""

from contextlib import suppress
from pathlib import Path

STOPPED, DISK = "T", "D"  # proc(5), /proc/pid/stat: by a signal; in uninterruptible sleep


def state(pid: int) -> str:
    """The letter of its main thread, "" where that is not known."""
    return _letter(Path(f"/proc/{pid}/stat"))


def cpu_ticks(pid: int) -> int | None:
    """Processor time that it has used, in ticks of the kernel; None where that is not known."""
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])  # utime and stime of proc(5), after pid and name
    return None


def waits_for_disk(pid: int) -> bool:
    """True while any of its threads does, as far as that is known."""
    with suppress(OSError):
        return any(_letter(task / "stat") == DISK for task in Path(f"/proc/{pid}/task").iterdir())
    return False


def _letter(path: Path) -> str:
    with suppress(OSError, IndexError):
        # The name of the program stands in parentheses and may have any character.
        return path.read_text().rpartition(")")[2].split()[0]
    return ""
