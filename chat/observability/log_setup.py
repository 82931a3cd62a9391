"""Configures the log: where it goes, and its format (the setting CHAT_LOG).

Everything that is logged goes to standard error. What the supervisor tells the operator (`say`)
goes to standard output as plain text, or into the JSON log.
"""

import logging
import sys

from .json_log import JsonLines, log_what_python_prints
from .redaction import Redacted

_operator = logging.getLogger("chat.operator")


def set_up(log_format: str) -> None:
    """Configure logging for this process. `log_format` is "plain" or "json"."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(JsonLines())
        log_what_python_prints()
    else:
        handler.setFormatter(Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        _operator.addHandler(logging.StreamHandler(sys.stdout))
        _operator.propagate = False
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def say(text: str) -> None:
    """Write a line for the operator to standard output, or to the JSON log (CHAT_LOG=json)."""
    _operator.info("%s", text)
