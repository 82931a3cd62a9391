"""Renders the texts of messages at once, in the current process.

Server processes use a child process instead (text_renderer), because long texts take a while.
"""

from collections.abc import Iterable

from markupsafe import Markup

from ..domain.events import Event
from ..domain.mentions import Mentions
from . import markdown


class Texts:
    """Renders texts at once, so nothing needs to be prepared. A subclass may need it."""

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
