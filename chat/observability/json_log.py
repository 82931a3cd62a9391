"""The log as JSON, one object per line, for programs that collect logs (CHAT_LOG=json).

A line has `timestamp` (ISO 8601, UTC), `level`, `logger` and `message`, and `exception` if there is
a traceback. Lines that a request or an open socket causes also have `request_id` or `connection_id`
(`request_ids`). JSON escapes every line end and control character, so nothing that a visitor sends
can end a line or begin one. The kernel writes a line of at most MAX_LINE_BYTES into a pipe at once,
so the lines of several processes do not mix.
"""

import json
import logging
import sys
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from .redaction import redacted

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 4096  # PIPE_BUF of Linux: longer writes to a pipe may be split (pipe(7))
CUT = " […] "
FIELDS = {"levelname": "level", "name": "logger", "message": "message"}


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


class JsonLines(JsonFormatter):
    """Formats a record as one line of JSON, without secrets."""

    def __init__(self) -> None:
        renamed = {**FIELDS, "exc_info": "exception", "stack_info": "stack"}
        super().__init__(tuple(FIELDS), rename_fields=renamed, timestamp=True)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Remove secrets from the texts before JSON escapes them, and add the ids."""
        fields = {
            name: redacted(value) if isinstance(value, str) else value
            for name, value in log_data.items()
        }
        if origin := current_origin():
            fields["request_id"] = origin.request_id
            if origin.connection_id:
                fields["connection_id"] = origin.connection_id
        return fields

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the line. If it is too long, the middle of its longest texts is left out."""
        line = super().serialize_log_record(log_data)
        while (excess := len(line) + 1 - MAX_LINE_BYTES) > 0:  # ASCII, and a line end
            name = max(log_data, key=lambda name: len(str(log_data[name])))
            text = str(log_data[name])
            share = 1 - (excess + len(json.dumps(CUT))) / len(json.dumps(text))
            kept = max(0, int(share * len(text)))
            log_data[name] = text[: kept // 2] + CUT + text[len(text) - kept // 2 :]
            line = super().serialize_log_record(log_data)
        return line


def log_what_python_prints() -> None:
    """Log what Python itself writes to standard error: warnings, and exceptions that nobody
    catches."""
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = sys.unraisablehook = _log_hooked


def _log_hooked(args: Any) -> None:
    _log_uncaught(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)


def _log_uncaught(*exc_info: Any) -> None:
    log.critical("an exception was not caught", exc_info=exc_info)
