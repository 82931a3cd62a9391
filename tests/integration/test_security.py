"""The visitor's address: behind proxies, and as the key by which attempts are counted."""

from ipaddress import ip_network

import pytest

from chat.app import create_app
from chat.config import Settings
from chat.domain.errors import Invalid
from chat.web.security import address, network


@pytest.fixture
def app(store, tmp_path):
    proxies = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    return create_app(Settings(secret_key="x" * 32, data=tmp_path, proxies=proxies), store)


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # not by a proxy
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),  # the first is what a visitor says
        ("10.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7:1000", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:1000", "2001:db8::7"),
        ("10.0.0.1", '"[2001:db8::7]:1000"', "2001:db8::7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7:1, 10.0.0.2:443", "198.51.100.7"),
        ("10.0.0.1", "nobody, 198.51.100.7", "198.51.100.7"),  # not by a proxy either
        ("fe80::1%eth0", "", "fe80::1"),
        ("", "198.51.100.7", ""),  # a Unix socket
    ],
)
def test_the_visitors_address(app, peer, forwarded, seen):
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    with app.test_request_context(environ_base={"REMOTE_ADDR": peer}, headers=headers):
        assert address() == seen


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_who_has_one_address_of_a_network_has_them_all(app, peer, counted):
    with app.test_request_context(environ_base={"REMOTE_ADDR": peer}):
        assert network() == counted


@pytest.mark.parametrize(
    "forwarded",
    [
        "unknown",
        "unix:",
        "_hidden",
        "198.51.100.7, ",
        ", ,",
        "1.1.1.1, for=2.2.2.2",
        "x" * 5000,
        "198.51.100.7:99999",
        "198.51.100.256",
        "198.51.100.07",
        "2001:db8::g",
        "198.51.100.7\xa0",
    ],
)
def test_a_proxy_that_says_no_address_is_not_guessed_at(app, forwarded):
    proxied = {
        "environ_base": {"REMOTE_ADDR": "10.0.0.1"},
        "headers": {"X-Forwarded-For": forwarded},
    }
    with app.test_request_context(**proxied), pytest.raises(Invalid, match="X-Forwarded-For"):
        network()
