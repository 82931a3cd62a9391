"""Names that are like what somebody typed."""

from ..store.name_index import folded

SAME, BEGINS, HAS = range(3)


def likeness(typed: str, name: str) -> int | None:
    """SAME when a name is what was typed, BEGINS when one of its words begins so, HAS when it is
    anywhere in it, None otherwise; case and accents do not count."""
    return folded_likeness(folded(typed), folded(name))


def folded_likeness(wanted: str, there: str) -> int | None:
    """The same of texts that are folded, for who compares many: folding is most of the work."""
    if wanted == there:
        return SAME
    if f" {wanted}" in f" {there}":
        return BEGINS
    return HAS if wanted in there else None
