"""What a replica that lags has of the database, and the failover to it, on one server."""

import redis

from ..running import wait_until

State = dict[str, bytes]


def state_of(url: str) -> State:
    """Everything in the database at `url`, as a replica would have it now."""
    with redis.Redis.from_url(url) as client:
        return {key.decode(): client.dump(key) for key in client.keys("*")}


def fail_over(url: str, state: State) -> None:
    """Put the database at `url` into this state: what was written since is lost, and everyone
    who listens is cut off. Returns when Redis's clock (ms) has moved on."""
    with redis.Redis.from_url(url) as client:
        pipeline = client.pipeline(transaction=True)
        pipeline.flushdb()
        for key, value in state.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()
        client.client_kill_filter(_type="pubsub")
        seconds, micros = client.time()
        wait_until(lambda: client.time() > (seconds, micros + 1000), "another millisecond")
