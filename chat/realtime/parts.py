"""The parts that serve the open pages of this process."""

import asyncio

import greenback

from ..redis_client.topology import Topology
from ..rendering.fragments import Fragments
from ..rendering.text_renderer import Texts
from ..store import Store
from .background import Background
from .hub import Hub
from .presence import LivePresence
from .read_marks import Confirmations, ReadMarks
from .refresh import Refresh
from .resume_cache import ResumeCache
from .subscriber import Subscriber


class Realtime:
    """The parts. Each has a module with its name. None connects to Redis before `Subscriber.run`.

    texts: renders the texts of messages before they are shown.
    topology: which Redis server has which channel.
    """

    def __init__(
        self, store: Store, fragments: Fragments, texts: Texts, topology: Topology
    ) -> None:
        self.background = Background(greenback.with_portal_run_sync)
        self.confirmations = Confirmations()
        self.read_marks = ReadMarks(store.messages.seen_by, self.background.run)
        self.hub = Hub(
            fragments.for_viewers,
            fragments.for_members,
            fragments.room_row,
            lambda function: asyncio.get_running_loop().call_soon(function),
            # The hub and the subscriber need each other; pages open only after both exist.
            lambda channel: self.subscriber.opened(channel),
            self._closed,
            self.confirmations.shown,
        )
        self.presence = LivePresence(self.hub, store, fragments)
        self.resume_cache = ResumeCache(self.hub)
        refresh = self.refresh = Refresh(
            self.hub, store, fragments, texts, self.presence, self.resume_cache, self.background
        )
        self.subscriber = Subscriber(
            topology, self.hub, store, texts, self.background, refresh.person, refresh.on_signal
        )

    def _closed(self, channel: str) -> None:
        """The last viewer of a channel has gone, so signals about changed names arrive no more."""
        kind, _, rid = channel.partition(":")
        if kind == "room":
            self.resume_cache.forget(rid)
        self.subscriber.closed(channel)
