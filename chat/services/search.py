"""Finding messages in the rooms that a person is in.

The index of this host (chat.search.index) returns places of messages. Before that, the store says
which rooms the person may read; after that, it says how each message reads now. So a message that
was deleted or edited, or that is in another room, is never shown, even if the index is out of date.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from ..domain.errors import Invalid
from ..domain.events import POST, Event, Position
from ..domain.validation import number
from ..rendering.local_time import ms_of
from ..runtime.cooperation import in_pieces
from ..runtime.executors import SEARCH
from ..search.index import TooSlow, Unready, Wanted, find
from ..search.query import Query, excerpt, matches
from ..store import Person, Room, Row, Store
from ..store.name_index import SAME, folded, folded_likeness, likeness
from .context import Parts

PAGE_SIZE = 20  # messages on a page of results
MIN_MISSING_EVENTS = 100  # below which the page says nothing: the index is always a bit behind


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that was found. `text` is the part of it to show, with the matches marked."""

    room: Room
    event: Event
    text: Markup


@dataclass(frozen=True, slots=True)
class SearchResults:
    """What was found, newest first.

    older: the cursor of the next page, "" if there is none.
    missing: how many events of the person's rooms are not in the index yet, 0 for only a few.
    """

    hits: Sequence[Hit] = ()
    older: str = ""
    missing: int = 0


def search(
    parts: Parts, person: Person, query: Query, older: str = "", limit: int = PAGE_SIZE
) -> SearchResults:
    """Return what a person finds with a query. `older` is the cursor of the previous page. Raises
    TooOften, Busy, and Invalid with a text for the person."""
    if query.problem:
        raise Invalid(query.problem)
    if not query:
        return SearchResults()
    parts.limits.use("search", person.uid)
    store = parts.store
    rows = _rooms(query, store.rooms.of(person.uid))
    authors = [uid for name in query.people for uid in _people(store, person, name)]
    since, until = _ms(query.since, person), _ms(query.until, person)
    wanted = Wanted(query.phrases, tuple(authors), since, until, _place(older))
    places, indexed = _find(parts, person, wanted, rows, limit + 1)
    missing = sum(max(0, row.room.seq - indexed.get(row.room.rid, 0)) for row in rows)
    next_page = _cursor(places[limit - 1]) if len(places) > limit else ""
    hits = _hits(store, query, places[:limit], rows)
    return SearchResults(hits, next_page, missing if missing > MIN_MISSING_EVENTS else 0)


def _find(
    parts: Parts, person: Person, wanted: Wanted, rows: list[Row], limit: int
) -> tuple[list[Position], dict[str, int]]:
    """Return the places in the index, and the last indexed event of each room."""
    folder = parts.settings.data
    rooms = [(row.room.rid, row.room.last.at) for row in rows]
    try:
        return SEARCH.run(person.uid, find, folder, wanted, rooms, limit)
    except TooSlow:
        raise Invalid(
            "This search takes too long. Add a room (in:), a person (from:) or a day (after:)."
        ) from None
    except Unready:
        raise Invalid(_why_not_ready(str(folder))) from None


def _why_not_ready(folder: str) -> str:
    if os.access(folder, os.W_OK):
        return "Messages are still being indexed. Try again in a moment."
    return (
        "Messages cannot be searched here, because the chat has no folder for an index. "
        "Whoever runs it can set one (CHAT_DATA)."
    )


def _rooms(query: Query, rows: list[Row]) -> list[Row]:
    """The rooms to search: all, or those that the query names. Raises Invalid."""
    if not query.rooms:
        return rows
    found: dict[str, Row] = {}
    named = [(folded(row.room.name), row) for row in in_pieces(rows)]
    for name in dict.fromkeys(query.rooms):
        matching = _rooms_with_name(name, named)
        if not matching:
            raise Invalid(f"You are not in a room called “{name}”.")
        found.update((row.room.rid, row) for row in matching)
    return list(found.values())


def _rooms_with_name(name: str, named: list[tuple[str, Row]]) -> list[Row]:
    """The room with this id, or the rooms whose names (folded, in `named`) are most like it."""
    if with_id := [row for _, row in named if row.room.rid == name]:
        return with_id
    wanted = folded(name)
    ranks = [(folded_likeness(wanted, room_name), row) for room_name, row in in_pieces(named)]
    best = min((rank for rank, _ in ranks if rank is not None), default=None)
    return [row for rank, row in ranks if rank is not None and rank == best]


def _people(store: Store, person: Person, name: str) -> list[str]:
    """The ids of the people with this login or name; if there are none, of those with a word in
    their name that begins with it. "me" is the person who searches. Raises Invalid."""
    if name.casefold() == "me":
        return [person.uid]
    uid = _by_login(store, person, name)
    found = store.people.find(name, deactivated=True)
    same = [other.uid for other in found if likeness(name, other.name) == SAME]
    uids = ([uid] if uid else []) + (same or ([] if uid else [other.uid for other in found]))
    if not uids:
        raise Invalid(f"Nobody here is called “{name}”.")
    return uids


def _by_login(store: Store, person: Person, name: str) -> str:
    """The id of the person with this login. "" for somebody who shares no room with the person who
    searches: others must not find out which logins exist."""
    uid, _ = store.accounts.by_login(name.casefold())
    return uid if uid and store.rooms.are_together(uid, person.uid) else ""


def _hits(store: Store, query: Query, places: list[Position], rows: list[Row]) -> list[Hit]:
    """The messages at these places, as far as they match the query now."""
    rooms = {row.room.rid: row.room for row in rows}
    hits: dict[tuple[str, int], Hit] = {}
    for rid in {place.rid for place in places}:
        seqs = [place.seq for place in places if place.rid == rid]
        for event in in_pieces(store.messages.several(rid, seqs)):
            text = "\n".join(filter(None, [event.body, *(file.name for file in event.files)]))
            spans = matches(query, text)
            if event.kind == POST and spans is not None:
                hits[rid, event.seq] = Hit(rooms[rid], event, excerpt(text, spans))
    keys = ((place.rid, place.seq) for place in places)
    return [hits[key] for key in keys if key in hits]


def _ms(day: date | None, person: Person) -> int:
    """The beginning of a day in the time zone of a person, in ms since 1970; 0 for no day."""
    return ms_of(day, person.zone) if day else 0


def _cursor(place: Position) -> str:
    return f"{place.at}-{place.seq}-{place.rid}"


def _place(cursor: str) -> Position | None:
    at, _, rest = cursor.partition("-")
    seq, _, rid = rest.partition("-")
    return Position(number(at), rid, number(seq)) if number(at) and number(seq) and rid else None
