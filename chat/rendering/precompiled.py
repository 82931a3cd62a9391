"""Macros that are rendered once, after which only their slots are filled in."""

import re
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from .environment import escape_output

CACHED_TEMPLATES = 512  # of one macro, by the arguments that are not slots
SLOT_MARK = "\0"  # is on both sides of a slot's name while the macro is rendered
_SLOT = re.compile(f"{SLOT_MARK}(\\w+){SLOT_MARK}")


class PrecompiledTemplate:
    """A macro that is rendered once for each set of positional arguments. Keyword arguments are
    slots: they differ from call to call. Filling them in takes a tenth of the time of rendering.

    The macro can output a slot any number of times, but must not test or change it. The text in a
    slot is not searched for slots. Never pass text that people write as a positional argument.
    """

    def __init__(self, env: Environment, file: str, macro: str) -> None:
        def compiled(names: tuple[str, ...], *args: Any) -> str:
            """The macro as a format for the `%` operator."""
            macros: Any = env.get_template(file).module
            slots = {name: f"{SLOT_MARK}{name}{SLOT_MARK}" for name in names}
            text = str(getattr(macros, macro)(*args, **slots)).replace("%", "%%")
            return _SLOT.sub(r"%(\1)s", text)

        self._compiled = lru_cache(maxsize=CACHED_TEMPLATES)(compiled)

    def __call__(self, *args: Any, **slots: Any) -> Markup:
        return Markup(self.text(*args, **slots))

    def text(self, *args: Any, **slots: Any) -> str:
        """Return the same as a plain string."""
        compiled = self._compiled(tuple(slots), *args)
        return compiled % {name: escape_output(value) for name, value in slots.items()}
