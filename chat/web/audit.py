"""Entries in the audit log for what the present request does."""

from flask import g

from ..services.context import chat
from ..store import Person
from .security import address


def record(what: str, person: Person) -> None:
    """Record what the admin of the present request does to a person."""
    whom = f"{person.name} ({person.login or person.uid})"
    chat().store.audit_log.note(g.person, what, whom, address())
