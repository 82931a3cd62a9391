"""Pages of a long list: the part that the address asks for, and links to the next ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import request

from ..domain.validation import number

PAGE_ROWS = 100  # of a list on one page


@dataclass(frozen=True, slots=True)
class Paging:
    """A page of a list. It begins with row `start` (0: the first) of `total` rows. `before` and
    `after` are the addresses of the previous and the next page, "" for none."""

    start: int
    total: int
    before: str = ""
    after: str = ""

    @property
    def is_part(self) -> bool:
        """True if there are other pages."""
        return bool(self.before or self.after)

    @property
    def last(self) -> int:
        """The number of rows up to the end of this page."""
        return min(self.total, self.start + PAGE_ROWS)


def paging(total: int) -> Paging:
    """The page that the address asks for: `?page=2` is the second."""
    last = max(0, total - 1) // PAGE_ROWS
    page = min(max(number(request.args.get("page", "")) - 1, 0), last)
    before = address(page=str(page)) if page > 0 else ""
    after = address(page=str(page + 2)) if page < last else ""
    return Paging(page * PAGE_ROWS, total, before, after)


def part(rows: Sequence[Any]) -> tuple[Sequence[Any], Paging]:
    """Return those of `rows` that are on the requested page."""
    here = paging(len(rows))
    return rows[here.start : here.start + PAGE_ROWS], here


def address(**changes: str) -> str:
    """The address of this page with changed query fields; "" removes a field."""
    fields = {**request.args.to_dict(), **changes}
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"{request.path}?{query}" if query else request.path
