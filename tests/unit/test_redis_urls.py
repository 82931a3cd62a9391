"""The forms of REDIS_URL: what each means, and the errors for invalid ones."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedSSLConnection

from chat.redis_client import urls
from chat.redis_client.cluster import _key
from chat.redis_client.topology import slot_of
from chat.redis_client.urls import OPTIONS, TLS_OPTIONS
from chat.server.database import masked
from chat.store import keys


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "rediss://user:word@db.example.org:6380/3?ssl_ca_certs=/etc/ca.pem",
        "unix:///run/valkey.sock",
        "unix://chat@/run/valkey.sock?db=2&password=word",
        "redis://chat:wo%40rd%23@localhost:6379/0?client_name=the%20chat",
        "redis+sentinel://one:26379,two/chat",
        "redis+cluster://:word@one:6379,[::1]:6380",
    ],
)
def test_each_form_is_taken(url):
    urls.check(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://localhost", "redis://"),
        ("redis+sentinel://one:26379", "name of the service"),
        ("redis+cluster://one:6379,", "host:port"),
        ("redis+cluster://one:port", "host:port"),
        ("redis://", "host:port"),
        ("redis://h?foo=bar", "'foo' is not an option: expected db"),
        ("unix:///h?foo", "'foo' is not an option"),
        ("redis+sentinel://h/chat?retry=3", "'retry' is not an option"),
        ("redis+cluster://h?foo=bar", "'foo' is not an option"),
        *((f"redis://h?{name}=1", "is not an option") for name in ("protocol", "decode_responses")),
        ("redis://h?ssl_ca_certs=/etc/ca.pem", "rediss"),
        ("rediss://h?ssl_cert_reqs=maybe", "cannot be used"),
        ("rediss://h?ssl_min_version=new", "cannot be used"),
        *(
            (f"redis://h{end}", "number")
            for end in ("/x", "/-1", "/1/2", "?db=x", "?db=", "?db=-1")
        ),
        ("redis://h/" + "9" * 5000, "number"),
        ("redis+cluster://h/3", "one database"),
        ("redis+cluster://h?db=3", "one database"),
        ("redis://h#1", "%23"),
        ("REDIS://h", "redis://"),
        ("redis://[::1", "."),
        ("redis://[zz]", "."),
        *((f"redis://{host}", "host:port") for host in ("a b", "a..b", "a" * 64, "h:0", "h:65536")),
        *(
            (f"redis://{host}", "printable")
            for host in ("\ud800", "\udcff", "h%00", "h\n", "\u202e")
        ),
        ("redis://\u00e4", "host:port"),
        ("unix://", "socket"),
        ("unix://run/valkey.sock", "socket"),
        ("redis", "redis://"),
        (" ", "redis://"),
    ],
)
def test_what_is_wrong_is_said(url, why):
    with pytest.raises(ValueError, match=why) as refused:
        urls.check(url.replace("://", "://chat:secret@") if "unix" not in url else url)
    assert "secret" not in str(refused.value)


ANY_TEXT = st.text(st.characters(), max_size=8)
PIECES = st.sampled_from(["h", "[::1]", ":6379", ":", "@", ",", "/", "0", "a:b@", "%00", "..", "["])
NAMES = st.sampled_from([*OPTIONS, *TLS_OPTIONS, "host", "port", "path", "retry", "protocol"])
QUERIES = st.lists(st.tuples(NAMES | ANY_TEXT, ANY_TEXT | st.integers().map(str)).map("=".join))


@given(
    st.sampled_from([*urls.FORMS, "http", ""]) | ANY_TEXT,
    st.lists(PIECES | ANY_TEXT).map("".join),
    QUERIES.map("&".join),
)
def test_whatever_is_written_can_be_connected_to_or_is_refused_in_a_line(form, rest, query):
    url = f"{form}://{rest}?{query}"
    with contextlib.suppress(ValueError):
        urls.check(url)
        if not urls.is_cluster(url):
            connects(url)


def connects(url):
    """Both clients can be created; only connecting may fail."""
    try:
        urls.connect(url).connection_pool.make_connection()
        urls.client(url).connection_pool.make_connection()
    except Exception as error:
        raise AssertionError(url) from error


def test_one_node_is_reached_as_the_cluster_is():
    url = "rediss+cluster://chat:wo%40rd@one:1,two:2?ssl_ca_certs=/etc/ca.pem"
    assert urls.hosts(url) == ["one:1", "two:2"]
    assert urls.at(url, "three:3") == "rediss://chat:wo%40rd@three:3?ssl_ca_certs=/etc/ca.pem"
    options = urls.connect(urls.at(url, "three:3")).connection_pool
    assert options.connection_class is SSLConnection
    assert options.connection_kwargs["password"] == "wo@rd"
    assert urls.place_of("::1", 6379) == "[::1]:6379"
    assert urls.pair("[::1]:7000") == ("::1", 7000)
    assert urls.pair("localhost") == ("localhost", 6379)


def test_sentinels_may_have_a_password_of_their_own():
    url = "rediss+sentinel://chat:word@one,two:2/chat?sentinel_password=theirs"
    pool = urls.connect(url).connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "chat"
    assert pool.connection_class is SentinelManagedSSLConnection
    assert pool.connection_kwargs["password"] == "word"
    asked = [sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels]
    told = [found.connection_kwargs for found in asked]
    assert [(t["host"], t["port"], t["password"]) for t in told] == [
        ("one", 26379, "theirs"),
        ("two", 2, "theirs"),
    ]
    assert {found.connection_class for found in asked} == {SSLConnection}


def test_no_password_is_shown():
    url = "redis+sentinel://chat:word@one,two:2/chat?sentinel_password=theirs"
    assert masked(url) == "redis+sentinel://one,two:2/chat"


def test_all_that_a_script_touches_is_in_one_slot():
    for of in (keys.of_room, keys.of_webhook, lambda rid: keys.imported(rid).values()):
        assert len({slot_of(key) for key in of("r1")}) == 1
    assert slot_of(keys.room_channel("r1")) == slot_of(keys.room("r1"))
    assert slot_of(keys.user_channel("u1")) == slot_of(keys.user("u1"))
    assert keys.parse_channel(keys.room_channel("r1")) == ("room", "r1")
    assert keys.parse_channel(keys.user_channel("u1")) == ("user", "u1")
    # The table of the specification's appendix says so of this key.
    assert slot_of("123456789") == 0x31C3 % 16384


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("GET", "k"), "k"),
        (("EVALSHA", "sha", 2, "k", "l", "x"), "k"),
        (("SPUBLISH", "c", "text"), "c"),
        (("TIME",), ""),
    ],
)
def test_a_command_goes_where_its_key_is(words, key):
    assert _key(words) == key
