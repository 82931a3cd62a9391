"""Passwords: which may be chosen, and how they are kept.

Kept are argon2id hashes (RFC 9106, the library's defaults). Hashing and rating take tens of
milliseconds of CPU: in the server they are called through `off_loop`.
"""

import asyncio
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from zxcvbn import zxcvbn

from .asgi import await_
from .errors import Invalid

SHORTEST, LONGEST = 10, 256  # characters
RATED = 72  # characters that are looked at for being easy to guess
GOOD = 3  # of zxcvbn's 0 to 4: holds against a slow offline attack

P = ParamSpec("P")
T = TypeVar("T")
_hasher = PasswordHasher()
# Of a password of nobody's, made by `_hasher`: to make it takes a tenth of a second at each start.
_nobody = (
    "$argon2id$v=19$m=65536,t=3,p=4$6OH2Th+2eN71ZKkfzBckAg$"
    "3knkCC/3MO1Te5GmuOoRj6HlDFOmq4DNIhPMotx7Pg0"
)


def off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do blocking work in a thread; only the greenlet that asks waits for it."""
    result: T = await_(asyncio.to_thread(work, *args, **kwargs))
    return result


def check(password: str, about: Sequence[str] = ()) -> None:
    """Raise Invalid for a password that is short or easy to guess, as are the 30,000 commonest of
    breaches, which zxcvbn knows; `about` are words that whoever attacks this person tries first."""
    if len(password) < SHORTEST:
        raise Invalid(f"The password is too short: at least {SHORTEST} characters, please.")
    if len(password) > LONGEST:
        raise Invalid(f"The password is too long: {LONGEST} characters are allowed.")
    rated: dict[str, Any] = zxcvbn(password[:RATED], user_inputs=list(about))
    if rated["score"] < GOOD:
        why = rated["feedback"]["warning"] or "It would not take long to guess."
        raise Invalid(f"Choose another password. {why} Several unrelated words make a good one.")


def kept(password: str) -> str:
    """The hash of a password."""
    return _hasher.hash(_plain(password))


def is_right(kept: str, password: str) -> bool:
    """True when this is the password of the hash `kept`. For a `kept` of "" it is never right,
    but that takes as long to say: who has an account cannot be told from the time."""
    try:
        return _hasher.verify(kept or _nobody, _plain(password[:LONGEST])) and bool(kept)
    except (Argon2Error, InvalidHashError):
        return False


def _plain(password: str) -> str:
    """The same password from every keyboard (NFKC, as RFC 8265 asks)."""
    return unicodedata.normalize("NFKC", password)
