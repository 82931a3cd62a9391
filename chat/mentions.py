"""Who is mentioned in a message: `@` and the name, as it stands in what people type."""

import re
from collections.abc import Iterable

# Before the `@` no letter, or every e-mail address would mention somebody. After the name none
# either, nor a hyphen that goes on: `@Ann-Marie` is not Ann.
_BEFORE, _AFTER = r"(?<!\w)@", r"(?!-?\w)"


def mentioned(body: str, names: Iterable[str]) -> set[str]:
    """Those of `names` that `body` mentions, whatever the case of the letters. Where one name is
    the beginning of another, the longer one that fits is meant."""
    if "@" not in body:
        return set()
    known: dict[str, set[str]] = {}
    for name in names:
        known.setdefault(_folded(name), set()).add(name)
    if not known:
        return set()
    longest = sorted(map(re.escape, known), key=len, reverse=True)
    found = re.findall(f"{_BEFORE}({'|'.join(longest)}){_AFTER}", _folded(body))
    return set().union(*(known[name] for name in found))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
