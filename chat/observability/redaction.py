"""Removes secrets from every line before it is written to the log.

A link for a new password or for the first administrator has a secret in its address, and the log of
an error names the address of the request. `Redacted` formats everything that the chat logs, also
tracebacks and the lines of libraries.
"""

import logging
import re
import traceback

_SLASH = r"(?:/|%2F)"  # an address may be a parameter of another one, such as `next=`
_PATTERNS = (
    # The rest of the path segment after these paths.
    rf"{_SLASH}(?:sign-in{_SLASH}reset|first-run){_SLASH}()[^\s/?&#\"'\\<>%]+",
    # Parameters from other sites, and fields of forms.
    r"[?&](?:code|state|token|id_token|access_token|secret|client_secret|password|old|again|"
    r"csrf_token|nonce)=()[^\s&#\"'\\]+",
    # Tokens and secrets that have a recognizable form.
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
    """Return `text` with `…` in place of secrets, which are recognized by their position or their
    form."""
    return _SECRETS.sub(_without, text)


def _without(found: re.Match[str]) -> str:
    # The empty group marks where the secret begins.
    start = max(found.start(n) for n in range(1, found.re.groups + 1))
    return f"{found.string[found.start() : start]}…"


class Redacted(logging.Formatter):
    """Formats lines and tracebacks without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def without_message(error: BaseException) -> str:
    """Return the type of an error and where it was raised. Its message is left out, because it may
    quote what somebody has written."""
    where = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}\n{where}"
