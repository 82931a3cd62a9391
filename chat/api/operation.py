"""An operation of the API: one row that routes, checks and documents it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .schemas import Schema, fields
from .validation import Check, body_fields, compiled, query_fields


@dataclass(frozen=True)
class Operation:
    """`id` is the operationId of the document and the name of the Flask endpoint. Generated clients
    call their functions by it, so it never changes.

    `body` and `query` are the schemas of the fields that `handler` gets as keyword arguments,
    besides those of the path; `required` names the fields that must be there. `response` names a
    schema of `schemas.RESPONSES`, "File" for bytes, "" for an empty answer; `status` is that of
    success. `is_file`: the body is a file, and `required` are fields of the query.

    `write_only_fields`: the fields of the answer that a token without the scope "read" gets too,
    because they name what it has just made. They are ids and numbers, never content. Without any,
    such a token gets an empty answer (204)."""

    id: str
    method: str
    path: str
    summary: str
    handler: Callable[..., Any]
    response: str = ""
    body: dict[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    query: dict[str, Schema] = field(default_factory=dict)
    status: int = 200
    is_file: bool = False
    write_only_fields: tuple[str, ...] = ()

    @property
    def scope(self) -> str:
        return "read" if self.method == "GET" else "write"

    @property
    def body_schema(self) -> Schema:
        """The schema of the JSON body; empty where none is read."""
        return fields(self.body, self.required) if self.body else {}

    @property
    def query_schema(self) -> Schema:
        """The schema of the query parameters as one object."""
        required = tuple(name for name in self.required if name in self.query)
        return fields(self.query, required)

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that the present request has for the handler. Raises Invalid."""
        sent = query_fields(self.query, self._check_query) if self.query else {}
        return {**sent, **body_fields(self._check_body)} if self.body else sent

    def answer_for(self, scopes: Collection[str], answer: dict[str, Any] | None) -> Any:
        """What a token with these scopes gets of `answer`; None for an empty answer. Every answer
        to a write passes here, so a token that may only write reads nothing."""
        if answer is None or "read" in scopes:
            return answer
        return {name: answer[name] for name in self.write_only_fields} or None

    @cached_property
    def _check_body(self) -> Check:
        return compiled(self.body_schema)

    @cached_property
    def _check_query(self) -> Check:
        return compiled(self.query_schema)
