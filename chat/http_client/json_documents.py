"""What other sites say: small JSON documents, asked for on the loop, within limits.

The addresses come from the settings, and from documents that those lead to; never from visitors.
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

WITHIN = 10.0  # seconds for a whole answer
LARGEST = 256 * 1024  # bytes of an answer
KEPT = 3600  # seconds until a document is fetched again
AGAIN = 60  # seconds between two looks for something new in one that is kept


class Unreachable(Exception):
    """Another site did not answer as it should; the text is for the log."""


def get_json(url: str, token: str = "") -> dict[str, Any]:
    """The JSON object at `url`, asked for with a Bearer `token`. Raises Unreachable."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await_(_ask("GET", url, headers))


def post_form(url: str, form: dict[str, str], login: tuple[str, str] | None) -> dict[str, Any]:
    """The JSON object that a form is answered with; `login` is for HTTP Basic authentication.
    Raises Unreachable."""
    return await_(_ask("POST", url, {}, data=form, auth=login))


Read = TypeVar("Read")


class Kept(Generic[Read]):
    """What `read` makes of a JSON document of another site, kept for KEPT seconds. However many
    ask, it is fetched and read once. `read` runs in a thread, for it may take long."""

    def __init__(self, url: str, read: Callable[[dict[str, Any]], Read]) -> None:
        self.url = url
        self._read = read
        self._found: Read
        self._old = self._looked = float("-inf")  # when it is old, and was last looked at again
        self._task: asyncio.Task[None] | None = None

    def get(self) -> Read:
        """What was read. Raises Unreachable."""
        if time.monotonic() > self._old:
            self._fetch()
        return self._found

    def renew(self) -> Read:
        """As it is now, or as it was up to AGAIN seconds ago: strangers, who can ask for what is
        not in it, make no more requests of it than that. Raises Unreachable."""
        if time.monotonic() > self._looked + AGAIN:
            self._looked = time.monotonic()
            self._fetch()
        return self._found

    def _fetch(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._load())
        await_(asyncio.shield(self._task))

    async def _load(self) -> None:
        try:
            document = await _ask("GET", self.url, {})
            self._found = await DOCUMENTS.arun(self.url, self._read, document)
            self._old = time.monotonic() + KEPT
        finally:
            self._task = None


async def _ask(method: str, url: str, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    if not is_safe(url):
        raise Unreachable(f"{url!r} is not an https address")
    # As it is, for what is packed small may be large.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
    try:
        async with asyncio.timeout(WITHIN), httpx.AsyncClient(verify=_tls()) as client:
            async with client.stream(method, url, headers=headers, **more) as answer:
                body = await first(LARGEST + 1, answer.aiter_raw())
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise Unreachable(f"{url}: {type(error).__name__} {error}") from None
    if len(body) > LARGEST:
        raise Unreachable(f"{url} answered more than {LARGEST} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if answer.status_code != 200 or not isinstance(document, dict) or not is_whole(document):
        # What a token endpoint says of an error (RFC 6749, section 5.2).
        said = document.get("error") if isinstance(document, dict) else "no JSON object"
        raise Unreachable(f"{url} answered {answer.status_code}, {str(said)[:100]!r}")
    return document


@functools.cache
def _tls() -> ssl.SSLContext:
    """Once: reading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()
