"""The signed cookie that holds a person's id and the secret of their session.

The session itself is in the store, where it can be ended.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from typing import Any

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature, TimestampSigner

MAX_CACHED_COOKIES = 2048  # whose verified signature is remembered


class SignedCookies(SecureCookieSessionInterface):
    """Flask's signed cookies. The signature of a cookie is verified once, its age at each request.

    clock: returns the time of all hosts in seconds since 1970, without waiting. A cookie with a
        time in the future is from before that clock was set back, and counts as new.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._serializer: Any = None
        self._read = lru_cache(maxsize=MAX_CACHED_COOKIES)(self._verified)

    def get_signing_serializer(self, app: Flask) -> Any:
        if self._serializer is None:
            self._serializer = super().get_signing_serializer(app)
            if self._serializer is not None:
                self._serializer.signer = _dating_by(self.clock)
        return self._serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        text = request.cookies.get(self.get_cookie_name(app), "")
        if not text or self.get_signing_serializer(app) is None:
            return super().open_session(app, request)
        try:
            data, signed = self._read(text)
        except BadSignature:
            return self.session_class()
        if self.clock() - signed > app.permanent_session_lifetime.total_seconds():
            return self.session_class()
        return self.session_class({name: _copy(value) for name, value in data.items()})

    def _verified(self, text: str) -> tuple[dict[str, Any], int]:
        """The data of a cookie, and when it was signed (seconds since 1970). Raises BadSignature,
        which the cache does not keep: forged cookies do not fill it."""
        data, signed = self._serializer.loads(text, return_timestamp=True)
        return data, int(signed.timestamp())


def _copy(value: Any) -> Any:
    """Return a copy of a cookie's value if it is mutable: the sign-ins that were started at an
    OpenID Connect provider are a list."""
    return deepcopy(value) if type(value) in (list, dict) else value


def _dating_by(clock: Callable[[], float]) -> type[TimestampSigner]:
    class Signer(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(clock())

    return Signer
