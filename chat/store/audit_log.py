"""The audit log: what administrators did, and sign-ins that matter for security. Newest first."""

from dataclasses import dataclass
from typing import Any

from . import keys
from .person import Person

MAX_ENTRIES = 100_000  # about; older ones are deleted


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`who` did `what` to `whom`, by the names at that time `at` (ms since 1970)."""

    eid: str
    at: int
    who: str
    what: str
    whom: str
    address: str


class AuditLog:
    def __init__(self, client: Any) -> None:
        self.client = client

    def note(self, who: Person | None, what: str, whom: str = "", address: str = "") -> None:
        """Add an entry. `who` is None for somebody on the console, who is not signed in."""
        by = f"{who.name} ({who.login or who.uid})" if who else "the console"
        fields = {"who": by, "what": what, "whom": whom, "address": address}
        self.client.xadd(keys.AUDIT, fields, maxlen=MAX_ENTRIES, approximate=True)

    def before(self, eid: str = "", limit: int = 50) -> list[AuditEntry]:
        """The newest entries, or those before the one with id `eid`. Raises ResponseError for an
        invalid id."""
        entries = self.client.xrevrange(keys.AUDIT, f"({eid}" if eid else "+", "-", count=limit)
        return [AuditEntry(i, int(i.partition("-")[0]), **fields) for i, fields in entries]
