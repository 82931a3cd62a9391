"""IP addresses as connections and proxies write them, and the network that one counts for.

Proxies spell the address of a visitor in several ways: with a port (`192.0.2.7:1000`,
`[2001:db8::7]:1000`: Azure's gateway, AWS's load balancer), with a zone (RFC 4007), in quotes
(RFC 7239, section 4), or an IPv4 address mapped into IPv6 (RFC 4291, section 2.5.5.2). All
spellings of an address are the same address here. Anything else is no address: nothing is guessed.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

MAX_ADDRESS_CHARS = 128  # longer than every spelling of an address
PREFIX_BITS = 64  # who has one IPv6 address has all of its /64 (RFC 6177)

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
    """The address that `text` spells, without port and zone; IPv4 where it is mapped into IPv6.
    Raises ValueError for everything else, such as a name, "unknown" or a port above 65535."""
    if len(text) > MAX_ADDRESS_CHARS or not text.isascii():
        raise ValueError("not an IP address")
    text = text.strip(" \t")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    port = "0"
    if found := _BRACKETED.fullmatch(text):
        text, port = found[1], found[2] or port
        if ":" not in text:
            raise ValueError("only an IPv6 address stands in brackets")
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
    """The network whose visitors count as one: an IPv4 address, or the /64 of an IPv6 address.
    "" for a text that is no address."""
    try:
        ip = parse_address(text)
    except ValueError:
        return ""
    return str(ip if isinstance(ip, IPv4Address) else ip_network((ip, PREFIX_BITS), strict=False))
