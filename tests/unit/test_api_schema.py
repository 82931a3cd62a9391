"""The operations of the API: their published ids, their checks, and the errors of these."""

import httpx
import pytest

from chat.api.endpoints import OPERATIONS
from chat.api.openapi import document
from chat.api.schemas import RESPONSES, fields, integer, string
from chat.api.validation import compiled
from chat.domain.errors import Invalid

from ..api_schema import check_response

# Clients are generated from these: an id may be added, and none may change.
PUBLISHED = {
    "me": "GET /me",
    "edit_me": "PATCH /me",
    "people": "GET /people",
    "person": "GET /people/{uid}",
    "find": "GET /search",
    "my_rooms": "GET /rooms",
    "open_rooms": "GET /open-rooms",
    "create_room": "POST /rooms",
    "write_to": "POST /direct-rooms",
    "random_room": "POST /random-rooms",
    "room": "GET /rooms/{rid}",
    "edit_room": "PATCH /rooms/{rid}",
    "end_room": "DELETE /rooms/{rid}",
    "join_room": "POST /rooms/{rid}/join",
    "leave_room": "POST /rooms/{rid}/leave",
    "room_members": "GET /rooms/{rid}/members",
    "add_members": "POST /rooms/{rid}/members",
    "remove_member": "DELETE /rooms/{rid}/members/{uid}",
    "hand_over": "POST /rooms/{rid}/owner",
    "list_messages": "GET /rooms/{rid}/messages",
    "post_message": "POST /rooms/{rid}/messages",
    "message": "GET /rooms/{rid}/messages/{seq}",
    "edit_message": "PATCH /rooms/{rid}/messages/{seq}",
    "delete_message": "DELETE /rooms/{rid}/messages/{seq}",
    "react": "PUT /rooms/{rid}/messages/{seq}/reactions/{emoji}",
    "take_back": "DELETE /rooms/{rid}/messages/{seq}/reactions/{emoji}",
    "post_file": "POST /rooms/{rid}/files",
    "get_file": "GET /rooms/{rid}/files/{fid}",
}


def test_the_published_ids_stay():
    told = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, methods in document(OPERATIONS, "")["paths"].items()
        for method, operation in methods.items()
    }
    assert {**told, **PUBLISHED} == told
    assert len(told) == len(OPERATIONS), "an id is there twice"


CHECK = compiled(
    fields(
        {
            "text": string(5, 2),
            "texts": {"type": "array", "items": string(3, 1), "maxItems": 2},
            "kind": {"type": "string", "enum": ["open", "closed"]},
            "nonce": string(64, 1, pattern="^[A-Za-z0-9_-]+$"),
            "number": integer(1, 10),
        },
        ("number",),
    )
)
EVIL = "<b>'\\n{}%s"


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        *((sent, "Send a JSON object.") for sent in (None, [], "number", 5, True)),
        ({}, "number is missing."),
        ({"number": 1, "nmber": 2}, "'nmber' is not allowed here."),
        ({"number": 1, "x" * 90: 2}, f"'{'x' * 40}' is not allowed here."),
        ({"number": 1, EVIL: 2}, f"{EVIL!r} is not allowed here."),
        *(({"number": n}, "number must be a whole number.") for n in ("1", 1.5, 2.0, True, None)),
        *(({"number": float(n)}, "number must be a whole number.") for n in ("inf", "nan")),
        *(({"number": n}, "number is out of range.") for n in (0, 11, -1, 10**400)),
        *(({"number": 1, "text": t}, "text must be a string.") for t in (None, 5, [], {})),
        *(
            ({"number": 1, "text": t}, "text must have 2 to 5 characters.")
            for t in ("", "x", "x" * 6)
        ),
        ({"number": 1, "text": "a\ud800"}, "text contains a lone surrogate"),
        ({"number": 1, "texts": "ab"}, "texts must be a list of at most 2 strings."),
        ({"number": 1, "texts": ["a", "b", "c"]}, "texts must be a list of at most 2 strings."),
        ({"number": 1, "texts": ["a", 5]}, "texts must be a string."),
        ({"number": 1, "texts": ["a", ""]}, "texts must have 1 to 3 characters."),
        ({"number": 1, "texts": ["\ud800"]}, "texts contains a lone surrogate"),
        *(
            ({"number": 1, "kind": k}, "kind must be one of: open, closed.")
            for k in ("", "direct", EVIL)
        ),
        ({"number": 1, "kind": 5}, "kind must be a string."),
        *(
            ({"number": 1, "nonce": n}, "nonce can contain only letters, digits, dashes and")
            for n in ("a b", "é", "a\n", "\n", "a/b")
        ),
    ],
)
def test_an_error_names_the_field_and_what_it_may_be(sent, text):
    with pytest.raises(Invalid) as refused:
        CHECK(sent)
    assert refused.value.text.startswith(text)


def test_what_a_schema_allows_passes():
    CHECK({"number": 10, "text": "ab", "texts": [], "kind": "open", "nonce": "a-_9"})
    CHECK({"number": 1, "texts": ["👋👋👋", "a"]})


PERSON = {"id": "u1", "name": "Ann", "tag": "", "role": "member", "about": "", "bot": False}


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/api/me", 200, {**PERSON, "login": "ann"}),
        ("GET", "/api/me", 200, {name: PERSON[name] for name in PERSON if name != "bot"}),
        ("GET", "/api/me", 200, {**PERSON, "bot": 0}),
        ("GET", "/api/me", 201, PERSON),
        ("GET", "/api/me", 204, None),
        ("GET", "/api/me", 404, {"error": "no"}),
        ("GET", "/api/people", 200, {"people": [{**PERSON, "id": 5}], "next": ""}),
        ("DELETE", "/api/rooms/r", 204, {"done": True}),
        ("GET", "/api/nowhere", 404, {"message": "no"}),
    ],
)
def test_the_check_of_responses_finds_what_is_not_documented(method, path, status, body):
    request = httpx.Request(method, f"http://chat{path}")
    with pytest.raises(AssertionError):
        check_response(httpx.Response(status, json=body, request=request))


def test_the_check_of_responses_takes_what_is_documented():
    for method, path, body in (
        ("GET", "/api/me", PERSON),
        ("GET", "/api/people", {"people": [PERSON], "next": ""}),
        ("POST", "/api/direct-rooms", {"id": "r1"}),
    ):
        request = httpx.Request(method, f"http://chat{path}")
        check_response(httpx.Response(200, json=body, request=request))
    assert RESPONSES.keys() >= {operation.response for operation in OPERATIONS} - {"", "File"}
