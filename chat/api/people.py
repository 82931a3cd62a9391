"""Operations on people and on one's own profile."""

from collections.abc import Iterable
from typing import Any

from flask import g

from ..domain.errors import Invalid, NotFound
from ..rendering.serializers import person_json
from ..services import profiles
from ..services.context import chat
from ..store import Person
from .operation import Operation
from .schemas import MAX_CURSOR_CHARS, PAGE_SIZE, PROFILE_FIELDS, integer, string

DEFAULT_LIMIT = 50  # people in one answer
MAX_QUERY_CHARS = 100


def get_own_profile() -> Any:
    return person_json(g.person)


def edit_own_profile(**fields: str) -> Any:
    return person_json(profiles.edit(chat(), g.person, fields) if fields else g.person)


def list_people(q: str = "", limit: int = DEFAULT_LIMIT, after: str = "") -> Any:
    page = chat().store.people.page(q, limit, after, off=False)
    return {"people": [person_json(person) for person in page.people], "next": page.after}


def get_person(uid: str) -> Any:
    found = chat().store.people.get(uid)
    if found is None:
        raise NotFound("There is no such person.")
    return person_json(found)


def active_people(uids: Iterable[str]) -> list[Person]:
    """The people with these ids, each once. Raises Invalid unless all of them are active."""
    unique = list(dict.fromkeys(uids))
    people = [person for person in chat().store.people.several(unique) if not person.off]
    if len(people) < len(unique):
        raise Invalid("One of the members is nobody.")
    return people


OPERATIONS = [
    Operation("me", "GET", "/me", "Who the token belongs to", get_own_profile, "Person"),
    Operation(
        "edit_me",
        "PATCH",
        "/me",
        "Change one's profile",
        edit_own_profile,
        "Person",
        PROFILE_FIELDS,
    ),
    Operation(
        "people",
        "GET",
        "/people",
        "Find people by a word of their name",
        list_people,
        "People",
        query={
            "q": string(MAX_QUERY_CHARS),
            "limit": integer(1, PAGE_SIZE),
            "after": string(MAX_CURSOR_CHARS),
        },
    ),
    Operation("person", "GET", "/people/<uid>", "One person", get_person, "Person"),
]
