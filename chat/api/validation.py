"""Reads the fields of a request to the API and checks them.

The checks are compiled by fastjsonschema from the schemas that the OpenAPI document publishes; this
module says in plain words what is wrong. The rules are those of JSON Schema draft 4, in which 2.0
is not an integer: for the words that the schemas use, later drafts differ in nothing else.
"""

from collections.abc import Callable
from typing import Any

import fastjsonschema
from fastjsonschema import JsonSchemaValueException
from flask import request

from ..domain.errors import Invalid
from ..domain.wire_text import is_whole
from .schemas import MAX_INTEGER, Schema

MAX_SHOWN_NAME_CHARS = 40  # of a field that is not known
MAX_DIGITS = len(str(MAX_INTEGER))

Check = Callable[[Any], None]
"""Raises Invalid, with a text that names the field."""


def compiled(schema: Schema) -> Check:
    """The check of an object against a schema made by `schemas.fields`."""
    draft = {"$schema": "http://json-schema.org/draft-04/schema#"}
    validate = fastjsonschema.compile({**draft, **schema}, use_default=False)

    def check(sent: Any) -> None:
        try:
            validate(sent)
        except JsonSchemaValueException as error:
            raise Invalid(explained(error)) from None
        for name, value in sent.items():
            if not is_whole(value):
                raise Invalid(
                    f"{name} contains a lone surrogate (\\ud800 to \\udfff), which is no character."
                )

    return check


def query_fields(properties: dict[str, Schema]) -> dict[str, Any]:
    """The query parameters among `properties`, integers as such; other parameters are ignored.
    Raises Invalid for a text that is not an integer."""
    sent: dict[str, Any] = {name: request.args[name] for name in properties if name in request.args}
    for name, value in sent.items():
        if properties[name]["type"] == "integer":
            if not value.isascii() or not value.isdecimal() or len(value) > MAX_DIGITS:
                raise Invalid(f"{name} must be a whole number.")
            sent[name] = int(value)
    return sent


def body_fields() -> Any:
    """The request's JSON body, None if it has none. It is not checked yet."""
    try:
        return request.get_json(silent=True, force=True)
    except RecursionError:
        return None


def explained(error: JsonSchemaValueException) -> str:
    """Return what is wrong, for the person who wrote the program: the field, and its valid
    values."""
    schema: Schema = error.definition
    if len(error.path) == 1:  # the object itself, not one of its fields
        if error.rule == "required":
            missing = next(name for name in schema["required"] if name not in error.value)
            return f"{missing} is missing."
        if error.rule == "additionalProperties":
            unknown = next(name for name in error.value if name not in schema["properties"])
            return f"{unknown[:MAX_SHOWN_NAME_CHARS]!r} is not allowed here."
        return "Send a JSON object."
    return f"{error.path[1]} {_RULES[error.rule or ''](schema)}"


_TYPES: dict[str, Callable[[Schema], str]] = {
    "string": lambda _: "must be a string.",
    "integer": lambda _: "must be a whole number.",
    "array": lambda schema: f"must be a list of at most {schema['maxItems']} strings.",
}


def _length(schema: Schema) -> str:
    return f"must have {schema['minLength']} to {schema['maxLength']} characters."


_RULES: dict[str, Callable[[Schema], str]] = {
    "type": lambda schema: _TYPES[schema["type"]](schema),
    "enum": lambda schema: f"must be one of: {', '.join(schema['enum'])}.",
    "minLength": _length,
    "maxLength": _length,
    "minimum": lambda _: "is out of range.",
    "maximum": lambda _: "is out of range.",
    "maxItems": _TYPES["array"],
    "pattern": lambda _: "can contain only letters, digits, dashes and underscores.",
}
