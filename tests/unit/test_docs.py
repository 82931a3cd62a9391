"""The documents name tests, files, functions, settings and commands that exist."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib

import pytest

from ..running import ROOT

DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "chat").rglob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
# What looks like a name of ours in the documents and is not.
FILES = {
    "py",
    "lua",
    "html",
    "md",
    "css",
    "toml",
    "yaml",
    "yml",
    "conf",
    "json",
    "lock",
    "log",
    "rdb",
}
FOREIGN = {"htmx", "ws", "transport", "hypercorn", *sys.stdlib_module_names}


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
def test_every_module_script_or_template_that_is_named_alone_exists(document):
    named = set(re.findall(r"`((?:\w+/)?\w+\.(?:py|lua|html))`", document.read_text()))
    exist = {path for folder in ("chat", "templates", "tests") for path in _files(folder)}
    assert [
        name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in exist)
    ] == []


def _files(folder):
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.*")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_function_class_and_constant_that_is_named_exists(document):
    """In backticks: `module.name`, `Class.method` or `module.Class.method`."""
    named = set(re.findall(r"`([A-Za-z]\w*(?:\.\w+)+)(?:\(\w*\))?`", document.read_text()))
    foreign = FOREIGN | importlib.metadata.packages_distributions().keys()
    ours = [n for n in named if n.split(".")[0] not in foreign and n.split(".")[-1] not in FILES]
    assert [name for name in ours if not _is_defined(name)] == []


def _is_defined(name):
    """Whether a module or class that is called like the part before the last defines the last."""
    owner, last = name.split(".")[-2:]
    texts = {path: path.read_text() for path in (ROOT / "chat").rglob("*.py")}
    owners = [
        text
        for path, text in texts.items()
        if path.stem == owner or re.search(rf"^class {owner}\b", text, re.M)
    ]
    define = rf"^ *(?:async def|def|class) {last}\b|^ *(?:self\.)?{last}(?::.*)? = |^ +{last}: "
    return any(re.search(define, text, re.M) for text in owners)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_target_of_make_that_is_named_exists(document):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^    )make ([a-z][\w-]*)", document.read_text(), re.M))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_section_leads_to_a_heading(document):
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([\w-]+)\)", document.read_text()):
        text = (document.parent / target if target else document).read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.M)
        assert anchor in {_anchor(heading) for heading in headings}, f"{target}#{anchor}"


def _anchor(heading):
    """As GitHub makes it: lower case, hyphens for spaces, no other punctuation."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("the HTML of a message", 'id="m-'),
        ("the Redis key of a room", "chat:room:"),
        ("the close code of a slow reader", "1013"),
        ("how many messages a person can post per second", '"post": Rate('),
        ("the OpenID Connect callback", "/callback"),
        ("add a page for administrators", 'Blueprint("admin"'),
        ("add a setting", "CHAT_BIND"),
    ],
)
def test_contributing_says_where_to_find_what_a_newcomer_looks_for(question, answer):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith(f"| {question} |"))
    assert answer in (ROOT / re.findall(r"`([^`]+)`", row)[0]).read_text()


def test_contributing_lists_the_packages_in_the_order_of_their_layers():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(one["layers"] for one in contracts["contracts"] if one["id"] == "layers")
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("For example:")[0]
    assert re.findall(r"`chat/(\w+)(?:/|\.py)`", text) == layers


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
