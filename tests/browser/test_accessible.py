"""axe-core finds no fault with any page and state of a room, light and wide, dark and narrow.
axe-core is a script that this test adds to the page; the chat does not contain it.
"""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from ..integration.rules import PAGE_ROWS
from ..integration.test_files import image, send
from ..integration.world import World
from ..running import Server, Visitor
from .conftest import People, meet
from .person import Person

pytestmark = pytest.mark.browser

AXE = Axe().axe_script
# Every rule, those of good practice too, and of targets that are too small for a finger.
BEST = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
# The rules that dark colours and the width of a phone can affect.
AGAIN = ["color-contrast", "target-size", "page-has-heading-one", "heading-order", "region"]
NARROW = {**BEST, "runOnly": {"type": "rule", "values": AGAIN}}
WIDE, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 780}


def findings(person: Person) -> list[str]:
    """What axe has to say of the page as it is, and in the dark on a phone."""
    found = []
    for scheme, size, options in (("light", WIDE, BEST), ("dark", PHONE, NARROW)):
        person.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        person.page.set_viewport_size(size)
        if scheme == "light":
            person.page.evaluate(AXE)
        for rule in person.page.evaluate("options => axe.run(options)", options)["violations"]:
            where = [f"{node['html'][:200]} ({node['failureSummary']})" for node in rule["nodes"]]
            found.append(f"{person.page.url} in {scheme}: {rule['id']}: {where}")
    person.page.emulate_media(color_scheme="light")
    person.page.set_viewport_size(WIDE)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with World.running(tmp_path_factory.mktemp("chat")) as there:
        yield there


def pages(world: World):
    """Each page of the tables of rules.py with who may see it; of a room one kind will do."""
    seen = set()
    for what, kind, codes in PAGE_ROWS:
        method, path = what.split()
        who = next((w for w in ("stranger", "owner", "member", "admin") if codes[w] == 200), "")
        if method != "GET" or not who or what in seen:
            continue
        path = world.fill(path, kind, who)
        endless = path.partition("?")[0].endswith("/stream")
        answer = None if endless else world[who].ask("GET", path)
        if answer is None or answer.text.lstrip().startswith("<!DOCTYPE"):
            seen.add(what)
            yield who, path


def test_no_page_has_a_finding(people: People, world: World):
    there = list(pages(world))
    assert len(there) > 25
    people.allowed = ("status of 404",)
    found = []
    for who in sorted({who for who, _ in there}):
        person = people.come(world.server.url)
        person.page.context.add_cookies(
            [
                {"name": name, "value": value, "url": world.server.url}
                for name, value in world[who].kept.items()
                if who != "stranger"
            ]
        )
        for path in [path for by, path in there if by == who] + ["/nope"] * (who == "owner"):
            person.page.goto(world.server.url + path, wait_until="commit")
            expect(person.page.locator("body")).to_be_visible()
            found += findings(person)
    assert not found, "\n".join(found)


def test_no_state_of_a_room_has_a_finding(people: People, server: Server):
    """The list, every kind of message, the menu, a preview, a refusal, a lost connection."""
    ann, bob = people.come(server.url, "Ann"), people.come(server.url, "Bob")
    meet(ann, bob)
    bob.send("**bold** `code` https://example.org")
    bob.send("دينا 🍅")
    ann.wait_for("دينا 🍅")
    found = findings(ann)

    message = ann.page.locator("#messages > .message").first
    message.hover()
    message.get_by_role("button", name="More").click()
    menu = ann.page.get_by_role("dialog")
    expect(menu).to_be_visible()
    found += findings(ann)
    menu.get_by_role("link", name="Reply").click()
    expect(ann.page.locator(".composer__reply .quote")).to_be_visible()
    ann.send("an answer")
    ann.wait_for("an answer")
    message.hover()
    message.get_by_role("button", name="More").click()
    menu.get_by_role("button", name="👍").click()
    expect(message.locator(".reaction")).to_have_count(1)
    own = ann.page.locator("#messages > .message").last
    own.hover()
    own.get_by_role("button", name="More").click()
    ann.page.get_by_role("link", name="Edit or delete").click()
    ann.page.get_by_text("Delete…").click()
    found += findings(ann)
    ann.page.locator(".editor").get_by_role("button", name="Cancel").click()
    bob.type("typing")
    expect(ann.page.locator("#typing")).to_contain_text("Bob")
    found += findings(ann)

    ann.page.locator("#body").focus()
    ann.enter("   ")
    expect(ann.page.get_by_role("alert")).to_be_visible()
    expect(ann.page.locator("#composer > .composer")).to_have_count(2)
    ann.page.get_by_role("button", name="Write multiple lines").last.click()
    ann.page.locator("textarea#body").fill("# Title\n\n> quoted\n\n- one\n- two")
    ann.page.get_by_role("button", name="Preview").click()
    expect(ann.page.locator(".composer__preview")).to_be_visible()
    ann.page.evaluate("document.querySelector('#live').dispatchEvent(new Event('htmx:ws:close'))")
    expect(ann.page.locator(".connection__text")).to_have_css("opacity", "1")
    found += findings(ann)
    assert not found, "\n".join(found)


STYLE = "(one, [name, part]) => getComputedStyle(one, part)[name]"


def test_who_asks_for_more_contrast_or_own_colours_sees_what_is_what(ann: Person, room: str):
    """Edges in the place of shades, and no quiet text."""
    ann.send("hello")
    page, current = ann.page, ann.page.locator(f"#room-{room} a")
    bubble, about = page.locator(".message__main").last, page.locator(".panel__about")

    def style(one, name: str, part: str = "") -> str:
        return one.evaluate(STYLE, [name, part])

    assert style(bubble, "borderTopStyle") == "none"
    assert style(about, "color") != style(page.locator("body"), "color")
    page.emulate_media(contrast="more")
    assert style(bubble, "borderTopStyle") == "solid"
    assert style(about, "color") == style(page.locator("body"), "color")
    page.emulate_media(contrast="no-preference", forced_colors="active")
    assert style(bubble, "borderTopStyle") == "solid"
    assert style(current, "outlineStyle") == "solid"


def test_files_have_no_finding(people: People, server: Server, tmp_path: Path):
    """In a message, being chosen, and refused."""
    bob = Visitor(server.url, "Bob")
    rid = bob.create_room("Tea")
    shown = [("a.png", image("PNG")), ("song.mp3", b"ID3"), ("film.mp4", b"x"), ("b.pdf", b"%PDF")]
    assert send(bob, rid, *shown, body="all of it").status_code == 303
    assert send(bob, rid, ("only.png", image("PNG"))).status_code == 303
    ann = people.come(server.url, "Ann")
    ann.join_room(rid)
    ann.wait_live()
    found = findings(ann)
    ann.page.get_by_role("button", name="Attach files").click()
    field = ann.page.locator(".attach__field")
    expect(field).to_be_focused()
    found += findings(ann)
    (tmp_path / "run.exe").write_bytes(b"MZ")
    field.set_input_files(tmp_path / "run.exe")
    ann.page.locator(".composer--files").get_by_role("button", name="Send").click()
    expect(ann.page.get_by_role("alert")).to_be_visible()
    found += findings(ann)
    people.allowed = ("status of 400", "Media", "media")
    assert not found, "\n".join(found)


def test_the_log_tells_of_what_comes_and_of_nothing_else(people: People, server: Server):
    """A screen reader announces new messages, but neither older nor changed ones."""
    bob = Visitor(server.url, "Bob")
    rid = bob.create_room("Tea")
    for number in range(60):
        bob.post(rid, f"m{number}")
    ann = people.come(server.url, "Ann")
    ann.join_room(rid)
    ann.wait_live()
    log = ann.page.get_by_role("log")
    expect(log).to_have_attribute("aria-relevant", "additions")
    expect(log.get_by_text("m59", exact=True)).to_be_visible()
    ann.scroll(-100_000)
    ann.wait_for("m0")
    expect(log.locator("#m-2")).to_have_attribute("aria-live", "off")
    expect(log.locator("#m-61")).not_to_have_attribute("aria-live", "off")
    bob.submit(f"/rooms/{rid}/messages/61/edit", body="said better")
    body = log.locator("#m-61 .message__body")
    expect(body).to_have_text("said better")
    # The tree of Chromium's DevTools has no "off", so the attribute must do here too.
    expect(log.locator("#edited-61")).to_have_attribute("aria-live", "off")


def test_axe_does_find_something(ann: Person):
    """A test of the test."""
    ann.page.evaluate("document.body.innerHTML = '<img src=\"/x\"><p>no landmark</p>'")
    found = " ".join(re.findall(r"light: ([\w-]+):", " ".join(findings(ann))))
    ann.complaints.clear()
    assert "image-alt" in found
