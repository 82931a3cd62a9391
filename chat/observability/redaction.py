"""Secrets are taken out of every line before it is written to the log.

A link for a new password or for the first admin is a secret that stands in an address, and an error
names the address where it happened. `Redacted` is the formatter of all that the chat logs, so that
tracebacks and the lines of libraries pass here, too.
"""

import logging
import re
import traceback

_SLASH = r"(?:/|%2F)"  # an address may stand within another one, as `next=`
_PATTERNS = (
    # The rest of the segment behind these paths.
    rf"{_SLASH}(?:sign-in{_SLASH}reset|first-run){_SLASH}()[^\s/?&#\"'\\<>%]+",
    # What other sites hand over, and forms.
    r"[?&](?:code|state|token|id_token|access_token|secret|client_secret|password|old|again|"
    r"csrf_token|nonce)=()[^\s&#\"'\\]+",
    # Tokens and secrets that are known by their look.
    r"\bchat_()[\w-]{20,}",
    r"\bwhsec_()[\w+/=-]{8,}",
    r"\beyJ()[\w-]+\.[\w-]+\.[\w-]*",
    r"\bBearer\s+()[^\s\"']+",
    r"\bsession=()[^\s;\"']+",
    # The password of an address such as REDIS_URL.
    r"://[^\s/@:]*:()[^\s/@]+(?=@)",
)
_SECRETS = re.compile("|".join(_PATTERNS), re.IGNORECASE)


def redacted(text: str) -> str:
    """`text` with `…` in place of the secrets that can be told by where they stand or how they
    look."""
    return _SECRETS.sub(_without, text)


def _without(found: re.Match[str]) -> str:
    # The empty group marks where the secret begins.
    start = max(found.start(n) for n in range(1, found.re.groups + 1))
    return f"{found.string[found.start() : start]}…"


class Redacted(logging.Formatter):
    """Lines and tracebacks without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def without_message(error: BaseException) -> str:
    """The type of an error and where it was raised. Its message is left out because it may quote
    what somebody wrote."""
    where = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}\n{where}"
