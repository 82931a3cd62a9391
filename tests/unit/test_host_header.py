"""Which Host headers are valid, and which name this chat."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.domain.host_header import names_origin, parse_host


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("chat.example.org", ("chat.example.org", None)),
        ("Chat.Example.ORG:8000", ("chat.example.org", 8000)),
        ("chat.example.org.", ("chat.example.org.", None)),
        ("my_chat:8000", ("my_chat", 8000)),
        ("xn--bcher-kva.example", ("xn--bcher-kva.example", None)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]", ("::1", None)),
        ("[2001:DB8:0:0::1]:65535", ("2001:db8::1", 65535)),
        ("chat:", ("chat", None)),
    ],
)
def test_a_host(value, host):
    assert parse_host(value) == host


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", ":80", "a b", " a", "a\t", "a,b", "a;b", "a/b", "a?b", "a#b", "a@b", "a\\b"),
        *("http://a", "a:b", "a:-1", "a:0", "a:65536", "a:999999", "a:80:80", "a:8 0", "a:٣"),
        *("[::1", "::1", "[::1]x", "[::g]", "[]", "[v1.a]", "[fe80::1%25eth0]", "[1.2.3.4]"),
        *("ä", "a\x00", "a\x7f", "a\n", "\ud800", "\u202e", "%61", "a'b", '"a"', "<a>", "a" * 254),
    ],
)
def test_what_is_no_host(value):
    with pytest.raises(ValueError):  # noqa: PT011, ipaddress says it in its own words
        parse_host(value)


@given(st.text(st.characters()) | st.text("[]:.a1-_ ,%@/"))
def test_nothing_else_is_raised_and_what_is_taken_is_safe_in_a_header(value):
    with contextlib.suppress(ValueError):
        parse_host(value)
        assert value.isascii()
        assert not set(value) & set(" ,;'\"<>/\\?#@\r\n\t\0")


@pytest.mark.parametrize(
    ("origin", "ours", "foreign"),
    [
        (
            "https://chat.example.org",
            ["chat.example.org", "CHAT.example.org", "chat.example.org:443", "chat.example.org:80"],
            [
                *("example.org", "evil.chat.example.org", "chat.example.org.evil", "localhost"),
                *("chat.example.org:8000", "chat.example.org.", "127.0.0.1"),
            ],
        ),
        ("http://chat:8080", ["chat:8080", "chat"], ["chat:80", "chat:443", "other:8080"]),
        ("http://[::1]:8000", ["[::1]:8000", "[0:0:0::1]"], ["[::2]:8000", "127.0.0.1:8000"]),
    ],
)
def test_which_is_ours(origin, ours, foreign):
    assert all(names_origin(host, origin) for host in ours)
    assert not any(names_origin(host, origin) for host in foreign)
