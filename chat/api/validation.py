"""The fields a program sends to the API: what they may be, and the reading of them.

A field is described by a JSON Schema, which the OpenAPI document shows as it is; `_checked` knows
the few words of it that are used.
"""

from typing import Any

from flask import request

from ..domain.errors import Invalid
from ..domain.wire_text import has_surrogate
from ..web.composer import is_nonce

LAST = 10**15 - 1  # the largest number that is taken


def text(most: int, least: int = 0, **more: Any) -> dict[str, Any]:
    """The schema of a text of `least` to `most` characters."""
    return {"type": "string", "minLength": least, "maxLength": most, **more}


def whole(low: int, high: int = LAST) -> dict[str, Any]:
    """The schema of a whole number from `low` to `high`."""
    return {"type": "integer", "minimum": low, "maximum": high}


def of_address(schemas: dict[str, Any], needs: tuple[str, ...]) -> dict[str, Any]:
    """The fields of the request's address; others are ignored. Raises Invalid."""
    values: dict[str, Any] = {}
    for name, schema in schemas.items():
        if name in request.args:
            value: Any = request.args[name]
            if schema["type"] == "integer":
                if not value.isascii() or not value.isdecimal() or len(value) > 15:
                    raise Invalid(f"{name} must be a whole number.")
                value = int(value)
            values[name] = _checked(name, value, schema)
        elif name in needs:
            raise Invalid(f"{name} is missing.")
    return values


def of_body(schemas: dict[str, Any], needs: tuple[str, ...]) -> dict[str, Any]:
    """The fields of the request's JSON body, and no others. Raises Invalid."""
    try:
        sent = request.get_json(silent=True, force=True)
    except RecursionError:
        sent = None
    if not isinstance(sent, dict):
        raise Invalid("Send a JSON object.")
    if missing := [name for name in needs if name not in sent]:
        raise Invalid(f"{missing[0]} is missing.")
    if unknown := [name for name in sent if name not in schemas]:
        raise Invalid(f"{unknown[0][:40]!r} is not taken here.")
    return {name: _checked(name, value, schemas[name]) for name, value in sent.items()}


def _checked(name: str, value: Any, schema: dict[str, Any]) -> Any:
    """`value` as the schema wants it; raises Invalid."""
    if schema["type"] == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            raise Invalid(f"{name} must be a whole number.")
        if not schema["minimum"] <= value <= schema["maximum"]:
            raise Invalid(f"{name} is out of range.")
        return value
    if schema["type"] == "array":
        if not isinstance(value, list) or len(value) > schema["maxItems"]:
            raise Invalid(f"{name} must be a list of at most {schema['maxItems']} texts.")
        return [_checked(name, item, schema["items"]) for item in value]
    if not isinstance(value, str):
        raise Invalid(f"{name} must be a text.")
    if has_surrogate(value):
        raise Invalid(f"{name} holds a lone surrogate (\\ud800 to \\udfff), which is no character.")
    if "enum" in schema and value not in schema["enum"]:
        raise Invalid(f"{name} must be one of: {', '.join(schema['enum'])}.")
    if "enum" not in schema and not schema["minLength"] <= len(value) <= schema["maxLength"]:
        raise Invalid(
            f"{name} must have {schema['minLength']} to {schema['maxLength']} characters."
        )
    if "pattern" in schema and not is_nonce(value):
        raise Invalid(f"{name} has letters, digits, dashes and underscores only.")
    return value
