"""Reading people by their ids."""

from collections.abc import Sequence
from typing import Any

from ..domain.events import Event
from . import keys
from .batches import PEOPLE_AT_ONCE, ask_each, batched
from .current_names import uids_in, with_names
from .person import ADMIN, FIELDS, Names, Person, person_of
from .verified import Verified, check_own


class PeopleReads:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._verified = Verified(client)

    def get(self, uid: str) -> Person | None:
        """The person with this id, or None."""
        return person_of(uid, self._verified.one("HMGET", keys.user(uid), *FIELDS))

    def several(self, uids: Sequence[str]) -> list[Person]:
        """The people with these ids, in this order, without those who do not exist."""
        people: list[Person] = []
        for some in batched(uids, PEOPLE_AT_ONCE):
            answers = ask_each(self.client, "hmget", ((keys.user(uid), FIELDS) for uid in some))
            for uid, values in zip(some, answers, strict=True):
                person = person_of(uid, values)
                if person and values[0] is None:  # a record without its id is read in a safe way
                    person = self.get(uid)
                people += [person] if person else []
        return people

    def bots(self) -> list[Person]:
        """All bots, by name."""
        bots = self.several(sorted(self.client.smembers(keys.BOTS)))
        return sorted(bots, key=lambda bot: bot.name.casefold())

    def exist(self) -> bool:
        """True if anybody has used this chat, even as a guest."""
        return bool(self._verified.one("EXISTS", keys.NAMES))

    def is_active_admin(self, uid: str) -> bool:
        """True for an administrator who is not deactivated. Only as long as this is true, what they
        made for others works: tokens and webhooks of bots, links for a new password."""
        role, off = self._verified.one("HMGET", keys.user(uid), "role", "off")
        return role == ADMIN and not off

    def named(self, events: list[Event]) -> list[Event]:
        """The events with the present names and pictures of their authors, and of the people who
        reacted."""
        return with_names(events, self.names(uids_in(events)))

    def names(self, uids: Sequence[str]) -> Names:
        """The present names, tags and pictures of these people."""
        asked = ((keys.user(uid), "uid", "name", "tag", "picture") for uid in uids)
        found: Names = {}
        for uid, values in zip(uids, ask_each(self.client, "hmget", asked), strict=True):
            check_own(keys.user(uid), uid, values, 4)
            found[uid] = values[1:]
        return found
