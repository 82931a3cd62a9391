"""Creating and changing people."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from typing import Any

from ..domain import lookalikes
from . import keys
from .batches import ask_each
from .name_index import add_to_indexes, remove_from_indexes
from .people_search import PeopleSearch
from .person import GUEST, STAFF, Person
from .room_kinds import DIRECT
from .unfinished import NAME, Unfinished

FORGOTTEN_SECONDS = 7 * 24 * 3600  # seconds after which a guest who joined no room is forgotten


class People(PeopleSearch):
    def __init__(self, client: Any, unfinished: Unfinished | None = None) -> None:
        super().__init__(client)
        self.unfinished = unfinished or Unfinished(client)

    def create(
        self, name: str, role: str = GUEST, login: str = "", uid: str = "", **more: str
    ) -> Person:
        """Create a person. `name` is clean already (validation.clean_name) and need not be unique.
        A guest who joins no room is deleted after FORGOTTEN_SECONDS. `more` are further fields to
        store. If a person with the id `uid` exists, returns that person unchanged."""
        if uid and (there := self.get(uid)):
            self.agree_names(uid)
            return there
        uid = uid or keys.new_id()
        person = Person(uid, name, role, self.tag(uid, name, role), login=login)
        stored = {"uid": uid, "name": name, "role": role, "tag": person.tag, "login": login}
        with self.unfinished.change(NAME, uid, name):
            forgotten = [("EXPIRE", keys.user(uid), FORGOTTEN_SECONDS)] if role == GUEST else []
            words = chain.from_iterable({**stored, **more}.items())
            self._verified.ask(("HSET", keys.user(uid), *words), *forgotten)
            self.agree_names(uid)
        return person

    def edit(self, person: Person, kept: str = "", **fields: str) -> Person:
        """Change stored fields of a person (`off`: "1" for a deactivated one, or ""; `kept`: the
        hash of a password); returns the person as it is now. Somebody who becomes more than a guest
        is never forgotten. Every process is told, so that open pages show the change."""
        known = {name: value for name, value in fields.items() if name != "off"}
        changed = replace(person, **known)  # type: ignore[arg-type]
        if "off" in fields:
            changed = replace(changed, deactivated=bool(fields["off"]))
        if changed.name != person.name or _is_told_apart(changed) != _is_told_apart(person):
            changed = replace(changed, tag=self.tag(person.uid, changed.name, changed.role))
            fields = {**fields, "tag": changed.tag}
        if kept:
            fields = {**fields, "password": kept}
        if changed.name == person.name:
            self._store(changed, fields)
        else:
            with self.unfinished.change(NAME, person.uid, person.name, changed.name):
                self._store(changed, fields)
                self.agree_names(person.uid, person.name, changed.name)
        # What was changed by an earlier try, whose answer was lost, is told of by this one.
        if fields.keys().isdisjoint(("name", "tag", "picture", "role")):
            self.signal_change(person.uid)
        else:
            self.signal_profile(person.uid)
        return changed

    def _store(self, person: Person, fields: dict[str, str]) -> None:
        kept = [("PERSIST", keys.user(person.uid))] if person.role != GUEST else []
        words = chain.from_iterable(fields.items())
        self._verified.ask(("HSET", keys.user(person.uid), *words), *kept)

    def agree_names(self, uid: str, *names: str) -> None:
        """The indexes find a person by the name that they have, and not by others of `names`; a bot
        is in the list of bots."""
        written: Any = None
        while (now := self.client.hmget(keys.user(uid), "name", "bot")) != written:
            name, bot = now
            pipeline = self.client.pipeline(transaction=False)
            for old in names:
                if old != name:
                    remove_from_indexes(pipeline, uid, old)
            if name:
                add_to_indexes(pipeline, uid, name)
            if bot:
                pipeline.sadd(keys.BOTS, uid)
            pipeline.execute()
            written = now

    def signal_profile(self, uid: str) -> None:
        """Tell every process that a person has another name, tag or picture: the rooms of that
        person, and everyone who has a direct room with them, because their lists show the name."""
        lists, rids = {uid}, self.client.smembers(keys.user_rooms(uid))
        asked = ((keys.room(rid), "kind", "name") for rid in rids)
        for kind, name in ask_each(self.client, "hmget", asked):
            if kind == DIRECT:
                lists.update(name.split(" "))  # the ids of its members
        self.signal_rooms(uid, rids)
        ask_each(self.client, "spublish", ((keys.user_channel(other), "") for other in lists))

    def signal_rooms(self, uid: str, rids: Iterable[str]) -> None:
        """Tell these rooms that this member has another name, tag or picture."""
        ask_each(self.client, "spublish", ((keys.room_channel(rid), f"~{uid}") for rid in rids))

    def make_bot(self, person: Person, by: str) -> None:
        """Make a new person a bot of the person with the id `by`."""
        with self.unfinished.change(NAME, person.uid):
            self.client.hset(keys.user(person.uid), "bot", by)
            self.agree_names(person.uid)

    def keep(self, uid: str) -> None:
        """Never forget this person, even a guest who has joined no room."""
        self.client.persist(keys.user(uid))

    def signal_change(self, uid: str) -> None:
        """Tell every process that something about the person has changed: sessions, rooms,
        role. The pages of theirs are brought in line with what is stored."""
        self.client.spublish(keys.user_channel(uid), "")


def _is_told_apart(person: Person) -> bool:
    return lookalikes.is_told_apart(person.name, person.role in STAFF)
