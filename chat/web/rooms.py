"""The rooms: the side list, one room on screen, starting, finding and joining one."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request

from ..domain.errors import Invalid, Refused, TooOften
from ..domain.events import POST, Event
from ..domain.validation import MAX_ABOUT, MAX_ROOM_NAME, clean_line, clean_name, number
from ..rendering.room_list import digest
from ..services.context import chat, is_htmx
from ..services.permissions import check_create_rooms, may_create_rooms, may_manage
from ..store import Person, Room, Store
from ..store.people import GUEST
from ..store.room_kinds import CLOSED, DIRECT, OPEN
from .auth import require_person
from .composer import new_nonce, sent_nonce
from .paging import PAGE_ROWS, Paging, address, paging
from .people_picker import is_search, picked_people, picking
from .served_pages import served

MOST_ROOMS = 500  # that one person joins or starts; guests put nobody into more
MOST_LISTED = 2000  # that people with accounts put somebody into

bp = Blueprint("rooms", __name__)
bp.before_request(require_person)


def store() -> Store:
    return chat().store


@bp.app_context_processor
def rights() -> dict[str, Any]:
    """Templates of a request can ask who may do what."""
    return {"may_create_rooms": may_create_rooms, "may_manage": may_manage}


@bp.get("/")
def home() -> Any:
    """The side list alone; on a wide screen an empty panel beside it."""
    rows = store().rooms.of(g.person.uid)
    template = "rooms/panel.html" if is_swap() else "rooms/show.html"
    return render_template(template, room=None, rows=rows, digest=digest(rows))


@bp.get("/rooms")
def index() -> Any:
    """The rooms anyone may join, or those of them with `q` in their name."""
    q, more = request.args.get("q", "").strip()[:MAX_ROOM_NAME], False
    if q:
        found = store().rooms.open_named(q, PAGE_ROWS + 1)
        found, more = found[:PAGE_ROWS], len(found) > PAGE_ROWS
        here = Paging(0, len(found))
    else:
        here = paging(store().rooms.open_count())
        found = store().rooms.open(PAGE_ROWS, here.start)
    mine = store().rooms.joined(g.person.uid, [room.rid for room in found])
    told = {"q": q, "more": more, "paging": here, "at": address()}
    return render_template("rooms/index.html", rooms=found, mine=mine, **told)


@bp.get("/rooms/new")
def new() -> Any:
    """The form for a new room; with `?q=` the people found, keeping what was typed."""
    check_create_rooms(g.person)
    return _new_page(request.args.get("kind", OPEN))


@bp.get("/people")
def people() -> Any:
    """Finding people, to write to one or several of them."""
    return _new_page(DIRECT)


@bp.post("/rooms")
def create() -> Any:
    """Start a room, or write to people: `kind` is open, closed or direct."""
    name, kind = request.form.get("name", ""), request.form.get("kind", OPEN)
    try:
        if is_search():
            return _new_page(kind)
        about = request.form.get("about", "")
        rid = start(g.person, name, kind, about, picked_people(), sent_nonce())
    except (Invalid, TooOften) as error:
        return _new_page(kind, error.text), error.status, error.headers
    return redirect(f"/rooms/{rid}", 303)


def start(
    by: Person, name: str, kind: str, about: str, members: list[Person], nonce: str = ""
) -> str:
    """A room of any kind that a person can start; returns its id. The same with the same nonce is
    the same room. Raises Invalid, Refused, TooOften."""
    if kind == DIRECT:
        chat().limits.use("write", by.uid)
        if not store().rooms.has_direct(by, members):
            check_room_for(by, members)
        return store().rooms.direct(by, members)
    check_create_rooms(by)
    _check_more(by)
    if kind not in (OPEN, CLOSED):
        raise Invalid("A room is open or closed.")
    clean = clean_name(name, "name of the room", MAX_ROOM_NAME)
    topic = clean_line(about, "topic", MAX_ABOUT)
    chat().limits.use("start", by.uid)
    check_room_for(by, members)
    return store().rooms.create(clean, kind, by, members, topic, nonce)


def check_room_for(by: Person, people: list[Person]) -> None:
    """Raise Invalid where `by` would put one more room on a list that is long already: every page
    of that person has all of it. Nobody is asked whether they want to be in a room, and anybody may
    come as any number of guests. So guests stop earlier, and leave room for people with accounts.
    """
    most = MOST_ROOMS if by.role == GUEST else MOST_LISTED
    others = [person for person in people if person.uid != by.uid]
    counts = store().rooms.counts([person.uid for person in others])
    if chat().settings.limits and (
        full := next((p for p in others if counts[p.uid] >= most), None)
    ):
        raise Invalid(f"{full.name} is in {most:,} rooms already: nobody can be put into more.")


def enter(by: Person, rid: str) -> None:
    """Join an open room. Raises NotFound, Refused."""
    _check_more(by)
    store().rooms.join(rid, by)


def sit(by: Person, nonce: str = "") -> str:
    """Take a seat in a random room; returns its id. The same nonce again is the same seat. Raises
    Refused."""
    _check_more(by)
    return store().rooms.random(by, chat().settings.random_seats, nonce)


def _check_more(by: Person) -> None:
    """Raise Refused for who is in as many rooms as anyone may be. Direct ones, which others can
    begin and nobody can leave, do not count."""
    if chat().settings.limits and store().rooms.count(by.uid) >= MOST_ROOMS:
        rows = store().rooms.of(by.uid)
        if sum(row.room.kind != DIRECT for row in rows) >= MOST_ROOMS:
            raise Refused(f"You are in {MOST_ROOMS} rooms, which is the most. Leave one first.")


@bp.get("/rooms/random")
def random_page() -> Any:
    seats = chat().settings.random_seats
    return render_template("rooms/random.html", seats=seats, nonce=new_nonce())


@bp.post("/rooms/random")
def random() -> Any:
    """Sit down with strangers."""
    return redirect(f"/rooms/{sit(g.person, sent_nonce())}", 303)


@bp.post("/rooms/<rid>/join")
def join(rid: str) -> Any:
    enter(g.person, rid)
    return redirect(f"/rooms/{rid}", 303)


@bp.get("/rooms/<rid>")
def show(rid: str) -> Any:
    """A room with its newest messages; who is no member of an open room is asked to join."""
    room, read = store().rooms.row(rid, g.person.uid)
    if read is None:
        return render_template("rooms/join.html", room=room, size=store().rooms.size(rid))
    events = store().messages.page(room)
    if read < room.seq and not is_htmx():  # whose socket says which room it shows now
        newest = events[-1] if events else room.last
        served(rid, newest.seq, newest.at)
    unread = store().rooms.unread(rid, read, room.seq) if 0 < read < room.seq else 0
    new, reply = read + 1 if unread else 0, answered(rid, request.args.get("reply", ""))
    return room_page(room, events, new=new, unread=unread, reply=reply)


def answered(rid: str, seq: str) -> Event | None:
    """The message with this number, which is to be answered; None when it is none."""
    events = store().messages.before(rid, number(seq) + 1, 1)
    return events[0] if events and events[0].seq == number(seq) and events[0].kind == POST else None


def room_page(
    room: Room,
    events: list[Event],
    history: bool = False,
    body: str = "",
    error: str = "",
    about: Event | None = None,
    new: int = 0,
    unread: int = 0,
    preview: str = "",
    menu: str = "",
    reply: Event | None = None,
    files: bool = False,
) -> str:
    """The room's page, or only its panel when htmx switches rooms. `history`: not the newest
    messages, so nothing live; `body` and `error`: a text that was refused, and why;
    `about`: the message the page is about, and `menu`: what can be done with it; `new`: the
    number of the first event that the person has not seen, 0 for none, and `unread` how many of
    them count; `preview`: a text to be shown as it would look; `reply`: the message that is to
    be answered; `files`: files are to go along."""
    rows, size, draft = store().rooms.beside(g.person.uid, room.rid)
    if all(row.room.rid != room.rid for row in rows):
        store().rooms.mend_list(room.rid, g.person.uid)
        rows = store().rooms.of(g.person.uid)
    return render_template(
        "rooms/panel.html" if is_swap() else "rooms/show.html",
        room=room,
        events=events,
        size=size,
        rows=rows,
        nonce=new_nonce(),
        digest=digest(rows),
        history=history,
        body=body,
        error=error,
        about=about,
        new=new,
        unread=unread,
        preview=preview,
        menu=menu,
        reply=reply,
        files=files,
        draft=draft and not body,
    )


def _new_page(kind: str, error: str = "") -> str:
    """The form that starts a room of this kind, with what was typed into it."""
    fields = {name: request.values.get(name, "") for name in ("name", "about")}
    template = "rooms/direct.html" if kind == DIRECT else "rooms/new.html"
    # What was refused made no room, or one that is over: so the nonce is a new one. A search in
    # between made none either.
    nonce = new_nonce()
    return render_template(template, kind=kind, error=error, nonce=nonce, **fields, **picking())


def is_swap() -> bool:
    """True for htmx swapping the panel; going back in history asks for the whole page."""
    return is_htmx() and not request.headers.get("HX-History-Restore-Request")
