"""The Host header: its syntax, and whether it names this chat.

Another site can make its own name resolve to the address of this server (DNS rebinding), and its
page then uses the chat as a page of the same origin. The browser sends that name as `Host`.
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import urlsplit

MAX_NAME_CHARS = 253  # of a name (RFC 1035, section 2.3.4, without the dot at the end)
MAX_CACHED_HOSTS = 64  # parsed headers; nearly all requests have one of a few
DEFAULT_PORTS = {"http": 80, "https": 443}

# RFC 3986, section 3.2.2, would also take "!$&'()*+,;=" and percent signs, which no host has.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{0,5}))?")


@lru_cache(maxsize=MAX_CACHED_HOSTS)
def parse_host(value: str) -> tuple[str, int | None]:
    """The name in lower case and the port of a Host header (RFC 9110, section 7.2), None if it has
    no port. An IPv6 address is in its short form, without brackets. Raises ValueError."""
    found = _HOST.fullmatch(value)
    if found is None or len(found[1].rstrip(".")) > MAX_NAME_CHARS:
        raise ValueError("no host")
    name, port = found[1].lower(), int(found[2]) if found[2] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError("no port")
    return str(IPv6Address(name[1:-1])) if name.startswith("[") else name, port


@lru_cache(maxsize=MAX_CACHED_HOSTS)
def names_origin(value: str, origin: str) -> bool:
    """True if a Host header names the host of `origin`, such as https://chat.example.org. A proxy
    may omit the port, or send 80 although it serves TLS on 443. Raises ValueError if the header is
    not valid."""
    parts = urlsplit(origin)
    name, port = parse_host(value)
    ours, our_port = parse_host(parts.netloc)
    our_port = our_port or DEFAULT_PORTS[parts.scheme]
    defaults = DEFAULT_PORTS.values()
    return name == ours and (
        port in (None, our_port) or (port in defaults and our_port in defaults)
    )
