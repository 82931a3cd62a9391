"""On whose behalf the present task works: a request, or an open socket."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Origin:
    """The request, and perhaps the open socket, on whose behalf something happens. A task that it
    leaves behind has it still when `is_over`, and logs on nobody's behalf."""

    request_id: str
    connection_id: str = ""
    is_over: bool = False


_origin: ContextVar[Origin | None] = ContextVar("origin", default=None)


def set_origin(origin: Origin) -> None:
    """The present task, the tasks that it makes and its greenlets work on behalf of this one."""
    _origin.set(origin)


def current_origin() -> Origin | None:
    """On whose behalf the present task works, None for nobody's."""
    origin = _origin.get()
    return None if origin is None or origin.is_over else origin
