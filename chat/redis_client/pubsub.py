"""Listening to what is published: one connection to each server, one subscription per channel.

Channels are sharded (SSUBSCRIBE), which a single server has too: in a cluster each of them is
where the key of the same name is, and what is said costs the other servers nothing. A channel
that moves along with its slot is taken back by its server, and subscribed to where it is now.
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from operator import itemgetter
from typing import Any, Protocol

from redis.exceptions import MovedError, RedisError

from ..observability.redaction import without_message
from .connection import Link, pack
from .urls import connect

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0  # seconds before connecting again; doubles
SETTLES = 0.05  # seconds before a server is believed that a channel is elsewhere


# What one command asks for: a word, a channel and a number for each.
Command = deque[tuple[str, str, int]]


class Where(Protocol):
    """Which server has what. A place names a server."""

    places: set[str]  # all of them; none while they are not known
    together: bool  # one command may name any channels of a place
    watchers: list[Callable[[], None]]  # called when something may be elsewhere

    def place(self, key: str) -> str:
        """Where a key or a channel is; "" while that is not known."""

    def client(self, place: str) -> Any:
        """What makes connections to it, a redis.asyncio client, RESP 2."""

    def stir(self) -> None:
        """Something does not seem to be where it was."""

    def moved(self, error: MovedError, place: str) -> None:
        """What the server at `place` says of where something is."""

    async def aclose(self) -> None: ...


class Alone:
    """The one server at `url` has everything."""

    def __init__(self, url: str) -> None:
        self.places = {"redis"}
        self.together = True
        self.watchers: list[Callable[[], None]] = []
        self._client = connect(url)

    def place(self, key: str) -> str:
        return "redis"

    def client(self, place: str) -> Any:
        return self._client

    def stir(self) -> None:
        """It is where it is."""

    def moved(self, error: MovedError, place: str) -> None:
        log.warning("Redis is a node of a cluster (REDIS_URL): %s", error)

    async def aclose(self) -> None:
        await self._client.aclose()


class Channels:
    """`said(channel, text)` is called with what is published, and `stands(channel, again)` when a
    subscription stands: something may have been said before that. `again`: it has stood before,
    and was lost."""

    def __init__(
        self, where: Where, said: Callable[[str, str], None], stands: Callable[[str, bool], None]
    ) -> None:
        self.where = where
        self.said = said
        self.stands = stands
        self._wanted: dict[str, asyncio.Future[None]] = {}  # done once subscribed
        self._stood: set[str] = set()  # those of the wanted that were subscribed to once
        self._serials = itertools.count(1)
        self._newest: dict[str, int] = {}  # the number of the last command for each of the wanted
        # By place: commands that wait for their answers, one for each channel that they name. A
        # channel may be added, dropped and added again before the first answer comes.
        self._unanswered: dict[str, deque[Command]] = {}
        self._at: dict[str, str] = {}  # the place at which each was asked for
        self._links: dict[str, Link] = {}
        self._lines: dict[str, asyncio.Task[None]] = {}  # each keeps the link to a place up
        # Commands of this turn of the loop, each with its place and channel.
        self._asked: list[tuple[str, str, str, int]] = []

    @property
    def connected(self) -> bool:
        """True while there is a link to each of the servers."""
        return bool(self.where.places) and self.where.places <= self._links.keys()

    @property
    def names(self) -> Collection[str]:
        """The channels that are wanted."""
        return self._wanted.keys()

    def add(self, name: str) -> None:
        """Listen to a channel that was not listened to. Raises DataError for a name that Redis
        cannot take, which would take the commands for other channels along with it."""
        pack(("SSUBSCRIBE", name))
        self._wanted[name] = asyncio.get_running_loop().create_future()
        self._ask([name], self.where.place(name))

    def drop(self, name: str) -> None:
        """Listen to it no more."""
        self._wanted.pop(name).cancel()
        self._stood.discard(name)
        del self._newest[name]
        self._tell("SUNSUBSCRIBE", self._at.pop(name), name)

    async def ready(self, name: str, timeout: float) -> None:
        """Wait until what is published comes in; raises TimeoutError (seconds), also when it is
        dropped meanwhile."""
        future = self._wanted[name]
        if not future.done():
            await asyncio.wait({future}, timeout=timeout)
        if future.cancelled() or not future.done():
            raise TimeoutError(f"{name} is not heard")

    def relink(self, name: str) -> None:
        """Connect anew to where a channel is; its subscription then stands again."""
        if (link := self._links.get(self._at.get(name, ""))) is not None:
            link.close()

    async def run(self) -> None:
        """Keep the links up until cancelled."""
        self.where.watchers.append(self._arrange)
        try:
            self._arrange()
            self.where.stir()
            await asyncio.get_running_loop().create_future()
        finally:
            self.where.watchers.remove(self._arrange)
            lines = list(self._lines.values())
            for line in lines:
                line.cancel()
            await asyncio.gather(*lines, return_exceptions=True)

    def _arrange(self) -> None:
        """Have a link to each place and no others, and each subscription where it belongs."""
        for place in self._lines.keys() - self.where.places:
            self._lines.pop(place).cancel()
        for place in self.where.places - self._lines.keys():
            self._lines[place] = asyncio.create_task(self._keep(place))
        moved: dict[str, list[str]] = {}
        for name in self._wanted:
            if (place := self.where.place(name)) != self._at[name]:
                moved.setdefault(place, []).append(name)
        for place, names in moved.items():
            self._ask(names, place)

    async def _keep(self, place: str) -> None:
        loop = asyncio.get_running_loop()
        wait = FIRST_WAIT
        while True:
            began = loop.time()
            try:
                await self._listen(place)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("the link to Redis is lost (%s); trying again", error)
            except Exception:
                log.exception("the link to Redis has failed; trying again")
            if loop.time() > began + LONGEST_WAIT:
                wait = FIRST_WAIT
            self.where.stir()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _listen(self, place: str) -> None:
        link = await Link.open(self.where.client(place), partial(self._take_safely, place))
        self._links[place] = link
        self._unanswered[place] = deque()
        try:
            # What stands at another place is asked for when that is known not to be its place.
            self._asked = [asked for asked in self._asked if asked[1] != place]
            self._ask([n for n in self._wanted if self.where.place(n) == place], place)
            self._write()
            await link.outlive()
        finally:
            del self._links[place]
            link.close()

    def _ask(self, names: list[str], place: str) -> None:
        """Subscribe at a place; when there is no link to it, as soon as there is one."""
        for name in names:
            if self._wanted[name].done():
                self._wanted[name] = asyncio.get_running_loop().create_future()
            self._at[name] = place
            self._newest[name] = self._tell("SSUBSCRIBE", place, name)

    def _tell(self, word: str, place: str, name: str) -> int:
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._write)
        serial = next(self._serials)
        self._asked.append((word, place, name, serial))
        return serial

    def _write(self) -> None:
        """Send what was asked for in this turn of the loop, in order, as few commands: when many
        pages come at once, each would be a write of ours and an answer of Redis's."""
        asked, self._asked = self._asked, []
        for (word, place), found in itertools.groupby(asked, key=itemgetter(0, 1)):
            # Without a link nothing is lost: connecting subscribes to all that is wanted there.
            if (link := self._links.get(place)) is not None:
                parts = [(word, name, serial) for *_, name, serial in found]
                commands = [parts] if self.where.together else [[part] for part in parts]
                self._unanswered[place].extend(map(deque, commands))
                link.write(b"".join(pack((word, *(p[1] for p in c))) for c in commands))

    def _take_safely(self, place: str, reply: Any) -> None:
        try:
            if isinstance(reply, Exception):
                self._refused(place, reply)
            else:
                self._take(place, reply)
        except Exception as error:
            log.error("cannot use what Redis sent: %s", without_message(error))

    def _take(self, place: str, reply: list[str]) -> None:
        kind, name = reply[0], reply[1]
        if kind == "smessage":
            self.said(name, reply[2])
            return
        commands = self._unanswered[place]
        if not commands or (kind.upper(), name) != commands[0][0][:2]:
            # No answer: a server takes a subscription back when it gives the slot away.
            if kind == "sunsubscribe" and self._at.get(name) == place:
                self._at[name] = ""
                self.where.stir()
            return
        *_, serial = commands[0].popleft()
        if not commands[0]:
            commands.popleft()
        if kind == "ssubscribe" and self._newest.get(name) == serial:
            again = name in self._stood
            self._stood.add(name)
            if not self._wanted[name].done():
                self._wanted[name].set_result(None)
            self.stands(name, again)

    def _refused(self, place: str, error: Exception) -> None:
        if isinstance(error, MovedError):
            self._unanswered[place].popleft()
            loop = asyncio.get_running_loop()
            loop.call_later(SETTLES, self.where.moved, error, place)
        elif place in self._links:
            self._links[place].close(error)
