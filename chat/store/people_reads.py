"""Reading people by their ids."""

from collections.abc import Sequence
from typing import Any

from ..domain.events import Event
from . import keys
from .batches import PEOPLE_AT_ONCE, ask_each, batched
from .current_names import uids_in, with_names
from .person import ADMIN, FIELDS, Names, Person, person_of
from .verified import Verified, is_own, refused


class PeopleReads:
    def __init__(self, client: Any) -> None:
        self.client = client
        self._verified = Verified(client)

    def get(self, uid: str) -> Person | None:
        """The person with this id, or None."""
        return person_of(uid, self._verified.one("HMGET", keys.user(uid), *FIELDS))

    def several(self, uids: Sequence[str]) -> list[Person]:
        """Those of the people with these ids who are there, in this order."""
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
        """True when somebody has used this chat, if only as a guest."""
        return bool(self._verified.one("EXISTS", keys.NAMES))

    def is_active_admin(self, uid: str) -> bool:
        """True for an admin who has not been deactivated. What an admin made for others (tokens
        and webhooks of bots, links for a new password) works only as long as this is so."""
        role, off = self._verified.one("HMGET", keys.user(uid), "role", "off")
        return role == ADMIN and not off

    def named(self, events: list[Event]) -> list[Event]:
        """The events with the names and pictures that their authors, and those who reacted, have
        now."""
        return with_names(events, self.names(uids_in(events)))

    def names(self, uids: Sequence[str]) -> Names:
        """What these people are called now, with tag and picture. One round trip for AT_ONCE of
        them."""
        asked = ((keys.user(uid), "uid", "name", "tag", "picture") for uid in uids)
        found: Names = {}
        for uid, values in zip(uids, ask_each(self.client, "hmget", asked), strict=True):
            if not is_own(uid, values, 4):
                raise refused(keys.user(uid))
            found[uid] = values[1:]
        return found
