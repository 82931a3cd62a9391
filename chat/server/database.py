"""Checks and prepares the database before `chat serve` starts workers."""

from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from ..redis_client import urls
from ..store import Store
from ..store.migrations import TooNew
from .embedded_valkey import CannotStart

MIN_REDIS_VERSION = (7, 0)
CONNECT_SECONDS = 5


def check_redis(url: str) -> None:
    """Raise CannotStart when no Redis of MIN_REDIS_VERSION or newer answers at `url`."""
    try:
        retry = Retry(NoBackoff(), 0)
        with urls.client(url, retry=retry, socket_connect_timeout=CONNECT_SECONDS) as client:
            info = client.info("server")
    except (RedisError, RedisClusterException, OSError) as error:
        raise CannotStart(f"cannot reach Redis at {masked(url)}: {error}") from None
    mode = info.get("server_mode") or info.get("redis_mode")  # the names in Valkey and in Redis
    if mode in ("cluster", "sentinel") and "+" not in url:
        form = f"{url.partition(':')[0]}+{mode}://"
        raise CannotStart(f"{masked(url)} is a {mode}: begin REDIS_URL with {form}")
    version = str(info.get("valkey_version") or info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS_VERSION:
        raise CannotStart(f"Redis at {masked(url)} is version {version}; 7.0 or newer is needed")


def prepare_schema(url: str) -> None:
    """Migrate the database at `url` to the schema of this code. Raises CannotStart."""
    try:
        with urls.client(url) as client:
            Store(client).schema.prepare()
    except TooNew as error:
        raise CannotStart(str(error)) from None
    except (RedisError, RedisClusterException, OSError) as error:
        raise CannotStart(f"cannot write to Redis at {masked(url)}: {error}") from None


def masked(url: str) -> str:
    """Return `url` without its passwords and parameters, for people and logs."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
