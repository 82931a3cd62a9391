"""No line of JavaScript is ours, and the vendored files are those of the npm package."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENDORED = ROOT / "static" / "vendor"
PAGES = [
    path
    for folder in ("templates", "static", "chat")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file()
    and VENDORED not in path.parents
    and path.suffix not in {".pyc", ".png", ".wav"}
]

# What a script of ours could look like: a script element that is not an empty one with a src, a
# handler attribute, hx-on, a javascript: or js: value, a trigger filter (htmx compiles it).
FORBIDDEN = {
    "script with a body": r"<script\b(?![^>]*\bsrc=)[^>]*>",
    "script body behind a src": r"<script[^>]*>(?!</script>)",
    "handler attribute": r"<[^>]*[\s\"']on[a-z]+\s*=",
    "hx-on": r"hx-on[:\w-]*\s*=",
    "javascript: address": r"javascript\s*:",
    "js: value": r"=\s*[\"']\s*(js|javascript):",
    "trigger filter": r"hx-trigger\s*=\s*(\"[^\"]*\[[^\"]*\"|'[^']*\[[^']*')",
    "inline style": r"<[^>]*\sstyle\s*=",
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_script_of_ours(path):
    text = path.read_text()
    found = [name for name, pattern in FORBIDDEN.items() if re.search(pattern, text, re.I)]
    # The rule is about markup; these words are in a sentence of a docstring, not in a page.
    assert not found


def test_no_script_file_of_ours():
    scripts = [p for p in ROOT.rglob("*") if p.suffix in {".js", ".mjs", ".ts", ".jsx", ".wasm"}]
    ours = [p for p in scripts if not {".venv", "node_modules", "bench"} & set(p.parts)]
    assert [p.parent for p in ours] == [VENDORED] * 4


def test_vendored_files_are_those_of_the_npm_package():
    """The checksums were taken from htmx.org 4.0.1's own files."""
    lines = (VENDORED / "SHA256SUMS").read_text().split("\n")
    recorded = {name: digest for digest, name in (line.split() for line in lines if line)}
    assert recorded == {
        "htmx-4.0.1.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
        "hx-preload-4.0.1.min.js": (
            "6526defdf2cafd6a6b9f09fe39136e7af7611d103f05cc7068489ef83993f244"
        ),
        "hx-upsert-4.0.1.min.js": (
            "9e516c6608f765b568559a4caed3c3121eff2702fb7ce012f21775639d2699c3"
        ),
        "hx-ws-4.0.1.min.js": "a7c11e4eca05417d6299bb40aaacca01572e44605389fc4d5ef12be408a4d03b",
    }
    for name, digest in recorded.items():
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    "markup",
    [
        "<script>alert(1)</script>",
        '<script src="/static/vendor/x.js">alert(1)</script>',
        '<button onclick="x()">',
        '<div hx-on:click="x()">',
        '<div hx-on::after-swap="x()">',
        '<a href="javascript:x()">',
        "<div hx-vals='js:{a: 1}'>",
        """<div hx-trigger="keyup[key=='Enter']">""",
        '<p style="color: red">',
    ],
)
def test_the_rule_finds_a_script(markup):
    """A test of the test."""
    assert any(re.search(pattern, markup, re.I) for pattern in FORBIDDEN.values())
