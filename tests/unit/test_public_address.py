"""Which addresses are on the public internet: by kind, with IANA's registries and clouds' own."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.http_client.public_address import is_public


@pytest.mark.parametrize(
    "address",
    [
        *("0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.8.8.8", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "100::1"),
        *("2001::1", "2001:db8::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fdff::1"),
        *(
            "168.63.129.16",
            "161.26.0.10",
            "166.9.1.1",
            "192.31.196.1",
            "192.175.48.6",
            "192.0.0.192",
        ),
        *("2620:4f:8000::6", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.52.193.1"),
        *("fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"),
    ],
)
def test_what_is_not_the_public_internet(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "100.128.0.1", "172.32.0.1", "192.1.1.1", "2606:4700::1", "2a00:1450::1"],
)
def test_what_is(address):
    assert is_public(address)


INNER = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
]
INNER_IPV6 = [
    *("::/8", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/32"),
    *("2001:1::/32", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28"),
    *("2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48"),
    *("3fff::/20", "4000::/2", "5f00::/16", "8000::/1", "fc00::/7", "fe80::/10", "fec0::/10"),
    "ff00::/8",
]


def within(network):
    net = ip_network(network)
    kind = IPv4Address if net.version == 4 else IPv6Address
    return st.integers(int(net[0]), int(net[-1])).map(kind)


inner = st.sampled_from(INNER).flatmap(within)
any_ipv4 = st.integers(0, 2**32 - 1).map(IPv4Address)
any_ipv6 = st.integers(0, 2**128 - 1).map(IPv6Address)
global_unicast = within("2000::/3")
# How an IPv6 address carries an IPv4 one: the bits before it, and how far it is from the end.
CARRIERS = {
    "mapped (RFC 4291)": ("::ffff:0:0", 0),
    "compatible (RFC 4291)": ("::", 0),
    "translated (RFC 2765)": ("::ffff:0:0:0", 0),
    "NAT64 (RFC 6052)": ("64:ff9b::", 0),
    "NAT64 of one's own (RFC 8215)": ("64:ff9b:1::", 0),
    "6to4 (RFC 3056)": ("2002::", 80),
    "Teredo, server (RFC 4380)": ("2001::", 64),
    "ISATAP (RFC 5214)": ("2606:4700:1:2:0:5efe::", 0),
    "ISATAP, universal": ("2606:4700:1:2:200:5efe::", 0),
    "ISATAP, local": ("fe80::5efe:0:0", 0),
}


@given(inner)
def test_no_address_of_a_special_network(ip):
    assert not is_public(str(ip))


@given(st.sampled_from(INNER_IPV6).flatmap(within))
def test_no_ipv6_address_of_a_special_network(ip):
    assert not is_public(str(ip))


@given(inner, st.sampled_from(sorted(CARRIERS)))
def test_no_special_address_within_another(ip, carrier):
    prefix, shift = CARRIERS[carrier]
    assert not is_public(str(IPv6Address(int(IPv6Address(prefix)) | int(ip) << shift)))


@given(inner)
def test_teredo_hides_its_client(ip):
    """Its bits are turned round (RFC 4380, section 4)."""
    hidden = int(IPv6Address("2001:0:808:808::")) | (int(ip) ^ 0xFFFFFFFF)
    assert not is_public(str(IPv6Address(hidden)))


@given(any_ipv4 | any_ipv6 | global_unicast)
@example(IPv4Address("168.63.129.15"))
def test_nothing_is_public_that_python_calls_private(ip):
    """Python knows the registries too, as they were when it was made."""
    assert not is_public(str(ip)) or ip.is_global


@pytest.mark.parametrize(
    "address", ["168.63.129.15", "168.63.129.17", "192.31.197.1", "166.12.0.1", "2620:4f:8001::1"]
)
def test_their_neighbours_are_public(address):
    assert is_public(address)
    assert ip_address(address).is_global


def test_isatap_of_a_public_address():
    assert is_public("2606:4700:1:2:0:5efe:808:808")


@pytest.mark.parametrize(
    "text", ["", "x", "1.2.3", "::g", "1.2.3.4.5", "\0", "8.8.8.8 ", "0x8080808"]
)
def test_what_is_no_address_is_not_public(text):
    assert not is_public(text)
