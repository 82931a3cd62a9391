"""Entries of the audit log about the current request."""

from flask import g

from ..services.context import chat
from ..store import Person
from .security import address


def record(what: str, person: Person) -> None:
    """Record what the administrator who is signed in does to a person."""
    whom = f"{person.name} ({person.login or person.uid})"
    chat().store.audit_log.note(g.person, what, whom, address())
