"""Finding messages in the rooms that a person is in.

The index of this host (chat.search.index) says where to look. Which rooms the person may read is
asked first, and what a message says now last, of the rooms themselves: what was deleted, changed or
said elsewhere is never shown, however late the index is.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, g, render_template, request
from markupsafe import Markup

from ..domain.errors import Busy, Invalid, TooOften
from ..domain.events import POST, Event
from ..domain.validation import number
from ..rendering.local_time import ms_of, today
from ..runtime.cooperation import in_pieces
from ..runtime.executors import SEARCH
from ..search.index import Place, TooSlow, Unready, Wanted, find
from ..search.name_match import SAME, folded_likeness, likeness
from ..search.query import Query, excerpt, matches, parse
from ..services.context import chat
from ..store import Room, Row
from ..store.people import folded
from .auth import require_person
from .rooms import is_swap

PAGE = 20  # messages found on a page
LATE = 100  # events that may be missing in the index before that is worth a word

bp = Blueprint("search", __name__)
bp.before_request(require_person)


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found; `text` is the part of it to be shown, what was found marked."""

    room: Room
    event: Event
    text: Markup


@dataclass(frozen=True, slots=True)
class Found:
    """The newest hits first. `older` is the cursor of the next page, "" for none; `missing` how
    many events of the asker's rooms are not in the index yet."""

    hits: Sequence[Hit] = ()
    older: str = ""
    missing: int = 0


@bp.get("/search")
def page() -> Any:
    """The page; with `?q=` what it finds, `older` being where the page before ended. As one types,
    only that."""
    q, error, found, status = request.args.get("q", ""), "", Found(), 200
    query = parse(q, today(g.person.zone))
    try:
        if query or query.problem:
            found = search(query, request.args.get("older", ""))
    except (Invalid, TooOften, Busy) as refusal:
        error, status = refusal.text, refusal.status
    template = "search/found.html" if is_swap() else "search/page.html"
    older = request.args.get("older", "")
    return render_template(
        template, q=q, query=query, found=found, error=error, later=bool(older)
    ), status


def search(query: Query, older: str = "", limit: int = PAGE) -> Found:
    """What a query finds for the person who asks. Raises Invalid in plain words, TooOften, Busy."""
    if query.problem:
        raise Invalid(query.problem)
    chat().limits.use("search", g.person.uid)
    rows = _rooms(query, chat().store.rooms.of(g.person.uid))
    wanted = Wanted(
        query.phrases,
        tuple(uid for name in query.people for uid in _people(name)),
        _ms(query.since),
        _ms(query.until),
        _place(older),
    )
    places, upto = _ask(wanted, rows, limit + 1)
    missing = sum(max(0, row.room.seq - upto.get(row.room.rid, 0)) for row in rows)
    more = _cursor(places[limit - 1]) if len(places) > limit else ""
    return Found(_read(query, places[:limit], rows), more, missing if missing > LATE else 0)


def _ask(wanted: Wanted, rows: list[Row], limit: int) -> tuple[list[Place], dict[str, int]]:
    folder = chat().settings.data
    rooms = [(row.room.rid, row.room.last.at) for row in rows]
    try:
        return SEARCH.run(g.person.uid, find, folder, wanted, rooms, limit)
    except TooSlow:
        raise Invalid(
            "That takes too long. Say more: a room (in:), a person (from:) or days (after:)."
        ) from None
    except Unready:
        raise Invalid(_why_not(str(folder))) from None


def _why_not(folder: str) -> str:
    if os.access(folder, os.W_OK):
        return "The chat is still reading what was written. Try again in a moment."
    return (
        "Messages cannot be searched here: the chat has no folder in which it may keep an index. "
        "Who runs it can give it one (CHAT_DATA)."
    )


def _rooms(query: Query, rows: list[Row]) -> list[Row]:
    """The rooms that are searched: all, or those with one of the names. Raises Invalid."""
    if not query.rooms:
        return rows
    found: dict[str, Row] = {}
    called = [(folded(row.room.name), row) for row in in_pieces(rows)]
    for name in dict.fromkeys(query.rooms):
        some = _named(name, called)
        if not some:
            raise Invalid(f"You are in no room called “{name}”.")
        found.update((row.room.rid, row) for row in some)
    return list(found.values())


def _named(name: str, called: list[tuple[str, Row]]) -> list[Row]:
    """The room with this id, or the rooms whose names, which are folded, are most like this one."""
    if its := [row for _, row in called if row.room.rid == name]:
        return its
    wanted = folded(name)
    likes = [(folded_likeness(wanted, there), row) for there, row in in_pieces(called)]
    best = min((like for like, _ in likes if like is not None), default=None)
    return [row for like, row in likes if like is not None and like == best]


def _people(name: str) -> list[str]:
    """The ids of the people with a login or a name: those that are called so, else those with a
    word that begins so. Raises Invalid."""
    if name.casefold() == "me":
        return [g.person.uid]
    people = chat().store.people
    uid = _by_login(name)
    found = people.find(name, off=True)
    same = [person.uid for person in found if likeness(name, person.name) == SAME]
    uids = ([uid] if uid else []) + (same or ([] if uid else [p.uid for p in found]))
    if not uids:
        raise Invalid(f"Nobody here is called “{name}”.")
    return uids


def _by_login(name: str) -> str:
    """Who has this login, "" for nobody in a room with the one who asks: whether a login exists is
    nobody else's business."""
    store = chat().store
    uid, _ = store.accounts.by_login(name.casefold())
    return uid if uid and store.rooms.are_together(uid, g.person.uid) else ""


def _read(query: Query, places: list[Place], rows: list[Row]) -> list[Hit]:
    """What is there of what the index says, as it is now."""
    rooms = {row.room.rid: row.room for row in rows}
    hits: dict[tuple[str, int], Hit] = {}
    for rid in {place.rid for place in places}:
        seqs = [place.seq for place in places if place.rid == rid]
        for event in in_pieces(chat().store.messages.several(rid, seqs)):
            text = "\n".join(filter(None, [event.body, *(file.name for file in event.files)]))
            spans = matches(query, text)
            if event.kind == POST and spans is not None:
                hits[rid, event.seq] = Hit(rooms[rid], event, excerpt(text, spans))
    there = ((place.rid, place.seq) for place in places)
    return [hits[key] for key in there if key in hits]


def _ms(day: date | None) -> int:
    return ms_of(day, g.person.zone) if day else 0


def _cursor(place: Place) -> str:
    return f"{place.at}-{place.seq}-{place.rid}"


def _place(cursor: str) -> Place | None:
    at, _, rest = cursor.partition("-")
    seq, _, rid = rest.partition("-")
    return Place(number(at), rid, number(seq)) if number(at) and number(seq) and rid else None
