"""Decides which addresses are on the public internet, for requests to addresses that people type.

The networks come from IANA's registries of special-purpose addresses (RFC 6890; iana.org/
assignments/iana-ipv4-special-registry and iana-ipv6-special-registry). All of them are refused,
even those that IANA calls globally reachable, because no webhook is there. Also refused are public
addresses that clouds use for internal services, and IPv6 addresses that contain a refused IPv4
address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_SPECIAL = [
    ip_network(text)
    for text in (
        # IPv4, and multicast.
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # In IPv6 only global unicast is public. These parts of it are not: protocols (such as
        # Teredo and ORCHID), documentation, 6to4, AS112.
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
        # Azure's platform services (metadata, DNS) and IBM Cloud's private services.
        *("168.63.129.16/32", "161.26.0.0/16", "166.8.0.0/14"),
    )
]
_GLOBAL_UNICAST = ip_network("2000::/3")
_ISATAP_BITS, _ISATAP_MARK = 0xFDFFFFFF, 0x00005EFE  # RFC 5214, section 6.1


def is_public(address: str) -> bool:
    """Return True for an address on the public internet, and False for any other text."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip not in _GLOBAL_UNICAST:  # mapped and compatible IPv4, NAT64, local, multicast
            return False
        inner = _isatap(ip)
        if inner is not None and not is_public(str(inner)):
            return False
    return not any(ip in network for network in _SPECIAL)


def _isatap(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an ISATAP address contains, or None for any other address."""
    if int(ip) >> 32 & _ISATAP_BITS == _ISATAP_MARK:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None
