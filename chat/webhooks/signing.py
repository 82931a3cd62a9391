"""Signatures, retries and answers of deliveries (Standard Webhooks).

The specification is spec/standard-webhooks.md at github.com/standard-webhooks/standard-webhooks.
It requires the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`, for HMAC-SHA256,
and for secrets that begin with `whsec_`. Receivers find a library for it in every language.
"""

import base64
import hashlib
import hmac
import json
import random
import secrets
from email.utils import parsedate_to_datetime

from ..http_client.public_only import HttpResponse

MAX_TRIES = 8  # of one delivery
WAIT_FACTOR = 4  # by which each wait is longer than the one before
MAX_WAIT_SECONDS = 24 * 3600  # that a program may ask for


def new_secret() -> str:
    """A secret to sign with: 32 random bytes (the specification requires 24 to 64)."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def signed_headers(secret: str, did: str, body: bytes, now: int) -> dict[str, str]:
    """The headers of a delivery with the id `did` at `now`, in seconds since 1970."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{did}.{now}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "user-agent": "Chat",
        "webhook-id": did,
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def retry_wait(tries: int, first: float) -> float:
    """Seconds to wait after `tries` tries: `first` after the first one, then WAIT_FACTOR times as
    long each time. It varies by a fifth, so that deliveries that failed together are not repeated
    together."""
    spread: float = random.uniform(0.8, 1.2)
    return spread * first * float(WAIT_FACTOR ** (tries - 1))


def requested_wait(answer: HttpResponse, now: float) -> float:
    """Seconds that an answer of 429 or 503 asks for by Retry-After (RFC 9110, section 10.2.3)
    at `now` (seconds since 1970), a day at most; 0 for none."""
    text = answer.headers.get("retry-after", "") if answer.status in (429, 503) else ""
    if text.isascii() and text.isdecimal():
        seconds = float(text[:9])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):  # OverflowError: a date with huge numbers
            return 0.0
    return min(max(seconds, 0.0), MAX_WAIT_SECONDS)


def reply_text(answer: HttpResponse) -> str:
    """The text that the program wants to post: a plain text, or the field `body` of a JSON object;
    "" for none."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.headers.get("content-encoding", "identity") != "identity":
        return ""
    text = answer.body.decode(errors="replace")
    if kind == "text/plain":
        return text.strip()
    if kind != "application/json":
        return ""
    try:
        sent = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    body = sent.get("body") if isinstance(sent, dict) else None
    return body.strip() if isinstance(body, str) else ""
