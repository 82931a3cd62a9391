"""The pages of a room's members: listing, adding and removing them, changing the owner, leaving."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.validation import MAX_NAME_CHARS
from ..services import rooms
from ..services.context import chat
from ..services.permissions import may_manage
from ..store import Person
from ..store.room_kinds import DIRECT
from .paging import PAGE_ROWS, Paging, paging
from .people_picker import is_search, people_fields, picked_people
from .view_options import shows_errors_on

MAX_OFFERED_OWNERS = 100  # members on the page for leaving

bp = Blueprint("members", __name__)


@bp.get("/rooms/<rid>/people")
def index(rid: str, error: str = "") -> Any:
    """The members. People who may manage the room can change them here."""
    store, uid = chat().store, g.person.uid
    room, size = store.rooms.member(rid, uid), store.rooms.size(rid)
    people, search = _members(rid, size)
    adding = people_fields(rid) if may_manage(g.person, room) else {}
    adding["more_people"] = adding.pop("more", False)
    return render_template(
        "rooms/people.html",
        room=room,
        size=size,
        members=people,
        here=store.presence.here([member.uid for member in people]),
        level=store.notifications.level(uid, rid),
        saved="level" in request.args,
        error=error,
        **adding,
        **search,
    )


@bp.post("/rooms/<rid>/people")
@shows_errors_on(index)
def add(rid: str) -> Any:
    """Add the people whose boxes are ticked."""
    if is_search():
        return index(rid)
    rooms.add_members(chat(), g.person, rid, picked_people())
    return redirect(f"/rooms/{rid}/people", 303)


@bp.post("/rooms/<rid>/people/<uid>/remove")
def remove(rid: str, uid: str) -> Any:
    rooms.remove_member(chat(), g.person, rid, uid)
    return redirect(f"/rooms/{rid}/people", 303)


@bp.get("/rooms/<rid>/leave")
def leave_page(rid: str, error: str = "") -> Any:
    """Asks for confirmation, and asks the owner to choose the next one. In a large room, only some
    members are offered; `q` finds others."""
    rooms, q = chat().store.rooms, request.args.get("q", "").strip()[:MAX_NAME_CHARS]
    room = rooms.member(rid, g.person.uid)
    size = 0 if room.kind == DIRECT else rooms.size(rid)
    if q:
        others, _ = rooms.members_named(rid, q, MAX_OFFERED_OWNERS)
    else:
        others = rooms.members(rid, 0, MAX_OFFERED_OWNERS) if size else []
    others = [person for person in others if person.uid != g.person.uid and not person.deactivated]
    is_last = not others and not q and size <= MAX_OFFERED_OWNERS
    shown = {"others": others, "is_last": is_last, "many": size > MAX_OFFERED_OWNERS, "q": q}
    return render_template("rooms/leave.html", room=room, error=error, **shown)


@bp.post("/rooms/<rid>/owner")
@shows_errors_on(leave_page)
def set_owner(rid: str) -> Any:
    """Make the member `uid` the owner; with `leave`, leave the room afterwards."""
    rooms.set_owner(chat().store, g.person, rid, request.form.get("uid", ""))
    return leave(rid) if "leave" in request.form else redirect(f"/rooms/{rid}/people", 303)


@bp.post("/rooms/<rid>/leave")
def leave(rid: str) -> Any:
    chat().store.rooms.leave(rid, g.person)
    return redirect("/", 303)


def _members(rid: str, size: int) -> tuple[list[Person], dict[str, Any]]:
    """The members on this page of the list, or those whose name matches `member`; and the variables
    of the template for paging."""
    rooms, name = chat().store.rooms, request.args.get("member", "").strip()[:MAX_NAME_CHARS]
    if name:
        found, more = rooms.members_named(rid, name, PAGE_ROWS)
        return found, {"called": name, "more": more, "paging": Paging(0, len(found))}
    page = paging(size)
    found = rooms.members(rid, page.start, PAGE_ROWS)
    return found, {"called": "", "more": False, "paging": page}
