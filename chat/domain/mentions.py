"""Mentions in a message: `@` and a name, in the text that people type.

`Mentions` are the names, as they were typed, each with the ids of the people whom it mentions,
joined by spaces.
"""

import json
import re
from collections.abc import Iterable, Iterator

Mentions = tuple[tuple[str, str], ...]

HERE, ROOM = "here", "room"  # the words that mention the present members, and all members
WORDS = frozenset((HERE, ROOM))
EVERYBODY = "*"  # in place of an id
MAX_SIGNS = 20  # `@` in one message; the rest is ignored
MAX_ENDS = 8  # places after an `@` where the name may end

# There is no letter before the `@`, so that e-mail addresses mention nobody. There is no letter
# after the name, and no hyphen with a letter: `@Ann-Marie` does not mention Ann.
_BEFORE, _AFTER = r"(?<!\w)@", r"(?!-?\w)"
_SIGN = re.compile(r"(?<!\w)@(?=\S)")
_PIECE = re.compile(r"\w+|[^\w\s]")
_MAX_NAME_CHARS = 80  # of a name with any spaces in it
_LAST = re.compile(r"(?<!\w)@([^@\n]{0,40})\Z")
_CODE = re.compile(r"`[^`\n]*`")


def mentioned(body: str, names: Iterable[str]) -> set[str]:
    """Return those of `names` that `body` mentions, in upper or lower case. If one name is the
    beginning of another, the longest one that fits counts."""
    if "@" not in body:
        return set()
    known: dict[str, set[str]] = {}
    for name in names:
        known.setdefault(folded(name), set()).add(name)
    if not known:
        return set()
    longest = sorted(map(re.escape, known), key=len, reverse=True)
    found = re.findall(f"{_BEFORE}({'|'.join(longest)}){_AFTER}", folded(body))
    return set().union(*(known[name] for name in found))


def candidates(body: str) -> list[str]:
    """Return all texts in `body` that may be mentioned names: they begin after an `@` and end where
    a name may end. Their number is limited."""
    found: dict[str, None] = {}
    for sign in list(_SIGN.finditer(body))[:MAX_SIGNS]:
        text = body[sign.end() : sign.end() + _MAX_NAME_CHARS]
        for _, piece in zip(range(MAX_ENDS), _PIECE.finditer(text), strict=False):
            found.setdefault(text[: piece.end()])
    return list(found)


def without_code(body: str) -> str:
    """A body without its code, where an `@` means something else."""
    lines, fenced = [], False
    for line in body.split("\n"):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            lines.append(_CODE.sub("` `", line))
    return "\n".join(lines)


def begun(body: str) -> str | None:
    """Return the beginning of a name if `body` ends with it and an `@` before it; otherwise
    None."""
    found = _LAST.search(body[-60:])
    return found[1] if found and not found[1].startswith(" ") else None


def completed(body: str, name: str) -> str:
    """Return `body` with the full name in place of what `begun` finds, and a space after it."""
    start = begun(body)
    before = body if start is None else body[: len(body) - len(start) - 1]
    space = "" if start is not None or not before or before[-1].isspace() else " "
    return f"{before}{space}@{name} "


def marks(text: str, mentions: Mentions) -> Iterator[tuple[str, str]]:
    """A text in pieces, each with the ids of the people whom it mentions, or ""."""
    known = {folded(name): uids for name, uids in mentions}
    names = sorted(known, key=len, reverse=True)
    spaced = ("\\s+".join(map(re.escape, name.split())) for name in names)
    end = 0
    for found in re.finditer(f"{_BEFORE}({'|'.join(spaced)}){_AFTER}", text, re.I):
        if uids := known.get(folded(found[1])):
            yield text[end : found.start()], ""
            yield found[0], uids
            end = found.end()
    yield text[end:], ""


def pack(mentions: Mentions) -> str:
    """The stored form of mentions."""
    return json.dumps(mentions, ensure_ascii=False, separators=(",", ":"))


def unpack(text: str) -> Mentions:
    """Parse the stored form. Raises ValueError."""
    return tuple((str(name), str(uids)) for name, uids in json.loads(text))


def reached(mentions: Mentions) -> list[str]:
    """The ids of all people who are mentioned, each once. EVERYBODY may be among them."""
    return list(dict.fromkeys(uid for _, uids in mentions for uid in uids.split()))


def folded(text: str) -> str:
    """A name for comparisons: in lower case, with single spaces."""
    return " ".join(text.casefold().split())
