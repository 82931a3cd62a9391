"""What admins did to whom, and who signed in where it matters: kept, newest first."""

from dataclasses import dataclass
from typing import Any

from . import keys
from .person import Person

KEPT = 100_000  # entries


@dataclass(frozen=True, slots=True)
class Entry:
    """`who` did `what` to `whom` (names as they were), at `at` ms since 1970."""

    eid: str
    at: int
    who: str
    what: str
    whom: str
    address: str


class AuditLog:
    def __init__(self, client: Any) -> None:
        self.client = client

    def note(self, who: Person, what: str, whom: str = "", address: str = "") -> None:
        """Write down that somebody did something."""
        by = f"{who.name} ({who.login or who.uid})"
        fields = {"who": by, "what": what, "whom": whom, "address": address}
        self.client.xadd(keys.AUDIT, fields, maxlen=KEPT, approximate=True)

    def note_console(self, what: str, whom: str = "") -> None:
        """Write down what somebody did on the machine, where nobody signs in."""
        fields = {"who": "the console", "what": what, "whom": whom, "address": ""}
        self.client.xadd(keys.AUDIT, fields, maxlen=KEPT, approximate=True)

    def before(self, eid: str = "", limit: int = 50) -> list[Entry]:
        """The newest entries, or those before the one with id `eid`. Raises ResponseError for
        what is no id."""
        entries = self.client.xrevrange(keys.AUDIT, f"({eid}" if eid else "+", "-", count=limit)
        return [Entry(i, int(i.partition("-")[0]), **fields) for i, fields in entries]
