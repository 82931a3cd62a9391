"""Settings are read once; a wrong value is named."""

from pathlib import Path

import pytest

from chat.settings import BadSetting, Settings


def test_defaults():
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.data.name == "chat"
    assert settings.limits
    assert not settings.secure


def test_everything_can_be_set():
    settings = Settings.from_env(
        {
            "CHAT_BIND": "[::1]:9000",
            "CHAT_WORKERS": "3",
            "CHAT_DATA": "/tmp/somewhere",
            "CHAT_ORIGIN": "https://chat.example.org",
            "CHAT_LIMITS": "off",
            "REDIS_URL": "redis://localhost/3",
            "SECRET_KEY": "k" * 32,
        }
    )
    assert (settings.host, settings.port, settings.workers) == ("::1", 9000, 3)
    assert settings.data == Path("/tmp/somewhere")
    assert settings.secure
    assert not settings.limits


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
        ("CHAT_FSYNC", "never"),
        ("CHAT_ORIGIN", "chat.example.org"),
        ("CHAT_ORIGIN", "https://chat.example.org/"),
        ("CHAT_SIGN_IN", "magic"),
        ("CHAT_PROXIES", "somewhere"),
        ("CHAT_HOOK_NETWORKS", "10.0.0.0/99"),
        ("CHAT_HOOK_WAIT", "soon"),
        ("REDIS_URL", "http://localhost"),
        ("SECRET_KEY", "short"),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(BadSetting, match=name):
        Settings.from_env({name: value})
