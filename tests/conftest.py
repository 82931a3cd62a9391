"""A real Valkey for the whole run, emptied for each test, and the chat as it runs.

Both are the run's own: no setting of the machine, a REDIS_URL above all, reaches the tests.
"""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from chat.server.embedded_valkey import EmbeddedValkey
from chat.store import Store

from .provider import Provider
from .running import ROOT, Server, Visitor, opened

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("chat", deadline=None)
hypothesis.settings.load_profile("chat")

for name in list(os.environ):
    if name.startswith("CHAT_") or name in ("REDIS_URL", "SECRET_KEY", "PORT"):
        del os.environ[name]
# What each process of a chat would have to compile anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Each process of a run imports all tests. Of what that makes nothing is garbage, and to look for it
# is a quarter of the work, then and at each search later.
gc.disable()


# Files that take long, the longest first: of several processes, one that begins such a file last
# works alone at the end, while the others have nothing to do. (xdist by itself begins with those
# of most tests, which are the short ones; `make test` tells it not to.)
LONG = [
    f"tests/{name}.py"
    for name in (
        *("integration/test_liveness", "integration/test_serving", "integration/test_permissions"),
        *("browser/test_network", "faults/test_hub_machine", "integration/test_bad_values_forms"),
        *("browser/test_accessible", "integration/test_images", "integration/test_growth"),
        *("browser/test_reading", "browser/test_rooms", "integration/test_first_run"),
        *("browser/test_pages", "browser/test_messages", "browser/test_writing"),
        *("integration/test_read_means_seen", "integration/test_event_stream"),
        *("integration/test_api", "integration/test_bad_values_programs", "faults/test_faults"),
        *("browser/test_mentions", "browser/test_reactions", "integration/test_sign_in"),
        *("integration/test_rate_limits", "faults/test_repeats_machine", "faults/test_machine"),
        *("integration/test_import", "integration/test_export", "integration/test_clocks"),
        *("integration/test_backup", "integration/test_docker_image", "integration/test_quotas"),
        *("browser/test_files", "browser/test_search", "integration/test_webhooks"),
        *("integration/test_bad_values_headers", "integration/test_answer_sizes"),
        *("integration/test_text_renderer", "integration/test_ending", "integration/test_search"),
    )
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        order = {ROOT / name: place for place, name in enumerate(LONG)}
        items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()


@pytest.fixture(autouse=True)
def close_what_was_opened() -> Iterator[None]:
    yield
    opened.pop_all().close()


@pytest.fixture(scope="session")
def valkey_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def valkey(valkey_of_the_run: EmbeddedValkey) -> EmbeddedValkey:
    """The run's database, empty at the start of each module, whatever the module before left."""
    with redis.Redis.from_url(valkey_of_the_run.url) as connection:
        connection.flushall()
    return valkey_of_the_run


@pytest.fixture
def client(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    """A connection to an empty database."""
    with redis.Redis.from_url(valkey.url, decode_responses=True) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def store(client: redis.Redis) -> Store:
    return Store(client)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Another site, at which people sign in."""
    running = Provider().start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One chat for the stories of a module; they make rooms of their own, and write faster than
    people do."""
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_LIMITS="off").start()
    yield running
    running.clean_up()


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Server]:
    """A chat of the test's own, to be killed and started again."""
    running = Server(tmp_path / "chat", CHAT_LIMITS="off").start()
    yield running
    opened.pop_all().close()  # pages first: a server waits for those that do not read
    running.clean_up()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("survivor"), CHAT_LIMITS="off")
    yield running
    running.clean_up()


@pytest.fixture
def mortal_server(survivor: Server) -> Iterator[Server]:
    """One chat for the tests of a module that kill it, or parts of it: started again where the
    test before has not left it ready. A start costs as much as many a test."""
    if not survivor.is_ready():
        survivor.clean_up()
        survivor.start()
    survivor.forget_log()
    yield survivor
    opened.pop_all().close()


@pytest.fixture
def ann(server: Server) -> Visitor:
    return Visitor(server.url, "Ann")


@pytest.fixture
def bob(server: Server) -> Visitor:
    return Visitor(server.url, "Bob")


@pytest.fixture
def tea(ann: Visitor, bob: Visitor) -> str:
    """The id of an open room of Ann's with Bob in it; nothing was said yet."""
    rid = ann.create_room("Tea")
    bob.join(rid)
    return rid
