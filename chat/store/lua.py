"""Lua scripts that are called with named keys and arguments.

A script in `scripts/` declares its keys and arguments once, in its header:

    -- @room             the keys of a room (keys.ROOM_KEYS)
    -- @imported         the same keys but the first, of a room that is being imported
    -- @webhook          the keys of a bot's webhook (keys.WEBHOOK_KEYS)
    -- @key queue        one key
    -- @event            the fields of an event that its author knows; Lua has them as `event`
    -- @arg limit        one argument
    -- @rest uids        any number of arguments at the end
    -- @include append   the code of scripts/append.lua comes first

and uses the names: `KEYS.queue`, `ARGV.limit`, `REST.uids` (the place in ARGV of the first of
them), `FIELD.body` (the place of a field in a stored event), `event.body` (that field of `event`)
and `CONST.POST` (a constant of the Python code). Before a script is sent to Redis, each name is
replaced by its position or value. So the order is written down in one place, and the names cost
nothing when a script runs.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..domain import events
from . import keys
from .room_kinds import ENDED_ROOM_SECONDS

_FOLDER = Path(__file__).parent / "scripts"
_DIRECTIVE = re.compile(r"^-- @(\w+)(?: +(\w+))?", re.M)
_NAME = re.compile(r"\b(KEYS|ARGV|REST|FIELD|CONST|event)\.(\w+)")
_FIELDS = events.StoredEvent._fields
_ROOM = tuple(keys.ROOM_KEYS)


def _words(values: Iterable[str]) -> str:
    """Return a Lua text with a space before and after each value; a table would be built at each
    call."""
    return json.dumps(f" {' '.join(values)} ")


_CONSTANTS = {
    "POST": json.dumps(events.POST),
    "UNCOUNTED": _words(events.UNCOUNTED),
    "SILENT": _words(events.SILENT),
    "SAME_AUTHOR_MS": str(events.SAME_AUTHOR_MS),
    "ENDED_ROOM_SECONDS": str(ENDED_ROOM_SECONDS),
    "ROOM_KEYS": str(len(_ROOM)),
    "RELOAD": json.dumps(keys.RELOAD),
}
# An array in the order of the stored form, which append.lua completes.
_EVENT = (
    f"local event = {{{', '.join(f'ARGV[{n}]' for n in range(1, len(events.AUTHORED) + 1))}}}\n"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A script as it is sent to Redis, and the order of its keys and arguments."""

    text: str
    keys: tuple[str, ...]
    args: tuple[str, ...]  # except those of the event


@cache
def source(name: str) -> Source:
    """The script of this name. Raises ValueError for one that uses a name it does not declare."""
    text = (_FOLDER / f"{name}.lua").read_text()
    found: dict[str, list[str]] = {}
    for what, value in _DIRECTIVE.findall(text):
        found.setdefault(what, []).append(value)
    groups: dict[str, Iterable[str]] = {"room": _ROOM, "webhook": keys.WEBHOOK_KEYS}
    key_names = [key for group in groups if group in found for key in groups[group]]
    key_names += found.get("key", [])
    args, rest = found.get("arg", []), found.get("rest", [""])[0]
    all_args = [*(events.AUTHORED if "event" in found else ()), *args]
    parts = [(_FOLDER / f"{part}.lua").read_text() for part in found.get("include", [])]
    if "event" in found:
        parts.append(_EVENT)
    names = {f"KEYS.{key}": f"KEYS[{n}]" for n, key in enumerate(key_names, 1)}
    names |= {f"ARGV.{arg}": f"ARGV[{n}]" for n, arg in enumerate(all_args, 1)}
    names |= {f"REST.{rest}": str(len(all_args) + 1)}
    names |= {f"FIELD.{field}": str(n) for n, field in enumerate(_FIELDS, 1)}
    names |= {f"event.{field}": f"event[{n}]" for n, field in enumerate(_FIELDS, 1)}
    names |= {f"CONST.{constant}": value for constant, value in _CONSTANTS.items()}

    def replaced(match: re.Match[str]) -> str:
        if match[0] not in names:
            raise ValueError(f"{name}.lua uses {match[0]}, which it does not declare")
        return names[match[0]]

    whole = _NAME.sub(replaced, "".join([*parts, text]))
    return Source(whole, tuple(key_names), tuple(args))


class Script:
    """A script over one connection, called by the names of its keys and arguments."""

    def __init__(self, client: Any, name: str) -> None:
        self._source = source(name)
        self._run = client.register_script(self._source.text)

    def __call__(
        self,
        keys: Sequence[str] | None = None,
        event: Sequence[str] = (),
        rest: Iterable[Any] = (),
        **values: Any,
    ) -> Any:
        """Run the script and return its answer. `keys` are all keys in order, unless they are among
        the `values`; `event` is the result of `events.authored`. Raises KeyError or TypeError for a
        name that is missing or unknown, and redis's errors."""
        if keys is None:
            keys = [values.pop(name) for name in self._source.keys]
        return self._run(keys=keys, args=self._arguments(event, values, rest))

    def each(self, keys: Iterable[Sequence[str]], **values: Any) -> list[Any]:
        """Run the script with each of these sets of keys and the same values, and return the
        answers."""
        args = self._arguments((), values, ())
        if many := getattr(self._run, "many", None):
            return list(many([(names, args) for names in keys]))
        return [self._run(keys=names, args=args) for names in keys]  # a client without a loop

    def _arguments(
        self, event: Sequence[str], values: dict[str, Any], rest: Iterable[Any]
    ) -> list[Any]:
        names = self._source.args
        if len(values) != len(names):
            raise TypeError(f"expected {names}, not {tuple(values)}")
        return [*event, *(values[name] for name in names), *rest]
