"""The OpenAPI 3.1 document of the API (spec.openapis.org/oas/v3.1.0)."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..domain.file_types import PLAIN
from .operation import Operation
from .schemas import PATH_PARAMETERS, RESPONSES, Schema, fields, reference

_BYTES = {PLAIN: {"schema": {"type": "string", "format": "binary"}}}
_ERRORS = {
    400: "the request is invalid",
    401: "the token is missing or invalid",
    403: "this token or person is not allowed to do this",
    404: "not found, or not visible to this person",
    413: "the request is too large",
    429: "too many requests; Retry-After says when to try again",
    503: "the database or the file storage is unavailable, or the server is busy; try again",
}


def document(operations: Iterable[Operation], about: str) -> dict[str, Any]:
    """The document of these operations; `about` is the description of the API."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r"<(?:int:)?(\w+)>", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation)
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Chat", "version": "1", "description": about.strip()},
        "servers": [{"url": "/api"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": RESPONSES, "securitySchemes": {"token": bearer}},
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": (operation.handler.__doc__ or "").rstrip("."),
        "parameters": list(_parameters(operation)),
        "responses": {str(operation.status if operation.response else 204): _success(operation)},
    }
    if operation.scope == "write" and operation.response and not operation.id_field:
        described["responses"]["204"] = {"description": "done, if the token cannot read"}
    for status, why in _ERRORS.items():
        content = _json(reference("Error"))
        described["responses"][str(status)] = {"description": why, "content": content}
    if operation.is_file:
        described["requestBody"] = {"required": True, "content": _BYTES}
    elif operation.body:
        described["requestBody"] = {"required": True, "content": _json(operation.schema)}
    return described


def _success(operation: Operation) -> dict[str, Any]:
    if not operation.response:
        return {"description": "done"}
    if operation.response == "File":
        return {"description": "the content of the file", "content": {"*/*": _BYTES[PLAIN]}}
    answer = reference(operation.response)
    if name := operation.id_field:
        schema = RESPONSES[operation.response]["properties"][name]
        ids = fields({name: schema}, (name,))
        answer = {"anyOf": [answer, {**ids, "description": "if the token cannot read"}]}
    return {"description": "done", "content": _json(answer)}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"<(?:int:)?(\w+)>", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS[name]}
    for name, schema in operation.query.items():
        required = name in operation.required
        yield {"name": name, "in": "query", "required": required, "schema": schema}
