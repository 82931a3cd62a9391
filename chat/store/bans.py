"""Banned networks: nobody can sign in from them. Each is banned because of a deactivated person."""

from collections.abc import Iterable
from typing import Any

from . import keys


class Bans:
    def __init__(self, client: Any) -> None:
        self.client = client

    def ban(self, uid: str, networks: Iterable[str]) -> None:
        """Ban these networks (client_address.network_of) on account of this person."""
        if entries := {f"{network} {uid}": 0 for network in networks}:
            self.client.zadd(keys.BANNED, entries)

    def lift(self, uid: str) -> None:
        """Lift all bans that were made on account of this person."""
        if networks := self.all().get(uid):
            self.client.zrem(keys.BANNED, *(f"{network} {uid}" for network in networks))

    def is_banned(self, network: str) -> bool:
        """True if the network is banned because of anybody."""
        found = self.client.zrangebylex(keys.BANNED, f"[{network} ", f"({network}!", start=0, num=1)
        return bool(found)

    def all(self) -> dict[str, list[str]]:
        """The banned networks by the id of the person who caused the ban."""
        by: dict[str, list[str]] = {}
        for entry in self.client.zrange(keys.BANNED, 0, -1):
            network, _, uid = entry.partition(" ")
            by.setdefault(uid, []).append(network)
        return by
