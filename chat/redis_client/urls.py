"""The forms of REDIS_URL, and clients for them: a server, the primary behind Sentinels, a cluster.

    redis://host:6379/0          rediss:// with TLS, unix:// for a socket
    redis+sentinel://host:26379,host:26379/name-of-the-service
    redis+cluster://host:6379,host:6379

The user and the password before the hosts are for the servers; `?sentinel_password=` is for the
Sentinels. OPTIONS and TLS_OPTIONS list what can follow the question mark, for example
`ssl_ca_certs=/etc/ca.pem`; redis-py documents what each means.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

TIMEOUT_SECONDS = 2.0  # for connecting, and for silence of Redis while an answer is due
FORMS = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)

# The parameters that an operator can set. The chat depends on redis-py's other parameters: how
# answers are read, how long it waits, and that nothing is repeated.
OPTIONS = (
    *("db", "username", "password", "sentinel_username", "sentinel_password"),
    *("client_name", "socket_keepalive"),
)
TLS_OPTIONS = (
    *("ssl_ca_certs", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    *("ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers"),
)
MAX_DATABASE = 9999  # the highest database number

_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")


def check(url: str) -> None:
    """Raise ValueError unless `url` has one of these forms. The text says what is expected, and
    quotes nothing of the address, which may contain a password."""
    parts = urlsplit(url)
    if parts.scheme not in FORMS or not url.startswith(parts.scheme):
        raise ValueError(f"expected {', '.join(f'{form}://' for form in FORMS)}")
    if not unquote(url).isprintable() or parts.fragment:
        raise ValueError("expected printable characters, and no #: write %23 for it")
    if parts.scheme != "unix":
        for host in hosts(url):
            _check_host(host)
    elif not parts.path.strip("/") or parts.netloc.rpartition("@")[2]:
        raise ValueError("expected the path of a socket, such as unix:///run/valkey.sock")
    if is_sentinel(url) and not _service(url):
        raise ValueError("expected the name of the service after the Sentinels' addresses")
    if parts.scheme in ("redis", "rediss") and not _is_number(_service(url)):
        raise ValueError(f"expected the number of a database after the /, up to {MAX_DATABASE}")
    if is_cluster(url) and _service(url) not in ("", "0"):
        raise ValueError("expected nothing after the hosts of a cluster, which has one database")
    _check_options(parts.query, parts.scheme)
    _check_together(url)


def _check_host(host: str) -> None:
    try:
        parts = urlsplit(f"//{host}")
        name = parts.hostname or ""
        has_port = parts.port != 0
        fits = has_port and _HOST.fullmatch(name) and (":" in name or name.encode("idna"))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("expected host:port, with commas between several")


def _check_options(query: str, scheme: str) -> None:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS and name not in TLS_OPTIONS:
            expected = ", ".join((*OPTIONS, *TLS_OPTIONS))
            raise ValueError(f"{name!r} is not an option: expected {expected}")
        if name in TLS_OPTIONS and not scheme.startswith("rediss"):
            raise ValueError(f"{name} is for addresses that begin with rediss, which use TLS")
        if name == "db" and scheme.endswith("+cluster"):
            raise ValueError("expected no db=, because a cluster has one database")
        if name == "db" and not (value and _is_number(value)):
            raise ValueError(f"expected the number of a database in db=, up to {MAX_DATABASE}")


def _check_together(url: str) -> None:
    """Prepare a connection without connecting, so that redis-py and ssl check the values."""
    try:
        pool = connect(at(url, hosts(url)[0]) if is_cluster(url) else url).connection_pool
        pool.make_connection()  # type: ignore[no-untyped-call, unused-ignore]
    except Exception as error:
        raise ValueError(f"an option cannot be used: {error}") from None


def _is_number(text: str) -> bool:
    """Return True for a database number, and for ""."""
    return not text or (text.isascii() and text.isdecimal() and int(text[:9]) <= MAX_DATABASE)


def is_cluster(url: str) -> bool:
    return urlsplit(url).scheme.endswith("+cluster")


def is_sentinel(url: str) -> bool:
    return urlsplit(url).scheme.endswith("+sentinel")


def hosts(url: str) -> list[str]:
    """Return the hosts of the address, each as `host:port` or without a port."""
    return urlsplit(url).netloc.rpartition("@")[2].split(",")


def at(url: str, host: str) -> str:
    """Return the address of a single server `host`, with the user and parameters of `url`."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    netloc = f"{user}@{host}" if user else host
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.partition('+')[0]}://{netloc}{query}"


def connect(url: str) -> "AsyncRedis":
    """Return a client that makes connections for the event loop: to the server at `url`, or to
    the primary at that moment. It does not retry. With RESP 2, nothing arrives between a command
    and its answer."""
    options: dict[str, Any] = {
        "decode_responses": True,
        "protocol": 2,
        "retry": AsyncRetry(NoBackoff(), 0),
        "health_check_interval": 0,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
    }
    if is_sentinel(url):
        return _primary(AsyncSentinel, url, options)  # type: ignore[no-any-return]
    return AsyncRedis.from_url(url, **options)


def client(url: str, **options: Any) -> Any:
    """Return a blocking redis-py client of the database; `options` are redis-py's."""
    options = {"decode_responses": True, **options}
    if is_sentinel(url):
        options = {"socket_connect_timeout": TIMEOUT_SECONDS, **options}
        return _primary(Sentinel, url, {"retry": Retry(NoBackoff(), 0), **options})
    if is_cluster(url):
        node: Callable[..., Any] = ClusterNode
        nodes = [node(*pair(host)) for host in hosts(url)]
        return RedisCluster(startup_nodes=nodes, **_given(url), **options)
    return redis.Redis.from_url(url, **options)


def _primary(sentinel: Callable[..., Any], url: str, options: dict[str, Any]) -> Any:
    given = _given(url)
    theirs = {name: value for name, value in options.items() if name != "decode_responses"}
    theirs |= {name: value for name, value in given.items() if name.startswith("ssl")}
    for name in ("username", "password"):
        if value := given.pop(f"sentinel_{name}", None):
            theirs[name] = value
    pairs = [pair(host, 26379) for host in hosts(url)]
    manager = sentinel(pairs, sentinel_kwargs=theirs, **given, **options)
    return manager.master_for(_service(url))


def _given(url: str) -> dict[str, Any]:
    """Return what the address says apart from its hosts, as arguments for redis-py."""
    parse: Callable[[str], dict[str, Any]] = parse_url
    given = parse(at(url, hosts(url)[0]))
    if given.pop("connection_class", None) is not None:
        given["ssl"] = True
    return {name: value for name, value in given.items() if name not in ("host", "port")}


def _service(url: str) -> str:
    return urlsplit(url).path.strip("/")


def place_of(host: str, port: int) -> str:
    """Return `host:port` as it is written in an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def pair(host: str, port: int = 6379) -> tuple[str, int]:
    """Return the host and the port of `host:port`; `port` is the default."""
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port or port
