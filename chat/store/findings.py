"""The findings of the integrity check."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

TEXTS_AT_ONCE = 4  # long texts that are read in one command
SCAN_COUNT = 500  # keys or members that are read in one command
is_number = re.compile(r"[0-9]{1,15}").fullmatch  # of a stored value


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence that says what is wrong, and the repair; None if it cannot be repaired."""

    text: str
    repair: Callable[[], object] | None


Look = partial[Iterator[Finding]]  # checks one thing, which its arguments name; can be repeated


def repair_all(findings: Iterable[Finding]) -> None:
    """Repair what can be repaired."""
    for finding in findings:
        if finding.repair:
            finding.repair()
