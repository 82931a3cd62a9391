"""JSON Schemas of what the API takes and returns.

Each is used twice: requests are checked with it (`validation`; the tests check responses too), and
the OpenAPI document publishes it as it is (`openapi`).
"""

from typing import Any

from ..domain.emoji import MAX_EMOJI_CHARS
from ..domain.validation import MAX_ABOUT_CHARS, MAX_NAME_CHARS, MAX_ROOM_NAME_CHARS

Schema = dict[str, Any]

MAX_INTEGER = 10**15 - 1  # exact in every JSON parser, and in the scripts of the database
MAX_ID_CHARS = 64
MAX_CURSOR_CHARS = 2000  # characters that name a place in a list of people
MAX_MEMBERS = 500  # people in one request
PAGE_SIZE = 200  # events, people or rooms in one answer


def string(max_chars: int, min_chars: int = 0, **more: Any) -> Schema:
    """The schema of a text of `min_chars` to `max_chars` characters."""
    return {"type": "string", "minLength": min_chars, "maxLength": max_chars, **more}


def integer(low: int, high: int = MAX_INTEGER) -> Schema:
    """The schema of a whole number from `low` to `high`."""
    return {"type": "integer", "minimum": low, "maximum": high}


def fields(properties: dict[str, Schema], required: tuple[str, ...]) -> Schema:
    """The schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


# Requests

ID = string(MAX_ID_CHARS, 1)
NONCE = string(MAX_ID_CHARS, 1, pattern="^[A-Za-z0-9_-]+$")
PERSON_IDS = {"type": "array", "items": ID, "maxItems": MAX_MEMBERS}
ROOM_FIELDS = {
    "name": string(MAX_ROOM_NAME_CHARS, 1),
    "about": string(MAX_ABOUT_CHARS),
    "kind": {"type": "string", "enum": ["open", "closed"]},
}
PROFILE_FIELDS = {"name": string(MAX_NAME_CHARS, 1), "about": string(MAX_ABOUT_CHARS)}
PAGING = {"limit": integer(1, PAGE_SIZE), "skip": integer(0)}
PATH_PARAMETERS = {
    "rid": ID,
    "uid": ID,
    "fid": ID,
    "seq": integer(1),
    "emoji": string(MAX_EMOJI_CHARS, 1),
}

# Responses

_STRING, _INTEGER, _BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_MAYBE_INTEGER = {"type": ["integer", "null"]}


def reference(name: str) -> Schema:
    """The schema of that name in `RESPONSES`, as the document refers to it."""
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": reference(name)}


def _response(properties: dict[str, Schema]) -> Schema:
    """The schema of a response. All its fields are always there; a later version may add others."""
    return {"type": "object", "properties": properties, "required": list(properties)}


_ROOM = {
    **dict.fromkeys(("id", "name", "about", "kind", "owner"), _STRING),
    **dict.fromkeys(("newest", "active"), _INTEGER),
}

_RESPONSE_FIELDS: dict[str, dict[str, Schema]] = {
    "Person": {
        **dict.fromkeys(("id", "name", "tag", "role", "about"), _STRING),
        "bot": _BOOLEAN,
    },
    "Room": _ROOM,
    "OwnRoom": {**_ROOM, "unread": _INTEGER},
    "Message": {
        **dict.fromkeys(("seq", "at"), _INTEGER),
        **dict.fromkeys(("kind", "body"), _STRING),
        "author": _response({"id": _STRING, "name": _STRING}),
        "edited": _BOOLEAN,
        "changes": _MAYBE_INTEGER,
        "reply": _MAYBE_INTEGER,
        "reactions": _list_of("Reaction"),
        "files": _list_of("Attachment"),
    },
    "Attachment": {
        **dict.fromkeys(("id", "name", "type", "note", "url"), _STRING),
        "size": _INTEGER,
        "width": _MAYBE_INTEGER,
        "height": _MAYBE_INTEGER,
    },
    "Reaction": {"emoji": _STRING, "people": {"type": "array", "items": _STRING}},
    "People": {
        "people": _list_of("Person"),
        "next": {**_STRING, "description": "`after` of the next page, empty for none"},
    },
    "Members": {"people": _list_of("Person"), "total": _INTEGER},
    "Rooms": {"rooms": _list_of("Room"), "total": _INTEGER},
    "OwnRooms": {"rooms": _list_of("OwnRoom"), "total": _INTEGER},
    "Messages": {"messages": _list_of("Message"), "newest": _INTEGER},
    "Hit": {"room": _STRING, "message": reference("Message")},
    "Hits": {"hits": _list_of("Hit"), "older": _STRING},
    "Error": {"error": _response({"status": _INTEGER, "title": _STRING, "text": _STRING})},
}
RESPONSES = {name: _response(properties) for name, properties in _RESPONSE_FIELDS.items()}
