"""Everything durable: rooms, messages and people in Redis (or Valkey), 7.0 or newer.

`Store(client)` takes a redis-py client with `decode_responses=True`, or one that behaves so
(`chat.redis_client.client`). Every write that must be whole is one Lua script in `scripts/`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import unfinished
from .accounts import Accounts
from .audit_log import Audit
from .bans import Bans
from .clock import Clock
from .connections import Crowd
from .drafts import Drafts
from .exporter import Dump
from .guests import Guests
from .importer import Load
from .integrity import Check
from .messages import Messages
from .migrations import Schema
from .notifications import Attention
from .people import People, Person
from .presence import Presence
from .rate_limits import Throttle
from .retention import Retention
from .room_pointers import RoomPointers
from .rooms import Room, Rooms, Row
from .sessions import Session, Sessions
from .setup_links import SetupLinks
from .stored_files import StoredFiles
from .tokens import Tokens
from .unfinished import Unfinished, parsed
from .webhooks import Hooks

__all__ = ["Messages", "People", "Person", "Room", "Rooms", "Row", "Session", "Sessions", "Store"]

_SCRIPTS = Path(__file__).parent / "scripts"
_ROOM = ("create", "join", "leave", "edit", "end")  # they append an event
_SEATS = ("seat", "unseat")
_HOOKS = ("queue", "lease", "try_again", "note_try", "change_hook")


class Store:
    """The nouns of the chat over one connection."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.clock = Clock(_script(client, "time"))
        self.unfinished = Unfinished(client)
        self.people = People(client, self.unfinished)
        self.sessions = Sessions(client, self.clock)
        self.accounts = Accounts(client, self.people, _script(client, "use_reset"))
        self.setup_links = SetupLinks(client, self.clock)
        self.presence = Presence(
            client, self.clock, _script(client, "present"), _script(client, "told")
        )
        self.attention = Attention(client, self.people, self.presence)
        self.drafts = Drafts(client)
        self.tokens = Tokens(client, self.people, self.clock)
        self.audit = Audit(client)
        self.bans = Bans(client)
        self.hooks = Hooks(client, {name: _script(client, name) for name in _HOOKS})
        self.schema = Schema(client, _script(client, "lease"))
        self.retention = Retention(client, _appending(client, "trim"), _script(client, "lease"))
        names = ("keep_file", "drop_file", "recount_files")
        self.stored_files = StoredFiles(client, *(_script(client, name) for name in names))
        self.throttle = Throttle(_script(client, "bucket"))
        self.crowd = Crowd(client, _script(client, "alive"), _script(client, "enter"))
        scripts = {name: _appending(client, name) for name in _ROOM}
        scripts |= {name: _script(client, name) for name in (*_SEATS, "row")}
        self.pointers = RoomPointers(
            client, *(_script(client, n) for n in ("set_seat", "forget_room"))
        )
        self.rooms = Rooms(client, self.people, scripts, self.pointers)
        self.check = Check(client, self.rooms)
        self.guests = Guests(
            self.people, self.rooms, self.sessions, self.tokens, _appending(client, "forget_member")
        )
        scripts = {name: _appending(client, name) for name in ("post", "revise", "delete", "react")}
        self.messages = Messages(
            client, self.people, self.attention, scripts, _script(client, "seen")
        )

    def dump(self, whole: bool = False, secrets: bool = False) -> Dump:
        """Rooms and people as records."""
        return Dump(self.client, whole, secrets)

    def load(self, trusted: bool = False) -> Load:
        """Takes records in; `trusted` when they are the chat's own."""
        place = _script(self.client, "place")
        return Load(self.client, self.clock, self.check, self.people, place, trusted)

    def finish(self, entry: str) -> None:
        """Finish a change that was begun (one of `unfinished.entries`). It may be repeated."""
        kind, about = parsed(entry)
        finishers: dict[str, Callable[..., None]] = {
            unfinished.ROOM: self.pointers.agree_room,
            unfinished.MEMBER: self._finish_member,
            unfinished.SEATS: self.pointers.agree_seats,
            unfinished.NAME: self.people.agree_names,
            unfinished.LOGIN: self.accounts.agree_login,
            unfinished.SUBJECT: self.accounts.agree_subject,
            unfinished.FIRST_ADMIN: self.accounts.agree_first_admin,
        }
        finishers[kind](*about)
        self.unfinished.take_out(entry)

    def _finish_member(self, rid: str, uid: str) -> None:
        self.pointers.agree(rid, [uid])

    def ping(self) -> bool:
        """True when Redis answers; raises redis.exceptions.RedisError otherwise."""
        return bool(self.client.ping())


def _script(client: Any, *names: str) -> Any:
    """The files of these names, one behind the other, as one script."""
    return client.register_script("".join((_SCRIPTS / f"{n}.lua").read_text() for n in names))


def _appending(client: Any, name: str) -> Any:
    return _script(client, "append", name)
