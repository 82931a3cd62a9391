"""Every setting, once: its environment variable, unit, default and meaning."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from .domain.host_header import DEFAULT_PORTS, parse_host
from .redis_client import urls

WAYS = ("guest", "password", "oidc", "jwt", "proxy")  # of signing in

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

MAX_QUOTA_MB = 1_000_000_000  # of bytes, an exact number in a script still (2**53)

_NEEDED = {  # besides what each way has a default for
    "oidc": ("CHAT_OIDC_ISSUER", "CHAT_OIDC_CLIENT_ID"),
    "jwt": ("CHAT_JWT_ISSUER", "CHAT_JWT_AUDIENCE"),
    "proxy": ("CHAT_PROXIES",),
}


class BadSetting(ValueError):
    """An environment variable whose value cannot be used; the text names both."""


@dataclass(frozen=True)
class Settings:
    """What a person who hosts the chat can choose. Read from the environment by `from_env`."""

    # CHAT_BIND: address and port to listen on; port 0 lets the system choose one. Without a
    # port it is that of PORT, which platforms set; PORT never opens the chat to the network.
    host: str = "127.0.0.1"
    port: int = 8000
    # CHAT_WORKERS: server processes; each uses one core.
    workers: int = 1
    # REDIS_URL: a Redis or Valkey, 7.0 or newer: a server, what Sentinels watch over, or a cluster
    # (database.py); empty starts the embedded one.
    redis_url: str = ""
    # CHAT_DATA: folder of the embedded server, the generated secret and the index of messages.
    data: Path = field(default_factory=lambda: Path("data"))
    # SECRET_KEY: signs the session cookies; empty generates one in CHAT_DATA/secret.
    secret_key: str = ""
    # CHAT_FILES: where pictures and the files of messages are kept, as an address (s3://, gs://,
    # az://, file://); empty: in CHAT_DATA. Several hosts need a place in common.
    files: str = ""
    # CHAT_FILE_SIZE: MB that a file may have; those of one message may have twice that together.
    file_size: int = 25
    # CHAT_QUOTA_PER_PERSON, CHAT_QUOTA_PER_GUEST: MB of files that one person, or one guest, may
    # have in all rooms together; CHAT_QUOTA_GUESTS: that all guests together may have; CHAT_QUOTA:
    # that the whole chat may have. 0: no limit but the disk, of which some always stays free.
    quota_per_person: int = 1000
    quota_per_guest: int = 50
    quota_guests: int = 5000
    quota: int = 0
    # CHAT_ORIGIN: the address people type, such as https://chat.example.org, when a proxy
    # stands before the chat. Empty: the Host header of each request is believed.
    origin: str = ""
    # CHAT_FSYNC: the embedded server's appendfsync. `everysec` survives the death of any
    # process and may lose the last second on a power cut; `always` loses nothing, slower.
    fsync: str = "everysec"
    # CHAT_SIGN_IN: ways of signing in, comma-separated: guest (a name), password (accounts),
    # oidc, jwt and proxy (docs/sign-in.md).
    sign_in: tuple[str, ...] = ("guest",)
    # CHAT_SIGN_UP: `off` lets nobody make an account but by an admin's link.
    sign_up: bool = True
    # CHAT_PROXIES: addresses or networks of the proxies before the chat, comma-separated. Only
    # what these say of the visitor's address is believed.
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    # CHAT_OIDC_ISSUER, _CLIENT_ID, _CLIENT_SECRET: an OpenID Connect provider, and what it calls
    # this chat; the secret is empty for a public client. CHAT_OIDC_NAME: as the button says it.
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_name: str = "single sign-on"
    # CHAT_JWT_SECRET (HS256) or CHAT_JWT_JWKS (the address of public keys): what the tokens of
    # another site are signed with. CHAT_JWT_ISSUER, _AUDIENCE: their `iss` and `aud`.
    # CHAT_JWT_ORIGIN: the sites whose pages may hand a visitor over, comma-separated; empty:
    # only programs may.
    jwt_secret: str = field(default="", repr=False)
    jwt_jwks: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_origins: tuple[str, ...] = ()
    # CHAT_PROXY_HEADER, _NAME_HEADER: in what a proxy of CHAT_PROXIES says whom it has let in,
    # and how that person is called.
    proxy_header: str = "X-Forwarded-User"
    proxy_name_header: str = ""
    # CHAT_CREATE_ROOMS: who may start rooms: everyone, members (people with an account),
    # moderators or admins. Direct and random rooms are everybody's.
    create_rooms: str = "everyone"
    # CHAT_RANDOM_SEATS: how many people are in a random room at most.
    random_seats: int = 10
    # CHAT_HOOK_NETWORKS: networks in which bots may have their webhooks besides the public
    # internet, comma-separated, such as 10.0.0.0/8; there http and all ports are allowed too.
    hook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    # CHAT_HOOK_WAIT: seconds after which a delivery that failed is tried again; each time after
    # that four times as long, eight tries in all.
    hook_wait: int = 15
    # CHAT_KEEP_MESSAGES, CHAT_KEEP_DAYS: how many events of each room are kept, and for how many
    # days; 0 keeps all.
    keep_messages: int = 0
    keep_days: int = 0
    # CHAT_PURGE_SECONDS: the embedded server's file is written anew so long after the last time,
    # so that what was deleted is not in it any more; 0: when Valkey thinks it is too long.
    purge_seconds: int = 3600
    # CHAT_GUEST_DAYS: days without a visit after which a guest is forgotten; those who have joined
    # no room are after 7.
    guest_days: int = 30
    # CHAT_METRICS: addresses or networks whose requests get /metrics, comma-separated; empty:
    # this machine; `off`: none.
    metrics: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    # CHAT_WATCHDOG: seconds of silence after which a worker, the indexer or the embedded server is
    # taken to hang, and is killed and replaced; three times as many for a worker to start.
    watchdog: int = 10
    # CHAT_PING: seconds of silence after which a page is asked whether it is there, which also
    # keeps proxies from cutting the line; in 10 s more, or as many when they are less, it is gone.
    ping: int = 25
    # CHAT_H2C: `on` takes HTTP/2 without TLS from a proxy that speaks it without asking first
    # (prior knowledge). Any client that reaches the port directly can then use it too.
    h2c: bool = False
    # CHAT_PAGES_PER_PERSON, CHAT_PAGES_PER_ADDRESS: how many pages one person, and all people
    # from one address together (a school, an office), may have open.
    pages_per_person: int = 20
    pages_per_address: int = 1000
    # CHAT_LOG: the format of the log, `plain` or `json` (an object a line, with ids of requests).
    log: str = "plain"
    # CHAT_LIMITS: `off` lifts rate and connection limits, for benchmarks.
    limits: bool = True

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; raises BadSetting naming the variable and its value."""
        host, port = _address(env)
        ways = _sign_in(env.get("CHAT_SIGN_IN", "guest"))
        _check_complete(env, ways)
        return cls(
            host=host,
            port=port,
            workers=_whole_number(env, "CHAT_WORKERS", 1, 1, 256),
            redis_url=_redis_url(env.get("REDIS_URL", "")),
            data=Path(env.get("CHAT_DATA") or _default_data(env)).expanduser().absolute(),
            secret_key=_secret("SECRET_KEY", env.get("SECRET_KEY", "")),
            files=env.get("CHAT_FILES", ""),
            file_size=_whole_number(env, "CHAT_FILE_SIZE", 25, 1, 2000),
            quota_per_person=_whole_number(env, "CHAT_QUOTA_PER_PERSON", 1000, 0, MAX_QUOTA_MB),
            quota_per_guest=_whole_number(env, "CHAT_QUOTA_PER_GUEST", 50, 0, MAX_QUOTA_MB),
            quota_guests=_whole_number(env, "CHAT_QUOTA_GUESTS", 5000, 0, MAX_QUOTA_MB),
            quota=_whole_number(env, "CHAT_QUOTA", 0, 0, MAX_QUOTA_MB),
            origin=_origin("CHAT_ORIGIN", env.get("CHAT_ORIGIN", "")),
            fsync=_choice(env, "CHAT_FSYNC", ("everysec", "always")),
            sign_in=ways,
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
            hook_wait=_whole_number(env, "CHAT_HOOK_WAIT", 15, 1, 3600),
            keep_messages=_whole_number(env, "CHAT_KEEP_MESSAGES", 0, 0, 1_000_000_000),
            keep_days=_whole_number(env, "CHAT_KEEP_DAYS", 0, 0, 36_500),
            purge_seconds=_whole_number(env, "CHAT_PURGE_SECONDS", 3600, 0, 10**6),
            guest_days=_whole_number(env, "CHAT_GUEST_DAYS", 30, 1, 90),
            metrics=_metrics(env),
            h2c=_choice(env, "CHAT_H2C", ("off", "on")) == "on",
            watchdog=_whole_number(env, "CHAT_WATCHDOG", 10, 3, 600),
            ping=_whole_number(env, "CHAT_PING", 25, 1, 25),
            pages_per_person=_whole_number(env, "CHAT_PAGES_PER_PERSON", 20, 1, 1_000_000),
            pages_per_address=_whole_number(env, "CHAT_PAGES_PER_ADDRESS", 1000, 1, 1_000_000),
            log=_choice(env, "CHAT_LOG", ("plain", "json")),
            limits=_choice(env, "CHAT_LIMITS", ("on", "off")) == "on",
        )

    @property
    def secure(self) -> bool:
        """True when people reach the chat over https only (by CHAT_ORIGIN)."""
        return self.origin.startswith("https:")

    @property
    def is_local(self) -> bool:
        """True when only this machine reaches the chat, by what is set: it listens on a loopback
        address, and neither CHAT_PROXIES nor CHAT_ORIGIN says that it is reached another way."""
        origin = urlsplit(self.origin).hostname or "localhost"
        return is_loopback(self.host) and not self.proxies and is_loopback(origin)


def is_loopback(host: str) -> bool:
    """True for a name or address that leads to this machine and to no other (RFC 6761, 6.3)."""
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
    """An origin as browsers write it, "" for none."""
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        parse_host(parts.netloc)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in DEFAULT_PORTS or value.partition("://")[2] != parts.netloc:
        raise BadSetting(f"{name}={value!r}: expected such as https://chat.example.org")
    return value.lower()


def _site(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if value and not is_safe(value):
        raise BadSetting(f"{name}={value!r}: expected an address that begins with https://")
    return value


def is_safe(url: str) -> bool:
    """True for an address on the way to which nobody else can read or answer: https, or http
    on this machine. It has printable ASCII only, as it may stand in a header, and no fragment."""
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


def _check_complete(env: Mapping[str, str], ways: tuple[str, ...]) -> None:
    """Raise BadSetting when a way of signing in is on and something that it needs is missing."""
    for way in ways:
        missing = [name for name in _NEEDED.get(way, ()) if not _parts(env.get(name, ""))]
        if missing:
            raise BadSetting(f"CHAT_SIGN_IN has {way}, which needs {' and '.join(missing)}")
    if "jwt" in ways and bool(env.get("CHAT_JWT_SECRET")) == bool(env.get("CHAT_JWT_JWKS")):
        raise BadSetting("CHAT_SIGN_IN has jwt, which needs CHAT_JWT_SECRET or CHAT_JWT_JWKS, one")


def _sign_in(value: str) -> tuple[str, ...]:
    ways = _parts(value)
    if not ways or set(ways) - set(WAYS):
        raise BadSetting(f"CHAT_SIGN_IN={value!r}: expected some of {', '.join(WAYS)}")
    return ways


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
