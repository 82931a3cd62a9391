"""Who is mentioned in a message: `@` and the name, as it stands in what people type.

Mentions are names, as they were typed, each with the ids of those it reaches, joined by spaces.
"""

import json
import re
from collections.abc import Iterable, Iterator

Mentions = tuple[tuple[str, str], ...]

HERE, ROOM = "here", "room"  # who is here now, and everybody in the room
WORDS = frozenset((HERE, ROOM))
EVERYBODY = "*"  # in the place of an id
MAX_SIGNS = 20  # of `@` in one message that are looked at
MAX_ENDS = 8  # places behind one of them at which the name may end

# Before the `@` no letter, or every e-mail address would mention somebody. After the name none
# either, nor a hyphen that goes on: `@Ann-Marie` is not Ann.
_BEFORE, _AFTER = r"(?<!\w)@", r"(?!-?\w)"
_SIGN = re.compile(r"(?<!\w)@(?=\S)")
_PIECE = re.compile(r"\w+|[^\w\s]")
_MAX_NAME_CHARS = 80  # characters of a name with the spaces in it
_LAST = re.compile(r"(?<!\w)@([^@\n]{0,40})\Z")
_CODE = re.compile(r"`[^`\n]*`")


def mentioned(body: str, names: Iterable[str]) -> set[str]:
    """Those of `names` that `body` mentions, whatever the case of the letters. Where one name is
    the beginning of another, the longer one that fits is meant."""
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
    """What could be names in `body`, for somebody to look up: all that begins behind an `@` and
    ends where a name may. Their number has a limit, whatever is typed."""
    found: dict[str, None] = {}
    for sign in list(_SIGN.finditer(body))[:MAX_SIGNS]:
        text = body[sign.end() : sign.end() + _MAX_NAME_CHARS]
        for _, piece in zip(range(MAX_ENDS), _PIECE.finditer(text), strict=False):
            found.setdefault(text[: piece.end()])
    return list(found)


def without_code(body: str) -> str:
    """A body without what stands in it as code, where an `@` means something else."""
    lines, fenced = [], False
    for line in body.split("\n"):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            lines.append(_CODE.sub("` `", line))
    return "\n".join(lines)


def begun(body: str) -> str | None:
    """The beginning of a name behind an `@` with which `body` ends; None where it does not."""
    found = _LAST.search(body[-60:])
    return found[1] if found and not found[1].startswith(" ") else None


def completed(body: str, name: str) -> str:
    """`body` with a whole name in the place of what `begun` finds; behind it one can go on."""
    start = begun(body)
    before = body if start is None else body[: len(body) - len(start) - 1]
    space = "" if start is not None or not before or before[-1].isspace() else " "
    return f"{before}{space}@{name} "


def marks(text: str, mentions: Mentions) -> Iterator[tuple[str, str]]:
    """A text in pieces, each with the ids of those it mentions, "" for nobody."""
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
    """Mentions in their stored form."""
    return json.dumps(mentions, ensure_ascii=False, separators=(",", ":"))


def unpack(text: str) -> Mentions:
    """Build them from their stored form; raises ValueError for what is none."""
    return tuple((str(name), str(uids)) for name, uids in json.loads(text))


def reached(mentions: Mentions) -> list[str]:
    """The ids of whom they reach, EVERYBODY among them."""
    return list(dict.fromkeys(uid for _, uids in mentions for uid in uids.split()))


def folded(text: str) -> str:
    """A name as it is compared."""
    return " ".join(text.casefold().split())
