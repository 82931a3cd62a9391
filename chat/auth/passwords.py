"""Passwords: how strong they must be, and how they are hashed.

The store has argon2id hashes (RFC 9106, with the library's defaults: 64 MiB and tens of
milliseconds each). In the server, hashing and rating run in the pool `executors.PASSWORDS`.
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

MIN_CHARS, MAX_CHARS = 10, 256
MAX_RATED_CHARS = 72  # of a password whose strength is rated
MIN_SCORE = 3  # of zxcvbn's 0 to 4: resists a slow offline attack
MAX_PIECE_CHARS = 32  # rated at once: with repetitions the work grows with the cube of the length
MAX_PIECE_COST = 8_000  # see `_cost`

_REPEATED = re.compile(r"(.{1,24}?)\1{2,}", re.DOTALL)  # three times or more

_hasher = PasswordHasher()
# The hash of a password that nobody has, made by `_hasher` beforehand: hashing takes a tenth of a
# second.
_HASH_OF_NOBODY = (
    "$argon2id$v=19$m=65536,t=3,p=4$6OH2Th+2eN71ZKkfzBckAg$"
    "3knkCC/3MO1Te5GmuOoRj6HlDFOmq4DNIhPMotx7Pg0"
)


def check_strength(password: str, about: Sequence[str] = ()) -> None:
    """Raise Invalid for a password that is too short or easy to guess, such as the 30,000 most
    frequent ones in breaches, which zxcvbn knows. `about` are words that an attacker of this person
    would try first, such as the login."""
    if len(password) < MIN_CHARS:
        raise Invalid(f"The password is too short. Use at least {MIN_CHARS} characters.")
    if len(password) > MAX_CHARS:
        raise Invalid(f"The password is too long. The limit is {MAX_CHARS} characters.")
    rated: dict[str, Any] = {}
    for piece in pieces(_REPEATED.sub(r"\1\1", password[:MAX_RATED_CHARS])):
        rated = zxcvbn(piece, user_inputs=list(about))
        if rated["score"] >= MIN_SCORE:
            return
    why = rated["feedback"]["warning"] or "It is easy to guess."
    raise Invalid(f"Choose another password. {why} Several unrelated words work well.")


def pieces(text: str) -> Iterator[str]:
    """The parts of a password that are rated separately: a password is as strong as its strongest
    part. Repetitions must have been shortened before, or the end of one would look like something
    new. Ordinary text of up to MAX_PIECE_CHARS is one piece. zxcvbn tries every reading of the
    signs that can stand for letters (4, @, $ …), and each different sign doubles or triples their
    number. So a piece ends where rating it would cost more than MAX_PIECE_COST."""
    start = 0
    while start < len(text):
        end, last = min(start + MIN_CHARS, len(text)), min(start + MAX_PIECE_CHARS, len(text))
        while end < last and _cost(text[start : end + 1]) <= MAX_PIECE_COST:
            end += 1
        yield text[start:end]
        start = end


def _cost(text: str) -> int:
    """An upper bound for the substrings that zxcvbn looks up in each of its dictionaries."""
    signs = set(text)
    readings = 1
    for letter_signs in L33T_TABLE.values():
        readings *= max(1, 2 * len(signs.intersection(letter_signs)) - 1)
    return readings * len(text) ** 2


def hashed(password: str) -> str:
    """The hash of a password."""
    return _hasher.hash(_plain(password))


def is_correct(stored: str, password: str) -> bool:
    """True when `stored` is the hash of this password. With "" it is never correct, but checking
    takes as long: the time does not reveal who has an account."""
    try:
        return _hasher.verify(stored or _HASH_OF_NOBODY, _plain(password[:MAX_CHARS])) and bool(
            stored
        )
    except (Argon2Error, InvalidHashError):
        return False


def _plain(password: str) -> str:
    """The password in the form that all keyboards agree on (NFKC, RFC 8265)."""
    return unicodedata.normalize("NFKC", password)
