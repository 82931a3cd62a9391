"""Every page: no violation of a strict policy, usable on a phone, and without JavaScript."""

import pytest
from playwright.sync_api import Locator, Page, expect

from ..running import Server, Visitor, alive, wait_until
from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser

NOT_FOUND = "the server responded with a status of 404"


def every_page(rid: str) -> list[str]:
    message = f"/rooms/{rid}/messages/2"
    return [
        "/",
        "/rooms",
        "/rooms/new",
        "/people",
        "/rooms/random",
        f"/rooms/{rid}",
        f"/rooms/{rid}/people",
        message,
        f"/rooms/{rid}/stream",
        "/nope",
    ]


def test_no_page_says_a_word_to_the_console(people: People, server: Server):
    """The policy is strict on each; the browser itself mentions the missing page."""
    people.allowed = (NOT_FOUND,)
    ann = people.come(server.url)
    policies = []

    def note(response) -> None:
        if response.request.resource_type == "document":
            policies.append(response.headers.get("content-security-policy", "none"))

    ann.page.on("response", note)
    ann.sign_in("Ann")
    rid = ann.create_room("Tea")
    ann.wait_live()
    ann.send("hello")
    ann.wait_for("hello")
    for path in every_page(rid):
        ann.page.goto(server.url + path, wait_until="commit")
        if path.endswith("/stream"):
            expect(ann.page.locator("ol")).to_have_count(1)
        else:
            ann.page.wait_for_load_state("load")
    assert len(policies) > len(every_page(rid))
    for policy in policies:
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == f"{server.url}/static/vendor/"
        assert rules["style-src"] == rules["connect-src"] == rules["form-action"] == "'self'"
        assert rules["base-uri"] == "'none'"
        assert rules["frame-ancestors"] in ("'none'", "'self'")
        assert "unsafe" not in policy
    assert sum("404" in text for text in ann.complaints) == len(ann.complaints) == 1


def test_policy_forbids_scripts_of_others(people: People, server: Server):
    """The policy is at work: a script that got into the page would not run."""
    people.allowed = ("Content Security Policy",)
    ann = people.come(server.url, "Ann")
    ann.page.evaluate(
        """() => { const image = document.createElement("img");
        image.setAttribute("onerror", "window.harmed = true"); image.src = "/nope.png";
        document.body.append(image); }"""
    )
    ann.until(lambda: any("Security Policy" in text for text in ann.complaints), "the refusal")
    assert ann.page.evaluate("window.harmed") is None
    people.allowed += (NOT_FOUND,)


def test_without_javascript(people: People, server: Server):
    """Sign in, find a room, join, read and write with forms and links."""
    ann = people.come(server.url, "Ann", java_script_enabled=False)
    rid = ann.create_room("Paper")
    bob = Visitor(server.url, "Bob")
    bob.join(rid)
    carl = people.come(server.url, "Carl", java_script_enabled=False)
    carl.open("/rooms")
    carl.page.get_by_role("button", name="Join Paper").click()
    expect(carl.page.locator("#room-name")).to_have_text("Paper")
    carl.page.locator("#body").fill("by post")
    carl.press("Enter")
    expect(carl.page.locator("#messages .message__body")).to_have_text(["by post"])
    carl.page.locator("#body").fill("   ")
    carl.press("Enter")
    expect(carl.page.get_by_role("alert")).to_contain_text("Write something first")
    people.allowed = ("the server responded with a status of 400",)

    for number in range(60):
        bob.post(rid, f"m{number}")
    ann.open("/")
    ann.page.locator(f"#room-{rid} a").click()
    ann.wait_for("m59")
    assert "m5" not in ann.messages()
    ann.page.get_by_role("link", name="Older messages").click()
    ann.wait_for("m5", "by post")
    ann.page.get_by_role("link", name="Jump to newest").click()
    ann.wait_for("m59")


def test_new_messages_without_javascript(people: People, server: Server):
    """The frame in the room shows what others say, as they say it."""
    ann = people.come(server.url, "Ann", java_script_enabled=False)
    bob = Visitor(server.url, "Bob")
    rid = ann.create_room("Paper")
    bob.join(rid)
    frame = ann.page.frame_locator(f"iframe[src^='/rooms/{rid}/stream']")
    expect(frame.locator("ol")).to_have_count(1, timeout=10_000)
    before = ann.page.url
    for text in ("hello", "<b>there</b>"):
        bob.post(rid, text)
        expect(frame.locator(".message__body").last).to_have_text(text)
        expect(frame.locator(".message__body").last).to_be_visible()
    assert ann.page.url == before
    ann.page.locator("#body").fill("hello Bob")
    ann.press("Enter")
    expect(ann.page.locator("#messages .message__body")).to_have_text(
        ["hello", "<b>there</b>", "hello Bob"]
    )


def test_without_javascript_new_messages_go_on_coming_over_a_reload(
    people: People, fresh_server: Server
):
    """The browser follows the refresh with which the frame ends, to the new worker."""
    ann = people.come(fresh_server.url, "Ann", java_script_enabled=False)
    bob = Visitor(fresh_server.url, "Bob")
    rid = ann.create_room("Paper")
    bob.join(rid)
    frame = ann.page.frame_locator(f"iframe[src^='/rooms/{rid}/stream']")
    expect(frame.locator("ol")).to_have_count(1, timeout=10_000)
    bob.post(rid, "before")
    expect(frame.locator(".message__body").last).to_have_text("before")
    old = fresh_server.workers()
    fresh_server.console("reload")
    wait_until(lambda: not any(map(alive, old)), "the end of the old worker")
    bob.post(rid, "after")
    expect(frame.locator(".message__body").last).to_have_text("after", timeout=10_000)


def test_stream_page_without_javascript(people: People, server: Server):
    """The page in the frame, by itself: it goes on showing what is said."""
    ann = people.come(server.url, "Ann", java_script_enabled=False)
    bob = Visitor(server.url, "Bob")
    rid = ann.create_room("Paper")
    bob.join(rid)
    ann.page.goto(f"{server.url}/rooms/{rid}/stream?after=1", wait_until="commit")
    for text in ("hello", "again"):
        bob.post(rid, text)
        expect(ann.page.locator(".message__body").last).to_have_text(text)
        expect(ann.page.locator(".message__body").last).to_be_in_viewport()


def test_phone_shows_the_list_or_the_room(people: People, server: Server):
    ann = people.come(server.url, "Ann", viewport={"width": 390, "height": 800}, has_touch=True)
    ann.create_room("Tea")
    coffee = ann.create_room("Coffee")
    ann.wait_live()
    side, panel = ann.page.locator("#side"), ann.page.locator("#messages")
    ann.page.get_by_role("link", name="Rooms", exact=True).tap()
    expect(side).to_be_visible()
    expect(panel).to_have_count(0)
    ann.page.locator(f"#room-{coffee} a").tap()
    expect(panel).to_be_visible()
    expect(side).to_be_hidden()
    ann.wait_live()
    ann.page.locator("#body").tap()
    ann.send("from the bus")
    ann.wait_for("from the bus")
    ann.page.get_by_role("link", name="Rooms", exact=True).tap()
    expect(side).to_be_visible()
    expect(ann.page.locator(f"#last-{coffee}")).to_contain_text("Ann: from the bus")
    expect(ann.page.locator(f"#unread-{coffee} > i")).to_have_count(0)


def test_no_page_scrolls_sideways(people: People, server: Server):
    """As narrow as it gets (WCAG 2.2, 1.4.10); not even with words that are one long line."""
    people.allowed = (NOT_FOUND,)
    ann = people.come(server.url, viewport={"width": 320, "height": 640})
    ann.open("/sign-in")
    assert_fits(ann)
    ann.sign_in("W" * 40)
    rid = ann.create_room("M" * 60)
    ann.wait_live()
    ann.enter("https://example.org/" + "W" * 300, delay=0)
    ann.until(lambda: len(ann.messages()) == 1, "the message")
    ann.type("W" * 200, delay=0)
    assert_fits(ann)
    for path in every_page(rid):
        if not path.endswith("/stream"):
            ann.open(path)
            assert_fits(ann)


def assert_fits(person: Person) -> None:
    """Nothing reaches beyond the sides, and no field is so small that a phone zooms into it."""
    page: Page = person.page
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], page.url
    sizes = page.locator(":is(input, select, textarea):visible:not([readonly])").evaluate_all(
        "fields => fields.map(field => parseFloat(getComputedStyle(field).fontSize))"
    )
    assert min(sizes, default=16) >= 16, page.url
    fields: Locator = page.locator("a:visible, button:visible, input:visible")
    for box in (field.bounding_box() for field in fields.all()):
        assert box is None or (box["x"] >= -1 and box["x"] + box["width"] <= wide[1] + 1), page.url


def test_a_conversation_prints_on_white(people: People, server: Server):
    """Also for who has chosen the dark; what one does on a screen is not on paper."""
    ann = people.come(server.url, "Ann")
    ann.open("/me")
    ann.page.get_by_label("Dark").check()
    ann.page.get_by_role("button", name="Save").click()
    expect(ann.page.locator("html")).to_have_attribute("data-theme", "dark")
    ann.create_room("Tea")
    ann.wait_live()
    ann.send("for the wall")
    ann.wait_for("for the wall")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = ann.page.evaluate(ground)
    ann.page.emulate_media(media="print")
    assert ann.page.evaluate(ground) != dark
    expect(ann.page.locator("#messages .message__body")).to_be_visible()
    expect(ann.page.locator(".message__author")).to_be_visible()
    for hidden in ("#side", "#composer", "#typing", ".newest", ".panel__details"):
        expect(ann.page.locator(hidden).first).to_be_hidden()
