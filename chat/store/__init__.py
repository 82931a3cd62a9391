"""Everything durable: rooms, messages and people in Redis (or Valkey), 7.0 or newer.

`Store(client)` takes a redis-py client with `decode_responses=True`, or one that behaves like it
(`chat.redis_client.client`). Every write that must be atomic is one Lua script in `scripts/`.
"""

from collections.abc import Callable
from typing import Any

from . import unfinished
from .accounts import Accounts, SetupLinks
from .audit_log import AuditLog
from .bans import Bans
from .clock import Clock
from .connections import ConnectionCounts
from .drafts import Drafts
from .exporter import Exporter
from .guests import Guests
from .importer import Importer
from .integrity import IntegrityCheck
from .leases import Lease
from .lua import Script
from .messages import Messages
from .migrations import Schema
from .notifications import Notifications
from .people import People
from .person import Person
from .presence import Presence
from .rate_limits import RateLimits
from .retention import Retention
from .room_pointers import RoomPointers
from .room_reads import Room, Row
from .rooms import Rooms
from .sessions import Session, Sessions
from .stored_files import StoredFiles
from .tokens import Tokens
from .unfinished import Unfinished, parsed
from .webhooks import Webhooks

__all__ = ["Messages", "People", "Person", "Room", "Rooms", "Row", "Session", "Sessions", "Store"]


class Store:
    """Everything that the chat stores, over one connection."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.clock = Clock(Script(client, "clock"))
        self.unfinished = Unfinished(client)
        self.people = People(client, self.unfinished)
        self.sessions = Sessions(client, self.clock)
        self.accounts = Accounts(client, self.people)
        self.setup_links = SetupLinks(client, self.clock)
        self.presence = Presence(client, self.clock)
        self.notifications = Notifications(client, self.people, self.presence)
        self.drafts = Drafts(client)
        self.tokens = Tokens(client, self.people, self.clock)
        self.audit_log = AuditLog(client)
        self.bans = Bans(client)
        self.webhooks = Webhooks(client)
        self.schema = Schema(client)
        self.retention = Retention(client)
        self.stored_files = StoredFiles(client)
        self.rate_limits = RateLimits(client)
        self.connections = ConnectionCounts(client)
        self.pointers = RoomPointers(client)
        self.rooms = Rooms(client, self.people, self.pointers)
        self.integrity = IntegrityCheck(client, self.rooms)
        self.guests = Guests(self.people, self.rooms, self.sessions, self.tokens)
        self.messages = Messages(client, self.people, self.notifications)

    def lease(self, key: str, seconds: float) -> Lease:
        """The lease with this key, for work that only one process does at a time."""
        return Lease(self.client, key, seconds)

    def exporter(self, whole: bool = False, secrets: bool = False) -> Exporter:
        """Rooms and people as records."""
        return Exporter(self.client, whole, secrets)

    def importer(self, trusted: bool = False) -> Importer:
        """Imports records; `trusted` if this chat exported them."""
        return Importer(self.client, self.clock, self.integrity, self.people, trusted)

    def finish(self, entry: str) -> None:
        """Finish a change that was begun (one of `unfinished.entries`). This can be repeated."""
        kind, about = parsed(entry)
        finishers: dict[str, Callable[..., None]] = {
            unfinished.ROOM: self.pointers.agree_room,
            unfinished.MEMBER: lambda rid, uid: self.pointers.agree(rid, [uid]),
            unfinished.SEATS: self.pointers.agree_seats,
            unfinished.NAME: self.people.agree_names,
            unfinished.LOGIN: self.accounts.agree_login,
            unfinished.SUBJECT: self.accounts.agree_subject,
            unfinished.FIRST_ADMIN: self.accounts.agree_first_admin,
        }
        finishers[kind](*about)
        self.unfinished.take_out(entry)

    def ping(self) -> bool:
        """True if Redis answers; raises redis.exceptions.RedisError otherwise."""
        return bool(self.client.ping())
