"""The documents name tests, files, functions, settings and commands that exist."""

import os
import re
import subprocess
import sys

import pytest

from ..running import ROOT

DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "chat").rglob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
    ]
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_is_named_exists(document):
    text = document.read_text()
    named = re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", text)
    missing = [f"{file}::{name}" for file, name in named if not _defines(file, name)]
    assert missing == []


def _defines(file, name):
    path = ROOT / file
    return path.exists() and (not name or f"\ndef {name}(" in path.read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(document):
    ours = r"`((?:chat|docs|static|templates|tests|tools)/[\w./-]*)`"
    named = set(re.findall(ours, document.read_text()))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_target_of_make_that_is_named_exists(document):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^    )make ([a-z][\w-]*)", document.read_text(), re.M))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_every_behaviour_of_the_original_has_a_test():
    rows = [
        line
        for line in (ROOT / "docs" / "original.md").read_text().splitlines()
        if line.startswith("|") and not line.startswith(("| the original |", "|---"))
    ]
    assert len(rows) > 30
    assert [row for row in rows if "::test_" not in row.split("|")[3]] == []


def test_every_feature_has_a_test_or_the_reason_why_not():
    rows = [
        line
        for line in (ROOT / "docs" / "features.md").read_text().splitlines()
        if line.startswith("|") and not line.startswith(("| Campfire |", "|---"))
    ]
    assert len(rows) > 50
    reasons = ("`tests/", "needs a script", "not yet")
    assert [row for row in rows if not any(reason in row for reason in reasons)] == []


def test_no_setting_of_this_machine_reaches_the_tests():
    """Whoever has a REDIS_URL for work must not find the tests in it."""
    code = "import tests.conftest, os; print(*os.environ)"
    env = {**os.environ, "REDIS_URL": "redis://work", "CHAT_FILES": "gs://work", "PORT": "80"}
    seen = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=env, text=True)
    assert not {"REDIS_URL", "CHAT_FILES", "PORT"} & set(seen.split())
