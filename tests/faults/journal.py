"""What happened, as those saw it whom it happened to: one JSON line each, a file for each page."""

import json
import time
from pathlib import Path
from typing import Any

Record = dict[str, Any]  # t (seconds), who, op, and what belongs to it


class Journal:
    """Records in memory, and in `folder` when there is one."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self.files: dict[str, Any] = {}
        self.sent: dict[str | None, float] = {}  # body: when
        self._lines: set[tuple[str, ...]] = set()  # of room lists, that were written down

    def write(self, who: str, op: str, **fields: Any) -> float:
        """Returns the time that was written down."""
        record = {"t": time.monotonic(), "who": who, "op": op, **fields}
        self.records.append(record)
        if self.folder is not None:
            if who not in self.files:
                self.files[who] = open(self.folder / f"{who}.jsonl", "a")  # noqa: SIM115
            self.files[who].write(json.dumps(record) + "\n")
        return record["t"]

    def is_new(self, *line: str) -> bool:
        """True the first time that a line of a room list is asked for: all pages of a time zone are
        told the same, and one record of it is enough."""
        if line in self._lines:
            return False
        self._lines.add(line)
        return True

    def close(self) -> None:
        for file in self.files.values():
            file.close()


def read(folder: Path) -> list[Record]:
    """All records in a folder, by time."""
    lines = [line for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda record: record["t"])
