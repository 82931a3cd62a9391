"""Operations on people, and on the profile of the token's person."""

from collections.abc import Iterable
from typing import Any

from flask import g

from ..domain.errors import Invalid
from ..rendering.serializers import person_json
from ..services import profiles
from ..services.context import chat
from ..store import Person
from .operation import Operations
from .schemas import MAX_CURSOR_CHARS, PAGE_SIZE, PROFILE_FIELDS, integer, string

DEFAULT_LIMIT = 50  # people in one answer
MAX_QUERY_CHARS = 100
PEOPLE_QUERY = {
    "q": string(MAX_QUERY_CHARS),
    "limit": integer(1, PAGE_SIZE),
    "after": string(MAX_CURSOR_CHARS),
}

operations = Operations()


@operations.add("me", "GET", "/me", "Person")
def get_own_profile() -> Any:
    """The person of the token."""
    return person_json(g.person)


@operations.add("edit_me", "PATCH", "/me", "Person", body=PROFILE_FIELDS)
def edit_own_profile(**fields: str) -> Any:
    """Change your profile."""
    return person_json(profiles.edit(chat(), g.person, fields) if fields else g.person)


@operations.add("people", "GET", "/people", "People", query=PEOPLE_QUERY)
def list_people(q: str = "", limit: int = DEFAULT_LIMIT, after: str = "") -> Any:
    """Find people by a word of their name."""
    page = chat().store.people.page(q, limit, after, deactivated=False)
    return {"people": [person_json(person) for person in page.people], "next": page.after}


@operations.add("person", "GET", "/people/<uid>", "Person")
def get_person(uid: str) -> Any:
    """One person."""
    return person_json(chat().store.people.existing(uid))


def active_people(uids: Iterable[str]) -> list[Person]:
    """The people with these ids, each once. Raises Invalid unless all of them are active."""
    unique = list(dict.fromkeys(uids))
    people = [person for person in chat().store.people.several(unique) if not person.deactivated]
    if len(people) < len(unique):
        raise Invalid("One of the members does not exist.")
    return people
