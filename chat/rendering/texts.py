"""Rendering the texts of messages at once, in this process.

A server process has a child process for it (text_renderer), because a long text takes a while.
"""

from collections.abc import Iterable

from markupsafe import Markup

from ..domain.events import Event
from ..domain.mentions import Mentions
from . import markdown


class Texts:
    """Renders texts at once, so it is always ready. A subclass may need `prepare` before."""

    def render(self, body: str, mentions: Mentions = ()) -> Markup:
        """The HTML of a message's body."""
        return markdown.render(body, mentions)

    def gist(self, body: str) -> str:
        """The first line of a body, without markup."""
        return markdown.gist(body)

    def is_ready(self, event: Event) -> bool:
        """True if showing this event will not wait."""
        return True

    async def prepare(self, event: Event) -> None:
        """Render the texts of an event, on behalf of its author."""

    async def prepare_lines(self, events: Iterable[Event]) -> None:
        """Render the first lines of the newest events of rooms."""
