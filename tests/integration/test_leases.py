"""Work that only one process does at a time."""

import asyncio
import logging

import pytest
from greenback import await_
from redis.exceptions import RedisError

from chat.store import Store, keys
from chat.store.leases import run_leased

from ..cut_line import BEFORE, Cut, CutLine

KEY = keys.TRIM_LEASE


def run_until(lease, work, errors=()):
    """Run the loop until the work says that it is done."""
    done = asyncio.Event()

    async def main():
        task = asyncio.create_task(
            run_leased(lease, lambda: await_(work(done)), 0.001, "tea", errors)
        )
        await asyncio.wait_for(done.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_one_process_at_a_time_holds_a_lease_and_any_may_after_its_release(store):
    first, second = store.lease(KEY, 60), store.lease(KEY, 60)
    assert first.acquire()
    assert not second.acquire()
    assert not second.renew(30)
    second.release()
    assert first.acquire()
    assert first.renew(30)
    first.release()
    assert second.renew(30)


def test_a_lease_ends_by_itself_and_is_renewed_only_when_due(store, client):
    lease = store.lease(KEY, 60)
    assert lease.acquire()
    assert 0 < client.pttl(KEY) <= 60_000
    client.delete(KEY)
    assert lease.renew(30), "it was renewed a moment ago: the database is not asked"
    assert not client.exists(KEY)
    assert lease.renew(0)
    assert client.exists(KEY)


def test_work_is_done_while_the_lease_is_held_and_the_lease_is_released_at_the_end(store, client):
    lease, held = store.lease(KEY, 60), []

    async def work(done):
        held.append(client.get(KEY))
        if len(held) == 3:
            done.set()
        return 0

    run_until(lease, work)
    assert len(held) >= 3
    assert set(held) == {held[0]}
    assert not client.exists(KEY)


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [
        (RedisError("x"), False),
        (OSError("x"), False),
        (KeyError("x"), False),
        (ValueError("x"), True),
    ],
)
def test_work_that_fails_is_logged_and_done_again(store, caplog, error, has_traceback):
    tries = []

    async def work(done):
        tries.append(1)
        if len(tries) == 1:
            raise error
        done.set()
        return 0

    with caplog.at_level(logging.WARNING):
        run_until(store.lease(KEY, 60), work, (KeyError,))
    (record,) = [record for record in caplog.records if "tea have to wait" in record.message]
    assert bool(record.exc_info) == has_traceback


def test_nothing_is_done_while_another_process_holds_the_lease(store):
    other, lease, tries, done = store.lease(KEY, 60), store.lease(KEY, 60), [], []
    assert other.acquire()

    class Counted:
        """The lease, which is given to this process at the third try."""

        def acquire(self):
            tries.append(lease.acquire())
            if len(tries) == 2:
                other.release()
            return tries[-1]

        release = lease.release

    async def work(finished):
        done.append(len(tries))
        finished.set()
        return 10

    run_until(Counted(), work)
    assert tries == [False, False, True]
    assert done == [3]


def test_work_ends_in_peace_when_the_lease_cannot_be_released(valkey):
    """A worker that stops while Redis is away. The lease ends by itself."""
    with CutLine.from_url(valkey.url, decode_responses=True) as line:
        lease = Store(line).lease(KEY, 60)
        assert lease.acquire()  # now the script is known, so that each call is one command

        async def work(done):
            line.next, line.log = Cut(0, BEFORE), []
            done.set()
            return 60

        run_until(lease, work)
        assert line.next is None, "the release was tried"
        assert line.exists(KEY)
