"""The live part of the chat, put together: what open pages of this process are served by."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import greenback

from ..redis_client.topology import Topology
from ..rendering.fragments import Fragments
from ..rendering.texts import Texts
from ..store import Store
from .background import Background
from .confirmations import Confirmations
from .hub import Hub
from .presence import Presence
from .read_marks import ReadMarks
from .refresh import Refresh
from .resume_cache import ResumeCache
from .subscriber import Subscriber


@dataclass(slots=True)
class Realtime:
    """The parts, each of which has a module of its name."""

    hub: Hub
    background: Background
    confirmations: Confirmations
    presence: Presence
    read_marks: ReadMarks
    refresh: Refresh
    resume_cache: ResumeCache
    subscriber: Subscriber


def connect(store: Store, fragments: Fragments, texts: Texts, topology: Topology) -> Realtime:
    """Put the parts together. Nothing is connected to Redis before `Subscriber.run`.

    texts: renders the texts of messages before they are shown.
    topology: says which Redis server has which channel.
    """
    background = Background(greenback.with_portal_run_sync)
    confirmations = Confirmations()
    hub = Hub(
        fragments.for_viewers,
        fragments.for_members,
        fragments.room_row,
        _call_soon,
        # The hub and the subscriber need each other, and there is no page before both are made.
        lambda channel: subscriber.opened(channel),
        lambda channel: subscriber.closed(channel),
        confirmations.shown,
    )
    presence = Presence(hub, store, fragments)
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
