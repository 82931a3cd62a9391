"""Passwords: which may be chosen, and how they are kept.

Kept are argon2id hashes (RFC 9106, the library's defaults: 64 MiB and tens of milliseconds each).
In the server both hashing and rating run in the pool `executors.PASSWORDS`.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

from ..domain.errors import Invalid

SHORTEST, LONGEST = 10, 256  # characters
RATED = 72  # characters that are looked at for being easy to guess
GOOD = 3  # of zxcvbn's 0 to 4: holds against a slow offline attack
MAX_PIECE_CHARS = 32  # characters that are rated at once: of what repeats, the work grows cubically
MAX_PIECE_COST = 8_000  # see `_cost`

_REPEATED = re.compile(r"(.{1,24}?)\1{2,}", re.DOTALL)  # three times or more

_hasher = PasswordHasher()
# Of a password of nobody's, made by `_hasher`: to make it takes a tenth of a second at each start.
_nobody = (
    "$argon2id$v=19$m=65536,t=3,p=4$6OH2Th+2eN71ZKkfzBckAg$"
    "3knkCC/3MO1Te5GmuOoRj6HlDFOmq4DNIhPMotx7Pg0"
)


def check(password: str, about: Sequence[str] = ()) -> None:
    """Raise Invalid for a password that is short or easy to guess, as are the 30,000 commonest of
    breaches, which zxcvbn knows; `about` are words that whoever attacks this person tries first."""
    if len(password) < SHORTEST:
        raise Invalid(f"The password is too short: at least {SHORTEST} characters, please.")
    if len(password) > LONGEST:
        raise Invalid(f"The password is too long: {LONGEST} characters are allowed.")
    rated: dict[str, Any] = {}
    for piece in pieces(_REPEATED.sub(r"\1\1", password[:RATED])):
        rated = zxcvbn(piece, user_inputs=list(about))
        if rated["score"] >= GOOD:
            return
    why = rated["feedback"]["warning"] or "It would not take long to guess."
    raise Invalid(f"Choose another password. {why} Several unrelated words make a good one.")


def pieces(text: str) -> Iterator[str]:
    """The parts of a password that are rated one by one: a password is as good as the best of
    them. What repeats is to be cut short before, or an end of it would look like something new.
    Ordinary text of up to MAX_PIECE_CHARS is one piece. zxcvbn tries every way of reading the signs
    that may stand for letters (4, @, $ …), and their number doubles and triples with each different
    sign: so a piece ends where rating it would cost more than MAX_PIECE_COST."""
    start = 0
    while start < len(text):
        end, last = min(start + SHORTEST, len(text)), min(start + MAX_PIECE_CHARS, len(text))
        while end < last and _cost(text[start : end + 1]) <= MAX_PIECE_COST:
            end += 1
        yield text[start:end]
        start = end


def _cost(text: str) -> int:
    """An upper bound of the parts of the text that zxcvbn looks up in each of its dictionaries."""
    signs = set(text)
    readings = 1
    for letter_signs in L33T_TABLE.values():
        readings *= max(1, 2 * len(signs.intersection(letter_signs)) - 1)
    return readings * len(text) ** 2


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
