"""Networks from which nobody comes in, each because of somebody who was deactivated."""

from collections.abc import Iterable
from typing import Any

from . import keys


class Bans:
    def __init__(self, client: Any) -> None:
        self.client = client

    def keep_out(self, uid: str, networks: Iterable[str]) -> None:
        """Let nobody in from these networks (security.network_of), because of this person."""
        if entries := {f"{network} {uid}": 0 for network in networks}:
            self.client.zadd(keys.BANNED, entries)

    def let_in(self, uid: str) -> None:
        """Lift what there is because of this person."""
        if networks := self.all().get(uid):
            self.client.zrem(keys.BANNED, *(f"{network} {uid}" for network in networks))

    def is_out(self, network: str) -> bool:
        """True when nobody is let in from there."""
        found = self.client.zrangebylex(keys.BANNED, f"[{network} ", f"({network}!", start=0, num=1)
        return bool(found)

    def all(self) -> dict[str, list[str]]:
        """The networks that are kept out, by the id of the person because of whom."""
        by: dict[str, list[str]] = {}
        for entry in self.client.zrange(keys.BANNED, 0, -1):
            network, _, uid = entry.partition(" ")
            by.setdefault(uid, []).append(network)
        return by
