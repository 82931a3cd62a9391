"""Says which request or open socket the current task works for."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Origin:
    """A request, and the open socket if it has become one. A task that outlives them still has this
    object, but `is_over` is then True, and its log lines have no ids."""

    request_id: str
    connection_id: str = ""
    is_over: bool = False


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def set_origin(origin: Origin) -> None:
    """Set the origin of the current task, of the tasks that it starts, and of its greenlets."""
    _origin.set(origin)


def current_origin() -> Origin | None:
    """Return the origin of the current task, or None."""
    origin = _origin.get()
    return None if origin is None or origin.is_over else origin
