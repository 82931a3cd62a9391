"""IP addresses in the spellings of connections and proxies, and the network of an address.

Proxies spell the address of a visitor in several ways: with a port (`192.0.2.7:1000`,
`[2001:db8::7]:1000`: Azure's gateway, AWS's load balancer), with a zone (RFC 4007), in quotes
(RFC 7239, section 4), or an IPv4 address mapped into IPv6 (RFC 4291, section 2.5.5.2). All
spellings of an address give the same address. Anything else is refused; nothing is guessed.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

MAX_ADDRESS_CHARS = 128  # longer than every spelling of an address
IPV6_PREFIX_BITS = 64  # of a network: whoever has one IPv6 address has its /64 (RFC 6177)

# Headers that proxies and tunnels add to a request.
FORWARDING_HEADERS = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "CF-Connecting-IP",
)

_BRACKETED = re.compile(r"\[([^][]*)\](?::(\d{1,5}))?")
_IPV4_PORT = re.compile(r"([0-9.]+):(\d{1,5})")
_ZONE = re.compile(r"%[A-Za-z0-9._~-]{1,64}\Z")


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """The address in `text`, without port and zone. A mapped address is returned as IPv4. Raises
    ValueError for anything else, such as a name, "unknown" or a port above 65535."""
    if len(text) > MAX_ADDRESS_CHARS or not text.isascii():
        raise ValueError("not an IP address")
    text = text.strip(" \t")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    port = "0"
    if found := _BRACKETED.fullmatch(text):
        text, port = found[1], found[2] or port
        if ":" not in text:
            raise ValueError("only an IPv6 address can be in brackets")
    elif found := _IPV4_PORT.fullmatch(text):
        text, port = found[1], found[2]
    if int(port) > 65535:
        raise ValueError("not a port")
    text = _ZONE.sub("", text) if ":" in text else text
    if "%" in text:
        raise ValueError("not a zone")
    ip = ip_address(text)
    return getattr(ip, "ipv4_mapped", None) or ip


def network_of(text: str) -> str:
    """The network that limits and bans count as one visitor: an IPv4 address, or the /64 of an IPv6
    address. "" for a text that is no address."""
    try:
        ip = parse_address(text)
    except ValueError:
        return ""
    is_ipv4 = isinstance(ip, IPv4Address)
    return str(ip if is_ipv4 else ip_network((ip, IPV6_PREFIX_BITS), strict=False))
