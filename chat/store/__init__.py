"""Everything durable: rooms, messages and people in Redis (or Valkey), 7.0 or newer.

`Store(client)` takes a redis-py client with `decode_responses=True`, or one that behaves so
(`chat.loopredis`). Every write that must be whole is one Lua script in `scripts/`.
"""

from pathlib import Path
from typing import Any

from .messages import Messages
from .people import People, Person
from .rooms import Room, Rooms, Row

__all__ = ["Messages", "People", "Person", "Room", "Rooms", "Row", "Store"]

_SCRIPTS = Path(__file__).parent / "scripts"
_APPENDING = {"post", "create", "join"}


class Store:
    """The three nouns of the chat over one connection."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.people = People(client)
        self.rooms = Rooms(client, _script(client, "create"), _script(client, "join"))
        self.messages = Messages(client, _script(client, "post"), _script(client, "seen"))

    def ping(self) -> bool:
        """True when Redis answers; raises redis.exceptions.RedisError otherwise."""
        return bool(self.client.ping())


def _script(client: Any, name: str) -> Any:
    lua = (_SCRIPTS / f"{name}.lua").read_text()
    if name in _APPENDING:
        lua = (_SCRIPTS / "append.lua").read_text() + lua
    return client.register_script(lua)
