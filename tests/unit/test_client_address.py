"""All spellings of an address give the same address, and anything else is refused."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.web.client_address import network_of, parse_address

ports = st.integers(0, 65535)
zones = st.from_regex(r"[A-Za-z0-9._~-]{1,20}", fullmatch=True)
spaces = st.text(" \t", max_size=2)


@st.composite
def spelled(draw):
    """An address, and one of the ways in which it may be written."""
    ip = draw(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
    text = str(ip)
    if isinstance(ip, IPv4Address):
        form = draw(st.sampled_from(["plain", "port", "mapped", "mapped hex", "mapped port"]))
        mapped = IPv6Address(b"\0" * 10 + b"\xff\xff" + ip.packed)
        text = {
            "plain": text,
            "port": f"{text}:{draw(ports)}",
            "mapped": f"::ffff:{text}",
            "mapped hex": draw(st.sampled_from([str(mapped), mapped.exploded])),
            "mapped port": f"[::ffff:{text}]:{draw(ports)}",
        }[form]
    else:
        text = draw(st.sampled_from([text, ip.exploded, ip.exploded.upper()]))
        text += draw(st.sampled_from(["", "%" + draw(zones)]))
        text = draw(st.sampled_from([text, f"[{text}]", f"[{text}]:{draw(ports)}"]))
    if draw(st.booleans()):
        text = f'"{text}"'
    return ip, draw(spaces) + text + draw(spaces)


@given(spelled())
def test_all_spellings_of_an_address_are_one_network(pair):
    ip, text = pair
    ip = getattr(ip, "ipv4_mapped", None) or ip
    assert parse_address(text) == ip
    wide = str(ip) if isinstance(ip, IPv4Address) else str(ip_network((ip, 64), strict=False))
    assert network_of(text) == wide


@given(st.one_of(st.text(max_size=60), st.from_regex(r'["[]?[0-9a-f.:%]{1,50}[]"]?(:[0-9]+)?')))
@example("9.9.9.8:")
@example("9.9.9.8:65536")
@example("[9.9.9.8]:1000")
@example("[2001:db8::1")
@example("2001:db8::1]:80")
@example("[2001:db8::1]80")
@example("1.2.3.4%eth0")
@example("fe80::1%")
@example("fe80::1%eth0%eth1")
@example("٩.٩.٩.٨")
@example("9.9.9.8\n")
def test_what_is_read_as_an_address_is_one_address_however_it_is_written(text):
    """No text is a network of its own: it is an address with canonical spelling, or nothing."""
    try:
        ip = parse_address(text)
    except ValueError:
        assert network_of(text) == ""
        return
    assert ip_address(str(ip)) == ip
    assert network_of(text) == network_of(str(ip)) != ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "unknown",
        "_gazonk",
        "unix:",
        "localhost",
        "9.9.9.8:",
        "9.9.9.8:x",
        "9.9.9.8:99999",
        "[]",
        "[]:80",
        "[9.9.9.8]:80",
        "9.9.9",
        "09.9.9.8",
        "0x9090908",
        "151587080",
        "for=9.9.9.8",
        "9.9.9.8, 9.9.9.9",
        "9.9.9.8 9.9.9.9",
        "2001:db8::1%",
        "1.2.3.4%eth0",
        "9.9.9.8/24",
        "٩.9.9.8",
        "9.9.9.8\u200b",
        "�",
        "9.9.9.8\x00",
        "[2001:db8::1]:",
        "x" * 9000,
    ],
)
def test_what_is_no_address_has_no_network(text):
    assert network_of(text) == ""
    with pytest.raises(ValueError, match=r"address|port|zone|brackets"):
        parse_address(text)
