"""Checks what an imported record contains. All functions raise ValueError for anything invalid.

A file may come from anybody and contain anything, so each number has bounds, and each text must be
one that can be stored. Texts of a foreign file (one that is imported without --all) are cleaned as
if they had been typed, and only known fields are imported.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

from ..domain.emoji import stored_emoji
from ..domain.errors import Invalid
from ..domain.events import ADD, POST, START, UNCOUNTED, StoredEvent
from ..domain.file_types import MAX_FILES, PLAIN, TYPES, clean_file_name
from ..domain.validation import (
    MAX_ABOUT_CHARS,
    MAX_BODY_CHARS,
    MAX_NAME_CHARS,
    MAX_ROOM_NAME_CHARS,
    clean_caption,
    clean_line,
    clean_name,
)
from ..domain.wire_text import has_surrogate
from . import keys

Record = dict[str, Any]

MAX_NUMBER = 2**32 - 1  # of an event; the search index has no more bits
MAX_BYTES = 2**40  # of a file
MAX_RANDOM_ROOMS = 10**9  # that have ever existed
MAX_TEXT_CHARS = 200_000  # of a text that is stored unchanged
MAX_ENTRIES = 10_000  # of one record; an export writes 1000
DAY_MS = 24 * 3600 * 1000
MAX_MISSING_EVENTS = 1000  # without a deletion: events are deleted during an export

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGITS = re.compile(r"\d{1,15}")
_NOTE = re.compile(r"[a-z]{0,20}")  # why an image is not displayed (attachments.NOTES)
_HEX = re.compile(r"[0-9a-f]{4}|")
_KINDS = (POST, START, ADD, *UNCOUNTED)
_ROOM_KINDS = ("open", "closed", "direct", "random", "ended")


def check_id(found: Any) -> str:
    """An id of a room, a person or a file."""
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise ValueError(f"{str(found)[:40]!r} is not an id")
    return found


def number(found: Any, most: int = MAX_NUMBER) -> int:
    """A whole number from 0 to `most`."""
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= most:
        raise ValueError(f"{str(found)[:40]} is not a number from 0 to {most}")
    return found


def moment(found: Any, later: int = DAY_MS) -> int:
    """Return a time in ms since 1970, which is at most `later` ms from now."""
    return number(found, int(time.time() * 1000) + later)


def until(found: Any) -> int | None:
    """When something expires, in ms since 1970: within ten years; None for never."""
    return None if found is None else moment(found, 3650 * DAY_MS)


def text(found: Any, most: int = MAX_TEXT_CHARS) -> str:
    """Return the value if it is a text of at most `most` characters that UTF-8 can represent."""
    if not isinstance(found, str) or len(found) > most or has_surrogate(found):
        raise ValueError("a text that is too long, or contains invalid characters")
    return found


def texts(found: Any, most: int = MAX_ENTRIES) -> dict[str, str]:
    """A mapping of texts."""
    if not isinstance(found, dict) or len(found) > most:
        raise ValueError("texts by name are missing")
    return {text(name, 500): text(value) for name, value in found.items()}


def beside(kind: str, found: Any, upto: int) -> dict[str, Any]:
    """Return what is stored beside the events of a room whose newest number is `upto`."""
    if not isinstance(found, dict) or len(found) > MAX_ENTRIES:
        raise ValueError(f"{kind} are not an object")
    if kind in ("edits", "reactions", "mentions"):
        return {str(_digits(seq, upto)): text(value) for seq, value in found.items()}
    if kind == "quiet":
        return {str(_digits(seq, upto)): number(at, upto) for seq, at in found.items()}
    if kind == "members":
        return {check_id(uid): moment(at) for uid, at in found.items()}
    if kind == "read":
        return {check_id(uid): number(seq, upto) for uid, seq in found.items()}
    if kind == "files":
        return {check_id(fid): number(seq, upto) for fid, seq in found.items()}
    if kind == "mentioned":
        return {_mentioned(entry, upto): number(zero, 0) for entry, zero in found.items()}
    return {text(nonce, 500): number(seq, upto) for nonce, seq in found.items()}


def _digits(found: Any, most: int = MAX_NUMBER) -> int:
    """A whole number from 0 to `most` that is written as a text."""
    if not isinstance(found, str) or not _DIGITS.fullmatch(found):
        raise ValueError("a text is not a number")
    return number(int(found), most)


def _mentioned(entry: str, upto: int) -> str:
    uid, at, seq = text(entry, 200).split(" ")
    if uid != "*":
        check_id(uid)
    number(int(at), MAX_BYTES * 4)
    _digits(seq, upto)
    return entry


# A foreign file


def public_person(fields: Record) -> dict[str, str]:
    """The fields of a new person."""
    given = texts(fields)
    clean = {"name": a_name(given.get("name", "")), "imported": "1"}
    if about := _or_nothing(clean_line, given.get("about", ""), "text", MAX_ABOUT_CHARS):
        clean["about"] = about
    for name in ("picture", "bot"):
        if ident := given.get(name):
            clean[name] = check_id(ident)
    if given.get("off"):
        clean["off"] = "1"
    return clean


def foreign_room(fields: Record) -> dict[str, str]:
    """The fields of a room without `last`, which comes from its events."""
    given = texts(fields)
    kind = given.get("kind", "")
    if kind not in _ROOM_KINDS:
        raise ValueError("an unknown kind of room")
    if kind == "direct":
        name = " ".join(check_id(uid) for uid in given.get("name", "").split(" "))
    else:
        name = _or_nothing(clean_name, given.get("name", ""), "name", MAX_ROOM_NAME_CHARS) or "?"
    clean = {
        "name": name,
        "kind": kind,
        "about": _or_nothing(clean_line, given.get("about", ""), "text", MAX_ABOUT_CHARS),
        "epoch": check_id(given.get("epoch")),
        "seq": str(number(int(given.get("seq", "")))),
        "created": str(moment(int(given.get("created", "0")))),
    }
    if owner := given.get("owner"):
        clean["owner"] = check_id(owner)
    if first := given.get("first"):
        clean["first"] = str(number(int(first)))
    return clean


def foreign_event(data: Any, n: int, upto: int) -> list[str]:
    """The fields of an event in its stored form (events.StoredEvent), with clean texts."""
    fields = json.loads(text(data))
    if not isinstance(fields, list):
        raise ValueError("an invalid event")
    event = StoredEvent(*map(text, fields))
    if event.kind not in _KINDS or not _HEX.fullmatch(event.tag) or event.same not in ("", "1"):
        raise ValueError("an invalid event")
    for ident in filter(None, (event.uid, event.picture)):
        check_id(ident)
    _digits(event.number)  # of members, or of an earlier message
    moment(_digits(event.before, MAX_BYTES * 4))
    name = a_name(event.name) if event.uid else ""
    is_emoji = event.kind in ("react", "unreact")
    body = stored_emoji(event.body) if is_emoji else a_body(event.body)
    files = ["", _files(event.files)] if event.files else []
    return [*event._replace(name=name, body=body)[:9], *files]


def foreign_beside(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """The result of `beside`, with clean texts."""
    if kind == "edits":
        return {seq: a_body(value) for seq, value in values.items()}
    if kind == "reactions":
        return {seq: _dumps(list(_reactions(value))) for seq, value in values.items()}
    if kind == "mentions":
        return {seq: _dumps(list(_mentions(value))) for seq, value in values.items()}
    return values


def people_beside(kind: str, values: dict[str, Any]) -> Iterator[str]:
    """The ids of people in the result of `foreign_beside`."""
    if kind in ("members", "read"):
        yield from values
    elif kind == "reactions":
        yield from (one[1] for value in values.values() for one in json.loads(value))
    elif kind == "mentions":
        named = (uids for value in values.values() for _, uids in json.loads(value))
        yield from (uid for uids in named for uid in uids.split(" ") if uid != "*")
    elif kind == "mentioned":
        yield from (uid for entry in values if (uid := entry.partition(" ")[0]) != "*")


def a_name(found: str) -> str:
    """A person's name, made clean; "?" for none."""
    longest = 4 * MAX_NAME_CHARS
    name = _or_nothing(clean_name, found[:longest], "name", longest)
    return name[:MAX_NAME_CHARS] or "?"


def a_body(found: str) -> str:
    """A message's body, made clean and cut to the maximum length."""
    return _or_nothing(clean_caption, found[:MAX_BODY_CHARS])


def _or_nothing(clean: Any, *args: Any) -> str:
    try:
        return str(clean(*args))
    except Invalid:
        return ""


def _reactions(value: str) -> Iterator[list[Any]]:
    for emoji, uid, name, seq in json.loads(value):
        number(abs(seq) if isinstance(seq, int) else seq)
        try:
            yield [stored_emoji(text(emoji)), check_id(uid), a_name(text(name)), seq]
        except Invalid as error:
            raise ValueError(error.text) from None


def _mentions(value: str) -> Iterator[list[str]]:
    for name, uids in json.loads(value):
        clean = [uid if uid == "*" else check_id(uid) for uid in text(uids).split(" ")]
        yield [a_name(text(name)), " ".join(clean)]


def _files(value: str) -> str:
    found = json.loads(value)
    if not isinstance(found, list) or len(found) > MAX_FILES:
        raise ValueError("an invalid list of files")
    clean = []
    for fid, name, size, type, width, height, *rest in found:
        if type not in (PLAIN, *TYPES.values()):
            raise ValueError("an unknown type of file")
        sides = number(width, 100_000), number(height, 100_000)
        if (sides[0] > 0) != (sides[1] > 0):
            raise ValueError("an image with a width and no height, or the reverse")
        named = clean_file_name(text(name, 1000))
        (note,) = rest or [""]
        if not isinstance(note, str) or not _NOTE.fullmatch(note):
            raise ValueError("an invalid note on a file")
        clean.append([check_id(fid), named, number(size, MAX_BYTES), type, *sides, note])
    return _dumps(clean)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def direct_id(name: str) -> str:
    """The id of the direct room with this name, which is the ids of its members."""
    return keys.direct_room_id(sorted(name.split(" ")))
