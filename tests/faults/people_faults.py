"""What people do that the chat must cope with: they do not read, they leave and join, and they
change their profiles."""

import asyncio
from contextlib import suppress

from .deployment import ZONES, Deployment
from .faults import last
from .pages import Person

RENAMED = 10  # people at once


async def readers_that_never_read(deployment: Deployment) -> None:
    """Some pages of a busy room never read from their sockets, and are closed."""
    room, person = (
        deployment.random.choice(deployment.rooms),
        deployment.random.choice(deployment.people),
    )
    deaf = [await _deaf(deployment, person, room) for _ in range(3)]
    loud = [page for page in deployment.present if page.room == room and page.last][:3]
    for _ in range(160):
        for page in loud:
            page.send("x" * 3900)
        await asyncio.sleep(0.03)
    for reader, writer in deaf:
        writer.transport.resume_reading()
        async with asyncio.timeout(20):
            with suppress(OSError):
                while await reader.read(1 << 20):
                    pass
        writer.close()


async def _deaf(
    deployment: Deployment, person: Person, room: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host = deployment.random.choice(deployment.hosts)
    reader, writer = await asyncio.open_connection(host.address, host.port, limit=1024)
    writer.write(
        f"GET /live HTTP/1.1\r\nHost: {host.address}:{host.port}\r\nOrigin: {host.url}\r\n"
        f"Cookie: {person.cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
    )
    said = f'{{"type": "watch", "room": "{room}", "after": ""}}'.encode()
    assert len(said) < 126
    await asyncio.sleep(0.3)
    writer.write(bytes((0x81, 0x80 | len(said), 0, 0, 0, 0)) + said)
    writer.transport.pause_reading()
    return reader, writer


async def people_leave_and_join(deployment: Deployment) -> None:
    """Not a fault: people who have left a room are shown nothing of it until they join again."""
    page = deployment.random.choice(deployment.present)
    room = page.room
    with suppress(OSError, TimeoutError):
        room = await deployment.leave(page)
    await last(deployment, 2, 3)
    await deployment.join(page.person, room)


async def people_rename_themselves(deployment: Deployment) -> None:
    """Not a fault either: some people change their name and time zone, and go on writing."""
    some = deployment.random.sample(deployment.people, min(RENAMED, len(deployment.people)))
    for person in some:
        name = f"{person.name.split(' alias ')[0]} alias {deployment.random.randrange(10**6)}"
        await deployment.change_profile(person, name, deployment.random.choice(ZONES))
    await last(deployment, 2, 3)
