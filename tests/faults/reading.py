"""Parses what a page is sent: the fragments, as htmx would insert them."""

import html
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Shown:
    """An event in the list of a room; `body` is None unless it is a message. `label` is how the
    page shows the author and the time; None if it shows neither."""

    room: str
    seq: int
    at: int
    author: str
    body: str | None
    label: "Label | None" = None


class Label(NamedTuple):
    """The texts beside an event: the author's name, the full time (`title`), the short one, and the
    day above the event ("" for none)."""

    name: str
    whole: str
    short: str
    day: str


@dataclass(frozen=True, slots=True)
class Line:
    """A room's row in the room list: the time, author and text of its last message."""

    room: str
    time: str
    name: str
    body: str


@dataclass(frozen=True, slots=True)
class Here:
    """How many of the room's members are online."""

    room: str
    count: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The list of a room is replaced by the following events."""

    room: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """The page sends this epoch from now on."""

    epoch: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The acknowledgement of the composer `nonce`."""

    nonce: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The composer `nonce` keeps its text and shows why it was refused."""

    nonce: str
    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The person is no longer in the room on screen."""

    room: str


Told = Shown | Reset | Epoch | Stored | Refused | Gone | Here

_LIVE = r"\"#messages\[data-live=(?:'|&#39;)(?P<%s>[\w-]+)(?:'|&#39;)\]"
_PARTS = re.compile(
    "|".join(
        (
            r"<hx-upsert hx-target=" + _LIVE % "upsert" + '"',
            r"<hx-partial hx-target=" + _LIVE % "reset" + r'" hx-swap="innerHTML"',
            # A message that is on screen already, in its new form.
            r"<hx-partial hx-target=" + _LIVE % "again" + r" &gt; |" + _LIVE % "once" + " > ",
            r'<ol id="messages"[^>]* data-live="(?P<page>[\w-]+)"',
            r'<li id="m-(?P<seq>\d+)"(?P<item>.*?)name="after" value="(?P=seq)-(?P<at>\d+)">',
            r'<input type="hidden" name="epoch" value="(?P<epoch>[^"]*)">',
            r'hx-target="#c-(?P<stored>[\w-]+)" hx-swap="(?:beforeend"><i class="sent"|delete")',
            r'hx-target="#c-(?P<refused>[\w-]+)" hx-swap="afterbegin">(?P<why>.*?)</hx-partial>',
            r"hx-target=\"#panel\[data-room=(?:'|&#39;)(?P<gone>[\w-]+)(?:'|&#39;)\]\" "
            r'hx-swap="outerHTML"',
            r"hx-target=\"#panel\[data-room=(?:'|&#39;)(?P<present>[\w-]+)(?:'|&#39;)\] "
            r'\.panel__online" hx-swap="innerHTML">(?P<count>\d+) online',
        )
    ),
    re.S,
)
_AUTHOR = re.compile(r'data-author="([\w-]+)"')
_NAME = re.compile(r"<bdi>(.*?)</bdi>", re.S)
_TIME = re.compile(r'<time datetime="[^"]*" title="([^"]*)">([^<]*)</time>')
_DAY = re.compile(r'<p class="day"><time datetime="[^"]*">([^<]*)</time>')
_LINE = re.compile(
    r'last-([\w-]+)"(?: hx-swap="innerHTML")?><span class="row__time">([^<]*)</span>'
    r'<span class="row__last"><bdi>([^<]*)</bdi>: <bdi>(.*?)</bdi>',
    re.S,
)
_BODY = re.compile(r'<div class="message__body"[^>]*>(.*?)</div>', re.S)


def told(text: str) -> Iterator[Told]:
    """Yield what a frame, or a whole page, shows, in order."""
    room = ""
    for part in _PARTS.finditer(text):
        kind = part.lastgroup
        if part["seq"]:
            if room:
                yield _shown(room, part)
        elif part["upsert"] or part["page"]:
            room = part["upsert"] or part["page"]
        elif part["reset"]:
            room = part["reset"]
            yield Reset(room)
        elif kind in ("again", "once"):
            room = ""
        elif kind == "epoch":
            yield Epoch(part["epoch"])
        elif part["stored"]:
            yield Stored(part["stored"])
        elif part["refused"]:
            yield Refused(part["refused"], html.unescape(re.sub("<[^>]*>", "", part["why"])))
        elif part["gone"]:
            yield Gone(part["gone"])
        elif part["present"]:
            yield Here(part["present"], int(part["count"]))


def lines(text: str) -> Iterator[Line]:
    """Yield the rows of the room list in a frame or a whole page."""
    for room, time, name, body in _LINE.findall(text):
        yield Line(room, time, html.unescape(name), html.unescape(body))


def _shown(room: str, part: re.Match[str]) -> Shown:
    author, body = _AUTHOR.search(part["item"]), _BODY.search(part["item"])
    return Shown(
        room,
        int(part["seq"]),
        int(part["at"]),
        author[1] if author else "",
        html.unescape(re.sub("<[^>]*>", "", body[1])) if body else None,
        _label(part["item"]),
    )


def _label(item: str) -> Label | None:
    name, time, day = _NAME.search(item), _TIME.search(item), _DAY.search(item)
    if name is None or time is None:
        return None
    # One string for all pages that are sent the same, because a run sends a million.
    texts = html.unescape(name[1]), html.unescape(time[1]), time[2], day[1] if day else ""
    return Label(*map(sys.intern, texts))
