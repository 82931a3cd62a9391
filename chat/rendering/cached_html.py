"""Caches HTML that pages and pushes share: messages, lists of messages, rows of the room list,
avatars and room headers.

The key of a cache is the content, the time zone and the date there. `init` gives the functions and
the filters to templates.
"""

import logging
import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ..domain.events import NO_REACTIONS, POST, Event, Events, tombstone, unreadable
from ..runtime.cooperation import in_pieces
from ..store import Room, Row
from .environment import escape_output
from .filters import FILTERS
from .local_time import new_day, today, when
from .room_list import unread_elsewhere
from .text_renderer import Texts

log = logging.getLogger(__name__)

CACHED_MESSAGES = 4096  # also of room rows and of avatars
CACHED_LISTS = 128  # whole pages of messages
CACHED_HEADERS = 512
CACHED_TEMPLATES = 512  # of one macro, by the arguments that are not slots
# Longer messages and lists (Event.size) are not cached. The HTML of dense code is ten times as long
# as its text, and must not fill the cache.
MAX_CACHED_MESSAGE_CHARS = 1_000
MAX_CACHED_LIST_CHARS = 20_000

# attrgetter runs in C; each room page reads these of all its messages.
_body, _mentions, _reactions = map(attrgetter, ("body", "mentions", "reactions"))
_NO_REACTIONS_ONLY = {id(NO_REACTIONS)}

SLOT_MARK = "\0"  # is on both sides of a slot's name while the macro is rendered
_SLOT = re.compile(f"{SLOT_MARK}(\\w+){SLOT_MARK}")


def init(env: Environment, texts: Texts) -> None:
    """Give templates the filters and the cached HTML. `texts` renders messages."""
    cached = CachedHtml(env, texts)
    env.globals |= {
        "avatar_of": cached.avatar,
        "empty_composer_of": PrecompiledTemplate(env, "macros/composer.html", "empty_composer"),
        "in_pieces": in_pieces,
        "message": cached.message,
        "message_list": cached.message_list,
        "panel_footer": PrecompiledTemplate(env, "macros/rooms.html", "footer"),
        "room_header": cached.room_header,
        "room_list_row": cached.room_row,
        "tombstone": tombstone,
        "unread_elsewhere": unread_elsewhere,
    }
    env.filters |= {"gist": texts.gist, "markdown": texts.render}
    env.filters |= {function.__name__: function for function in FILTERS}


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


class CachedHtml:
    def __init__(self, env: Environment, texts: Texts) -> None:
        self._env = env
        self._texts = texts
        self._post = PrecompiledTemplate(env, "macros/messages.html", "post")
        self._cached_message = lru_cache(CACHED_MESSAGES)(self._make_message)
        self._cached_list = lru_cache(CACHED_LISTS)(self._make_list)
        self._cached_row = lru_cache(CACHED_MESSAGES)(self._make_row)
        self._cached_header = lru_cache(CACHED_HEADERS)(partial(self._macro, "rooms", "header"))
        self.avatar = lru_cache(CACHED_MESSAGES)(partial(self._macro, "ui", "avatar"))

    def message(self, event: Event, zone: str, silent: bool = False) -> Markup:
        """An event as an item of the message list; `silent`: screen readers do not announce it."""
        plain = event.reactions is NO_REACTIONS and not event.mentions  # as nearly all messages are
        size = len(event.body) if plain else event.size
        make = self._cached_message if size <= MAX_CACHED_MESSAGE_CHARS else self._make_message
        return make(event, zone, silent, today(zone))

    def message_list(
        self, events: Sequence[Event], new: int, zone: str, silent: bool = False
    ) -> Markup:
        """Events as items, with a line above number `new`, the first unread one (0: none is)."""
        size = sum(map(len, map(_body, events)))
        has_reactions = set(map(id, map(_reactions, events))) != _NO_REACTIONS_ONLY
        if has_reactions or any(map(_mentions, events)):
            size = sum(event.size for event in events)
        make = self._cached_list if size <= MAX_CACHED_LIST_CHARS else self._make_list
        return make(Events(events), new, zone, silent, today(zone))

    def room_row(self, row: Row, current: bool, zone: str) -> Markup:
        """A room in the room list; `current`: it is the one on screen."""
        small = row.room.last.size <= MAX_CACHED_MESSAGE_CHARS
        make = self._cached_row if small else self._make_row
        return make(row, current, zone, today(zone))

    def room_header(self, room: Room, size: int) -> Markup:
        """The header of a room that has `size` members."""
        return self._cached_header(room.rid, room.name, room.kind, room.about, size)

    def _macro(self, file: str, name: str, *args: object) -> Markup:
        """Return what a macro of templates/macros renders for these arguments."""
        macros = self._env.get_template(f"macros/{file}.html").module
        return Markup(getattr(macros, name)(*args))

    def _make_message(self, event: Event, zone: str, silent: bool, today: date) -> Markup:
        try:
            if event.kind == POST:
                return self._make_post(event, zone, silent)
            return self._macro("messages", "item", event, zone, silent)
        except Exception:
            log.exception("cannot show event %d of room %s", event.seq, event.room)
            return self._macro("messages", "item", unreadable(event), zone, silent)

    def _make_post(self, event: Event, zone: str, silent: bool) -> Markup:
        """A message by a person. Macros for parts that few messages have are called only for
        those."""
        macro, seq, day = self._macro, str(event.seq), ""
        if event.before or event.seq == 1:
            day = new_day(event.at, event.before, zone)
        return self._post(
            event.same and not day,
            silent,
            day=macro("messages", "day_line", day) if day else "",
            room=event.room,
            seq=seq,
            at=str(event.at),
            uid=event.uid,
            name=event.name,
            avatar=self.avatar(event.uid, event.name, event.picture),
            tag=macro("ui", "tag_of", event) if event.tag else "",
            time=when(event.at, zone),
            edited=macro("messages", "edited", seq) if event.edited else "",
            quote=macro("messages", "quoted", event) if event.quote else "",
            body=self._texts.render(event.body, event.mentions),
            files=macro("files", "files", event) if event.files else "",
            reactions=macro("reactions", "chips", event) if event.reactions.all else "",
        )

    def _make_list(
        self, events: tuple[Event, ...], new: int, zone: str, silent: bool, today: date
    ) -> Markup:
        return self._macro("messages", "message_items", events, new, zone, silent)

    def _make_row(self, row: Row, current: bool, zone: str, today: date) -> Markup:
        return self._macro("rooms", "row", row, current, zone)
