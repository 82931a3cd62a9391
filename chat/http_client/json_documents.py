"""Fetches small JSON documents of other sites on the event loop, within limits.

The addresses come from the settings and from documents that these lead to, never from visitors.
Redirects are not followed.
"""

import asyncio
import functools
import json
import ssl
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import httpx

from ..bridge import await_
from ..config import is_safe
from ..domain.wire_text import is_whole
from ..runtime.executors import DOCUMENTS
from .public_only import first

TIMEOUT_SECONDS = 10.0  # for a whole response
MAX_BODY_BYTES = 256 * 1024  # of a response
CACHE_SECONDS = 3600  # until a document is fetched again
RENEW_SECONDS = 60  # between two renewals of a cached document


class Unreachable(Exception):
    """Another site gave no valid response. The text is for the log."""


def get_json(url: str, token: str = "") -> dict[str, Any]:
    """Return the JSON object at `url`, requested with a Bearer `token`. Raises Unreachable."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await_(_request_json("GET", url, headers))


def post_form(url: str, form: dict[str, str], login: tuple[str, str] | None) -> dict[str, Any]:
    """Post a form and return the JSON object in the response. `login` is for HTTP Basic
    authentication. Raises Unreachable."""
    return await_(_request_json("POST", url, {}, data=form, auth=login))


Read = TypeVar("Read")


class CachedDocument(Generic[Read]):
    """What `read` makes of a JSON document of another site, cached for CACHE_SECONDS. However many
    ask at once, the document is fetched and read once. `read` runs in a thread, as it may be slow.
    """

    def __init__(self, url: str, read: Callable[[dict[str, Any]], Read]) -> None:
        self.url = url
        self._read = read
        self._value: Read
        self._expires_at = self._renewed_at = float("-inf")  # monotonic times
        self._task: asyncio.Task[None] | None = None

    def get(self) -> Read:
        """Return the cached value, fetching the document if necessary. Raises Unreachable."""
        if time.monotonic() > self._expires_at:
            self._fetch()
        return self._value

    def renew(self) -> Read:
        """Return a value that is at most RENEW_SECONDS old. Strangers can ask for keys that are not
        in the document; this limits how often it is fetched for them. Raises Unreachable."""
        if time.monotonic() > self._renewed_at + RENEW_SECONDS:
            self._renewed_at = time.monotonic()
            self._fetch()
        return self._value

    def _fetch(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._load())
        await_(asyncio.shield(self._task))

    async def _load(self) -> None:
        try:
            document = await _request_json("GET", self.url, {})
            self._value = await DOCUMENTS.arun(self.url, self._read, document)
            self._expires_at = time.monotonic() + CACHE_SECONDS
        finally:
            self._task = None


async def _request_json(
    method: str, url: str, headers: dict[str, str], **more: Any
) -> dict[str, Any]:
    if not is_safe(url):
        raise Unreachable(f"{url!r} is not an https address")
    # Not compressed: a small compressed body may become a large one.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), httpx.AsyncClient(verify=_tls()) as client:
            async with client.stream(method, url, headers=headers, **more) as answer:
                body = await first(MAX_BODY_BYTES + 1, answer.aiter_raw())
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise Unreachable(f"{url}: {type(error).__name__} {error}") from None
    if len(body) > MAX_BODY_BYTES:
        raise Unreachable(f"{url} answered with more than {MAX_BODY_BYTES} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if answer.status_code != 200 or not isinstance(document, dict) or not is_whole(document):
        # The error of a token endpoint (RFC 6749, section 5.2).
        said = document.get("error") if isinstance(document, dict) else "no JSON object"
        raise Unreachable(f"{url} answered {answer.status_code}, {str(said)[:100]!r}")
    return document


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return the TLS context, made once: reading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()
