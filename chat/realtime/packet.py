"""The message that the chat sends to pages: HTML fragments, framed once for every connection."""

from __future__ import annotations

from collections.abc import Iterable

from ..bridge import BroadcastMessage


class Packet(BroadcastMessage):
    """One websocket message of HTML fragments, which a page swaps in one go."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        # hx-ws first tries to parse a message as JSON, and drops it if that succeeds. A fragment is
        # always markup.
        assert text.startswith("<"), text
        super().__init__(text)

    @classmethod
    def of(cls, fragments: Iterable[str]) -> Packet:
        """A packet with all the fragments, in this order."""
        return cls("".join(fragments))
