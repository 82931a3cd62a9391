"""All settings, each with its environment variable, unit, default and meaning."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from .domain.host_header import DEFAULT_PORTS, parse_host
from .redis_client import urls

AUTH_METHODS = ("guest", "password", "oidc", "jwt", "proxy")

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

MAX_QUOTA_MB = 1_000_000_000  # as bytes still an exact number in Lua (below 2**53)

_REQUIRED = {  # the settings of each method that have no default
    "oidc": ("CHAT_OIDC_ISSUER", "CHAT_OIDC_CLIENT_ID"),
    "jwt": ("CHAT_JWT_ISSUER", "CHAT_JWT_AUDIENCE"),
    "proxy": ("CHAT_PROXIES",),
}


class BadSetting(ValueError):
    """An environment variable has an invalid value. The text names both."""


@dataclass(frozen=True)
class Settings:
    """What an operator can choose. `from_env` reads it from the environment."""

    # CHAT_BIND: address and port to listen on. With port 0 the system chooses a free one. Without
    # a port, the port of PORT is used, which platforms set; PORT alone never changes the address.
    host: str = "127.0.0.1"
    port: int = 8000
    # CHAT_WORKERS: number of server processes; each uses one core.
    workers: int = 1
    # REDIS_URL: a Redis or Valkey, 7.0 or newer: one server, Sentinels, or a cluster
    # (chat/redis_client/urls.py). Empty: start the embedded Valkey.
    redis_url: str = ""
    # CHAT_DATA: folder of the embedded Valkey, the generated secret key and the search index.
    data: Path = field(default_factory=lambda: Path("data"))
    # SECRET_KEY: signs the session cookies. Empty: generate one in CHAT_DATA/secret.
    secret_key: str = ""
    # CHAT_FILES: where pictures and files of messages are stored (s3://, gs://, az://, file://).
    # Empty: in CHAT_DATA. Several hosts need a common place.
    files: str = ""
    # CHAT_FILE_SIZE: maximum size of a file. The files of one message can have twice that in total.
    file_size_mb: int = 25
    # CHAT_QUOTA_PER_PERSON, CHAT_QUOTA_PER_GUEST: how much one person, or one guest, can store in
    # all rooms together; CHAT_QUOTA_GUESTS: all guests together; CHAT_QUOTA: the whole chat.
    # 0: no limit but the disk, some of which always stays free.
    quota_per_person_mb: int = 1000
    quota_per_guest_mb: int = 50
    quota_guests_mb: int = 5000
    quota_mb: int = 0
    # CHAT_ORIGIN: the address that people type, such as https://chat.example.org, if there is a
    # proxy in front. Empty: trust the Host header of each request.
    origin: str = ""
    # CHAT_FSYNC: `appendfsync` of the embedded Valkey. With `everysec` the death of a process loses
    # nothing, but a power cut can lose the last second. `always` loses nothing and is slower.
    fsync: str = "everysec"
    # CHAT_SIGN_IN: some of AUTH_METHODS, comma-separated (docs/sign-in.md).
    sign_in: tuple[str, ...] = ("guest",)
    # CHAT_SIGN_UP: with `off`, people can create accounts only with an administrator's link.
    sign_up: bool = True
    # CHAT_PROXIES: addresses or networks of the proxies in front, comma-separated. Only these are
    # trusted about a visitor's address.
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    # CHAT_OIDC_ISSUER, _CLIENT_ID, _CLIENT_SECRET: an OpenID Connect provider, and this chat's
    # credentials there; the secret is empty for a public client. CHAT_OIDC_NAME: the name on the
    # sign-in button.
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_name: str = "single sign-on"
    # CHAT_JWT_SECRET (HS256) or CHAT_JWT_JWKS (the address of public keys): verify the tokens of
    # another site. CHAT_JWT_ISSUER, _AUDIENCE: their `iss` and `aud`. CHAT_JWT_ORIGIN: the sites
    # whose pages can sign visitors in, comma-separated. Empty: only programs can.
    jwt_secret: str = field(default="", repr=False)
    jwt_jwks: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_origins: tuple[str, ...] = ()
    # CHAT_PROXY_HEADER, _NAME_HEADER: headers in which a proxy of CHAT_PROXIES sends the id and the
    # name of the person whom it has signed in.
    proxy_header: str = "X-Forwarded-User"
    proxy_name_header: str = ""
    # CHAT_CREATE_ROOMS: who can create rooms: everyone, members (people with an account),
    # moderators or admins. Everybody can use direct and random rooms.
    create_rooms: str = "everyone"
    # CHAT_RANDOM_SEATS: maximum number of people in a random room.
    random_seats: int = 10
    # CHAT_HOOK_NETWORKS: networks besides the public internet in which bots can have webhooks,
    # comma-separated, such as 10.0.0.0/8. There, http and all ports are allowed too.
    hook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    # CHAT_HOOK_WAIT: pause before a failed delivery is tried again. Each further pause is four
    # times as long; there are eight tries.
    hook_wait_seconds: int = 15
    # CHAT_KEEP_MESSAGES, CHAT_KEEP_DAYS: how many events of each room are kept, and for how many
    # days; 0 keeps all.
    keep_messages: int = 0
    keep_days: int = 0
    # CHAT_PURGE_SECONDS: how often the file of the embedded Valkey is rewritten, to remove deleted
    # text from it; 0: only when Valkey finds it too long.
    purge_seconds: int = 3600
    # CHAT_GUEST_DAYS: days without a visit after which a guest is deleted. Guests who have joined
    # no room are deleted after 7.
    guest_days: int = 30
    # CHAT_METRICS: addresses or networks that can read /metrics, comma-separated. Empty: this
    # machine. `off`: nobody.
    metrics: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    # CHAT_WATCHDOG: silence after which a worker, the indexer or the embedded Valkey is killed and
    # replaced. A worker has three times as long to start.
    watchdog_seconds: int = 10
    # CHAT_PING: silence after which a page is pinged, which also keeps proxies from closing the
    # connection. A page that does not answer within 10 s, or within the same time if that is less,
    # is gone.
    ping_seconds: int = 25
    # CHAT_H2C: `on` accepts HTTP/2 without TLS from a proxy that uses it without asking first
    # (prior knowledge). Any client that reaches the port can then use it too.
    h2c: bool = False
    # CHAT_PAGES_PER_PERSON, CHAT_PAGES_PER_ADDRESS: how many pages one person can have open, and
    # all people at one address together (a school, an office).
    pages_per_person: int = 20
    pages_per_address: int = 1000
    # CHAT_LOG: the format of the log: `plain`, or `json` (one object per line, with request ids).
    log: str = "plain"
    # CHAT_LIMITS: `off` removes rate limits and connection limits, for benchmarks.
    limits: bool = True

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings. Raises BadSetting, which names the variable and its value."""
        host, port = _address(env)
        methods = _sign_in(env.get("CHAT_SIGN_IN", "guest"))
        _check_complete(env, methods)
        return cls(
            host=host,
            port=port,
            workers=_whole_number(env, "CHAT_WORKERS", 1, 1, 256),
            redis_url=_redis_url(env.get("REDIS_URL", "")),
            data=Path(env.get("CHAT_DATA") or _default_data(env)).expanduser().absolute(),
            secret_key=_secret("SECRET_KEY", env.get("SECRET_KEY", "")),
            files=env.get("CHAT_FILES", ""),
            file_size_mb=_whole_number(env, "CHAT_FILE_SIZE", 25, 1, 2000),
            quota_per_person_mb=_whole_number(env, "CHAT_QUOTA_PER_PERSON", 1000, 0, MAX_QUOTA_MB),
            quota_per_guest_mb=_whole_number(env, "CHAT_QUOTA_PER_GUEST", 50, 0, MAX_QUOTA_MB),
            quota_guests_mb=_whole_number(env, "CHAT_QUOTA_GUESTS", 5000, 0, MAX_QUOTA_MB),
            quota_mb=_whole_number(env, "CHAT_QUOTA", 0, 0, MAX_QUOTA_MB),
            origin=_origin("CHAT_ORIGIN", env.get("CHAT_ORIGIN", "")),
            fsync=_choice(env, "CHAT_FSYNC", ("everysec", "always")),
            sign_in=methods,
            sign_up=_choice(env, "CHAT_SIGN_UP", ("on", "off")) == "on",
            proxies=_networks(env, "CHAT_PROXIES"),
            oidc_issuer=_site(env, "CHAT_OIDC_ISSUER"),
            oidc_client_id=env.get("CHAT_OIDC_CLIENT_ID", ""),
            oidc_client_secret=env.get("CHAT_OIDC_CLIENT_SECRET", ""),
            oidc_name=env.get("CHAT_OIDC_NAME") or cls.oidc_name,
            jwt_secret=_secret("CHAT_JWT_SECRET", env.get("CHAT_JWT_SECRET", "")),
            jwt_jwks=_site(env, "CHAT_JWT_JWKS"),
            jwt_issuer=env.get("CHAT_JWT_ISSUER", ""),
            jwt_audience=env.get("CHAT_JWT_AUDIENCE", ""),
            jwt_origins=tuple(
                _origin("CHAT_JWT_ORIGIN", part) for part in _parts(env.get("CHAT_JWT_ORIGIN", ""))
            ),
            proxy_header=_header(env, "CHAT_PROXY_HEADER") or cls.proxy_header,
            proxy_name_header=_header(env, "CHAT_PROXY_NAME_HEADER"),
            create_rooms=_choice(
                env, "CHAT_CREATE_ROOMS", ("everyone", "members", "moderators", "admins")
            ),
            random_seats=_whole_number(env, "CHAT_RANDOM_SEATS", 10, 2, 1000),
            hook_networks=_networks(env, "CHAT_HOOK_NETWORKS"),
            hook_wait_seconds=_whole_number(env, "CHAT_HOOK_WAIT", 15, 1, 3600),
            keep_messages=_whole_number(env, "CHAT_KEEP_MESSAGES", 0, 0, 1_000_000_000),
            keep_days=_whole_number(env, "CHAT_KEEP_DAYS", 0, 0, 36_500),
            purge_seconds=_whole_number(env, "CHAT_PURGE_SECONDS", 3600, 0, 10**6),
            guest_days=_whole_number(env, "CHAT_GUEST_DAYS", 30, 1, 90),
            metrics=_metrics(env),
            h2c=_choice(env, "CHAT_H2C", ("off", "on")) == "on",
            watchdog_seconds=_whole_number(env, "CHAT_WATCHDOG", 10, 3, 600),
            ping_seconds=_whole_number(env, "CHAT_PING", 25, 1, 25),
            pages_per_person=_whole_number(env, "CHAT_PAGES_PER_PERSON", 20, 1, 1_000_000),
            pages_per_address=_whole_number(env, "CHAT_PAGES_PER_ADDRESS", 1000, 1, 1_000_000),
            log=_choice(env, "CHAT_LOG", ("plain", "json")),
            limits=_choice(env, "CHAT_LIMITS", ("on", "off")) == "on",
        )

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
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip = ip_address(host)
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in LOOPBACK)


def _default_data(env: Mapping[str, str]) -> str:
    return os.path.join(env.get("XDG_DATA_HOME") or "~/.local/share", "chat")


def _address(env: Mapping[str, str]) -> tuple[str, int]:
    value = env.get("CHAT_BIND") or "127.0.0.1"
    parts = re.fullmatch(r"(\[[^][]+\]|[^][:]+)(?::(\d+))?", value)
    if not parts or parts[1].isdecimal() or int(parts[2] or 0) > 65535:
        raise BadSetting(f"CHAT_BIND={value!r}: expected address:port, such as 127.0.0.1:8000")
    port = int(parts[2]) if parts[2] else _whole_number(env, "PORT", 8000, 0, 65535)
    return parts[1].strip("[]"), port


def _whole_number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    value = env.get(name, str(default))
    if not value.isdecimal() or not low <= int(value) <= high:
        raise BadSetting(f"{name}={value!r}: expected a whole number from {low} to {high}")
    return int(value)


def _choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = env.get(name, choices[0])
    if value not in choices:
        raise BadSetting(f"{name}={value!r}: expected one of {', '.join(choices)}")
    return value


def _redis_url(value: str) -> str:
    try:
        if value:
            urls.check(value)
    except ValueError as error:
        raise BadSetting(f"REDIS_URL: {error}") from None
    return value


def _secret(name: str, value: str) -> str:
    if value and len(value) < 32:
        raise BadSetting(f"{name}: expected at least 32 characters")
    return value


def _origin(name: str, value: str) -> str:
    """Return an origin as browsers write it, or "" for none. Raises BadSetting."""
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        parse_host(parts.netloc)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in DEFAULT_PORTS or value.partition("://")[2] != parts.netloc:
        raise BadSetting(f"{name}={value!r}: expected an origin such as https://chat.example.org")
    return value.lower()


def _site(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if value and not is_safe(value):
        raise BadSetting(f"{name}={value!r}: expected an address that begins with https://")
    return value


def is_safe(url: str) -> bool:
    """Return True for a URL whose requests nobody else can read or answer: https, or http to this
    machine. It must be printable ASCII, because it is used in headers, and have no fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    local = parts.scheme == "http" and host in {"localhost", "127.0.0.1", "::1"}
    fits = re.fullmatch(r"[!-~]+", url) is not None and "#" not in url
    return fits and bool(host) and (parts.scheme == "https" or local)


def _header(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if value and not re.fullmatch(r"[A-Za-z0-9-]+", value):
        raise BadSetting(f"{name}={value!r}: expected the name of a header, without underscores")
    return value


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _check_complete(env: Mapping[str, str], methods: tuple[str, ...]) -> None:
    """Raise BadSetting if a setting is missing that an enabled sign-in method requires."""
    for method in methods:
        missing = [name for name in _REQUIRED.get(method, ()) if not _parts(env.get(name, ""))]
        if missing:
            raise BadSetting(f"CHAT_SIGN_IN has {method}, which needs {' and '.join(missing)}")
    if "jwt" in methods and bool(env.get("CHAT_JWT_SECRET")) == bool(env.get("CHAT_JWT_JWKS")):
        raise BadSetting("CHAT_SIGN_IN has jwt, which needs CHAT_JWT_SECRET or CHAT_JWT_JWKS")


def _sign_in(value: str) -> tuple[str, ...]:
    methods = _parts(value)
    if not methods or set(methods) - set(AUTH_METHODS):
        raise BadSetting(f"CHAT_SIGN_IN={value!r}: expected some of {', '.join(AUTH_METHODS)}")
    return methods


def _metrics(env: Mapping[str, str]) -> tuple[IPv4Network | IPv6Network, ...]:
    if env.get("CHAT_METRICS", "") == "off":
        return ()
    return _networks(env, "CHAT_METRICS") or LOOPBACK


def _networks(env: Mapping[str, str], name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    value = env.get(name, "")
    try:
        return tuple(ip_network(part) for part in _parts(value))
    except ValueError as error:
        raise BadSetting(f"{name}={value!r}: {error}") from None
