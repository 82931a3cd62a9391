"""The quick switcher: opens a room, or the page of a person, by a part of the name."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..runtime.cooperation import in_pieces
from ..services.context import chat
from ..store.name_index import likeness
from .htmx import is_panel

MAX_SUGGESTIONS = 12  # targets offered as one types
MAX_TARGETS_LISTED = 100  # on the page
MAX_QUERY_CHARS = 60

bp = Blueprint("quick_switcher", __name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A room or person to open, at the address `at`.

    kind: "room" for a room that the person is in, "person", or "open" for a room to join.
    tag: distinguishes people of the same name.
    """

    at: str
    name: str
    kind: str = "room"
    tag: str = ""
    unread: int = 0


@bp.get("/go")
def page() -> Any:
    """Redirect to the first room or person whose name matches `q`. Returns the list of matches as
    one types, with `all`, and if there are none; without `q`, the list of one's rooms."""
    q = " ".join(request.args.get("q", "")[:MAX_QUERY_CHARS].split())
    found = targets(q)
    if is_panel():
        return render_template(
            "quick_switcher/found.html", q=q, found=found[:MAX_SUGGESTIONS] if q else []
        )
    if q and found and "all" not in request.args:
        return redirect(found[0].at, 303)
    more = max(0, len(found) - MAX_TARGETS_LISTED)
    return render_template(
        "quick_switcher/page.html", q=q, found=found[:MAX_TARGETS_LISTED], more=more
    )


def targets(q: str) -> list[Target]:
    """The rooms and people whose names match `q`, the best match first: the same name, then names
    that begin with it, then names that contain it. Equal matches are in the order: one's own rooms,
    last active first; people; rooms to join. Without `q`, one's own rooms."""
    store = chat().store
    rows = store.rooms.of(g.person.uid)
    found = [Target(f"/rooms/{r.room.rid}", r.room.name, unread=r.unread) for r in in_pieces(rows)]
    if not q:
        return found
    mine = {row.room.rid for row in rows}
    people = (person for person in store.people.find(q) if person.uid != g.person.uid)
    found += [Target(f"/people/{p.uid}", p.name, "person", p.tag) for p in people]
    others = (room for room in store.rooms.open() if room.rid not in mine)
    found += [Target(f"/rooms/{room.rid}", room.name, "open") for room in others]
    ranks = ((likeness(q, target.name), target) for target in in_pieces(found))
    matches = [(rank, target) for rank, target in ranks if rank is not None]
    return [target for _, target in sorted(matches, key=lambda pair: pair[0])]
