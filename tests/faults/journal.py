"""The records of a run: what each page and person saw, one line of JSON each, in a file for each
page."""

import json
import time
from pathlib import Path
from typing import Any

Record = dict[str, Any]  # t (seconds), who, op, and the fields of this op


class Journal:
    """Keeps records in memory, and in `folder` if one is given."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self.files: dict[str, Any] = {}
        self.sent: dict[str | None, float] = {}  # when each body was sent
        self._lines: set[tuple[str, ...]] = set()  # rows of room lists that were recorded

    def write(self, who: str, op: str, **fields: Any) -> float:
        """Write a record, and return its time."""
        record = {"t": time.monotonic(), "who": who, "op": op, **fields}
        self.records.append(record)
        if self.folder is not None:
            if who not in self.files:
                self.files[who] = open(self.folder / f"{who}.jsonl", "a")  # noqa: SIM115
            self.files[who].write(json.dumps(record) + "\n")
        return record["t"]

    def is_new(self, *line: str) -> bool:
        """Return True for a row of a room list that is not recorded yet. All pages of a time zone
        are sent the same rows, so one record is enough."""
        if line in self._lines:
            return False
        self._lines.add(line)
        return True

    def close(self) -> None:
        for file in self.files.values():
            file.close()


def read(folder: Path) -> list[Record]:
    """Return all records in a folder, by time."""
    lines = [line for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    return sorted((json.loads(line) for line in lines), key=lambda record: record["t"])
