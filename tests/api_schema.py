"""Checks responses of the API against the OpenAPI document, as a hook of an HTTP client.

A response must have a status that the document has for its operation, and a body that its schema
describes completely: a field that the document does not name is an error here, although programs
have to expect one from a later version.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import fastjsonschema
import httpx

from chat.api.endpoints import OPERATIONS
from chat.api.openapi import document
from chat.api.operation import Operation

DOCUMENT = document(OPERATIONS, "")


def check_response(response: httpx.Response) -> None:
    """A response hook of httpx. Raises AssertionError where the response is not as documented."""
    method, path = response.request.method, response.request.url.path
    if path == "/api/openapi.json":
        return
    operation = next(operations_at(method, path), None)
    response.read()
    if response.status_code == 421:  # another host's name, whatever the path
        schema = error_schema()
    elif operation is None:  # such as a path that is not there, or another method of one that is
        assert response.status_code in (404, 405), response.text
        schema = error_schema()
    else:
        described = responses_of(operation)
        status = str(response.status_code)
        assert status in described, f"{operation.id} does not document {status}"
        schema = described[status].get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        is_empty = response.status_code == 204
        assert is_empty == (not response.content), f"{method} {path}: {response.content[:200]!r}"
        return
    assert response.headers["content-type"] == "application/json"
    try:
        validator(json.dumps(schema))(response.json())
    except fastjsonschema.JsonSchemaException as error:
        raise AssertionError(f"{method} {path} {response.status_code}: {error}") from None


def operations_at(method: str, path: str) -> Iterator[Operation]:
    for operation in OPERATIONS:
        pattern = re.sub(r"<int:\w+>", r"\\d+", f"/api{operation.path}")
        pattern = re.sub(r"<\w+>", "[^/]+", pattern)
        if operation.method == method and re.fullmatch(pattern, path):
            yield operation


def responses_of(operation: Operation) -> dict[str, Any]:
    path = re.sub(r"<(?:int:)?(\w+)>", r"{\1}", operation.path)
    found: dict[str, Any] = DOCUMENT["paths"][path][operation.method.lower()]["responses"]
    return found


def error_schema() -> Any:
    return {"$ref": "#/components/schemas/Error"}


@cache
def validator(schema: str) -> Any:
    """The compiled check of a schema, given as JSON, that takes only documented fields."""
    definition = {**json.loads(schema), "components": DOCUMENT["components"]}
    return fastjsonschema.compile(closed(definition))


def closed(schema: Any) -> Any:
    """The schema with `additionalProperties: false` in every object that it describes."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    is_object = schema.get("type") == "object" and "properties" in schema
    return {**inner, "additionalProperties": False} if is_object else inner
