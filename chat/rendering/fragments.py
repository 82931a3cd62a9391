"""HTML fragments that are pushed to open pages.

The macros in templates/pushes/event.html are called without a request, so that pages, pushes and
catch-up share one definition of a message. No fragment depends on who sees it: one rendering serves
everyone in a time zone.
"""

from functools import lru_cache
from typing import Any

from jinja2 import Environment

from ..domain.events import POST, Event
from ..store import Person, Row
from .cached_html import CACHED_MESSAGES, TRIM_EVERY_MESSAGES
from .local_time import short_time
from .precompiled import PrecompiledTemplate

FILE = "pushes/event.html"


class Fragments:
    """Renders fragments. `zone` is the name of the viewer's time zone; "" is the server's.

    `missed_events`, `replaced_list` and `room_list` may let other tasks run
    (chat.runtime.cooperation). Nothing else does, because the hub writes in the order in which it
    renders.
    """

    def __init__(self, env: Environment) -> None:
        self.macros: Any = env.get_template(FILE).module
        self._message: Any = env.globals["message"]
        self._gist: Any = env.filters["gist"]
        self._plain_mark = lru_cache(maxsize=CACHED_MESSAGES)(self._make_plain_mark)
        self._put = PrecompiledTemplate(env, FILE, "put")
        self._post_row = PrecompiledTemplate(env, FILE, "post_row")
        self._message_stored = PrecompiledTemplate(env, FILE, "message_stored")

    # Events

    def for_viewers(self, event: Event, zone: str) -> str:
        """An event for pages that show its room."""
        if event.kind == POST and not event.mentions and event.seq % TRIM_EVERY_MESSAGES:
            return self._put.text(rid=event.room, messages=self._message(event, zone))
        return str(self.macros.for_viewers(event, zone))

    def for_members(self, event: Event, zone: str) -> str:
        """An event for pages of members that show another room: the unread mark and the alert."""
        if event.kind == POST and not event.mentions:
            return self._plain_mark(event.room, event.uid)
        return str(self.macros.for_members(event))

    def _make_plain_mark(self, rid: str, uid: str) -> str:
        """`for_members` for any message by this person that mentions nobody."""
        return str(self.macros.for_members(Event(rid, 0, 0, POST, uid, "", "")))

    def room_row(self, event: Event, zone: str) -> str:
        """The room's row in the room list, with this as its newest event."""
        if event.kind != POST:
            return str(self.macros.room_row(event, zone))
        text = self._gist(event.body or event.excerpt)
        time = short_time(event.at, zone)
        return self._post_row.text(rid=event.room, time=time, name=event.name, text=text)

    def missed_events(self, events: list[Event], zone: str) -> str:
        """The events (at least one) that a page lacks, each put in its place."""
        return str(self.macros.missed_events(events, zone))

    def replaced_list(
        self, rid: str, events: list[Event], epoch: str, zone: str, first: int = 1
    ) -> str:
        """The newest events in place of a list that cannot be continued. `first` is the number of
        the oldest event that is kept."""
        return str(self.macros.replaced_list(rid, events, epoch, first, zone))

    def updated_events(self, events: list[Event], zone: str) -> str:
        """Events that are on screen already, with their present content."""
        return str(self.macros.updated_events(events, zone))

    # Rooms and people

    def room_list(self, rows: list[Row], current: str, zone: str) -> str:
        """The whole room list. `current` is the id of the room on screen, or ""."""
        return str(self.macros.room_list(rows, current, zone))

    def room_read(self, rid: str) -> str:
        """Remove the unread marks of a room."""
        return str(self.macros.room_read(rid))

    def room_left(self, rid: str) -> str:
        """Replace the room on screen by a note that the person is no longer a member."""
        return str(self.macros.room_left(rid))

    def signed_out(self) -> str:
        """Replace the whole page by a note that the person has signed out."""
        return str(self.macros.signed_out())

    def online_count(self, rid: str, count: int) -> str:
        """How many members are online, in the header of the room."""
        return str(self.macros.online_count(rid, count))

    def online_dots(self, rid: str, uids: list[str]) -> str:
        """The members of a direct room who are online, in the room list."""
        return str(self.macros.online_dots(rid, uids))

    def typing(self, rid: str, person: Person) -> str:
        """A note that a person is typing. It disappears by itself after a few seconds."""
        return str(self.macros.typing(rid, person))

    def typing_ended(self, rid: str, uid: str) -> str:
        """Remove that note, because the message has arrived."""
        return str(self.macros.typing_ended(rid, uid))

    # The menu of a message, and its editor

    def menu(self, arguments: dict[str, Any]) -> str:
        """The menu of a message for one person (chat.web.room_page.menu_fields)."""
        return str(self.macros.menu(**arguments))

    def menu_closed(self, event: Event) -> str:
        """Return the focus to the button that opened the menu or the editor, unless something else
        has it."""
        return str(self.macros.menu_closed(event))

    def message_editor(self, event: Event, token: str) -> str:
        """An editor with the message's text, inside the message. `token` is for its forms."""
        return str(self.macros.message_editor(event, token))

    def message_saved(self, event: Event) -> str:
        """Replace the editor by the message's new text."""
        return str(self.macros.message_saved(event))

    def message_deleted(self, event: Event, zone: str) -> str:
        """Replace a message that was deleted by `event`, its tombstone."""
        return str(self.macros.message_deleted(event, zone))

    def edit_refused(self, rid: str, seq: int, error: str) -> str:
        """An error below the editor of message `seq`, in plain words."""
        return str(self.macros.edit_refused(rid, seq, error))

    def reply_target(self, rid: str, event: Event | None) -> str:
        """Show in the composer which message it replies to; None: it is not a reply."""
        return str(self.macros.reply_target(rid, event))

    def reaction_sent(self, event: Event) -> str:
        """Close the menu after a reaction, and show the reaction on a page that is not live."""
        return str(self.macros.reaction_sent(event))

    def reaction_refused(self, seq: int, error: str) -> str:
        """An error next to message `seq`, in plain words."""
        return str(self.macros.reaction_refused(seq, error))

    # The composer

    def name_suggestions(self, rid: str, people: list[Person], words: list[str]) -> str:
        """People and words such as @here that match the name being typed in the composer; both
        lists are empty when no name is being typed."""
        return str(self.macros.name_suggestions(rid, people, words))

    def message_stored(self, nonce: str) -> str:
        """Acknowledge the message of composer `nonce`."""
        return self._message_stored.text(nonce=nonce)

    def composer_done(self, nonce: str) -> str:
        """Remove the composer `nonce`."""
        return str(self.macros.composer_done(nonce))

    def message_refused(self, nonce: str, error: str) -> str:
        """An error in the composer `nonce`, in plain words. Its text stays."""
        return str(self.macros.message_refused(nonce, error))

    def fresh_composer(self, rid: str, nonce: str, new_nonce: str, body: str, text: str) -> str:
        """Replace the composer `nonce` by one named `new_nonce` that holds `body`, with a note
        `text` that says why."""
        return str(self.macros.fresh_composer(rid, nonce, new_nonce, body, text))
