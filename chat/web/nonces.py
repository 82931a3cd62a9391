"""Nonces of forms: the same form sent again, with the same nonce, has no second effect."""

import secrets

from flask import request

MAX_NONCE_CHARS = 64


def new_nonce() -> str:
    """The name of one form: unguessable and unique."""
    return secrets.token_urlsafe(9)


def sent_nonce() -> str:
    """The nonce of the form that was sent, "" if it has none."""
    nonce = request.form.get("nonce", "")
    return nonce if is_nonce(nonce) else ""


def is_nonce(text: str) -> bool:
    """True for a text that may be part of an element's id and of a key in the store."""
    is_short = 0 < len(text) <= MAX_NONCE_CHARS
    return is_short and text.isascii() and text.replace("-", "").replace("_", "").isalnum()
