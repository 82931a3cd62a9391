"""Imports records of people (store.importer)."""

from collections import Counter
from typing import Any

from . import import_rules, keys
from .batches import ask_each
from .clock import Clock
from .exporter import Record
from .findings import repair_all
from .import_rules import check_id
from .integrity import IntegrityCheck
from .people import People
from .person import GUEST, ROLES, Person
from .sessions import SESSION_SECONDS

STAFF_ROLES = ("admin", "moderator")  # roles that the audit log names


class PeopleImport:
    """`trusted`: the records were exported by this chat."""

    def __init__(
        self, client: Any, clock: Clock, check: IntegrityCheck, people: People, trusted: bool
    ) -> None:
        self.client = client
        self.clock = clock
        self.check = check
        self.people = people
        self.trusted = trusted
        self.problems: list[str] = []
        self.done: Counter[str] = Counter()
        self.news: list[tuple[str, str]] = []
        self.new_uids: set[str] = set()  # people whom these records have added

    def _person(self, uid: str, record: Record) -> None:
        expires = import_rules.until(record.get("expires"))
        if expires and expires < self.clock.now() * 1000:
            return
        here = self.client.hgetall(keys.user(uid))
        if self.trusted:
            self._trusted_person(uid, record, here, expires)
        elif not here:
            fields = import_rules.public_person(record["fields"])
            tag = self.people.tag(Person(uid, fields["name"]))
            self.client.hset(keys.user(uid), mapping={**fields, "uid": uid, "tag": tag})
        if not here:
            self.new_uids.add(uid)
            name, role = self.client.hmget(keys.user(uid), "name", "role")
            called = f"the {role}" if role in STAFF_ROLES else "a person"
            if called != "a person" or not self.trusted:
                self.news.append((f"imported {called}", f"{name} ({uid})"))
        if self.trusted or not here:
            repair_all(self.check.person_checks.known(uid))
        self.done["people here already" if here else "new people"] += 1

    def _trusted_person(
        self, uid: str, record: Record, here: dict[str, str], expires: int | None
    ) -> None:
        fields = import_rules.texts(record["fields"])
        if fields.get("role", GUEST) not in ROLES:
            raise ValueError("an unknown role")
        if not self._may_have_login(uid, fields, here):
            fields = {name: fields[name] for name in fields if name not in ("login", "password")}
        if not here:
            self._secrets(uid, record)
            if levels := import_rules.texts(record.get("levels") or {}):
                self.client.hset(keys.notification_levels(uid), mapping=levels)
        values = ((keys.user(uid), *field) for field in {**fields, "uid": uid}.items())
        ask_each(self.client, "hsetnx", values)
        if expires and not here:
            self.client.pexpireat(keys.user(uid), expires)

    def _may_have_login(self, uid: str, fields: Record, here: dict[str, str]) -> bool:
        """True if the login, and the password with it, can be this person's here."""
        login = fields.get("login", "")
        if here.get("login", login) != login:
            return False
        owner = self.client.get(keys.login(login)) if login else uid
        if owner in (None, uid) or not self.client.exists(keys.user(owner)):
            return True
        self.problems.append(
            f"the login {login!r} of {fields.get('name')!r} ({uid}) belongs to somebody else here, "
            "so the person was imported without it"
        )
        return False

    def _secrets(self, uid: str, record: Record) -> None:
        """Store how a new person signs in. This comes before the person, so that it is not missing
        if the import is interrupted."""
        if sessions := import_rules.texts(record.get("sessions") or {}):
            self.client.hset(keys.sessions(uid), mapping=sessions)
            self.client.expire(keys.sessions(uid), SESSION_SECONDS)
        for tid, fields in (record.get("tokens") or {}).items():
            self.client.hset(keys.token(check_id(tid)), mapping=import_rules.texts(fields))
            self.client.sadd(keys.tokens(uid), tid)
        if hook := record.get("hook"):
            for key, values in (
                (keys.webhook(uid), hook["fields"]),
                (keys.webhook_cursors(uid), hook["rooms"]),
                (keys.webhook_attempts(uid), hook["tries"]),
            ):
                if values := import_rules.texts(values):
                    self.client.hset(key, mapping=values)
            if hook["queue"]:
                queue = {
                    import_rules.text(name, 100): import_rules.moment(at, import_rules.DAY_MS * 30)
                    for name, at in hook["queue"].items()
                }
                self.client.zadd(keys.webhook_queue(uid), queue)
