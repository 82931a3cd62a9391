"""REDIS_URL's forms: what each leads to, and what is wrong with others."""

import pytest
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedSSLConnection

from chat import database
from chat.cluster import _key, slot_of
from chat.store import keys
from chat.supervisor import masked


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "rediss://user:word@db.example.org:6380/3?ssl_ca_certs=/etc/ca.pem",
        "unix:///run/valkey.sock",
        "redis+sentinel://one:26379,two/chat",
        "redis+cluster://:word@one:6379,[::1]:6380",
    ],
)
def test_each_form_is_taken(url):
    database.check(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://localhost", "redis://"),
        ("redis+sentinel://one:26379", "name of the service"),
        ("redis+cluster://one:6379,", "host:port"),
        ("redis+cluster://one:port", "host:port"),
        ("redis://", "host:port"),
    ],
)
def test_what_is_wrong_is_said(url, why):
    with pytest.raises(ValueError, match=why):
        database.check(url)


def test_one_node_is_reached_as_the_cluster_is():
    url = "rediss+cluster://chat:wo%40rd@one:1,two:2?ssl_ca_certs=/etc/ca.pem"
    assert database.hosts(url) == ["one:1", "two:2"]
    assert database.at(url, "three:3") == "rediss://chat:wo%40rd@three:3?ssl_ca_certs=/etc/ca.pem"
    options = database.connect(database.at(url, "three:3")).connection_pool
    assert options.connection_class is SSLConnection
    assert options.connection_kwargs["password"] == "wo@rd"
    assert database.place_of("::1", 6379) == "[::1]:6379"
    assert database.pair("[::1]:7000") == ("::1", 7000)
    assert database.pair("localhost") == ("localhost", 6379)


def test_sentinels_may_have_a_password_of_their_own():
    url = "rediss+sentinel://chat:word@one,two:2/chat?sentinel_password=theirs"
    pool = database.connect(url).connection_pool
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
    for of in (keys.of_room, keys.of_hook, keys.made):
        assert len({slot_of(key) for key in of("r1")}) == 1
    assert slot_of(keys.room_channel("r1")) == slot_of(keys.room("r1"))
    assert slot_of(keys.user_channel("u1")) == slot_of(keys.user("u1"))
    assert keys.heard(keys.room_channel("r1")) == ("room", "r1")
    assert keys.heard(keys.user_channel("u1")) == ("user", "u1")
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
