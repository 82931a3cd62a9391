"""Nothing overflows, however long a name is and however narrow the window."""

import re

import pytest

from ..running import Server, Visitor, wait_until
from .conftest import People

pytestmark = pytest.mark.browser

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunter"[:60]
# What is wider than the window, and what one clicks or types in that stands out of its surface.
OVER = """() => {
    const surface = one => one.closest(".side, .card, .panel, body");
    const right = one => one.getBoundingClientRect().right;
    const over = [...document.querySelectorAll("a, button, input, select, textarea, h1, h2")]
        .filter(one => one.checkVisibility() && one.offsetWidth > 1 && surface(one).offsetWidth > 1)
        .filter(one => right(one) > right(surface(one)) + 1)
        .map(one => one.outerHTML.slice(0, 80));
    const page = document.documentElement;
    return page.scrollWidth > page.clientWidth ? [page.scrollWidth + " px wide", ...over] : over;
}"""


def test_nothing_stands_over_an_edge(people: People, server: Server):
    bob = Visitor(server.url, LONG[:40])
    bob.submit("/rooms", "/rooms/new", name=LONG, kind="open", about=LONG * 3)
    rid = re.search(r"/rooms/([\w-]+)", bob.get("/").text.partition('id="rooms"')[2])[1]
    ann = people.come(server.url, "Ann", viewport={"width": 320, "height": 640})
    ann.join_room(rid)
    bob.post(rid, f"@Ann {'w' * 300} https://example.org/{'a/' * 100}")
    found = []
    room = f"/rooms/{rid}"
    search = "/search?q=example"
    wait_until(lambda: "found__result" in bob.get(search).text, "the message being found")
    lists = ("/go", "/mentions", "/unread", "/rooms", "/me", search)
    for path in ("/", room, f"{room}/people", *lists):
        ann.open(path)
        for width in (320, 800):
            ann.page.set_viewport_size({"width": width, "height": 640})
            found += [f"{path} at {width}: {what}" for what in ann.page.evaluate(OVER)]
    assert not found, "\n".join(found)
