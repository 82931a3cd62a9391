"""Configures the log: where it goes, and its format (the setting CHAT_LOG).

Everything that is logged goes to standard error. Messages of the supervisor to the operator (the
logger OPERATOR) go to standard output as plain text, or into the JSON log.
"""

import logging
import sys

from .json_log import JsonLines, log_what_python_prints
from .redaction import Redacted

OPERATOR = "chat.operator"


def set_up(log_format: str) -> None:
    """Configure logging for this process. `log_format` is "plain" or "json"."""
    handler = logging.StreamHandler()
    operator = logging.getLogger(OPERATOR)
    if log_format == "json":
        handler.setFormatter(JsonLines())
        log_what_python_prints()
    else:
        handler.setFormatter(Redacted("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        operator.addHandler(logging.StreamHandler(sys.stdout))
        operator.propagate = False
    logging.basicConfig(level=logging.INFO, handlers=[handler])
