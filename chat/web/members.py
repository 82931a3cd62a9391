"""Who is in a room: seeing them, adding and removing, handing the room over, leaving."""

from contextlib import suppress
from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.errors import Invalid, NotFound, TooOften
from ..domain.validation import MAX_NAME
from ..services.context import chat
from ..services.permissions import check_manage, may_manage
from ..store import Person
from ..store.room_kinds import DIRECT
from .auth import require_person
from .paging import PAGE_ROWS, Paging, paging
from .people_picker import is_search, picked_people, picking
from .rooms import check_room_for, store

OFFERED = 100  # members who are offered as the owner of a room

bp = Blueprint("members", __name__)
bp.before_request(require_person)


@bp.get("/rooms/<rid>/people")
def index(rid: str) -> Any:
    """The members; for who manages the room, with forms to change them."""
    return _page(rid)


@bp.post("/rooms/<rid>/people")
def add_picked(rid: str) -> Any:
    """Add the people that were ticked."""
    try:
        if is_search():
            return _page(rid)
        add(g.person, rid, picked_people())
    except (Invalid, TooOften) as error:
        return _page(rid, error.text), error.status, error.headers
    return redirect(f"/rooms/{rid}/people", 303)


@bp.post("/rooms/<rid>/people/<uid>/remove")
def remove_one(rid: str, uid: str) -> Any:
    remove(g.person, rid, uid)
    return redirect(f"/rooms/{rid}/people", 303)


@bp.post("/rooms/<rid>/owner")
def hand_over_to(rid: str) -> Any:
    """Give the room to the member `uid`; with `leave`, go on to leave it."""
    try:
        hand_over(g.person, rid, request.form.get("uid", ""))
    except Invalid as error:
        return _leave_page(rid, error.text), 400
    if "leave" in request.form:
        store().rooms.leave(rid, g.person)
        return redirect("/", 303)
    return redirect(f"/rooms/{rid}/people", 303)


@bp.get("/rooms/<rid>/leave")
def leave_page(rid: str) -> Any:
    """Asked before: what leaving means here, and for an owner whom to hand the room to."""
    return _leave_page(rid)


@bp.post("/rooms/<rid>/leave")
def leave(rid: str) -> Any:
    store().rooms.leave(rid, g.person)
    return redirect("/", 303)


def add(by: Person, rid: str, people: list[Person]) -> None:
    """Add people to a room. Raises NotFound, Refused, TooOften, Invalid for nobody."""
    check_manage(by, store().rooms.member(rid, by.uid))
    if not people:
        raise Invalid("Tick the people to add.")
    chat().limits.use("members", by.uid)
    inside = store().rooms.inside(rid, [person.uid for person in people])
    check_room_for(by, [person for person in people if person.uid not in inside])
    for person in people:
        store().rooms.add(rid, by, person)


def remove(by: Person, rid: str, uid: str) -> None:
    """Remove a member from a room; who is in it no longer stays out. Raises NotFound, Refused,
    TooOften."""
    check_manage(by, store().rooms.member(rid, by.uid))
    person = store().people.get(uid)
    if person is None:
        raise NotFound("There is no such person.")
    chat().limits.use("members", by.uid)
    with suppress(NotFound):
        store().rooms.remove(rid, by, person)


def hand_over(by: Person, rid: str, uid: str) -> None:
    """Make a member the owner of a room; who owns it already stays so. Raises NotFound, Refused,
    Invalid."""
    room = store().rooms.member(rid, by.uid)
    if room.owner == uid != by.uid:  # handed over already, and who did it may manage it no longer
        return
    check_manage(by, room)
    person = store().people.get(uid)
    if person is None or person.off:
        raise Invalid("Choose who is to own the room.")
    store().rooms.edit(rid, by, "owner", person.uid, person.name)


def _page(rid: str, error: str = "") -> str:
    room, size = store().rooms.member(rid, g.person.uid), store().rooms.size(rid)
    members, found = _members(rid, size)
    adding = picking(rid) if may_manage(g.person, room) else {}
    adding["more_people"] = adding.pop("more", False)
    here = chat().store.presence.here([member.uid for member in members])
    told = {"room": room, "members": members, "here": here, "error": error, **adding, **found}
    level = store().attention.level(g.person.uid, rid)
    saved = "level" in request.args
    return render_template("rooms/people.html", size=size, level=level, saved=saved, **told)


def _members(rid: str, size: int) -> tuple[list[Person], dict[str, Any]]:
    """The members on this page of the list, or those called `member`, and what the page is told of
    the others."""
    name = request.args.get("member", "").strip()[:MAX_NAME]
    if name:
        some, more = store().rooms.members_named(rid, name, PAGE_ROWS)
        return some, {"called": name, "more": more, "paging": Paging(0, len(some))}
    here = paging(size)
    members = store().rooms.members(rid, here.start, PAGE_ROWS)
    return members, {"called": "", "more": False, "paging": here}


def _leave_page(rid: str, error: str = "") -> str:
    """Of a large room only some are offered as its owner; `?q=` finds others."""
    room, q = store().rooms.member(rid, g.person.uid), request.args.get("q", "").strip()[:MAX_NAME]
    size = 0 if room.kind == DIRECT else store().rooms.size(rid)
    if q:
        others, _ = store().rooms.members_named(rid, q, OFFERED)
    else:
        others = store().rooms.members(rid, 0, OFFERED) if size else []
    others = [person for person in others if person.uid != g.person.uid and not person.off]
    is_last = not others and not q and size <= OFFERED
    told = {"others": others, "is_last": is_last, "many": size > OFFERED, "q": q}
    return render_template("rooms/leave.html", room=room, error=error, **told)
