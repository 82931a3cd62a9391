"""Where the modules of chat/ are, and who imports the routes. import-linter checks the layers, and
that there is no cycle of imports (pyproject.toml, `make check`)."""

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..running import ROOT

CHAT = ROOT / "chat"
TOP = {"__init__.py", "__main__.py", "app.py", "config.py", "error_pages.py"}
ROUTES = {path.stem for path in (CHAT / "web").glob("*.py") if "Blueprint(" in path.read_text()}


def test_only_the_top_of_the_application_lies_directly_in_chat():
    assert {path.name for path in CHAT.glob("*.py")} == TOP
    folders = {path for path in CHAT.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_no_two_classes_have_the_same_name():
    found = [
        node.name
        for path in CHAT.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name, count in Counter(found).items() if count > 1] == []


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """The packages and modules of chat/ that a module imports, wherever in it."""
    package = path.relative_to(CHAT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                whole = [*names, alias.name]
                yield whole[0], whole[1] if len(whole) > 1 else ""


OTHERS = [
    path
    for path in sorted(CHAT.rglob("*.py"))
    if path.parent != CHAT / "web" and path.name not in TOP
]


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(CHAT)))
def test_no_other_package_imports_a_module_with_routes(path):
    """What routes do for others is done by services."""
    found = {name for package, name in imported(path) if package == "web"}
    assert found & ROUTES == set()


def test_the_contracts_read_imports_for_type_checkers_too():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert settings["exclude_type_checking_imports"] is False
    assert not any("ignore_imports" in contract for contract in settings["contracts"])
