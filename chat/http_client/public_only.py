"""Sends requests to addresses that people have typed, but only to the public internet.

A server that requests any address can be made to attack its own network (SSRF): the metadata
service of its cloud, Redis, a router. So a name is resolved once, everything it resolves to must be
public, and the connection goes to the address that was checked. The form of the address (decimal,
hexadecimal, `localhost.`) does not matter, only what it resolves to. Redirects are not followed.
Proxy settings of the environment and cookies are not used.

The existing libraries connect before they check, or depend on private parts of httpx. This module
uses httpcore, the base of httpx, with a `Host` header and the extension `sni_hostname`. The other
server may be hostile, too: the size of its response is limited.

The sender decides how expensive each byte is to parse: a response may consist of ten thousand
informational responses, header lines, or one-byte chunks, and the HTTP parser handles everything it
has been given without yielding to the event loop. The parser therefore gets at most PIECE_BYTES at
a time, and other tasks run between two pieces. The limit on the total bounds everything else.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import httpcore
import httpx

from ..domain.errors import Invalid, SiteAway
from .public_address import is_public

Networks = Sequence[IPv4Network | IPv6Network]
Resolve = Callable[[str, int], Awaitable[list[str]]]

MAX_ADDRESS_CHARS = 500
MAX_BODY_BYTES = 64 * 1024  # of a response; the rest is not read
MAX_HEAD_BYTES = 16 * 1024  # before the body, including informational responses
MAX_BODY_WIRE_BYTES = 2 * MAX_BODY_BYTES  # the body with its chunk headers
PIECE_BYTES = 1024  # that the parser gets at a time, at most
MAX_WHY_CHARS = 200  # of the reason of a failure, which may quote the other server
MAX_TRIED_ADDRESSES = 3  # of one host
MAX_ADDRESSES = 64  # of one host; with more, the request is refused
TIMEOUT_SECONDS = 7.0  # for everything: resolving, connecting, sending, and the response

_FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.UnsupportedProtocol)

# A pool of its own: a name server that does not answer must not occupy threads of others.
_resolvers = ThreadPoolExecutor(8, "resolve")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response. `body` is cut after MAX_BODY_BYTES and never decompressed."""

    status: int
    headers: httpx.Headers
    body: bytes


class ResponseTooLarge(Exception):
    """The response is larger than the limit."""


class BoundedBackend(httpcore.AsyncNetworkBackend):
    """A network backend for httpcore that reads at most `max_bytes` from all its connections
    together. Reading more raises ResponseTooLarge."""

    def __init__(self, max_bytes: int) -> None:
        self.bytes_left = max_bytes
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._backend.connect_tcp(*args, **options), self)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: BoundedBackend) -> None:
        self._stream = stream
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._backend.bytes_left <= 0:
            raise ResponseTooLarge
        await asyncio.sleep(0)
        size = min(max_bytes, PIECE_BYTES, self._backend.bytes_left)
        data = await self._stream.read(size, timeout)
        self._backend.bytes_left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(*args, **options), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, the best first. Raises OSError."""
    loop = asyncio.get_running_loop()
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await loop.run_in_executor(_resolvers, ask)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(eq=False)
class PublicClient:
    """An HTTP client for public addresses.

    networks: also allowed, with http and any port.
    context: says which certificates are trusted (by default those that httpx trusts).
    seconds: the limit for a whole request.
    """

    networks: Networks = ()
    resolve: Resolve = resolve
    context: ssl.SSLContext | None = None
    seconds: float = TIMEOUT_SECONDS

    async def check(self, address: str) -> None:
        """Raise Invalid if nothing would be sent to this address."""
        try:
            async with asyncio.timeout(self.seconds):
                await self._find(address)
        except TimeoutError:
            raise Invalid("The host of this address cannot be found at the moment.") from None

    async def post(self, address: str, body: bytes, headers: dict[str, str]) -> HttpResponse:
        """Post to an address. Raises Invalid as `check` does, and SiteAway."""
        try:
            async with asyncio.timeout(self.seconds):
                url, ips = await self._find(address)
                return await self._post_to_first(url, ips, body, headers)
        except TimeoutError:
            raise SiteAway(f"There was no answer within {self.seconds:g} seconds.") from None
        except ResponseTooLarge:
            raise SiteAway("The response is too long.") from None
        except httpcore.ProtocolError as error:
            raise SiteAway(f"The response is not valid HTTP: {_why(error)}") from None
        except _FAILURES as error:
            raise SiteAway(f"The connection failed: {_why(error)}") from None

    async def _find(self, address: str) -> tuple[httpx.URL, list[str]]:
        """Return the parsed address and all addresses that its host resolves to."""
        url = _parsed(address)
        host = url.raw_host.decode()
        try:
            ips = await self.resolve(host, url.port or 443)
        except (OSError, UnicodeError):
            ips = []
        if not ips:
            raise Invalid(f"The host {url.host} cannot be found.")
        if len(ips) > MAX_ADDRESSES:
            raise Invalid(f"The host {url.host} has more than {MAX_ADDRESSES} addresses.")
        for ip in ips:
            self._check(url, ip)
        return url, ips

    def _check(self, url: httpx.URL, ip: str) -> None:
        if self._is_allowed(ip):
            return
        if not is_public(ip):
            raise Invalid(f"{url.host} is at {ip}, which is not a public address.")
        if url.scheme != "https":
            raise Invalid("The address must begin with https://.")
        if url.port not in (None, 443):
            raise Invalid("The address must use port 443.")

    def _is_allowed(self, ip: str) -> bool:
        try:
            return any(ip_address(ip) in network for network in self.networks)
        except ValueError:
            return False

    async def _post_to_first(
        self, url: httpx.URL, ips: list[str], body: bytes, headers: dict[str, str]
    ) -> HttpResponse:
        """Post to the first IP address that accepts a connection. Each gets a share of the time."""
        ips = ips[:MAX_TRIED_ADDRESSES]
        share = self.seconds / len(ips)
        for ip in ips[:-1]:
            try:
                return await self._post(url, ip, body, headers, share)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._post(url, ips[-1], body, headers, share)

    async def _post(
        self, url: httpx.URL, ip: str, body: bytes, headers: dict[str, str], connect: float
    ) -> HttpResponse:
        name = url.raw_host.decode().rstrip(".")
        target = httpcore.URL(scheme=url.raw_scheme, host=ip, port=url.port, target=url.raw_path)
        wire = BoundedBackend(MAX_HEAD_BYTES)
        # A pool for each request: a connection must not be used for another name at the same IP.
        async with (
            httpcore.AsyncConnectionPool(await self._tls(), network_backend=wire) as pool,
            pool.stream(
                "POST",
                target,
                headers=[*headers.items(), ("Host", url.netloc), ("Accept-Encoding", "identity")],
                content=body,
                extensions={"sni_hostname": name, "timeout": {"connect": connect}},
            ) as response,
        ):
            wire.bytes_left = MAX_BODY_WIRE_BYTES
            read = await first(MAX_BODY_BYTES, response.aiter_stream())
        return HttpResponse(response.status, httpx.Headers(response.headers), read)

    async def _tls(self) -> ssl.SSLContext:
        if self.context is None:  # reading all certificates would block the loop
            loop = asyncio.get_running_loop()
            self.context = await loop.run_in_executor(_resolvers, httpx.create_ssl_context)
        return self.context


async def first(most: int, chunks: AsyncIterable[bytes]) -> bytes:
    """Return the first `most` bytes of a body, without waiting for the rest. The body is also cut
    if its chunk headers exceed the limit of the connection."""
    read = bytearray()
    with suppress(ResponseTooLarge):
        async for chunk in chunks:
            read += chunk
            if len(read) >= most:
                break
    return bytes(read[:most])


def _why(error: Exception) -> str:
    why = str(error) or type(error).__name__
    return why if len(why) <= MAX_WHY_CHARS else f"{why[:MAX_WHY_CHARS]}…"


def _parsed(address: str) -> httpx.URL:
    """Return the address as httpx, which also sends, understands it. Raises Invalid."""
    if len(address) > MAX_ADDRESS_CHARS:
        raise Invalid(f"The address is too long. The limit is {MAX_ADDRESS_CHARS} characters.")
    try:
        url = httpx.URL(address)
        host, port = url.host, url.port  # httpx decodes a name here and may raise an error of idna
    except (httpx.InvalidURL, ValueError):
        raise Invalid("This is not a web address.") from None
    if url.scheme not in ("http", "https") or not host:
        raise Invalid("The address must begin with https:// and name a host.")
    if url.userinfo:
        raise Invalid("The address must not contain a user name or a password.")
    if port is not None and not 0 < port < 65536:
        raise Invalid("The address names a port that does not exist.")
    return url
