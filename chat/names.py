"""Names that are like what somebody typed."""

from .store.people import folded

SAME, BEGINS, HAS = range(3)


def likeness(typed: str, name: str) -> int | None:
    """SAME when a name is what was typed, BEGINS when one of its words begins so, HAS when it is
    anywhere in it, None otherwise; case and accents do not count."""
    wanted, there = folded(typed), folded(name)
    if wanted == there:
        return SAME
    if f" {wanted}" in f" {there}":
        return BEGINS
    return HAS if wanted in there else None
