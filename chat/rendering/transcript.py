"""A room as one HTML file for people to keep, read and search, made of the messages that pages
show. Pictures are initials, links lead nowhere but to other messages of the file, and it holds
nobody's id."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from jinja2 import Environment, FileSystemLoader

from ..domain.events import Event
from ..media.attachments import size
from ..store import Store
from . import cached_html
from .assets import folder

PAGE = 1000  # events that are in memory at once
# What a person writes cannot look like these: it is escaped.
_PERMALINK = re.compile(r'href="/rooms/[\w-]+/messages/\d+(#m-\d+)"')
_MENU = re.compile(r'<button form="menu"[^>]*>More</button>')
_REACTION = re.compile(r'<button class="reaction"[^>]*( title="[^"]*")>([^<]*)</button>')
_ELSEWHERE = re.compile(r' href="/[^"]*"')
# What the chat's own pages work with: who wrote what, and up to where a page has come.
_TAG = re.compile(r"<[a-z][^<>]*>")
_FOR_PAGES = re.compile(r' (?:data|hx)-[a-z-]+(?:="[^"]*")?(?=[ >])')
_FIELD = re.compile(r"<input[^<>]*>\n?")


def transcript(store: Store, rid: str) -> Iterator[str]:
    """The file, piece by piece; times are in the server's zone. Raises NotFound."""
    room = store.rooms.get(rid)
    env = Environment(loader=FileSystemLoader(folder("templates")), autoescape=True)
    cached_html.init(env)
    page: Any = env.get_template("transcript.html").module
    yield str(page.begin(room, f"{datetime.now().astimezone():%-d %B %Y, %H:%M %Z}"))
    day, after = "", 0
    while events := store.messages.after(rid, after, PAGE):
        for event in events:
            date = f"{datetime.fromtimestamp(event.at / 1000):%A, %-d %B %Y}"
            if date != day:
                day = date
                yield str(page.day(day))
            item = str(env.globals["message"](_alone(event), ""))  # type: ignore[operator]
            item = _REACTION.sub(r'<span class="reaction"\1>\2</span>', _MENU.sub("", item))
            item = _TAG.sub(lambda tag: _FOR_PAGES.sub("", tag[0]), _FIELD.sub("", item))
            yield _ELSEWHERE.sub("", _PERMALINK.sub(r'href="\1"', item)) + "\n"
        after = events[-1].seq
    yield str(page.end())


def _alone(event: Event) -> Event:
    """An event without what the file cannot show: of pictures and files it says the names."""
    names = "".join(f"\n[{file.name}, {size(file.size)}]" for file in event.files)
    return replace(event, picture="", files=(), body=(event.body + names).strip())
