"""Events as HTML: Jinja macros called without a request, so that one definition of a message
serves pages, pushes and resume alike."""

import logging
import re
import zlib
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from operator import attrgetter, call
from typing import Any, Protocol

import flask.templating
from jinja2 import Environment, Template, nodes
from jinja2.compiler import CodeGenerator, Frame
from markupsafe import Markup, escape

from ..domain.events import NO_REACTIONS, POST, Event, Events, tombstone, unreadable
from ..domain.mentions import Mentions
from ..media.attachments import NOTES, size
from ..runtime.cooperation import in_pieces
from ..store import Person, Row
from . import markdown
from .local_time import new_day, short_time, today, when

log = logging.getLogger(__name__)

KEPT = 4096  # renderings of messages that are kept for the next page
LISTS = 128  # and of whole pages of them
# Of a message, or a page of them (Event.size), whose HTML is kept: dense code becomes ten times as
# long, and a cache must not be filled with it.
MAX_KEPT_EVENT_CHARS = 1_000
MAX_KEPT_LIST_CHARS = 20_000
LET_GO_EVERY = 50  # messages of a room: then open pages let go of old ones (macro `shown`)
OUTLINES = 512  # of what differs from one time to the next in a few words only
BLANK = "\0"  # on both sides of a blank's name, until an outline is made
_ESCAPED = re.compile("[&<>'\"]")  # what HTML has a meaning for
_FILLED_IN = re.compile(f"{BLANK}(\\w+){BLANK}")
HUES = 12  # avatar colours in static/css/colors.css


# In C, for each page asks all of its messages.
_body, _mentions, _reactions = map(attrgetter, ("body", "mentions", "reactions"))
_NONE = {id(NO_REACTIONS)}


def put_out(value: object) -> str:
    """What a template puts out, escaped. markupsafe makes each piece an object that remembers that
    it was escaped (0.6 µs, twenty times a message); here it is joined with the others at once."""
    if type(value) is Markup:
        return value
    if type(value) is str and not _ESCAPED.search(value):
        return value
    return escape(value)


class Generator(CodeGenerator):
    """Jinja's, but what is put out goes through `put_out`, not through markupsafe's `escape`, and
    what is called is called, not looked at first: no function that templates know asks for their
    context, and a macro that is not told escapes as the environment says."""

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        self.write("environment.call(")
        self.visit(node.node, frame)
        self.signature(node, frame, {"caller": "caller"} if forward_caller else None)
        self.write(")")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.autoescape and not frame.eval_ctx.volatile and finalize.src is None:
            self.write("environment.put_out(")
        else:
            super()._output_child_pre(node, frame, finalize)


class Templates(flask.templating.Environment):
    """Jinja's environment, whose globals must be there before the first template is."""

    code_generator_class = Generator
    put_out = staticmethod(put_out)
    call: Any = staticmethod(call)  # type: ignore[arg-type]

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self._found: dict[str, Template] = {}

    def get_template(self, name: Any, parent: Any = None, globals: Any = None) -> Template:
        # A page imports eight files. Jinja's cache takes a lock for each and orders what it has.
        if self.auto_reload or globals or type(name) is not str:
            return super().get_template(name, parent, globals)
        if (found := self._found.get(name)) is None:
            found = self._found[name] = super().get_template(name, parent)
        return found

    def make_globals(self, d: Any) -> Any:
        # Jinja's is a ChainMap, of which every rendering and every import of a macro makes a copy,
        # in Python: a twentieth of a room's page.
        return {**self.globals, **(d or {})}


class Fragments:
    """What is pushed. Nothing depends on who looks, so that one rendering serves everyone in a
    time zone, whose name a method takes where it shows times ("": the server's zone).

    `missed`, `replaced` and `rooms` may give way to others (chat.runtime.cooperation). Nothing else
    does: the hub writes in the order in which it renders."""

    def __init__(self, env: Environment) -> None:
        self.push: Any = env.get_template("pushes/event.html").module
        self._note = lru_cache(maxsize=KEPT)(self._plain_note)
        self._message: Any = env.globals["message"]
        self._gist: Any = env.filters["gist"]
        self._put = Outline(env, "pushes/event.html", "put")
        self._post_line = Outline(env, "pushes/event.html", "post_line")
        self._stored = Outline(env, "pushes/event.html", "stored")

    def shown(self, event: Event, zone: str) -> str:
        """An event for those who watch its room."""
        if event.kind == POST and not event.mentions and event.seq % LET_GO_EVERY:
            return self._put.text(rid=event.room, messages=self._message(event, zone))
        return str(self.push.shown(event, zone))

    def note(self, event: Event, zone: str) -> str:
        """The mark of an event for those who merely belong to its room."""
        if event.kind == POST and not event.mentions:
            return self._note(event.room, event.uid)
        return str(self.push.note(event))

    def _plain_note(self, rid: str, uid: str) -> str:
        """That of any message of this person which mentions nobody."""
        return str(self.push.note(Event(rid, 0, 0, POST, uid, "", "")))

    def line(self, event: Event, zone: str) -> str:
        """The room's line in the side list, when this is its newest event."""
        if event.kind != POST:
            return str(self.push.line(event, zone))
        said = {"name": event.name, "text": self._gist(event.body or event.excerpt)}
        return self._post_line.text(rid=event.room, time=short_time(event.at, zone), **said)

    def missed(self, events: list[Event], zone: str) -> str:
        """The events (at least one) that a page lacks, to be put in their places."""
        return str(self.push.missed(events, zone))

    def replaced(self, rid: str, events: list[Event], epoch: str, zone: str, first: int = 1) -> str:
        """The newest events instead of a list that cannot be continued; `first` is the oldest
        number that is kept."""
        return str(self.push.replaced(rid, events, epoch, first, zone))

    def read(self, rid: str) -> str:
        """Nothing in this room is unread."""
        return str(self.push.read(rid))

    def signed_out(self) -> str:
        """Instead of the whole chat, that the person has signed out."""
        return str(self.push.signed_out())

    def gone(self, rid: str) -> str:
        """Instead of the room on screen, that the person is in it no longer."""
        return str(self.push.gone(rid))

    def again(self, events: list[Event], zone: str) -> str:
        """Events that are on screen, as they are to be shown from now on."""
        return str(self.push.again(events, zone))

    def menu(self, told: dict[str, Any]) -> str:
        """The menu of a message, for one person (messages.menu_of)."""
        return str(self.push.menu(**told))

    def closed(self, event: Event) -> str:
        """The button of a message whose menu, or field, was closed, anew with the focus, unless
        something else has it."""
        return str(self.push.closed(event))

    def edit(self, event: Event, token: str) -> str:
        """A message's text in a field, in the message; `token` is of its forms."""
        return str(self.push.edit(event, token))

    def saved(self, event: Event) -> str:
        """The message as it reads now, instead of the field."""
        return str(self.push.saved(event))

    def erased(self, event: Event, zone: str) -> str:
        """What stands in the place of a message that was deleted (its tombstone)."""
        return str(self.push.erased(event, zone))

    def not_saved(self, rid: str, seq: int, error: str) -> str:
        """The refusal, under the field of message `seq`, in plain words."""
        return str(self.push.not_saved(rid, seq, error))

    def reply(self, rid: str, event: Event | None) -> str:
        """What the composer answers, or that it answers nothing."""
        return str(self.push.reply(rid, event))

    def clicked(self, event: Event) -> str:
        """The answer to a reaction: the menu goes, and a page that is not live shows `event`."""
        return str(self.push.clicked(event))

    def not_reacted(self, seq: int, error: str) -> str:
        """The refusal, beside message `seq`, in plain words."""
        return str(self.push.not_reacted(seq, error))

    def here(self, rid: str, count: int) -> str:
        """How many of the members are here, at the head of the room."""
        return str(self.push.here(rid, count))

    def typing(self, rid: str, person: Person) -> str:
        """A person is writing a message, for a few seconds from when it is shown."""
        return str(self.push.typing(rid, person))

    def typed(self, rid: str, uid: str) -> str:
        """What that person was writing is there."""
        return str(self.push.typed(rid, uid))

    def named(self, rid: str, people: list[Person], words: list[str]) -> str:
        """What fits the name that somebody is typing in the composer: people, and words for many;
        neither when no name is typed any more."""
        return str(self.push.named(rid, people, words))

    def dots(self, rid: str, uids: list[str]) -> str:
        """Who of a direct room is here, in the side list."""
        return str(self.push.dots(rid, uids))

    def rooms(self, rows: list[Row], current: str, zone: str) -> str:
        """The side list anew; `current` is the id of the room on screen, or ""."""
        return str(self.push.rooms(rows, current, zone))

    def stored(self, nonce: str) -> str:
        """The acknowledgement: the message of the composer `nonce` is kept."""
        return self._stored.text(nonce=nonce)

    def done(self, nonce: str) -> str:
        """The composer `nonce` may go."""
        return str(self.push.done(nonce))

    def not_stored(self, nonce: str, error: str) -> str:
        """The refusal: the composer `nonce` keeps its text and says why, in plain words."""
        return str(self.push.not_stored(nonce, error))

    def rest(self, rid: str, nonce: str, anew: str, body: str, text: str) -> str:
        """Instead of the composer `nonce`, one with the nonce `anew`, a body and a word why."""
        return str(self.push.rest(rid, nonce, anew, body, text))


class Outline:
    """A macro that is rendered once for the same arguments, with blanks for those by keyword, which
    differ each time: filling them in is a tenth of the work. The macro may put a blank out as often
    as it likes, but not look at it. What is filled in is not looked at again; nothing that people
    write may be among the other arguments."""

    def __init__(self, env: Environment, file: str, macro: str) -> None:
        def outline(names: tuple[str, ...], *args: Any) -> str:
            """As the left side of `%`."""
            macros: Any = env.get_template(file).module
            blanks = {name: f"{BLANK}{name}{BLANK}" for name in names}
            text = str(getattr(macros, macro)(*args, **blanks)).replace("%", "%%")
            return _FILLED_IN.sub(r"%(\1)s", text)

        self._outline = lru_cache(maxsize=OUTLINES)(outline)

    def __call__(self, *args: Any, **blanks: Any) -> Markup:
        return Markup(self.text(*args, **blanks))

    def text(self, *args: Any, **blanks: Any) -> str:
        """The same as a plain string."""
        outline = self._outline(tuple(blanks), *args)
        return outline % {name: put_out(value) for name, value in blanks.items()}


class Texts(Protocol):
    """What makes HTML of messages."""

    def render(self, body: str, mentions: Mentions = ()) -> Markup:
        """A body as it is shown."""

    def gist(self, body: str) -> str:
        """Its first line as it reads."""


def init(env: Environment, texts: Texts = markdown) -> None:
    """Give templates the filters that need no request. `texts` renders messages, by default at
    once and here."""

    outline = Outline(env, "macros/messages.html", "post")

    def macro(file: str, name: str) -> Any:
        return getattr(env.get_template(f"macros/{file}.html").module, name)

    def post(event: Event, zone: str) -> Markup:
        """What a person wrote. Pieces that few messages have are asked for where they are only."""
        seq, day = str(event.seq), ""
        if event.before or event.seq == 1:
            day = new_day(event.at, event.before, zone)
        return outline(
            event.same and not day,
            day=macro("messages", "day_line")(day) if day else "",
            room=event.room,
            seq=seq,
            at=str(event.at),
            uid=event.uid,
            name=event.name,
            face=face(event.uid, event.name, event.picture),
            tag=macro("ui", "tag_of")(event) if event.tag else "",
            time=when(event.at, zone),
            edited=macro("messages", "edited")(seq) if event.edited else "",
            quote=macro("messages", "quoted")(event) if event.quote else "",
            body=texts.render(event.body, event.mentions),
            files=macro("files", "files")(event) if event.files else "",
            chips=macro("reactions", "chips")(event) if event.reactions.all else "",
        )

    def make(event: Event, zone: str, today: date) -> Markup:
        macros: Any = env.get_template("macros/messages.html").module
        try:
            return post(event, zone) if event.kind == POST else Markup(macros.item(event, zone))
        except Exception:
            log.exception("cannot show event %d of room %s", event.seq, event.room)
            return Markup(macros.item(unreadable(event), zone))

    kept = lru_cache(maxsize=KEPT)(make)

    def message(event: Event, zone: str) -> Markup:
        plain = event.reactions is NO_REACTIONS and not event.mentions  # as nearly all are
        size = len(event.body) if plain else event.size
        a_message = kept if size <= MAX_KEPT_EVENT_CHARS else make
        return a_message(event, zone, today(zone))

    def make_list(events: tuple[Event, ...], new: int, zone: str, today: date) -> Markup:
        macros: Any = env.get_template("macros/messages.html").module
        return Markup(macros.each(events, new, zone))

    kept_list = lru_cache(maxsize=LISTS)(make_list)

    def listed(events: Sequence[Event], new: int, zone: str) -> Markup:
        size = sum(map(len, map(_body, events)))
        if any(map(_mentions, events)) or set(map(id, map(_reactions, events))) != _NONE:
            size = sum(event.size for event in events)
        a_list = kept_list if size <= MAX_KEPT_LIST_CHARS else make_list
        return a_list(Events(events), new, zone, today(zone))

    def make_row(row: Row, current: bool, zone: str, today: date) -> Markup:
        macros: Any = env.get_template("macros/rooms.html").module
        return Markup(macros.row(row, current, zone))

    kept_row = lru_cache(maxsize=KEPT)(make_row)

    def line_of(row: Row, current: bool, zone: str) -> Markup:
        a_row = kept_row if row.room.last.size <= MAX_KEPT_EVENT_CHARS else make_row
        return a_row(row, current, zone, today(zone))

    @lru_cache(maxsize=KEPT)
    def face(uid: str, name: str, picture: str) -> Markup:
        macros: Any = env.get_template("macros/ui.html").module
        return Markup(macros.avatar(uid, name, picture))

    @lru_cache(maxsize=OUTLINES)
    def head(rid: str, name: str, kind: str, about: str, size: int) -> Markup:
        macros: Any = env.get_template("macros/rooms.html").module
        return Markup(macros.head(rid, name, kind, about, size))

    env.globals["in_pieces"] = in_pieces
    env.globals["let_go_every"] = LET_GO_EVERY
    env.globals["calls"] = calls
    env.globals["face"] = face
    env.globals["head_of"] = lambda room, size: head(
        room.rid, room.name, room.kind, room.about, size
    )
    env.globals["composer_of"] = Outline(env, "macros/composer.html", "empty_composer")
    env.globals["foot_of"] = Outline(env, "macros/rooms.html", "foot")
    env.globals["message"] = message
    env.globals["listed"] = listed
    env.globals["line_of"] = line_of
    env.globals["tombstone"] = tombstone
    env.filters |= {
        "browser": browser,
        "file_size": size,
        "file_note": lambda note: NOTES.get(note, ""),
        "hue": hue,
        "gist": texts.gist,
        "initials": initials,
        "markdown": texts.render,
        "new_day": new_day,
        "when": when,
        "short_time": short_time,
    }


def calls(rows: list[Row], current: str) -> int:
    """How much of what is unread in other rooms than `current` the person wants to hear of."""
    return sum(row.calls for row in rows if row.room.rid != current)


def browser(agent: str) -> str:
    """A User-Agent header as people would say it."""
    names = ("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome")
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
    name = next((name for part, name in (*names, ("Safari", "Safari")) if part in agent), "")
    system = next((system for system in systems if system in agent), "")
    said = " on ".join(part for part in (name, system) if part)
    return said or agent.split("/")[0][:40] or "Unknown browser"


@lru_cache(maxsize=KEPT)
def hue(uid: str) -> int:
    """The number of a person's colour, the same everywhere."""
    return zlib.crc32(uid.encode()) % HUES


@lru_cache(maxsize=KEPT)
def initials(name: str) -> str:
    """One or two letters that stand for a name."""
    words = name.split() or ["?"]
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def digest(rows: list[Row]) -> str:
    """A short text that differs when the side list does, with the digest of its numbers."""
    state = "".join(f"{row.room.rid}{row.room.seq}.{row.read}{row.level};" for row in rows)
    numbers = numbers_digest((row.room.rid, row.room.seq) for row in rows)
    return f"{zlib.crc32(state.encode()):x}.{numbers}"


def numbers_digest(numbers: Iterable[tuple[str, int]]) -> str:
    """A short text that differs when the numbers of the newest events, by room, do."""
    return f"{zlib.crc32(repr(sorted(numbers)).encode()):x}"
