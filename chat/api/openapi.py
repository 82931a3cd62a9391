"""The operations of the API as rows, and the OpenAPI document that is made of them."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..domain.emoji import LONGEST
from ..domain.file_types import PLAIN
from .validation import text, whole


@dataclass(frozen=True)
class Operation:
    """`takes` are the fields of the JSON body, of which `needs` must be there; `query` those of
    the address; `gives` names a schema of the answer, "File" for bytes; `status` that of success.
    `is_file`: the body is a file as it is, and `needs` are of the address. `ids`: the fields of
    the answer that a token without the scope "read" gets too, because they name what it has just
    made; without any, its answer is empty (204). They are ids and numbers, never content."""

    method: str
    path: str
    summary: str
    act: Callable[..., Any]
    gives: str = ""
    takes: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    query: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    is_file: bool = False
    ids: tuple[str, ...] = ()

    @property
    def scope(self) -> str:
        return "read" if self.method == "GET" else "write"

    def answer_for(self, scopes: Collection[str], given: dict[str, Any] | None) -> Any:
        """What a token with these scopes is told of `given`, the answer of the operation; None
        for an empty answer. All answers of the API to a write pass here, so that a token which
        may only write reads nothing."""
        if given is None or "read" in scopes:
            return given
        return {name: given[name] for name in self.ids} or None

    @property
    def name(self) -> str:
        return self.act.__name__


# The document

_TEXT, _NUMBER, _YES = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_MAYBE = {"type": ["integer", "null"]}
_BYTES = {PLAIN: {"schema": {"type": "string", "format": "binary"}}}
_FIELDS: dict[str, dict[str, Any]] = {
    "Person": {**dict.fromkeys(("id", "name", "tag", "role", "about"), _TEXT), "bot": _YES},
    "Room": {
        **dict.fromkeys(("id", "name", "about", "kind", "owner"), _TEXT),
        **dict.fromkeys(("newest", "active"), _NUMBER),
    },
    "Message": {
        **dict.fromkeys(("seq", "at"), _NUMBER),
        **dict.fromkeys(("kind", "body"), _TEXT),
        "author": {"type": "object", "properties": {"id": _TEXT, "name": _TEXT}},
        "edited": _YES,
        "changes": _MAYBE,
        "reply": _MAYBE,
        "reactions": {"type": "array", "items": {"$ref": "#/components/schemas/Reaction"}},
        "files": {"type": "array", "items": {"$ref": "#/components/schemas/Attachment"}},
    },
    "Attachment": {
        **dict.fromkeys(("id", "name", "type", "note", "url"), _TEXT),
        "size": _NUMBER,
        "width": _MAYBE,
        "height": _MAYBE,
    },
    "Reaction": {"emoji": _TEXT, "people": {"type": "array", "items": _TEXT}},
    "People": {
        "people": {"type": "array", "items": {"$ref": "#/components/schemas/Person"}},
        "next": {**_TEXT, "description": "`after` of the next page, empty for none"},
    },
    "Members": {
        "people": {"type": "array", "items": {"$ref": "#/components/schemas/Person"}},
        "total": _NUMBER,
    },
    "Rooms": {
        "rooms": {"type": "array", "items": {"$ref": "#/components/schemas/Room"}},
        "total": _NUMBER,
    },
    "Messages": {
        "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
        "newest": _NUMBER,
    },
    "Hit": {"room": _TEXT, "message": {"$ref": "#/components/schemas/Message"}},
    "Hits": {
        "hits": {"type": "array", "items": {"$ref": "#/components/schemas/Hit"}},
        "older": _TEXT,
    },
    "Error": {
        "error": {
            "type": "object",
            "properties": {"status": _NUMBER, "title": _TEXT, "text": _TEXT},
            "required": ["status", "title", "text"],
        }
    },
}
_REFUSED = {
    400: "what was sent cannot be used",
    401: "no token, or one that is not in use",
    403: "not with this token or these rights",
    404: "not there, or not for this person",
    413: "too large",
    429: "too often; Retry-After says when it is worth trying again",
    503: "the database or the files cannot be reached, or the server is busy; try again",
}


def document(operations: Iterable[Operation], about: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document (spec.openapis.org) of these operations; `about` describes it."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = operation.path.replace("<int:", "<").replace("<", "{").replace(">", "}")
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation)
    schemas = {
        name: {"type": "object", "properties": fields, "required": list(fields)}
        for name, fields in _FIELDS.items()
    }
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Chat", "version": "1", "description": about.strip()},
        "servers": [{"url": "/api"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": bearer}},
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation)],
        "responses": {str(operation.status): _success(operation)},
    }
    if operation.scope == "write" and operation.gives and not operation.ids:
        described["responses"]["204"] = {"description": "done, for a token that may not read"}
    for status, why in _REFUSED.items():
        described["responses"][str(status)] = {"description": why, "content": _content("Error")}
    if operation.is_file:
        described["requestBody"] = {"required": True, "content": _BYTES}
    if operation.takes:
        schema = {
            "type": "object",
            "properties": operation.takes,
            "required": list(operation.needs),
            "additionalProperties": False,
        }
        content = {"application/json": {"schema": schema}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _success(operation: Operation) -> dict[str, Any]:
    if not operation.gives:
        return {"description": "done"}
    if operation.gives == "File":
        return {"description": "its bytes", "content": {"*/*": _BYTES[PLAIN]}}
    if not operation.ids:
        return {"description": "done", "content": _content(operation.gives)}
    whole, fields = _content(operation.gives), _FIELDS[operation.gives]
    less = {
        "type": "object",
        "description": "for a token that may not read",
        "properties": {name: fields[name] for name in operation.ids},
        "required": list(operation.ids),
        "additionalProperties": False,
    }
    either = {"anyOf": [whole["application/json"]["schema"], less]}
    return {"description": "done", "content": {"application/json": {"schema": either}}}


def _content(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    parts = [part.strip("<>") for part in path.split("/") if part.startswith("<")]
    names = {name: text(64, 1) for name in ("rid", "uid", "fid")}
    names |= {"int:seq": whole(1), "emoji": text(LONGEST, 1)}
    return [
        {"name": part.removeprefix("int:"), "in": "path", "required": True, "schema": names[part]}
        for part in parts
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name in operation.needs, "schema": schema}
        for name, schema in operation.query.items()
    ]
