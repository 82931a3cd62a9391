"""Requests to addresses that people have typed: only to the public internet.

A server that fetches what it is told to can be sent to its own neighbours (SSRF): to the metadata
service of its cloud, to Redis, to a router. So a name is resolved once, everything it resolves to
must be public, and the connection goes to the address that was looked at, not to the name again.
What the address looks like (decimal, hexadecimal, `localhost.`) is of no matter, for only what
it resolves to is. Redirects are not followed, proxies of the environment not used, cookies not
kept.

The libraries for this connect before they look, or depend on private parts of httpx; what is used
here of httpx is its transport, a `Host` header and its extension `sni_hostname`.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import httpx

from .errors import Invalid, Unreachable

Networks = Sequence[IPv4Network | IPv6Network]
Resolve = Callable[[str, int], Awaitable[list[str]]]

LONGEST = 500  # characters of an address
MOST_READ = 64 * 1024  # bytes of an answer
MOST_ADDRESSES = 3  # of a name that are tried
SECONDS = 7.0  # for everything: resolving, connecting, sending, the answer

# The special-purpose addresses of IANA's registries (RFC 6890), multicast, and of IPv6 all that
# is not global unicast; among what is, the ways to write an IPv4 address (Teredo, 6to4).
_NOT_PUBLIC = [
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
]
_GLOBAL_UNICAST = ip_network("2000::/3")

# Of its own: a name server that does not answer must not hold the threads of passwords.
_resolvers = ThreadPoolExecutor(8, "resolve")


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is cut after MOST_READ bytes and never decompressed."""

    status: int
    headers: httpx.Headers
    body: bytes


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, the best first; raises OSError."""
    loop = asyncio.get_running_loop()
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await loop.run_in_executor(_resolvers, ask)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """True for an address on the public internet."""
    ip = ip_address(address)
    if ip.version == 6 and ip not in _GLOBAL_UNICAST:
        return False
    return not any(ip in network for network in _NOT_PUBLIC)


class Outbound:
    """`networks` are allowed besides the public internet, with http and any port; `context` says
    which certificates are believed (those that httpx believes)."""

    def __init__(
        self,
        networks: Networks = (),
        resolve: Resolve = resolve,
        context: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.networks = networks
        self.resolve = resolve
        self.context = context
        self.seconds = seconds
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def check(self, address: str) -> None:
        """Raise Invalid for an address that nothing would be sent to."""
        try:
            async with asyncio.timeout(self.seconds):
                await self._find(address)
        except TimeoutError:
            raise Invalid("The host of this address cannot be found just now.") from None

    async def post(self, address: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Post to an address. Raises Invalid as `check` does, and Unreachable."""
        try:
            async with asyncio.timeout(self.seconds):
                url, ips = await self._find(address)
                return await self._post_to_first(url, ips, body, headers)
        except TimeoutError:
            raise Unreachable(f"There was no answer within {self.seconds:g} seconds.") from None
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise Unreachable(f"The connection failed: {why}") from None

    async def aclose(self) -> None:
        if self._transport:
            await self._transport.aclose()

    async def _find(self, address: str) -> tuple[httpx.URL, list[str]]:
        """The address and all that its host resolves to."""
        url = _parsed(address)
        host = url.raw_host.decode()
        try:
            ips = await self.resolve(host, url.port or 443)
        except (OSError, UnicodeError):
            ips = []
        if not ips:
            raise Invalid(f"The host {url.host} cannot be found.")
        for ip in ips:
            self._check(url, ip)
        return url, ips

    def _check(self, url: httpx.URL, ip: str) -> None:
        if any(ip_address(ip) in network for network in self.networks):
            return
        if not is_public(ip):
            raise Invalid(f"{url.host} is at {ip}, which is no public address.")
        if url.scheme != "https":
            raise Invalid("The address must begin with https://.")
        if url.port not in (None, 443):
            raise Invalid("The address must not name another port than 443.")

    async def _post_to_first(
        self, url: httpx.URL, ips: list[str], body: bytes, headers: dict[str, str]
    ) -> Answer:
        """Post to the first that takes the connection; each has its share of the time for it."""
        ips = ips[:MOST_ADDRESSES]
        share = self.seconds / len(ips)
        for ip in ips[:-1]:
            try:
                return await self._post(url, ip, body, headers, share)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._post(url, ips[-1], body, headers, share)

    async def _post(
        self, url: httpx.URL, ip: str, body: bytes, headers: dict[str, str], connect: float
    ) -> Answer:
        name = url.raw_host.decode().rstrip(".")
        request = httpx.Request(
            "POST",
            url.copy_with(host=ip),
            headers={**headers, "Host": url.netloc.decode(), "Accept-Encoding": "identity"},
            content=body,
            extensions={"sni_hostname": name, "timeout": {"connect": connect}},
        )
        response = await (await self._opened()).handle_async_request(request)
        try:
            read = await first(MOST_READ, response)
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, read)

    async def _opened(self) -> httpx.AsyncHTTPTransport:
        if self.context is None:  # reading all certificates takes long for the loop
            loop = asyncio.get_running_loop()
            self.context = await loop.run_in_executor(_resolvers, httpx.create_ssl_context)
        if self._transport is None:
            # No connection is kept: one to the address of a name would serve other names there.
            limits = httpx.Limits(max_keepalive_connections=0)
            self._transport = httpx.AsyncHTTPTransport(verify=self.context, limits=limits)
        return self._transport


async def first(most: int, response: httpx.Response) -> bytes:
    """The first `most` bytes of an answer's body, as they came; the rest is not waited for."""
    read = bytearray()
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) >= most:
            break
    return bytes(read[:most])


def _parsed(address: str) -> httpx.URL:
    """The address as httpx understands it, which is also what sends. Raises Invalid."""
    if len(address) > LONGEST:
        raise Invalid(f"The address is too long: {LONGEST} characters are allowed.")
    try:
        url = httpx.URL(address)
        host, port = url.host, url.port  # httpx decodes a name here, and raises what idna raises
    except (httpx.InvalidURL, ValueError):
        raise Invalid("This is no address of the web.") from None
    if url.scheme not in ("http", "https") or not host:
        raise Invalid("The address must begin with https:// and name a host.")
    if url.userinfo:
        raise Invalid("The address must not hold a user name or a password.")
    if port is not None and not 0 < port < 65536:
        raise Invalid("The address names a port that does not exist.")
    return url
