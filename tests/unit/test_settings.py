"""Settings are read once, and the error for an invalid value names it."""

from pathlib import Path

import pytest

from chat.cli import commands
from chat.config import BadSetting, Settings


def test_defaults():
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.data.name == "chat"
    assert settings.limits
    assert settings.log == "plain"
    assert not settings.secure
    assert not settings.h2c


def test_everything_can_be_set():
    settings = Settings.from_env(
        {
            "CHAT_BIND": "[::1]:9000",
            "CHAT_WORKERS": "3",
            "CHAT_DATA": "/tmp/somewhere",
            "CHAT_ORIGIN": "https://chat.example.org",
            "CHAT_LIMITS": "off",
            "CHAT_LOG": "json",
            "CHAT_H2C": "on",
            "CHAT_KEEP_MESSAGES": "5000",
            "CHAT_KEEP_DAYS": "365",
            "REDIS_URL": "redis://localhost/3",
            "SECRET_KEY": "k" * 32,
        }
    )
    assert (settings.host, settings.port, settings.workers) == ("::1", 9000, 3)
    assert (settings.keep_messages, settings.keep_days) == (5000, 365)
    assert settings.data == Path("/tmp/somewhere")
    assert settings.secure
    assert settings.h2c
    assert not settings.limits
    assert settings.log == "json"


@pytest.mark.parametrize("mb", [1, 25, 2000])
def test_all_who_store_files_know_their_limit_in_bytes(tmp_path, mb):
    settings = Settings.from_env({"CHAT_FILE_SIZE": str(mb), "CHAT_DATA": str(tmp_path)})
    assert settings.file_size_bytes == mb * 1024 * 1024
    assert commands.files(settings).max_bytes == settings.file_size_bytes


@pytest.mark.parametrize(
    ("env", "address"),
    [
        ({"PORT": "3000"}, ("127.0.0.1", 3000)),
        ({"PORT": "8080", "CHAT_BIND": "0.0.0.0"}, ("0.0.0.0", 8080)),
        ({"PORT": "8080", "CHAT_BIND": "[::]"}, ("::", 8080)),
        ({"PORT": "8080", "CHAT_BIND": "0.0.0.0:9000"}, ("0.0.0.0", 9000)),
        ({"CHAT_BIND": "localhost"}, ("localhost", 8000)),
        ({"CHAT_BIND": "", "PORT": "3000"}, ("127.0.0.1", 3000)),
    ],
)
def test_a_platform_chooses_the_port_but_not_the_address(env, address):
    settings = Settings.from_env(env)
    assert (settings.host, settings.port) == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHAT_BIND", "8000"),
        ("CHAT_BIND", "::1"),
        ("CHAT_BIND", "localhost:"),
        ("PORT", "http"),
        ("PORT", "70000"),
        ("CHAT_BIND", "localhost:port"),
        ("CHAT_BIND", "localhost:70000"),
        ("CHAT_WORKERS", "0"),
        ("CHAT_WORKERS", "two"),
        ("CHAT_LIMITS", "no"),
        ("CHAT_LOG", "xml"),
        ("CHAT_H2C", "yes"),
        ("CHAT_PING", "60"),
        ("CHAT_WATCHDOG", "2"),
        ("CHAT_PAGES_PER_PERSON", "0"),
        ("CHAT_PAGES_PER_ADDRESS", "all"),
        ("CHAT_FSYNC", "never"),
        ("CHAT_ORIGIN", "chat.example.org"),
        *(
            ("CHAT_ORIGIN", f"https://{rest}")
            for rest in (
                "chat.example.org/",
                "chat?a",
                "chat#",
                "a@b",
                "a b",
                "a:b",
                "[::1",
                "\u00e4",
            )
        ),
        ("CHAT_SIGN_IN", "magic"),
        ("CHAT_PROXIES", "somewhere"),
        ("CHAT_HOOK_NETWORKS", "10.0.0.0/99"),
        ("CHAT_HOOK_WAIT", "soon"),
        ("REDIS_URL", "http://localhost"),
        ("SECRET_KEY", "short"),
        ("CHAT_JWT_SECRET", "short"),
        ("CHAT_JWT_ORIGIN", "https://www.example.org, www.example.org"),
        ("CHAT_JWT_JWKS", "http://www.example.org/keys"),
        ("CHAT_OIDC_ISSUER", "http://id.example.org"),
        ("CHAT_OIDC_ISSUER", "file:///etc/passwd"),
        *(
            ("CHAT_OIDC_ISSUER", f"https://{rest}")
            for rest in ("[", "a:b", "a b", "\u00e4/", "a/\n")
        ),
        ("CHAT_PROXY_HEADER", "X_Forwarded_User"),
        ("CHAT_PROXY_NAME_HEADER", "X-Name:"),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(BadSetting, match=name):
        Settings.from_env({name: value})


OIDC = {"CHAT_OIDC_ISSUER": "https://accounts.google.com", "CHAT_OIDC_CLIENT_ID": "chat"}
JWT = {"CHAT_JWT_ISSUER": "https://www.example.org", "CHAT_JWT_AUDIENCE": "chat"}
SECRET, KEYS = {"CHAT_JWT_SECRET": "s" * 32}, {"CHAT_JWT_JWKS": "https://www.example.org/keys"}


@pytest.mark.parametrize(
    ("way", "env", "missing"),
    [
        ("oidc", {"CHAT_OIDC_CLIENT_ID": "chat"}, "needs CHAT_OIDC_ISSUER"),
        ("oidc", {}, "needs CHAT_OIDC_ISSUER and CHAT_OIDC_CLIENT_ID"),
        ("jwt", SECRET, "needs CHAT_JWT_ISSUER and CHAT_JWT_AUDIENCE"),
        ("jwt", JWT, "needs CHAT_JWT_SECRET or CHAT_JWT_JWKS"),
        ("jwt", {**JWT, **SECRET, **KEYS}, "needs CHAT_JWT_SECRET or CHAT_JWT_JWKS"),
        ("proxy", {}, "needs CHAT_PROXIES"),
        ("proxy", {"CHAT_PROXIES": " , "}, "needs CHAT_PROXIES"),
    ],
)
def test_a_way_of_signing_in_says_what_it_needs(way, env, missing):
    with pytest.raises(BadSetting, match=f"CHAT_SIGN_IN has {way}, which {missing}"):
        Settings.from_env({"CHAT_SIGN_IN": f"guest,{way}", **env})


@pytest.mark.parametrize("keys", [SECRET, KEYS])
def test_all_ways_of_signing_in_at_once(keys):
    env = {"CHAT_SIGN_IN": "guest,password,oidc,jwt,proxy", "CHAT_PROXIES": "10.0.0.1"}
    settings = Settings.from_env({**env, **OIDC, **JWT, **keys})
    assert settings.sign_in == ("guest", "password", "oidc", "jwt", "proxy")
    assert settings.proxy_header == "X-Forwarded-User"
    assert SECRET["CHAT_JWT_SECRET"] not in repr(settings)


@pytest.mark.parametrize(
    ("value", "networks"),
    [("", ["127.0.0.0/8", "::1/128"]), ("off", []), ("10.0.0.0/8, ::2", ["10.0.0.0/8", "::2/128"])],
)
def test_metrics_are_for_this_machine_unless_said_otherwise(value, networks):
    assert [
        str(network) for network in Settings.from_env({"CHAT_METRICS": value}).metrics
    ] == networks
