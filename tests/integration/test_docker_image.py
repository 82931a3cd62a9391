"""The image, as far as it can be tested without a container engine: the steps of the Dockerfile are
run, and the start command runs with nothing but what the Dockerfile declares."""

import io
import json
import os

import pytest
from PIL import Image

from ..running import Visitor, children
from .container import Container, build, can_be_run, said, stages
from .page import Page
from .test_people import save

pytestmark = pytest.mark.skipif(not can_be_run(), reason="only root can make namespaces")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def container(app, tmp_path):
    """On a platform that chooses the port."""
    running = Container(app, tmp_path, PORT="8080").start()
    yield running
    running.clean_up()


def test_the_start_command_serves_on_the_port_of_the_platform(container):
    with container.network():
        ann, bob = Visitor(container.url, "Ann"), Visitor(container.url, "Bob")
        rid = ann.create_room("Tea")
        bob.join(rid)
        page = Page(bob).watch(rid)
        assert ann.post(rid, "from a container").status_code == 303
        page.wait_shown("from a container")
        page.close()
    assert container.health() == 0


def test_a_large_upload_finds_a_place_on_a_read_only_system(container):
    """More than is kept in memory is buffered in a file."""
    file = io.BytesIO()
    Image.frombytes("RGB", (600, 600), os.urandom(3 * 600 * 600)).save(file, "PNG")
    with container.network():
        ann = Visitor(container.url, "Ann")
        assert save(ann, file.getvalue(), name="Ann").status_code == 303
        assert f"/people/{ann.uid}/picture" in ann.get("/me").text


def test_it_is_nobody_special_and_writes_to_the_data_folder_only(container):
    assert container.user >= 1000
    for pid in children(container.pid):
        assert os.stat(f"/proc/{pid}").st_uid == container.user
    for path in ("/", "/app", "/tmp", "/etc", "/usr"):
        assert container.run("touch", f"{path}/x") != 0
    assert container.run("touch", "/data/x") == 0


def test_sigterm_ends_it_cleanly_and_the_next_start_has_everything(container):
    with container.network():
        ann = Visitor(container.url, "Ann")
        rid = ann.create_room("Tea")
        ann.post(rid, "still here")
    assert container.stop() == 0
    container.start()
    with container.network():
        ann.http.close()
        again = Visitor(container.url)
        again.http.cookies = ann.http.cookies
        assert "still here" in again.room(rid)


def test_an_unhealthy_container_is_seen(app, tmp_path):
    """The health check asks the port that is served: on another one nobody answers."""
    running = Container(app, tmp_path).start()
    try:
        assert running.env["PORT"] == said(stages()[-1], "EXPOSE")
        assert running.health() == 0
        running.env["PORT"] = "8001"
        assert running.health() != 0
    finally:
        running.clean_up()


def test_the_command_needs_no_shell():
    """As process 1 it gets the signals itself."""
    assert json.loads(said(stages()[-1], "CMD")) == ["chat", "serve"]
