"""People: a stable id behind a name."""

import secrets
from dataclasses import dataclass
from typing import Any

from . import keys


@dataclass(frozen=True, slots=True)
class Person:
    uid: str
    name: str


class People:
    def __init__(self, client: Any) -> None:
        self.client = client

    def create(self, name: str) -> Person:
        """A new person; `name` is clean already (text.clean_name) and need not be unique."""
        person = Person(secrets.token_urlsafe(16), name)
        self.client.hset(keys.user(person.uid), "name", name)
        return person

    def get(self, uid: str) -> Person | None:
        """The person with this id, or None."""
        name = self.client.hget(keys.user(uid), "name")
        return None if name is None else Person(uid, name)
