"""People: a stable id behind a name."""

import secrets
from dataclasses import dataclass
from typing import Any

from . import keys

FORGOTTEN = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Person:
    uid: str
    name: str


class People:
    def __init__(self, client: Any) -> None:
        self.client = client

    def create(self, name: str) -> Person:
        """A new person; `name` is clean already (text.clean_name) and need not be unique. One
        who joins no room is forgotten after FORGOTTEN seconds."""
        person = Person(secrets.token_urlsafe(16), name)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hset(keys.user(person.uid), "name", name)
        pipeline.expire(keys.user(person.uid), FORGOTTEN)
        pipeline.execute()
        return person

    def sign_out(self, uid: str) -> None:
        """Tell all open pages of the person, in every process, that they are to end."""
        self.client.publish(keys.user_channel(uid), keys.SIGNED_OUT)

    def get(self, uid: str) -> Person | None:
        """The person with this id, or None."""
        name = self.client.hget(keys.user(uid), "name")
        return None if name is None else Person(uid, name)
