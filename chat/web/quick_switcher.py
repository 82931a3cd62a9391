"""Going to a room or a person by the beginning of a name."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..runtime.cooperation import in_pieces
from ..search.name_match import likeness
from ..services.context import chat
from .auth import require_person
from .rooms import is_swap

MOST = 12  # that are offered as one types
MOST_LISTED = 100  # on the page
LONGEST = 60  # characters that are looked at

bp = Blueprint("go", __name__)
bp.before_request(require_person)


@dataclass(frozen=True, slots=True)
class Target:
    """Where one can go. `kind` is room (one is in it), person or open (a room to join); `tag` tells
    apart people of the same name."""

    at: str
    name: str
    kind: str = "room"
    tag: str = ""
    unread: int = 0


@bp.get("/go")
def page() -> Any:
    """Go to the first room or person whose name is like `q`. The list instead: as one types, with
    `all`, and where there is nothing to go to; without `q` that of one's rooms."""
    q = " ".join(request.args.get("q", "")[:LONGEST].split())
    found = targets(q)
    if is_swap():
        return render_template("go/found.html", q=q, found=found[:MOST] if q else [])
    if q and found and "all" not in request.args:
        return redirect(found[0].at, 303)
    more = max(0, len(found) - MOST_LISTED)
    return render_template("go/page.html", q=q, found=found[:MOST_LISTED], more=more)


def targets(q: str) -> list[Target]:
    """What a name leads to: the same name first, then those that begin so, then those that have
    it anywhere; of these one's own rooms first, the last active first, then people, then rooms to
    join. Without a name one's own rooms."""
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
    there = [(rank, target) for rank, target in ranks if rank is not None]
    return [target for _, target in sorted(there, key=lambda pair: pair[0])]
