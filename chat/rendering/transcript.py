"""Exports a room as one HTML file that people can keep, read and search.

The file loads nothing and contains no ids of people. Avatars are initials, files are only named,
and links lead to other messages in the file.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from jinja2 import Environment, FileSystemLoader

from ..domain.events import Event
from ..media.attachments import file_size
from ..store import Store
from . import cached_html
from .assets import folder
from .text_renderer import Texts

EVENTS_IN_MEMORY = 1000


def transcript(store: Store, rid: str) -> Iterator[str]:
    """The file in pieces. Times are in the server's zone. Raises NotFound."""
    room = store.rooms.get(rid)
    env = Environment(loader=FileSystemLoader(folder("templates")), autoescape=True)
    cached_html.init(env, Texts())
    macros: Any = env.get_template("transcript.html").module
    yield str(macros.begin(room, f"{datetime.now().astimezone():%-d %B %Y, %H:%M %Z}"))
    day, after = "", 0
    while events := store.messages.after(rid, after, EVENTS_IN_MEMORY):
        for event in events:
            date = f"{datetime.fromtimestamp(event.at / 1000):%A, %-d %B %Y}"
            if date != day:
                day = date
                yield str(macros.day(day))
            yield str(macros.item(_with_file_names(event)))
        after = events[-1].seq
    yield str(macros.end())


def _with_file_names(event: Event) -> Event:
    """The event with its files' names in its text, and without mentions, which contain ids."""
    names = "".join(f"\n[{file.name}, {file_size(file.size)}]" for file in event.files)
    return replace(event, mentions=(), body=(event.body + names).strip())
