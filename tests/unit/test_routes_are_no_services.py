"""Only the composition root imports modules with routes: work that other modules need is in
services, or in a module of web/ without routes."""

import ast
from pathlib import Path

import chat

ROOT = Path(chat.__file__).parent
ROUTES = {
    path.stem for path in (ROOT / "web").glob("*.py") if "Blueprint(" in path.read_text("utf-8")
}


def imports(path):
    """The modules of web/ that a file imports, by their names."""
    inside = path.parent == ROOT / "web"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module, names = node.module or "", {alias.name for alias in node.names}
            if module == "web" or (inside and node.level == 1 and not module):
                yield from names
            elif module.startswith("web."):
                yield module.removeprefix("web.")
            elif inside and node.level == 1:
                yield module


def test_nobody_imports_a_module_with_routes_but_the_application():
    assert {"messages", "rooms", "sign_in", "live"} <= ROUTES
    found = {
        f"{path.relative_to(ROOT)} imports web.{name}"
        for path in ROOT.rglob("*.py")
        if path.name != "app.py"
        for name in imports(path)
        if name in ROUTES
    }
    assert not found
