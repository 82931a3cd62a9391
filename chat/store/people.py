"""Creating and changing people."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from . import keys
from .batches import ask_each
from .name_index import add_to_indexes, remove_from_indexes
from .people_search import PeopleSearch
from .person import GUEST, Person
from .room_kinds import DIRECT
from .unfinished import NAME, Unfinished
from .verified import hset

GUEST_SECONDS = 7 * 24 * 3600  # after which a guest who has joined no room is deleted


class People(PeopleSearch):
    def __init__(self, client: Any, unfinished: Unfinished | None = None) -> None:
        super().__init__(client)
        self.unfinished = unfinished or Unfinished(client)

    def create(
        self, name: str, role: str = GUEST, login: str = "", uid: str = "", **more: str
    ) -> Person:
        """Create a person. `name` is clean already (validation.clean_name) and need not be unique.
        A guest who joins no room is deleted after GUEST_SECONDS. `more` are further fields to
        store. If a person with the id `uid` exists, returns that person unchanged."""
        if uid and (there := self.get(uid)):
            self.agree_names(uid)
            return there
        person = Person(uid or keys.new_id(), name, role, login=login)
        key, uid, tag = keys.user(person.uid), person.uid, self.tag(person)
        fields = {"uid": uid, "name": name, "role": role, "tag": tag, "login": login, **more}
        with self.unfinished.change(NAME, uid, name):
            expiry = [("EXPIRE", key, GUEST_SECONDS)] if role == GUEST else []
            self._verified.ask(hset(key, fields), *expiry)
            self.agree_names(uid)
        return replace(person, tag=tag)

    def edit(self, person: Person, kept: str = "", **fields: str) -> Person:
        """Change stored fields of a person (`off`: "1" if deactivated, or ""), and the hash `kept`
        of their password. Returns the person as they are now. A guest who becomes a member is
        never deleted. Open pages of this person and of others show the change."""
        known = {name: value for name, value in fields.items() if name != "off"}
        changed = replace(person, **known)  # type: ignore[arg-type]
        if "off" in fields:
            changed = replace(changed, deactivated=bool(fields["off"]))
        names = [person.name, changed.name] if changed.name != person.name else []
        if names or changed.needs_tag != person.needs_tag:
            fields["tag"] = self.tag(changed)
            changed = replace(changed, tag=fields["tag"])
        key, password = keys.user(person.uid), {"password": kept} if kept else {}
        keep = [("PERSIST", key)] if changed.role != GUEST else []
        with self.unfinished.change(NAME, person.uid, *names) if names else nullcontext():
            self._verified.ask(hset(key, fields | password), *keep)
            if names:
                self.agree_names(person.uid, *names)
        # This also announces what an earlier try changed if its answer was lost.
        if fields.keys().isdisjoint(("name", "tag", "picture", "role")):
            self.signal_change(person.uid)
        else:
            self.signal_profile(person.uid)
        return changed

    def agree_names(self, uid: str, *names: str) -> None:
        """Make the indexes agree with the stored person: they find them by their name and by none
        of the old `names`, and a bot is in the list of bots."""
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
        """Announce that a person has another name, tag or picture: to the rooms of that person, and
        to everyone who has a direct room with them, because their room lists show the name."""
        lists, rids = {uid}, self.client.smembers(keys.user_rooms(uid))
        asked = ((keys.room(rid), "kind", "name") for rid in rids)
        for kind, name in ask_each(self.client, "hmget", asked):
            if kind == DIRECT:
                lists.update(name.split(" "))  # the ids of its members
        self.signal_rooms(uid, rids)
        ask_each(self.client, "spublish", ((keys.user_channel(other), "") for other in lists))

    def signal_rooms(self, uid: str, rids: Iterable[str]) -> None:
        """Announce to these rooms that this member has another name, tag or picture."""
        ask_each(self.client, "spublish", ((keys.room_channel(rid), f"~{uid}") for rid in rids))

    def make_bot(self, person: Person, by: str) -> None:
        """Make a new person a bot of the person with the id `by`."""
        with self.unfinished.change(NAME, person.uid):
            self.client.hset(keys.user(person.uid), "bot", by)
            self.agree_names(person.uid)

    def keep(self, uid: str) -> None:
        """Never delete this person, even as a guest who has joined no room."""
        self.client.persist(keys.user(uid))

    def signal_change(self, uid: str) -> None:
        """Announce that something about a person has changed, such as sessions, rooms or role.
        Their open pages are brought up to date."""
        self.client.spublish(keys.user_channel(uid), "")
