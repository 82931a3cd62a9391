"""A cluster, or a pair with a Sentinel, shared by two hosts: the promises hold across the hosts,
and while parts of the data move or servers die."""

import asyncio
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from redis.exceptions import RedisError

from chat.bridge import await_
from chat.redis_client import urls
from chat.redis_client.cluster import LoopCluster
from chat.redis_client.pubsub import PubSub
from chat.redis_client.topology import ClusterTopology
from chat.store import Store, keys

from ..faults.reading import Refused, Stored, told
from ..running import Server, Visitor, wait_until
from .nodes import Cluster, Watched
from .page import Page

SECRET = "a secret that all hosts have in common"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def hosts(cluster, tmp_path_factory):
    """Two hosts with nothing in common but the cluster and the secret."""
    env = {"REDIS_URL": cluster.url, "SECRET_KEY": SECRET, "CHAT_LIMITS": "off"}
    folder = tmp_path_factory.mktemp("hosts")
    running = [Server(folder / name, **env).start() for name in ("one", "two")]
    yield running
    for host in running:
        host.clean_up()


def at(host, visitor):
    """The same person with the same cookie at another host."""
    there = Visitor(host.url)
    there.http.cookies = visitor.http.cookies
    return there


@contextmanager
def conversation(hosts, name):
    """Ann talks at one host in a new room while the block runs, and Bob hears her at the other:
    the room and his page. In the end he has heard all she said, in order."""
    ann, bob = Visitor(hosts[0].url, "Ann"), Visitor(hosts[1].url, "Bob")
    rid = ann.create_room(name)
    bob.join(rid)
    heard = Page(bob).watch(rid)
    heard.wait_for("joined")
    sent, stop = [], threading.Event()
    page = Page(ann).watch(rid)
    talking = threading.Thread(target=lambda: sent.extend(talk(page, rid, stop)))
    talking.start()
    try:
        yield rid, heard
    finally:
        stop.set()
        talking.join()
    heard.wait_shown(sent[-1])
    assert heard.bodies == sent


def talk(page, rid, stop):
    """Say one thing after the other until told to stop; returns what was said."""
    sent = []
    while not stop.is_set():
        sent.append(f"message {len(sent):03}")
        say(page, rid, sent[-1])
    return sent


def say(page, rid, body):
    """Send a message, and again with its nonce while it is refused."""
    nonce = page.post(rid, body)
    while not acknowledged(page, nonce):
        page.post(rid, body, nonce)


def acknowledged(page, nonce):
    """Read until a composer is acknowledged, or comes back with a reason."""
    while True:
        for what in told(page.receive() or ""):
            if isinstance(what, Stored | Refused) and what.nonce == nonce:
                return isinstance(what, Stored)
        assert page.code is None, page.code


# Two hosts


def test_two_hosts_serve_one_conversation_and_any_of_them_any_page(hosts):
    one, two = hosts
    ann, bob = Visitor(one.url, "Ann"), Visitor(two.url, "Bob")
    rid = ann.create_room("Tea")
    bob.join(rid)
    anns, bobs = Page(ann).watch(rid), Page(bob).watch(rid)
    anns.wait_for("joined")
    for n in range(10):
        (anns, bobs)[n % 2].post(rid, f"message {n}")
        for page in (anns, bobs):
            page.wait_shown(f"message {n}")
    bobs.close()
    anns.post(rid, "while Bob was away")
    anns.wait_shown("while Bob was away")
    bobs.visitor = at(one, bob)  # the load balancer's choice
    bobs.reconnect()
    bobs.watch(rid).wait_shown("while Bob was away")
    assert bobs.bodies == anns.bodies == [*(f"message {n}" for n in range(10)), anns.bodies[-1]]
    assert set(bobs.times.values()) == {1}
    # A form that stood on a page of one host is taken by the other, and what follows is heard.
    assert at(two, ann).post(rid, "a form").status_code == 303
    for page in (anns, bobs):
        page.wait_shown("a form")


def test_who_leaves_at_one_host_is_out_at_the_other(hosts):
    one, two = hosts
    ann, bob = Visitor(one.url, "Ann"), Visitor(two.url, "Bob")
    rid = ann.create_room("Club", "closed", [bob.uid])
    page = Page(bob).watch(rid)
    page.wait_for("created this room")
    assert at(one, bob).submit(f"/rooms/{rid}/leave").status_code == 303
    page.wait_for("You are no longer in this room")
    assert ann.post(rid, "about Bob").status_code == 303
    wait_until(lambda: "about Bob" in ann.room(rid))
    assert "about Bob" not in page.bodies


def test_what_is_said_at_one_host_is_found_at_the_other(hosts):
    one, two = hosts
    ann = Visitor(one.url, "Ann")
    rid = ann.create_room("New, and heard of at once")
    ann.post(rid, "the first kettle")
    there = at(two, ann)
    wait_until(lambda: finds(there, "kettle"), "the nudge", deadline=20)
    ann.post(rid, "a teaspoon")
    wait_until(lambda: finds(there, "teaspoon"), "the nudge", deadline=20)


def test_who_is_here_is_the_same_at_both_hosts(hosts, cluster):
    """And what the scripts for that use is on one node; no node but that one says what time it
    is for all."""
    one, two = hosts
    ann, bob = Visitor(one.url, "Ann"), Visitor(two.url, "Bob")
    rid = ann.create_room("Who is here?")
    bob.join(rid)
    pages = [Page(ann).watch(rid), Page(bob).watch(rid)]
    for page in pages:
        page.wait_for("2 online")
    owners = {
        cluster.owner(key).port for key in (keys.PRESENT, keys.UNANNOUNCED, keys.PRESENCE_CHECKED)
    }
    assert len(owners) == 1
    with urls.client(cluster.url) as client:
        store = Store(client)
        assert store.presence.here([bob.uid]) == {bob.uid}
        assert store.clock.now() == pytest.approx(time.time(), abs=5)


def finds(visitor, word):
    return f"<mark>{word}</mark>" in visitor.get("/search", params={"q": word}).text


# On the console


def test_the_console_sees_all_rooms_of_all_nodes(hosts, cluster, tmp_path):
    ann = Visitor(hosts[0].url, "Ann")
    rids = {ann.create_room(f"Room {n}") for n in range(12)}
    assert len({cluster.owner(keys.room(rid)).port for rid in rids}) == 3
    for rid in rids:
        ann.post(rid, "kept")
    with urls.client(cluster.url) as client:
        store = Store(client)
        assert rids <= set(store.retention.rooms())
        assert rids <= {
            record["id"] for record in store.exporter().everything() if record["is"] == "room"
        }
        missing = sorted(rids)[0]
        client.zrem(keys.OPEN_ROOMS, missing)
    finished = hosts[0].console("check", "--repair")
    assert f"the open room {missing} is not in the index" in finished.stdout, finished
    assert finished.returncode == 0, finished
    file = tmp_path / "all.chat"
    finished = hosts[0].console("export", "--all", str(file))
    assert finished.returncode == 0, finished
    with urls.client(cluster.url) as client:
        client.delete(*keys.of_room(missing))
    finished = hosts[1].console("import", "--all", str(file))
    assert finished.returncode == 0, finished
    assert "kept" in ann.room(missing)


# What moves and what dies


def test_a_slot_that_moves_during_a_conversation_loses_and_doubles_nothing(hosts, cluster):
    with conversation(hosts, "Moving") as (rid, heard):
        for n in range(3):
            heard.wait_shown(f"message {10 * n + 5:03}")
            cluster.move(keys.room(rid))
        heard.wait_shown("message 040")
    assert set(heard.times.values()) == {1}
    assert heard.code is None


def test_a_node_that_dies_is_replaced_and_pages_go_on(hosts, cluster):
    one, two = hosts
    ann, bob = Visitor(one.url, "Ann"), Visitor(two.url, "Bob")
    rid = ann.create_room("Mortal")
    bob.join(rid)
    heard, page = Page(bob).watch(rid), Page(ann).watch(rid)
    say(page, rid, "before")
    say(heard, rid, "ready")  # a page that still asks Redis for the room would be asked back
    heard.wait_shown("before")
    owner = cluster.owner(keys.room(rid))
    wait_until(owner.is_copied, "the copy")
    owner.kill()
    say(page, rid, "after")
    heard.wait_shown("after")
    assert heard.bodies == ["before", "ready", "after"]
    assert heard.code is None
    for host in hosts:
        wait_until(host.is_ready, "readiness")
    owner.start()  # as a replica of its successor
    cluster.wait_whole()
    page.post(rid, "all is well")
    heard.wait_shown("all is well")


def test_a_planned_failover_is_not_noticed(hosts, cluster):
    with conversation(hosts, "Planned") as (rid, heard):
        heard.wait_shown("message 005")
        owner = cluster.owner(keys.room(rid))
        replicas = [str(port) for _, port, _ in owner.client.role()[2]]
        replica = next(node for node in cluster.nodes if str(node.port) in replicas)
        replica.ask("CLUSTER", "FAILOVER")
        wait_until(lambda: replica.is_primary and not owner.is_primary, "the failover")
        count = int(heard.bodies[-1].split()[1])
        heard.wait_shown(f"message {count + 20:03}")


# The client by itself


@pytest.fixture
def ask(cluster):
    """Run a coroutine with a client of the event loop."""

    def run(conversation):
        async def main():
            topology = ClusterTopology(cluster.url)
            redis = LoopCluster(topology, await_)
            try:
                return await asyncio.wait_for(conversation(redis), 30)
            finally:
                await redis.aclose()
                await topology.aclose()

        return asyncio.run(main())

    return run


def test_answers_of_several_nodes_come_in_the_order_of_the_questions(ask, cluster):
    names = [f"chat:test:{n}" for n in range(100)]

    async def conversation(redis):
        await asyncio.gather(*(redis.ask(("SET", name, name, "EX", 60), {}) for name in names))
        return await asyncio.gather(*(redis.ask(("GET", name), {}) for name in names))

    assert ask(conversation) == names
    assert len({cluster.owner(name).port for name in names}) == 3


def test_what_is_half_moved_is_waited_for_and_done_once(ask, cluster):
    """One key is here, the other there: TRYAGAIN, which means that nothing was done."""
    one, two = "chat:{half}:one", "chat:{half}:two"
    script = "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])"

    async def conversation(redis):
        await redis.ask(("MSET", one, 1, two, 1), {})
        move = cluster.begin_move(one, cluster.other(cluster.owner(one)))
        move.take(1)
        answer = redis.ask(("EVAL", script, 2, one, two), {})
        refused = move.source.client
        await asyncio.to_thread(wait_until, lambda: errors(refused, "TRYAGAIN"), "TRYAGAIN")
        assert not answer.done()
        move.take(1)
        # All is there, and asked for there before the slot is: ASK.
        assert await answer == 2
        assert await redis.ask(("GET", two), {}) == "2"
        move.end()
        assert await redis.ask(("MGET", one, two), {}) == ["2", "2"]
        await redis.ask(("DEL", one, two), {})

    ask(conversation)


def test_connections_to_a_node_that_leaves_are_closed_when_it_has_answered(ask, cluster):
    async def conversation(redis):
        await redis.ask(("GET", "a"), {})
        owner = cluster.owner("a")
        place = f"127.0.0.1:{owner.port}"
        await redis._node(place).ask(("CLIENT SETNAME", "leaver"), {})
        topology, client = redis.topology, redis.topology.client(place)
        await client.ping()
        # It is left out while a command is on its way.
        waiting = redis._node(place).ask(("ECHO", "heard"), {})
        topology.places.discard(place)
        redis._arrange()
        assert place in redis._nodes
        assert await waiting == "heard"
        await topology._close_clients()
        await until(lambda: place not in redis._nodes)
        await until(lambda: "leaver" not in str(owner.client.client_list()))
        assert place not in topology._clients
        assert client.connection_pool._in_use_connections == set()
        assert not any(c.is_connected for c in client.connection_pool._available_connections)
        # It is back, and is asked again.
        topology.invalidate()
        await until(lambda: place in topology.places)
        assert await redis.ask(("SET", "a", "b"), {}) is True
        assert place in redis._nodes

    ask(conversation)


def test_a_node_that_is_replaced_has_no_connection_of_ours_any_more(ask, cluster):
    async def conversation(redis):
        for key in "abcdef":  # on all three nodes
            await redis.ask(("SET", key, "1"), {})
        owner = cluster.owner("a")
        place = f"127.0.0.1:{owner.port}"
        await redis._node(place).ask(("CLIENT SETNAME", "leaver"), {})
        replicas = [str(port) for _, port, _ in owner.client.role()[2]]
        replica = next(node for node in cluster.nodes if str(node.port) in replicas)
        replica.ask("CLUSTER", "FAILOVER")
        await until(lambda: replica.is_primary and not owner.is_primary)

        async def is_gone():
            with suppress(RedisError):
                await redis.ask(("SET", "a", "2"), {})
            return (
                place
                not in redis.topology.places | redis._nodes.keys() | redis.topology._clients.keys()
            )

        while not await is_gone():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await until(lambda: "leaver" not in str(owner.client.client_list()))

    ask(conversation)
    cluster.wait_whole()


async def until(true):
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def errors(client, kind):
    return client.info("errorstats").get(f"errorstat_{kind}")


def test_a_subscription_follows_its_slot(cluster):
    """Nobody asks for anything there who could find out: the server takes it back."""
    name, heard, stood = "chat:{followed}", [], []

    def told(name, again):
        stood.append(again)

    async def conversation():
        topology = ClusterTopology(cluster.url)
        channels = PubSub(topology, lambda _, text: heard.append(text), told)
        running = asyncio.create_task(channels.run())
        channels.add(name)
        await channels.ready(name, 10)
        for n in range(3):
            await asyncio.to_thread(cluster.move, name)
            await asyncio.to_thread(wait_until, lambda n=n: len(stood) > n + 1, "another place")
            cluster.owner(name).client.spublish(name, f"word {n}")
            await asyncio.to_thread(wait_until, lambda n=n: f"word {n}" in heard, "the word")
        assert stood == [False, True, True, True]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await topology.aclose()

    asyncio.run(conversation())


def test_a_cluster_that_is_not_there_is_told_to_who_asks():
    from redis.exceptions import ConnectionError as RedisConnectionError

    async def conversation():
        topology = ClusterTopology("redis+cluster://127.0.0.1:1")
        redis = LoopCluster(topology, await_)
        with pytest.raises(RedisConnectionError):
            await asyncio.wait_for(redis.ask(("GET", "k"), {}), 5)
        await redis.aclose()
        await topology.aclose()

    asyncio.run(conversation())


def test_the_address_of_one_node_says_what_to_write(cluster, tmp_path):
    host = Server(tmp_path / "data", REDIS_URL=f"redis://127.0.0.1:{cluster.nodes[0].port}")
    with pytest.raises(AssertionError, match="redis\\+cluster://"):
        host.start()


# Sentinel


def test_behind_sentinels_the_successor_is_found(tmp_path):
    watched = Watched(tmp_path / "watched")
    host = Server(tmp_path / "host", REDIS_URL=watched.url, CHAT_LIMITS="off")
    try:
        host.start()
        ann = Visitor(host.url, "Ann")
        rid = ann.create_room("Watched")
        page = Page(ann).watch(rid)
        page.post(rid, "before")
        page.wait_shown("before")
        first = watched.primary
        wait_until(first.is_copied, "the copy")
        first.kill()
        say(page, rid, "after")
        page.wait_shown("after")
        assert page.bodies == ["before", "after"]
        wait_until(host.is_ready, "readiness")
        assert host.console("check").returncode == 0
    finally:
        host.clean_up()
        watched.clean_up()
