"""The composers of an open page: posts on the socket, drafts, name suggestions, and typing.

A page has one composer for the next message, and one for each message that is not acknowledged yet.
Each has a nonce, so a message that is sent again is stored once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from ..domain.errors import ChatError
from ..domain.mentions import begun
from ..domain.validation import clean_body, cursor, number
from ..realtime.client_messages import Frame, one
from ..realtime.refresh import looks_otherwise
from ..realtime.viewers import Viewer
from ..services import messages
from ..services.context import Parts
from ..store import Person
from .nonces import is_nonce, new_nonce

TYPING_INTERVAL_SECONDS = 2.0  # between two signals of one page that its person is typing
MAX_SENT_COMPOSERS = 20  # whose text is remembered for each page
TYPED_WHILE_SENDING = "You typed this while the previous message was being sent."


@dataclass(slots=True, eq=False)
class LiveComposers:
    """The composers of one page. `send` sends a fragment to the page."""

    parts: Parts
    viewer: Viewer
    send: Callable[[str], None]
    typing_at: float = 0.0  # when others were last told that the person is typing
    has_suggestions: bool = False  # the page shows suggested names
    # The composer and the text of the last stored draft of the room on screen.
    draft: tuple[str, str] = ("", "")
    # The texts that composers have sent, to recognize text that was typed into them since.
    posted: dict[str, str] = field(default_factory=dict)
    is_first_post: bool = True  # nothing has been posted on this socket yet

    @property
    def _person(self) -> Person:
        """The person as this process knows them now, which may change during a wait."""
        assert self.viewer.person is not None
        return self.viewer.person

    def leave_room(self) -> None:
        """The page shows another room now."""
        self.typing_at = 0.0
        self.draft = ("", "")

    def post(self, frame: Frame) -> None:
        """Store the text of a composer. If the composer is sent again with more text after it, only
        that text is new: the person typed on and pressed Enter before the next composer
        appeared."""
        rid, nonce, body = one(frame, "room"), one(frame, "nonce"), one(frame, "body")
        if not is_nonce(rid) or not is_nonce(nonce):
            return
        if self.is_first_post:
            body = self._without_earlier_post(rid, nonce, body)
        before = self.posted.get(nonce, "")
        if body and body == before:
            self.send(self.parts.fragments.message_stored(nonce))  # Enter pressed twice
            self._delete_draft(rid, nonce, True)
            return
        if before and body.startswith(before):
            stored = self._post(rid, f"{nonce}-{len(before)}", body[len(before) :], nonce)
        else:
            # A composer of another room may be sent late, with the cursor of the room on screen.
            shown = cursor(one(frame, "after")) if rid == self.viewer.watching else (0, 0)
            reply = number(one(frame, "reply"))
            stored, before = self._post(rid, nonce, body, nonce, reply, shown), ""
        self.posted[nonce] = body if stored else before
        if stored:
            self._delete_draft(rid, nonce, bool(one(frame, "kept")))
        if len(self.posted) > MAX_SENT_COMPOSERS:
            del self.posted[next(iter(self.posted))]

    def _without_earlier_post(self, rid: str, nonce: str, body: str) -> str:
        """Look up what was posted with the first composer of a socket, because it may have been
        sent on an earlier socket. Returns the text to compare with that."""
        try:
            before, text = self._posted_before(rid, nonce, body)
        except (ChatError, RedisError, OSError):
            return body  # storing it reports the error
        self.is_first_post = False
        if before is None or not text.startswith(before):
            return body
        self.posted[nonce] = before
        return text

    def _posted_before(self, rid: str, nonce: str, body: str) -> tuple[str | None, str]:
        """Return what was posted with this nonce (None for nothing), and the body as it would be
        stored, to compare the two. Raises ChatError, and redis's errors."""
        return self.parts.store.messages.posted(rid, self._person, nonce), clean_body(body)

    def typing(self, frame: Frame) -> None:
        """The person is typing in the room on screen: show that to others from time to time."""
        rid, now = one(frame, "room"), time.monotonic()
        if rid and rid == self.viewer.watching and now > self.typing_at + TYPING_INTERVAL_SECONDS:
            self.typing_at = now
            self.parts.store.presence.typing(rid, self.viewer.uid, True)

    def name(self, frame: Frame) -> None:
        """The person has stopped typing for a moment: keep the text as a draft, and suggest names
        if it ends with the beginning of one."""
        rid, body = one(frame, "room"), one(frame, "body")
        start = begun(body)
        if not rid or rid != self.viewer.watching:
            return
        self._keep_draft(rid, one(frame, "nonce"), body)
        offered = self.parts.store.notifications.offered
        found = ([], []) if start is None else offered(rid, self.viewer.uid, start)
        if start is not None or self.has_suggestions:
            self.has_suggestions = start is not None
            self.send(self.parts.fragments.name_suggestions(rid, *found))

    def _keep_draft(self, rid: str, nonce: str, text: str) -> None:
        """Keep the text of a composer as the draft, unless the composer was sent: text that was
        typed after that becomes a composer of its own (`typed`), which stays on the page."""
        if not self.posted.get(nonce) and self.draft != (nonce, text):
            self.draft = (nonce, text)
            self.parts.store.drafts.keep(self.viewer.uid, rid, text)

    def _delete_draft(self, rid: str, nonce: str, kept: bool) -> None:
        """The text of a composer was stored: delete its draft, which this page has kept, or an
        earlier page (`kept`)."""
        if self.draft[0] == nonce or (kept and not self.draft[0]):
            self.draft = ("", "")
            self.parts.store.drafts.keep(self.viewer.uid, rid, "")

    def typed(self, frame: Frame) -> None:
        """Handle the final text of a composer that was sent. Text beyond what was sent becomes a
        composer of its own; if there is none, the composer is removed."""
        rid, nonce, body = one(frame, "room"), one(frame, "nonce"), one(frame, "body")
        sent = self.posted.pop(nonce, "")
        if sent and is_nonce(rid):
            self._replace_composer(rid, nonce, body.removeprefix(sent))

    def post_pending(self, rid: str, nonce: str, body: str, reply: int) -> None:
        """A composer whose acknowledgement was lost with an earlier socket: store its text, unless
        it was stored then. Text that was typed into it since becomes a composer of its own."""
        if not is_nonce(rid) or not is_nonce(nonce):
            return
        try:
            before, text = self._posted_before(rid, nonce, body)
        except (ChatError, RedisError, OSError) as error:
            self.send(self.parts.fragments.message_refused(nonce, messages.error_text(error)))
            return
        if before is not None and text.startswith(before):
            self._replace_composer(rid, nonce, text.removeprefix(before))
        elif self._post(rid, nonce, body, nonce, reply):
            self.send(self.parts.fragments.composer_done(nonce))
        else:
            return
        self.parts.store.drafts.sent(self.viewer.uid, rid, body)

    def _replace_composer(self, rid: str, nonce: str, rest: str) -> None:
        """Remove a composer that was sent; text beyond that becomes a composer of its own."""
        if rest.strip():
            fragments = self.parts.fragments
            self.send(fragments.fresh_composer(rid, nonce, new_nonce(), rest, TYPED_WHILE_SENDING))
        else:
            self.send(self.parts.fragments.composer_done(nonce))

    def _post(
        self,
        rid: str,
        nonce: str,
        body: str,
        composer: str,
        reply: int = 0,
        shown: tuple[int, int] = (0, 0),
    ) -> bool:
        """Store a message, and tell its composer that it is stored, or why not.

        shown: the number and time (ms) of the last event of the room that the page shows.
        """
        person = self._person
        if rid not in self.viewer.posted_in:
            self.viewer.posted_in |= {rid}
        try:
            messages.post_text(self.parts, person, rid, body, nonce, reply, shown)
        except (ChatError, RedisError, OSError) as error:
            self.send(self.parts.fragments.message_refused(composer, messages.error_text(error)))
            return False
        if looks_otherwise(person, self._person):
            self.parts.store.people.signal_rooms(person.uid, [rid])
        self.send(self.parts.fragments.message_stored(composer))
        if self.typing_at:
            self.typing_at = 0.0
            self.parts.store.presence.typing(rid, self.viewer.uid, False)
        self.parts.limits.prepare("post", self.viewer.uid)
        return True


HANDLERS = {
    "post": LiveComposers.post,
    "typing": LiveComposers.typing,
    "typed": LiveComposers.typed,
    "name": LiveComposers.name,
}
"""By the type of the frame."""
