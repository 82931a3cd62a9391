"""Everything the pages can do, for programs: JSON under /api, with a token.

An operation is a row of `OPERATIONS`: what it is called, what it takes and gives, and the function
that does it, which is the one the pages call. The OpenAPI document is made of the same rows, so
that it cannot say anything else than what is checked.
"""

import tempfile
from collections.abc import Callable
from shutil import copyfileobj
from typing import IO, Any, cast

from flask import Blueprint, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ..domain.errors import ChatError, Invalid, NotFound, Unauthorized
from ..domain.errors import Refused as NotAllowed
from ..domain.file_types import MOST_NAME
from ..domain.validation import MAX_ABOUT, MAX_BODY, MAX_NAME, MAX_ROOM_NAME, clean_line, clean_name
from ..media.attachments import Sent
from ..rendering.local_time import today
from ..rendering.serializers import message_json, person_json, room_json
from ..runtime.cooperation import in_pieces
from ..search.query import LONGEST, parse
from ..services.context import chat, present
from ..services.rate_limits import charge
from ..store import Person
from ..store.messages import PAGE_SIZE
from ..web import (
    downloads,
    members,
    messages,
    room_settings,
    rooms,
    search,
    upload_limits,
)
from ..web.failed_sign_ins import failed
from ..web.profiles import edit as edit_profile
from .openapi import Operation, document
from .validation import LAST, of_address, of_body, text, whole

bp = Blueprint("api", __name__, url_prefix="/api")
bp.teardown_request(upload_limits.end)

MOST = 200  # events, people or rooms in one answer
LONGEST_PLACE = 2000  # characters that name a place in a list
MOST_OWN = 1000  # of one's own rooms
SPOOLED = 1 << 16  # bytes of a file on its way in that are in memory


# What operations take.

PEOPLE = {"type": "array", "items": text(64, 1), "maxItems": 500}
NONCE = text(64, 1, pattern="^[A-Za-z0-9_-]+$")
KIND = {"type": "string", "enum": ["open", "closed"]}
ROOM_FIELDS = {"name": text(MAX_ROOM_NAME, 1), "about": text(MAX_ABOUT), "kind": KIND}


# Who and what


def me() -> Any:
    return person_json(g.person)


def edit_me(**fields: str) -> Any:
    if "name" in fields:
        fields["name"] = clean_name(fields["name"], "name", MAX_NAME)
    if "about" in fields:
        fields["about"] = clean_line(fields["about"], "text about you", MAX_ABOUT)
    if not fields:
        return person_json(g.person)
    chat().limits.use("profile", g.person.uid)
    return person_json(edit_profile(g.person, fields))


def people(q: str = "", limit: int = 50, after: str = "") -> Any:
    page = chat().store.people.page(q, limit, after, off=False)
    return {"people": [person_json(person) for person in page.people], "next": page.after}


def person(uid: str) -> Any:
    found = chat().store.people.get(uid)
    if found is None:
        raise NotFound("There is no such person.")
    return person_json(found)


def my_rooms(limit: int = MOST_OWN, skip: int = 0) -> Any:
    rows = chat().store.rooms.of(g.person.uid)
    some = in_pieces(rows[skip : skip + limit])
    listed = [{**room_json(row.room), "unread": row.unread} for row in some]
    return {"rooms": listed, "total": len(rows)}


def open_rooms(limit: int = MOST, skip: int = 0) -> Any:
    found = chat().store.rooms.open(limit, skip)
    total = chat().store.rooms.open_count()
    return {"rooms": [room_json(room) for room in in_pieces(found)], "total": total}


def create_room(
    name: str, kind: str = "open", about: str = "", members: Any = (), nonce: str = ""
) -> Any:
    picked = _people(members)
    return _room(rooms.start(g.person, name, kind, about, picked, nonce))


def write_to(members: list[str]) -> Any:
    return _room(rooms.start(g.person, "", "direct", "", _people(members)))


def random_room(nonce: str = "") -> Any:
    return _room(rooms.sit(g.person, nonce))


def room(rid: str) -> Any:
    found, _ = chat().store.rooms.row(rid, g.person.uid)
    return room_json(found)


def edit_room(rid: str, **fields: str) -> Any:
    room_settings.edit(g.person, rid, fields)
    return _room(rid)


def end_room(rid: str) -> None:
    room_settings.end(g.person, rid)


def join_room(rid: str) -> Any:
    rooms.enter(g.person, rid)
    return _room(rid)


def leave_room(rid: str) -> None:
    chat().store.rooms.leave(rid, g.person)


def room_members(rid: str, limit: int = MOST, skip: int = 0) -> Any:
    chat().store.rooms.member(rid, g.person.uid)
    found, total = chat().store.rooms.members(rid, skip, limit), chat().store.rooms.size(rid)
    return {"people": [person_json(member) for member in in_pieces(found)], "total": total}


def add_members(rid: str, members: list[str]) -> Any:
    _add(rid, members)
    return room_members(rid)


def remove_member(rid: str, uid: str) -> None:
    members.remove(g.person, rid, uid)


def hand_over(rid: str, owner: str) -> Any:
    members.hand_over(g.person, rid, owner)
    return _room(rid)


def list_messages(
    rid: str, before: int | None = None, after: int | None = None, limit: int = PAGE_SIZE
) -> Any:
    found, store = chat().store.rooms.member(rid, g.person.uid), chat().store.messages
    if after is not None:
        events = store.after(rid, after, limit)
    else:
        events = store.before(rid, before or LAST, limit)
    return {"messages": [message_json(event) for event in events], "newest": found.seq}


def post_message(rid: str, body: str, nonce: str = "", reply: int = 0) -> Any:
    return message(rid, messages.say(g.person, rid, body, nonce, reply))


def post_file(
    rid: str, stream: IO[bytes], name: str, body: str = "", nonce: str = "", reply: int = 0
) -> Any:
    chat().store.rooms.member(rid, g.person.uid)
    upload_limits.begin(present(), g.person.uid, chat().attachments.most_together)
    with tempfile.SpooledTemporaryFile(SPOOLED) as spooled:
        copyfileobj(stream, spooled, SPOOLED)
        sent = [Sent(name, cast(IO[bytes], spooled))]
        return message(rid, messages.say(g.person, rid, body, nonce, reply, sent))


def get_file(rid: str, fid: str) -> Any:
    return downloads.answer(rid, chat().store.messages.file(rid, g.person.uid, fid))


def message(rid: str, seq: int) -> Any:
    chat().store.rooms.member(rid, g.person.uid)
    return message_json(chat().store.messages.get(rid, seq))


def edit_message(rid: str, seq: int, body: str) -> Any:
    messages.revise(g.person, rid, seq, body)
    return message(rid, seq)


def delete_message(rid: str, seq: int) -> None:
    messages.delete(g.person, rid, seq)


def react(rid: str, seq: int, emoji: str) -> Any:
    return _react(rid, seq, emoji, "on")


def take_back(rid: str, seq: int, emoji: str) -> Any:
    return _react(rid, seq, emoji, "off")


def find(q: str = "", older: str = "", limit: int = search.PAGE) -> Any:
    query = parse(q, today(g.person.zone))
    found = search.search(query, older, limit) if query or query.problem else search.Found()
    hits = [{"room": hit.room.rid, "message": message_json(hit.event)} for hit in found.hits]
    return {"hits": hits, "older": found.older}


ROOM, MESSAGE = "/rooms/<rid>", "/rooms/<rid>/messages/<int:seq>"
REACTION = f"{MESSAGE}/reactions/<emoji>"
PROFILE = {"name": text(MAX_NAME, 1), "about": text(MAX_ABOUT)}
PART = {"limit": whole(1, MOST), "skip": whole(0)}
OWN = {"limit": whole(1, MOST_OWN), "skip": whole(0)}
CURSOR = {"before": whole(1), "after": whole(0), "limit": whole(1, MOST)}
OPERATIONS = [
    Operation("GET", "/me", "Who the token belongs to", me, "Person"),
    Operation("PATCH", "/me", "Change one's profile", edit_me, "Person", PROFILE),
    Operation(
        "GET",
        "/people",
        "Find people by a word of their name",
        people,
        "People",
        query={"q": text(100), "limit": whole(1, MOST), "after": text(LONGEST_PLACE)},
    ),
    Operation(
        "GET",
        "/search",
        "Find messages in one's rooms, the newest first; the words as in the page's field",
        find,
        "Hits",
        query={"q": text(LONGEST), "older": text(200), "limit": whole(1, MOST)},
    ),
    Operation("GET", "/people/<uid>", "One person", person, "Person"),
    Operation(
        "GET", "/rooms", "One's own rooms, the last active first", my_rooms, "Rooms", query=OWN
    ),
    Operation(
        "GET",
        "/open-rooms",
        "The rooms anyone may join, the newest first",
        open_rooms,
        "Rooms",
        query=PART,
    ),
    Operation(
        "POST",
        "/rooms",
        "Start a room; the same nonce and fields again are the same room",
        create_room,
        "Room",
        {**ROOM_FIELDS, "members": PEOPLE, "nonce": NONCE},
        ("name",),
        status=201,
        ids=("id",),
    ),
    Operation(
        "POST",
        "/direct-rooms",
        "The direct room with these people",
        write_to,
        "Room",
        {"members": PEOPLE},
        ("members",),
        ids=("id",),
    ),
    Operation(
        "POST",
        "/random-rooms",
        "A seat among strangers; the same nonce again is the same seat",
        random_room,
        "Room",
        query={"nonce": NONCE},
        ids=("id",),
    ),
    Operation("GET", ROOM, "One room", room, "Room"),
    Operation("PATCH", ROOM, "Change a room", edit_room, "Room", ROOM_FIELDS),
    Operation("DELETE", ROOM, "End a room for everyone", end_room, status=204),
    Operation("POST", f"{ROOM}/join", "Join an open room", join_room, "Room"),
    Operation("POST", f"{ROOM}/leave", "Leave a room", leave_room, status=204),
    Operation(
        "GET",
        f"{ROOM}/members",
        "Who is in a room, those who joined first first",
        room_members,
        "Members",
        query=PART,
    ),
    Operation(
        "POST",
        f"{ROOM}/members",
        "Add people to a room",
        add_members,
        "Members",
        {"members": PEOPLE},
        ("members",),
    ),
    Operation("DELETE", f"{ROOM}/members/<uid>", "Remove a member", remove_member, status=204),
    Operation(
        "POST",
        f"{ROOM}/owner",
        "Hand a room over to a member",
        hand_over,
        "Room",
        {"owner": text(64, 1)},
        ("owner",),
    ),
    Operation(
        "GET",
        f"{ROOM}/messages",
        "The newest events, or those before or after a number, oldest first",
        list_messages,
        "Messages",
        query=CURSOR,
    ),
    Operation(
        "POST",
        f"{ROOM}/messages",
        "Post; the same nonce and body again is the same message",
        post_message,
        "Message",
        {"body": text(MAX_BODY, 1), "nonce": NONCE, "reply": whole(1)},
        ("body",),
        status=201,
        ids=("seq",),
    ),
    Operation(
        "POST",
        f"{ROOM}/files",
        "Post a file: its bytes are the body of the request",
        post_file,
        "Message",
        needs=("name",),
        query={"name": text(MOST_NAME, 1), "body": text(MAX_BODY), "nonce": NONCE}
        | {"reply": whole(1)},
        status=201,
        is_file=True,
        ids=("seq",),
    ),
    Operation("GET", f"{ROOM}/files/<fid>", "A file of a message", get_file, "File"),
    Operation("GET", MESSAGE, "One event of a room", message, "Message"),
    Operation(
        "PATCH",
        MESSAGE,
        "Edit a message",
        edit_message,
        "Message",
        {"body": text(MAX_BODY)},
        ("body",),
    ),
    Operation("DELETE", MESSAGE, "Delete a message for everyone", delete_message, status=204),
    Operation("PUT", REACTION, "React to a message with an emoji", react, "Message"),
    Operation("DELETE", REACTION, "Take a reaction back", take_back, "Message"),
]


# From the request to the function and back


@bp.before_request
def authorize() -> None:
    """Find out whose token it is, and count the request. Raises Unauthorized, TooOften."""
    asked = present()
    if asked.endpoint == "api.openapi":
        charge(asked, "")
        return
    kind, _, secret = asked.headers.get("Authorization", "").partition(" ")
    found = chat().store.tokens.person(secret) if kind.lower() == "bearer" else None
    charge(asked, found[0].uid if found else "")
    if found is None:
        if secret:
            failed("unknown token")
        raise Unauthorized("Send a token that is in use: Authorization: Bearer chat_…")
    g.person, g.token = found


def _view(operation: Operation) -> Callable[..., Any]:
    def view(**path: Any) -> Any:
        if operation.scope not in g.token.scopes:
            raise NotAllowed(f"This token may not {operation.scope}.")
        if path.get("seq", 0) > LAST:
            raise NotFound("There is no such message in this room.")
        given = operation.act(**path, **_sent(operation))
        if isinstance(given, Response) and operation.scope == "read":
            return given  # a file
        given = operation.answer_for(g.token.scopes, given)
        return (jsonify(given), operation.status) if given is not None else ("", 204)

    return view


def _sent(operation: Operation) -> dict[str, Any]:
    """What the request gives to the function; raises Invalid."""
    sent = of_address(operation.query, operation.needs)
    if operation.is_file:
        sent["stream"] = request.stream
    elif operation.takes:
        sent |= of_body(operation.takes, operation.needs)
    return sent


def _people(uids: Any) -> list[Person]:
    people = chat().store.people.several(list(dict.fromkeys(uids)))
    found = [person for person in people if not person.off]
    if len(found) < len(set(uids)):
        raise Invalid("One of the members is nobody.")
    return found


def _add(rid: str, uids: list[str]) -> None:
    members.add(g.person, rid, _people(uids))


def _react(rid: str, seq: int, emoji: str, wanted: str) -> Any:
    messages.set_reaction(g.person, rid, seq, emoji, wanted)
    return message(rid, seq)


def _room(rid: str) -> Any:
    return room_json(chat().store.rooms.get(rid, g.person.uid))


def error_json(status: int, title: str, text: str) -> tuple[Response, int]:
    """The one shape of everything that went wrong."""
    return jsonify(error={"status": status, "title": title, "text": text}), status


@bp.errorhandler(ChatError)
def refused(error: ChatError) -> Any:
    return *error_json(error.status, error.title, error.text), error.headers


def http_error(error: HTTPException) -> Any:
    """What Flask refuses under /api, in the same shape."""
    response, status = error_json(error.code or 500, error.name, error.description or "")
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(error.valid_methods)
    return response, status


@bp.get("/openapi.json")
def openapi() -> Any:
    """What this module can do, for programs that read OpenAPI 3.1."""
    return jsonify(document(OPERATIONS, __doc__ or ""))


for _operation in OPERATIONS:
    bp.add_url_rule(
        _operation.path, _operation.name, _view(_operation), methods=[_operation.method]
    )
