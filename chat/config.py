"""All settings, each with its environment variable, unit, default and meaning."""

# ruff: noqa: RUF009  (`_setting` returns a field)

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .domain.host_header import DEFAULT_PORTS, parse_host
from .redis_client import urls

Env = Mapping[str, str]
Networks = tuple[IPv4Network | IPv6Network, ...]

AUTH_METHODS = ("guest", "password", "oidc", "jwt", "proxy")
CREATORS = ("everyone", "members", "moderators", "admins")  # who can be allowed to create rooms

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

MAX_QUOTA_MB = 1_000_000_000  # in bytes, this is still an exact number in Lua (below 2**53)

_REQUIRED = {  # the settings of each method that have no default
    "oidc": ("CHAT_OIDC_ISSUER", "CHAT_OIDC_CLIENT_ID"),
    "jwt": ("CHAT_JWT_ISSUER", "CHAT_JWT_AUDIENCE"),
    "proxy": ("CHAT_PROXIES",),
}


class BadSetting(ValueError):
    """An environment variable has an invalid value. The text names both."""


def _setting(default: Any, read: Callable[..., Any], *args: Any, repr: bool = True) -> Any:
    """Return a field whose value is `read(env, default, *args)`. Most of these functions get the
    name of a variable first, and raise BadSetting for a value that does not fit."""
    metadata = {"read": lambda env, default: read(env, default, *args)}
    return field(default=default, repr=repr, metadata=metadata)


def _data_folder(env: Env, default: Path) -> Path:
    home = env.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(env.get("CHAT_DATA") or os.path.join(home, "chat")).expanduser().absolute()


def _address(env: Env) -> tuple[str, int]:
    value = env.get("CHAT_BIND") or "127.0.0.1"
    parts = re.fullmatch(r"(\[[^][]+\]|[^][:]+)(?::(\d+))?", value)
    if not parts or parts[1].isdecimal() or int(parts[2] or 0) > 65535:
        raise BadSetting(f"CHAT_BIND={value!r}: expected address:port, such as 127.0.0.1:8000")
    port = int(parts[2]) if parts[2] else _whole_number(env, 8000, "PORT", 0, 65535)
    return parts[1].strip("[]"), port


def _text(env: Env, default: str, name: str) -> str:
    return env.get(name) or default


def _whole_number(env: Env, default: int, name: str, low: int, high: int) -> int:
    value = env.get(name, str(default))
    if not value.isdecimal() or not low <= int(value) <= high:
        raise BadSetting(f"{name}={value!r}: expected a whole number from {low} to {high}")
    return int(value)


def _choice(env: Env, default: str, name: str, *choices: str) -> str:
    value = env.get(name, default)
    if value not in choices:
        raise BadSetting(f"{name}={value!r}: expected one of {', '.join(choices)}")
    return value


def _switch(env: Env, default: bool, name: str) -> bool:
    return _choice(env, "on" if default else "off", name, "on", "off") == "on"


def _redis_url(env: Env, default: str) -> str:
    value = env.get("REDIS_URL", default)
    try:
        if value:
            urls.check(value)
    except ValueError as error:
        raise BadSetting(f"REDIS_URL: {error}") from None
    return value


def _secret(env: Env, default: str, name: str) -> str:
    value = env.get(name, default)
    if value and len(value) < 32:
        raise BadSetting(f"{name}: expected at least 32 characters")
    return value


def _origin(env: Env, default: str, name: str) -> str:
    return _checked_origin(name, env[name]) if env.get(name) else default


def _origins(env: Env, default: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(_checked_origin(name, part) for part in _parts(env.get(name, ""))) or default


def _checked_origin(name: str, value: str) -> str:
    """Return an origin as browsers write it."""
    try:
        parts = urlsplit(value)
        parse_host(parts.netloc)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in DEFAULT_PORTS or value.partition("://")[2] != parts.netloc:
        raise BadSetting(f"{name}={value!r}: expected an origin such as https://chat.example.org")
    return value.lower()


def _site(env: Env, default: str, name: str) -> str:
    value = env.get(name, default)
    if value and not is_safe(value):
        raise BadSetting(f"{name}={value!r}: expected an address that begins with https://")
    return value


def _header(env: Env, default: str, name: str) -> str:
    value = env.get(name) or default
    if value and not re.fullmatch(r"[A-Za-z0-9-]+", value):
        raise BadSetting(f"{name}={value!r}: expected the name of a header, without underscores")
    return value


def _sign_in(env: Env, default: tuple[str, ...]) -> tuple[str, ...]:
    value = env.get("CHAT_SIGN_IN", ",".join(default))
    methods = _parts(value)
    if not methods or set(methods) - set(AUTH_METHODS):
        raise BadSetting(f"CHAT_SIGN_IN={value!r}: expected some of {', '.join(AUTH_METHODS)}")
    return methods


def _networks(env: Env, default: Networks, name: str) -> Networks:
    value = env.get(name, "")
    try:
        return tuple(ip_network(part) for part in _parts(value)) or default
    except ValueError as error:
        raise BadSetting(f"{name}={value!r}: {error}") from None


def _metrics(env: Env, default: Networks) -> Networks:
    return () if env.get("CHAT_METRICS") == "off" else _networks(env, default, "CHAT_METRICS")


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _check_complete(env: Env, methods: tuple[str, ...]) -> None:
    """Raise BadSetting if a setting is missing that an enabled sign-in method requires."""
    for method in methods:
        missing = [name for name in _REQUIRED.get(method, ()) if not _parts(env.get(name, ""))]
        if missing:
            raise BadSetting(f"CHAT_SIGN_IN has {method}, which needs {' and '.join(missing)}")
    if "jwt" in methods and bool(env.get("CHAT_JWT_SECRET")) == bool(env.get("CHAT_JWT_JWKS")):
        raise BadSetting("CHAT_SIGN_IN has jwt, which needs CHAT_JWT_SECRET or CHAT_JWT_JWKS")


@dataclass(frozen=True)
class Settings:
    """What an operator can choose. `from_env` reads it from the environment."""

    # CHAT_BIND: address and port to listen on. With port 0 the system chooses a free one. Without
    # a port, the port of PORT is used, which platforms set; PORT alone never changes the address.
    host: str = _setting("127.0.0.1", lambda env, _: _address(env)[0])
    port: int = _setting(8000, lambda env, _: _address(env)[1])
    # CHAT_WORKERS: number of server processes; each uses one core.
    workers: int = _setting(1, _whole_number, "CHAT_WORKERS", 1, 256)
    # REDIS_URL: a Redis or Valkey, 7.0 or newer: one server, Sentinels, or a cluster
    # (chat/redis_client/urls.py). Empty: start the embedded Valkey.
    redis_url: str = _setting("", _redis_url)
    # CHAT_DATA: folder of the embedded Valkey, the generated secret key and the search index.
    data: Path = _setting(Path("data"), _data_folder)
    # SECRET_KEY: signs the session cookies. Empty: generate one in CHAT_DATA/secret.
    secret_key: str = _setting("", _secret, "SECRET_KEY", repr=False)
    # CHAT_FILES: where pictures and files of messages are stored (s3://, gs://, az://, file://).
    # Empty: in CHAT_DATA. Several hosts need a storage that they share.
    files: str = _setting("", _text, "CHAT_FILES")
    # CHAT_FILE_SIZE: maximum size of a file. The files of one message can have twice that in total.
    file_size_mb: int = _setting(25, _whole_number, "CHAT_FILE_SIZE", 1, 2000)
    # CHAT_QUOTA_PER_PERSON, CHAT_QUOTA_PER_GUEST: how much one person, or one guest, can store in
    # all rooms together; CHAT_QUOTA_GUESTS: all guests together; CHAT_QUOTA: the whole chat.
    # 0: no limit but the disk, some of which always stays free.
    quota_per_person_mb: int = _setting(
        1000, _whole_number, "CHAT_QUOTA_PER_PERSON", 0, MAX_QUOTA_MB
    )
    quota_per_guest_mb: int = _setting(50, _whole_number, "CHAT_QUOTA_PER_GUEST", 0, MAX_QUOTA_MB)
    quota_guests_mb: int = _setting(5000, _whole_number, "CHAT_QUOTA_GUESTS", 0, MAX_QUOTA_MB)
    quota_mb: int = _setting(0, _whole_number, "CHAT_QUOTA", 0, MAX_QUOTA_MB)
    # CHAT_ORIGIN: the address that people type, such as https://chat.example.org, if there is a
    # proxy in front. Empty: trust the Host header of each request.
    origin: str = _setting("", _origin, "CHAT_ORIGIN")
    # CHAT_FSYNC: `appendfsync` of the embedded Valkey. With `everysec` the death of a process loses
    # nothing, but a power cut can lose the last second. `always` loses nothing and is slower.
    fsync: str = _setting("everysec", _choice, "CHAT_FSYNC", "everysec", "always")
    # CHAT_SIGN_IN: some of AUTH_METHODS, comma-separated (docs/sign-in.md).
    sign_in: tuple[str, ...] = _setting(("guest",), _sign_in)
    # CHAT_SIGN_UP: with `off`, people can create accounts only with an administrator's link.
    sign_up: bool = _setting(True, _switch, "CHAT_SIGN_UP")
    # CHAT_PROXIES: addresses or networks of the proxies in front, comma-separated. Only these are
    # trusted about a visitor's address.
    proxies: Networks = _setting((), _networks, "CHAT_PROXIES")
    # CHAT_OIDC_ISSUER, _CLIENT_ID, _CLIENT_SECRET: an OpenID Connect provider, and this chat's
    # credentials there; the secret is empty for a public client. CHAT_OIDC_NAME: the name on the
    # sign-in button.
    oidc_issuer: str = _setting("", _site, "CHAT_OIDC_ISSUER")
    oidc_client_id: str = _setting("", _text, "CHAT_OIDC_CLIENT_ID")
    oidc_client_secret: str = _setting("", _text, "CHAT_OIDC_CLIENT_SECRET", repr=False)
    oidc_name: str = _setting("single sign-on", _text, "CHAT_OIDC_NAME")
    # CHAT_JWT_SECRET (HS256) or CHAT_JWT_JWKS (the address of public keys): verify the tokens of
    # another site. CHAT_JWT_ISSUER, _AUDIENCE: their `iss` and `aud`. CHAT_JWT_ORIGIN: the sites
    # whose pages can sign visitors in, comma-separated. Empty: only programs can.
    jwt_secret: str = _setting("", _secret, "CHAT_JWT_SECRET", repr=False)
    jwt_jwks: str = _setting("", _site, "CHAT_JWT_JWKS")
    jwt_issuer: str = _setting("", _text, "CHAT_JWT_ISSUER")
    jwt_audience: str = _setting("", _text, "CHAT_JWT_AUDIENCE")
    jwt_origins: tuple[str, ...] = _setting((), _origins, "CHAT_JWT_ORIGIN")
    # CHAT_PROXY_HEADER, _NAME_HEADER: headers in which a proxy of CHAT_PROXIES sends the id and the
    # name of the person whom it has signed in.
    proxy_header: str = _setting("X-Forwarded-User", _header, "CHAT_PROXY_HEADER")
    proxy_name_header: str = _setting("", _header, "CHAT_PROXY_NAME_HEADER")
    # CHAT_CREATE_ROOMS: who can create rooms: everyone, members (people with an account),
    # moderators or administrators. Everybody can use direct and random rooms.
    create_rooms: str = _setting("everyone", _choice, "CHAT_CREATE_ROOMS", *CREATORS)
    # CHAT_RANDOM_SEATS: maximum number of people in a random room.
    random_seats: int = _setting(10, _whole_number, "CHAT_RANDOM_SEATS", 2, 1000)
    # CHAT_HOOK_NETWORKS: networks besides the public internet in which bots can have webhooks,
    # comma-separated, such as 10.0.0.0/8. There, http and all ports are allowed too.
    hook_networks: Networks = _setting((), _networks, "CHAT_HOOK_NETWORKS")
    # CHAT_HOOK_WAIT: pause before a failed delivery is tried again. Each further pause is four
    # times as long; there are eight tries.
    hook_wait_seconds: int = _setting(15, _whole_number, "CHAT_HOOK_WAIT", 1, 3600)
    # CHAT_KEEP_MESSAGES, CHAT_KEEP_DAYS: how many events of each room are kept, and for how many
    # days; 0 keeps all.
    keep_messages: int = _setting(0, _whole_number, "CHAT_KEEP_MESSAGES", 0, 1_000_000_000)
    keep_days: int = _setting(0, _whole_number, "CHAT_KEEP_DAYS", 0, 36_500)
    # CHAT_PURGE_SECONDS: how often the file of the embedded Valkey is rewritten, to remove deleted
    # text from it; 0: only when Valkey finds it too long.
    purge_seconds: int = _setting(3600, _whole_number, "CHAT_PURGE_SECONDS", 0, 10**6)
    # CHAT_GUEST_DAYS: days without a visit after which a guest is deleted. Guests who have joined
    # no room are deleted after 7.
    guest_days: int = _setting(30, _whole_number, "CHAT_GUEST_DAYS", 1, 90)
    # CHAT_METRICS: addresses or networks that can read /metrics, comma-separated. Empty: this
    # machine. `off`: nobody.
    metrics: Networks = _setting(LOOPBACK, _metrics)
    # CHAT_WATCHDOG: silence after which a worker, the indexer or the embedded Valkey is killed and
    # replaced. A worker has three times as long to start.
    watchdog_seconds: int = _setting(10, _whole_number, "CHAT_WATCHDOG", 3, 600)
    # CHAT_PING: silence after which a page is pinged, which also keeps proxies from closing the
    # connection. A page that does not answer within 10 s, or within the same time if that is less,
    # is gone.
    ping_seconds: int = _setting(25, _whole_number, "CHAT_PING", 1, 25)
    # CHAT_H2C: `on` accepts HTTP/2 without TLS from a proxy that uses it without asking first
    # (prior knowledge). Any client that reaches the port can then use it too.
    h2c: bool = _setting(False, _switch, "CHAT_H2C")
    # CHAT_PAGES_PER_PERSON, CHAT_PAGES_PER_ADDRESS: how many pages one person can have open, and
    # all people at one address together (a school, an office).
    pages_per_person: int = _setting(20, _whole_number, "CHAT_PAGES_PER_PERSON", 1, 1_000_000)
    pages_per_address: int = _setting(1000, _whole_number, "CHAT_PAGES_PER_ADDRESS", 1, 1_000_000)
    # CHAT_LOG: the format of the log: `plain`, or `json` (one object per line, with request ids).
    log: str = _setting("plain", _choice, "CHAT_LOG", "plain", "json")
    # CHAT_LIMITS: `off` removes rate limits and connection limits, for benchmarks.
    limits: bool = _setting(True, _switch, "CHAT_LIMITS")

    @classmethod
    def from_env(cls, env: Env = os.environ) -> "Settings":
        """Read the settings. Raises BadSetting, which names the variable and its value."""
        settings = cls(**{one.name: one.metadata["read"](env, one.default) for one in fields(cls)})
        _check_complete(env, settings.sign_in)
        return settings

    @property
    def secure(self) -> bool:
        """True if CHAT_ORIGIN says that people reach the chat over https only."""
        return self.origin.startswith("https:")

    @property
    def file_size_bytes(self) -> int:
        """The maximum size of a file (CHAT_FILE_SIZE)."""
        return self.file_size_mb * 2**20

    @property
    def is_local(self) -> bool:
        """True if, by the settings, only this machine can reach the chat: it listens on a loopback
        address, and neither CHAT_PROXIES nor CHAT_ORIGIN points to another way in."""
        origin = urlsplit(self.origin).hostname or "localhost"
        return is_loopback(self.host) and not self.proxies and is_loopback(origin)


def is_loopback(host: str) -> bool:
    """Return True for a name or address that always means this machine (RFC 6761, 6.3)."""
    return host == "localhost" or host.endswith(".localhost") or is_in(host, LOOPBACK)


def is_in(address: str, networks: Networks) -> bool:
    """Return True for an IP address in one of these networks, and False for any other text. An IPv4
    address that is mapped into IPv6 counts as IPv4."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in networks)


def is_safe(url: str) -> bool:
    """Return True for a URL whose requests nobody else can read or answer: https, or http to this
    machine. It must be printable ASCII, because it is used in headers, and must not have a
    fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    local = parts.scheme == "http" and host in {"localhost", "127.0.0.1", "::1"}
    fits = re.fullmatch(r"[!-~]+", url) is not None and "#" not in url
    return fits and bool(host) and (parts.scheme == "https" or local)
