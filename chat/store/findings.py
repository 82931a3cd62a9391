"""What the integrity check finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

TEXTS_AT_ONCE = 4  # long texts that are read in one command
SCAN_COUNT = 500  # keys or members that are read in one command


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, as a sentence, and the repair; None if there is none."""

    text: str
    repair: Callable[[], object] | None


Look = Callable[[], Iterable[Finding]]  # checks one thing; it can be repeated


def repair_all(findings: Iterable[Finding]) -> None:
    """Repair what can be repaired."""
    for finding in findings:
        if finding.repair:
            finding.repair()
