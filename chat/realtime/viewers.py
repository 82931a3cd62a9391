"""What the hub stores about each open page, and about each room that pages show."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..domain.events import Event
from ..store.person import Person
from .packet import Packet

# Writes a message; False if the viewer has gone.
Push = Callable[[Packet], bool]
# Closes the viewer's connection with a code of RFC 6455.
Close = Callable[[int], object]
# Writes frames as they are, without any check.
Write = Callable[[bytes], object]
# The bare write of a viewer's connection, and whether it reads compressed frames; None if there is
# none. The connection calls the function that it is given when `Write` must not be used any more.
Direct = Callable[[Callable[[], None]], tuple[Write, bool] | None]
# An unread mark, or a row of the room list, that waits while the list is read: room, number and
# fragment.
HeldMark = tuple[str, int, str]
# A fragment of the watched room with its event's number, which is greater than the last one's;
# UNNUMBERED if it belongs to no event.
Numbered = tuple[int, str]
UNNUMBERED = 0


def _cannot_ask() -> bool:
    return False


@dataclass(eq=False, repr=False, slots=True)
class Viewer:
    """One open page. It watches at most one room, and belongs to all rooms of its person.

    session: the id of the session that opened the page.
    zone: the time zone of the times on the page.
    direct: for a connection with a faster way than `push`.
    """

    push: Push
    close: Close
    uid: str
    session: str = ""
    zone: str = ""
    direct: Direct | None = None
    # Asks the page to confirm what it was sent; True if it was asked.
    ask: Callable[[], bool] = _cannot_ask
    # The page's person as stored, if the page acts for that person. Refresh keeps it current.
    person: Person | None = None
    posted_in: frozenset[str] = frozenset()  # rooms it posted to as that `person`
    rooms: set[str] = field(default_factory=set)
    # Increases when the room list is sent, and when it must be read again before it is sent.
    list_version: int = 0
    # What to send after the room list, while it is read; None at other times.
    held_marks: list[HeldMark] | None = None
    # Rooms for which the page has been sent more than the hub knows, with the last number.
    ahead: dict[str, int] = field(default_factory=dict)
    watching: str | None = None
    # What to send after the history of the room, while it is read; None at other times.
    held: list[Numbered] | None = None
    in_sync_with: "Group | None" = None
    _sent: int = 0

    def forget_page(self) -> None:
        """The page has gone. It refers to this object, so the two and the connection would be a
        cycle that only the garbage collector can free. After an hour, collecting all these cycles
        would block the event loop for seconds."""
        self.ask = _cannot_ask

    @property
    def sent(self) -> int:
        """The last number of the watched room that was sent."""
        return self._sent if self.in_sync_with is None else self.in_sync_with.sent

    @sent.setter
    def sent(self, seq: int) -> None:
        self._sent = seq


@dataclass(eq=False, repr=False, slots=True)
class Group:
    """The viewers of a room with the same time zone, who are sent the same bytes.

    A watching viewer is in sync or lagging. Viewers who are in sync have been sent all that the
    group was sent, nothing is held for them, and their connection is open: each message is written
    to them without checking the viewer. The objects of ten thousand viewers do not fit into a
    processor's caches, so looking at one of them costs as much as many steps of the interpreter.
    """

    watching: dict[Viewer, None] = field(default_factory=dict)
    lagging: dict[Viewer, None] = field(default_factory=dict)  # the other watching viewers
    plain: dict[Viewer, Write] = field(default_factory=dict)  # viewers in sync, and ...
    deflating: dict[Viewer, Write] = field(default_factory=dict)  # ... who read compressed frames
    sent: int = 0  # the last number that viewers in sync were sent
    unchecked: int = 0  # bytes that were written to them since `push` checked them
    belonging: dict[Viewer, None] = field(default_factory=dict)
    # The fragments of this turn of the event loop.
    for_viewers: list[Numbered] = field(default_factory=list)
    for_members: list[Numbered] = field(default_factory=list)

    def viewers(self) -> list[Viewer]:
        """All viewers at present."""
        return [*self.watching, *self.belonging]


@dataclass(eq=False, repr=False, slots=True)
class LiveRoom:
    """A room as this process knows it: its viewers, and the last event that it has received."""

    last: int
    at: int  # the time of the last event in ms; 0 if it is not known
    # One set for each greenlet that reads messages to show them again (Refresh): the numbers of
    # the messages that events have changed meanwhile.
    readers: list[set[int]] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)  # by time zone; none is empty
    newest: Event | None = None  # the last event of this turn that is not silent

    def viewers(self) -> list[Viewer]:
        """All viewers at present."""
        return [viewer for group in self.groups.values() for viewer in group.viewers()]

    def group(self, zone: str) -> Group:
        """Return the group of a time zone, which is created if there is none."""
        group = self.groups.get(zone)
        if group is None:
            group = self.groups[zone] = Group()
        return group
