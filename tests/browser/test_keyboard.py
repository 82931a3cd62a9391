"""Everything a person does, by the keyboard alone; and where the keyboard is can be seen."""

import pytest
from playwright.sync_api import Locator, expect

from ..running import Server, Visitor
from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser

# What shows where the focus is: an outline, as the browser draws it now.
OUTLINE = """() => {
    const style = getComputedStyle(document.activeElement);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
}"""
FOCUSED = "element => element === document.activeElement"


def tab_to(person: Person, what: Locator, back: bool = False) -> None:
    """Press Tab, or Shift+Tab, until the focus is there, and see that it is."""
    expect(what.first).to_be_attached()
    for _ in range(60):
        if what.count() and what.first.evaluate(FOCUSED):
            break
        person.press("Shift+Tab" if back else "Tab")
    else:
        raise AssertionError(f"no Tab leads to {what}")
    assert person.page.evaluate(OUTLINE), f"the focus on {what} cannot be seen"
    expect(what.first).to_be_in_viewport()


def choose(person: Person, role: str, name: str, back: bool = False, exact: bool = True) -> None:
    """Go to a link or a button by Tab and press Enter."""
    tab_to(person, person.page.get_by_role(role, name=name, exact=exact), back)
    person.press("Enter")


def test_a_whole_visit_by_keyboard(people: People, server: Server):
    """Sign in, open a room, write, react, reply, edit, delete, switch, change the name."""
    bob = Visitor(server.url, "Bob")
    tea, coffee = bob.create_room("Tea"), bob.create_room("Coffee")
    bob.post(tea, "hello?")
    ann = people.come(server.url)
    page = ann.page
    ann.open("/sign-in")
    tab_to(ann, page.get_by_label("Your name"))
    ann.enter("Ann")
    for rid, name in ((coffee, "Coffee"), (tea, "Tea")):
        page.wait_for_url(lambda url: "/sign-in" not in url and "/rooms" not in url)
        choose(ann, "link", "Browse")
        choose(ann, "button", f"Join {name}")
        expect(page.locator("#panel")).to_have_attribute("data-room", rid)
        if name == "Coffee":
            ann.open("/")
    ann.wait_live().wait_next_form()

    # Writing: the cursor is in the field, and stays there.
    expect(page.locator("#body")).to_be_focused()
    assert page.evaluate(OUTLINE)
    ann.send("good morning")
    ann.wait_for("good morning")

    # The skip link leads past the list.
    page.locator("body").press("Home")
    page.evaluate("document.activeElement.blur()")
    choose(ann, "link", "Skip to the room")

    # React to what Bob said, and answer it.
    first, own = page.locator(".message", has_text="hello?"), page.locator(".message").last
    tab_to(ann, first.get_by_role("button", name="More"))
    ann.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="👍")).to_be_focused()
    assert page.evaluate(OUTLINE)
    ann.press("Enter")
    expect(first.locator(".reactions .reaction")).to_have_text("👍 1")
    expect(first.get_by_role("button", name="More")).to_be_focused()
    tab_to(ann, first.get_by_role("button", name="More"))
    ann.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    choose(ann, "link", "Reply")
    expect(page.locator(".composer__reply .quote")).to_be_visible()
    ann.send("yes!")
    ann.wait_for("yes!")
    expect(own.locator(".quote")).to_contain_text("hello?")

    # Leave the menu and the field of a change, and be where they were asked for.
    more = own.get_by_role("button", name="More")
    tab_to(ann, more, back=True)
    for opened in ("menu", "editor"):
        ann.press("Enter")
        expect(page.locator(".menu")).to_be_visible()
        if opened == "editor":
            choose(ann, "link", "Edit or delete this message")
            expect(page.get_by_role("textbox", name="Message by")).to_be_focused()
        ann.press("Escape")
        expect(more).to_be_focused()
        assert page.evaluate(OUTLINE)

    # Edit one's own, then delete it.
    for button, seen in (("Save", "yes indeed"), ("Delete", "A message was deleted")):
        tab_to(ann, own.get_by_role("button", name="More"), back=True)
        ann.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        choose(ann, "link", "Edit or delete this message")
        expect(page.get_by_role("textbox", name="Message by")).to_be_focused()
        if button == "Save":
            ann.press("Control+A")
            ann.type("yes indeed")
        else:
            tab_to(ann, page.locator(".editor summary"))
            ann.press("Enter")
        choose(ann, "button", button, exact=False)
        expect(page.locator("#messages")).to_contain_text(seen)
        if button == "Save":
            expect(more).to_be_focused()

    # Another room, and one's own page.
    tab_to(ann, page.locator(f"#room-{coffee} a"), back=True)
    ann.press("Enter")
    expect(page.locator("#panel")).to_have_attribute("data-room", coffee)
    expect(page.locator("#body")).to_be_focused()
    tab_to(ann, page.locator(".side__me"), back=True)
    ann.press("Enter")
    page.wait_for_url("**/me")
    tab_to(ann, page.get_by_label("Name", exact=True))
    ann.press("Control+A")
    ann.enter("Annie")
    expect(page.get_by_role("status")).to_contain_text("Saved")
    choose(ann, "link", "Rooms")
    expect(page.locator(".side__me")).to_have_text("AAnnie")
