"""Reads from /metrics how many pages, rooms and subscriptions the workers of a host have."""

import asyncio
import re

import httpx

from ..running import Server

HUB_GAUGES = {
    "chat_connections": "pages",
    "chat_rooms": "rooms",
    "chat_room_viewers": "pages in rooms",
    "chat_subscriptions": "subscriptions",
}
_GAUGE = re.compile(r'(chat_\w+)\{pid="(\d+)"\} (\S+)')


async def hub_sizes(host: Server) -> dict[int, dict[str, float]]:
    """Return the values of HUB_GAUGES for each worker, by process id. Raises TimeoutError if a
    worker does not answer."""
    found: dict[int, dict[str, float]] = {}
    wanted = set(host.workers())
    async with (
        asyncio.timeout(30),
        httpx.AsyncClient(headers={"Connection": "close"}, timeout=30) as client,
    ):
        while not wanted <= found.keys():
            # Each response comes from one of the workers.
            text = (await client.get(f"{host.url}/metrics")).text
            for gauge, pid, count in _GAUGE.findall(text):
                if gauge in HUB_GAUGES:
                    found.setdefault(int(pid), {})[gauge] = float(count)
    return {pid: found[pid] for pid in wanted}
