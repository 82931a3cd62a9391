"""The wheel carries templates and static files, and runs from any folder."""

import os
import subprocess
import sys
import zipfile

import pytest

from ..running import ROOT, Server, Visitor
from .test_people import picture, save


class Installed(Server):
    """`chat serve` from the unpacked wheel, the checkout out of sight."""

    def start(self):
        self.env["PYTHONPATH"] = str(self.data.parent / "site")
        return super().start()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    uv = ROOT / ".venv" / "bin" / "uv"
    made = subprocess.run(
        [str(uv) if uv.exists() else "uv", "build", "--wheel", "--out-dir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_all_it_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "chat/templates/layout.html",
        "chat/templates/macros/messages.html",
        "chat/static/css/06-messages.css",
        "chat/static/vendor/htmx-4.0.1.min.js",
        "chat/store/scripts/post.lua",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_the_wheel_runs_from_any_folder(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    where = subprocess.run(
        [sys.executable, "-c", "import chat; print(chat.__file__)"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(tmp_path)), where
    server = Installed(tmp_path / "chat").start()
    try:
        visitor = Visitor(server.url, "Ann")
        assert "Tea" in visitor.room(visitor.create_room("Tea"))
        assert visitor.get("/static/vendor/hx-ws-4.0.1.min.js").status_code == 200
        assert save(visitor, picture(), name="Ann").status_code == 303
    finally:
        server.clean_up()
