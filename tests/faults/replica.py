"""Simulates a lagging replica, and a failover to it, on one server."""

import redis

from ..running import wait_until

State = dict[str, bytes]


def state_of(url: str) -> State:
    """Return everything in the database at `url`, as a replica would have it now."""
    with redis.Redis.from_url(url) as client:
        return {key.decode(): client.dump(key) for key in client.keys("*")}


def fail_over(url: str, state: State) -> None:
    """Put the database at `url` into this state: everything written since is lost, and all
    subscribers are disconnected. Returns once Redis's clock (ms) has advanced."""
    with redis.Redis.from_url(url) as client:
        pipeline = client.pipeline(transaction=True)
        pipeline.flushdb()
        for key, value in state.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()
        client.client_kill_filter(_type="pubsub")
        seconds, micros = client.time()
        wait_until(lambda: client.time() > (seconds, micros + 1000), "another millisecond")
