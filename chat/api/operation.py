"""An operation of the API: the decorator of its handler routes, checks and documents it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter, signature
from typing import Any, TypeVar

from .schemas import Schema, fields
from .validation import Check, body_fields, compiled, query_fields

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Operation:
    """`id` is the operationId of the document and the name of the Flask endpoint. Generated clients
    call their functions by it, so it never changes.

    `response` names a schema of `schemas.RESPONSES`, "File" for bytes, "" for an empty answer
    (204); `status` is the one of any other success. `body` or `query` has the schemas of the
    fields that `handler` gets as keyword arguments, besides those of the path; the fields without a
    default there are required. `is_file`: the body is a file.

    `id_field`: the one field of the answer that a token without the scope "read" gets too. It is an
    id or a number of what the token has just created, never content. Without an `id_field`, such a
    token gets an empty answer (204)."""

    id: str
    method: str
    path: str
    response: str
    handler: Callable[..., Any]
    body: dict[str, Schema] = field(default_factory=dict)
    query: dict[str, Schema] = field(default_factory=dict)
    status: int = 200
    is_file: bool = False
    id_field: str = ""

    @property
    def scope(self) -> str:
        return "read" if self.method == "GET" else "write"

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the fields that must be there."""
        parameters = signature(self.handler).parameters
        sent = {**self.body, **self.query}.keys() & parameters
        return tuple(name for name in sorted(sent) if parameters[name].default is Parameter.empty)

    @property
    def schema(self) -> Schema:
        """The schema of the JSON body, or of the query where no body is read."""
        return fields(self.body or self.query, self.required)

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that the present request has for the handler. Raises Invalid."""
        sent = body_fields() if self.body else query_fields(self.query)
        self._check(sent)
        return sent

    def answer_for(self, scopes: Collection[str], answer: dict[str, Any] | None) -> Any:
        """Return the part of `answer` that a token with these scopes gets; None for an empty
        answer. Every answer to a write passes through here, so a token that may only write reads
        nothing."""
        if answer is None or "read" in scopes:
            return answer
        return {self.id_field: answer[self.id_field]} if self.id_field else None

    @cached_property
    def _check(self) -> Check:
        return compiled(self.schema)


class Operations(list[Operation]):
    """The operations of one module."""

    def add(
        self, id: str, method: str, path: str, response: str = "", **more: Any
    ) -> Callable[[Handler], Handler]:
        """Decorate the handler of an operation, whose docstring is the summary in the OpenAPI
        document. The arguments are the attributes of `Operation`."""

        def added(handler: Handler) -> Handler:
            self.append(Operation(id, method, path, response, handler, **more))
            return handler

        return added
