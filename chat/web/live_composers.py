"""The composers of an open page: posts on the socket, drafts, name suggestions, and typing.

A page has one composer for the next message, and those whose message is not acknowledged yet. Each
has a nonce, so a message that is sent again is stored once.
"""

import time
from collections.abc import Callable

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
TYPED_ON = "You typed this while the message before it was on its way."


class LiveComposers:
    """The composers of one page. `send` sends a fragment to the page."""

    __slots__ = (
        "_draft",
        "_fragments",
        "_has_suggestions",
        "_is_first_post",
        "_parts",
        "_posted",
        "_send",
        "_store",
        "_typing_at",
        "_viewer",
    )

    def __init__(self, parts: Parts, viewer: Viewer, send: Callable[[str], None]) -> None:
        self._parts = parts
        self._store = parts.store
        self._fragments = parts.fragments
        self._viewer = viewer
        self._send = send
        self._typing_at = 0.0  # when others were last told that the person is typing
        self._has_suggestions = False  # the page shows suggested names
        self._draft = ("", "")  # composer and text of the draft kept last, of the room on screen
        # The texts that composers have sent, to recognize text that was typed into them since.
        self._posted: dict[str, str] = {}
        self._is_first_post = True  # nothing was posted on this socket yet

    @property
    def _person(self) -> Person:
        """The person as this process knows them now. It may change during a wait."""
        assert self._viewer.person is not None
        return self._viewer.person

    def leave_room(self) -> None:
        """The page shows another room now."""
        self._typing_at = 0.0
        self._draft = ("", "")

    def post(self, frame: Frame) -> None:
        """Store the text of a composer. If it is sent again with more text behind it, only the rest
        is new: the person typed on, and pressed Enter, before the next composer was there."""
        rid, nonce, body = one(frame, "room"), one(frame, "nonce"), one(frame, "body")
        if not is_nonce(rid) or not is_nonce(nonce):
            return
        if self._is_first_post:
            body = self._without_earlier_post(rid, nonce, body)
        before = self._posted.get(nonce, "")
        if body and body == before:
            self._send(self._fragments.message_stored(nonce))  # Enter pressed twice
            self._delete_draft(rid, nonce, True)
            return
        if before and body.startswith(before):
            stored = self._post(rid, f"{nonce}-{len(before)}", body[len(before) :], nonce)
        else:
            reply, shown = number(one(frame, "reply")), cursor(one(frame, "after"))[0]
            stored, before = self._post(rid, nonce, body, nonce, reply, shown), ""
        self._posted[nonce] = body if stored else before
        if stored:
            self._delete_draft(rid, nonce, bool(one(frame, "kept")))
        if len(self._posted) > MAX_SENT_COMPOSERS:
            del self._posted[next(iter(self._posted))]

    def _without_earlier_post(self, rid: str, nonce: str, body: str) -> str:
        """The first composer that is sent on a socket may have been sent on an earlier one: then
        remember what was posted with it. Returns the text to compare with that."""
        try:
            before, text = self._store.messages.posted(rid, self._person, nonce), clean_body(body)
        except (ChatError, RedisError, OSError):
            return body  # storing it reports the error
        self._is_first_post = False
        if before is None or not text.startswith(before):
            return body
        self._posted[nonce] = before
        return text

    def typing(self, frame: Frame) -> None:
        """The person is typing in the room on screen. Others are told from time to time."""
        rid, now = one(frame, "room"), time.monotonic()
        if rid and rid == self._viewer.watching and now > self._typing_at + TYPING_INTERVAL_SECONDS:
            self._typing_at = now
            self._store.presence.typing(rid, self._person.uid, True)

    def name(self, frame: Frame) -> None:
        """The person has stopped typing for a moment: keep the text as a draft, and suggest names
        if it ends with the beginning of one."""
        rid, body = one(frame, "room"), one(frame, "body")
        start = begun(body)
        if not rid or rid != self._viewer.watching:
            return
        self._keep_draft(rid, one(frame, "nonce"), body)
        if start is not None:
            self._has_suggestions = True
            people, words = self._store.notifications.offered(rid, self._person.uid, start)
            self._send(self._fragments.name_suggestions(rid, people, words))
        elif self._has_suggestions:
            self._has_suggestions = False
            self._send(self._fragments.name_suggestions(rid, [], []))

    def _keep_draft(self, rid: str, nonce: str, text: str) -> None:
        """Keep the text of a composer as the draft. Not of one that was sent: the text behind that
        becomes a composer of its own (`typed`), which stays on the page."""
        if not self._posted.get(nonce) and self._draft != (nonce, text):
            self._draft = (nonce, text)
            self._store.drafts.keep(self._person.uid, rid, text)

    def _delete_draft(self, rid: str, nonce: str, kept: bool) -> None:
        """The text of a composer is stored: delete the draft of it that was kept on this page, or
        (`kept`) before."""
        if self._draft[0] == nonce or (kept and not self._draft[0]):
            self._draft = ("", "")
            self._store.drafts.keep(self._person.uid, rid, "")

    def typed(self, frame: Frame) -> None:
        """The text of a composer that was sent, when it accepts no more keys. Text beyond what was
        sent becomes a composer of its own; without any, the composer is removed."""
        rid, nonce, body = one(frame, "room"), one(frame, "nonce"), one(frame, "body")
        sent = self._posted.pop(nonce, "")
        if sent and is_nonce(rid):
            self._replace_composer(rid, nonce, body.removeprefix(sent))

    def post_pending(self, rid: str, nonce: str, body: str, reply: int) -> None:
        """A composer whose acknowledgement was lost with an earlier socket: store its text, unless
        it was stored then. Text that was typed into it since becomes a composer of its own."""
        if not is_nonce(rid) or not is_nonce(nonce):
            return
        try:
            before, text = self._store.messages.posted(rid, self._person, nonce), clean_body(body)
        except (ChatError, RedisError, OSError) as error:
            self._send(self._fragments.message_refused(nonce, messages.error_text(error)))
            return
        if before is not None and text.startswith(before):
            self._replace_composer(rid, nonce, text.removeprefix(before))
        elif self._post(rid, nonce, body, nonce, reply):
            self._send(self._fragments.composer_done(nonce))
        else:
            return
        self._store.drafts.sent(self._person.uid, rid, body)

    def _replace_composer(self, rid: str, nonce: str, rest: str) -> None:
        """Remove a composer that was sent; text beyond that becomes a composer of its own."""
        if rest.strip():
            self._send(self._fragments.fresh_composer(rid, nonce, new_nonce(), rest, TYPED_ON))
        else:
            self._send(self._fragments.composer_done(nonce))

    def _post(
        self, rid: str, nonce: str, body: str, composer: str, reply: int = 0, shown: int = 0
    ) -> bool:
        """Store a message, and tell its composer that it is stored, or why not.

        shown: the last number that the page shows of the room.
        """
        person = self._person
        if rid not in self._viewer.posted_in:
            self._viewer.posted_in |= {rid}
        try:
            messages.post_text(self._parts, person, rid, body, nonce, reply, shown)
        except (ChatError, RedisError, OSError) as error:
            self._send(self._fragments.message_refused(composer, messages.error_text(error)))
            return False
        if looks_otherwise(person, self._person):
            self._store.people.signal_rooms(person.uid, [rid])
        self._send(self._fragments.message_stored(composer))
        if self._typing_at:
            self._typing_at = 0.0
            self._store.presence.typing(rid, self._person.uid, False)
        self._parts.limits.prepare("post", self._person.uid)
        return True


HANDLERS = {
    "post": LiveComposers.post,
    "typing": LiveComposers.typing,
    "typed": LiveComposers.typed,
    "name": LiveComposers.name,
}
"""By the type of the frame."""
