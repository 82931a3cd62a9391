"""Builds the parts that serve the open pages of this process."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import greenback

from ..redis_client.topology import Topology
from ..rendering.fragments import Fragments
from ..rendering.text_renderer import Texts
from ..store import Store
from .background import Background
from .confirmations import Confirmations
from .hub import Hub
from .presence import LivePresence
from .read_marks import ReadMarks
from .refresh import Refresh
from .resume_cache import ResumeCache
from .subscriber import Subscriber


@dataclass(slots=True)
class Realtime:
    """The parts. Each has a module with its name."""

    hub: Hub
    background: Background
    confirmations: Confirmations
    presence: LivePresence
    read_marks: ReadMarks
    refresh: Refresh
    resume_cache: ResumeCache
    subscriber: Subscriber


def connect(store: Store, fragments: Fragments, texts: Texts, topology: Topology) -> Realtime:
    """Build the parts. Nothing connects to Redis before `Subscriber.run`.

    texts: renders the texts of messages before they are shown.
    topology: which Redis server has which channel.
    """
    background = Background(greenback.with_portal_run_sync)
    confirmations = Confirmations()
    hub = Hub(
        fragments.for_viewers,
        fragments.for_members,
        fragments.room_row,
        _call_soon,
        # The hub and the subscriber need each other; pages open only after both exist.
        lambda channel: subscriber.opened(channel),
        lambda channel: subscriber.closed(channel),
        confirmations.shown,
    )
    presence = LivePresence(hub, store, fragments)
    resume_cache = ResumeCache(hub)
    refresh = Refresh(hub, store, fragments, texts, presence, resume_cache, background)
    subscriber = Subscriber(
        topology, hub, store, texts, background, refresh.person, refresh.on_signal
    )
    read_marks = ReadMarks(store.messages.seen_by, background.run)
    return Realtime(
        hub, background, confirmations, presence, read_marks, refresh, resume_cache, subscriber
    )


def _call_soon(function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(function)
