"""Rendering the texts of messages at once, in this process.

A server process has a child process for it (text_renderer), because a long text takes a while.
"""

from collections.abc import Iterable
from typing import Protocol

from markupsafe import Markup

from ..domain.events import Event
from ..domain.mentions import Mentions
from . import markdown


class Texts(Protocol):
    """Renders the texts of messages (cached_html.Texts), after it has been given time for it."""

    def render(self, body: str, mentions: Mentions = ()) -> Markup:
        """The HTML of a message's body."""

    def gist(self, body: str) -> str:
        """The first line of a body, without markup."""

    def is_ready(self, event: Event) -> bool:
        """True if rendering this event will not wait."""

    async def prepare(self, event: Event) -> None:
        """Render the texts of an event."""

    async def prepare_lines(self, events: Iterable[Event]) -> None:
        """Render the first lines of the newest events of rooms."""


class ImmediateTexts:
    """Is always ready."""

    render = staticmethod(markdown.render)
    gist = staticmethod(markdown.gist)

    def is_ready(self, event: Event) -> bool:
        return True

    async def prepare(self, event: Event) -> None:
        pass

    async def prepare_lines(self, events: Iterable[Event]) -> None:
        pass
