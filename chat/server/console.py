"""Prints what `chat serve` tells the operator."""

import logging

from ..observability.log_setup import OPERATOR

_log = logging.getLogger(OPERATOR)


def say(text: str) -> None:
    """Write a line to standard output, or to the JSON log (CHAT_LOG=json)."""
    _log.info("%s", text)
