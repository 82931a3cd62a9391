"""Everything that a person does, with the keyboard alone, and with the focus visible."""

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


@pytest.fixture
def owner(server: Server) -> Visitor:
    """Bob, who creates the rooms."""
    return Visitor(server.url, "Bob")


@pytest.fixture
def tea(owner: Visitor) -> str:
    rid = owner.create_room("Tea")
    owner.post(rid, "hello?")
    return rid


@pytest.fixture
def ann_in_tea(ann: Person, tea: str) -> Person:
    """Ann, with the room on screen and the cursor in its field."""
    ann.join_room(tea)
    ann.wait_live().wait_next_form()
    expect(ann.page.locator("#body")).to_be_focused()
    return ann


def open_menu(person: Person, message: Locator, back: bool = False) -> None:
    """Go to the menu of a message and open it."""
    tab_to(person, message.get_by_role("button", name="More"), back)
    person.press("Enter")
    expect(person.page.get_by_role("dialog")).to_be_visible()


def open_editor(person: Person, message: Locator, back: bool = False) -> None:
    """Open the field in which a message is changed."""
    open_menu(person, message, back)
    choose(person, "link", "Edit or delete this message")
    expect(person.page.get_by_role("textbox", name="Message by")).to_be_focused()


def own_message(person: Person, text: str) -> Locator:
    person.send(text)
    person.wait_for(text)
    return person.page.locator(".message").last


def test_somebody_signs_in_and_joins_two_rooms(
    people: People, server: Server, owner: Visitor, tea: str
):
    coffee = owner.create_room("Coffee")
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
    expect(page.locator("#body")).to_be_focused()


def test_the_cursor_is_in_the_field_and_the_skip_link_leads_past_the_list(ann_in_tea: Person):
    page = ann_in_tea.page
    assert page.evaluate(OUTLINE)
    own_message(ann_in_tea, "good morning")
    page.locator("body").press("Home")
    page.evaluate("document.activeElement.blur()")
    choose(ann_in_tea, "link", "Skip to the room")


def test_a_reaction_and_a_reply(ann_in_tea: Person):
    ann, page = ann_in_tea, ann_in_tea.page
    first = page.locator(".message", has_text="hello?").first
    open_menu(ann, first, back=True)
    expect(page.get_by_role("dialog").get_by_role("button", name="👍")).to_be_focused()
    assert page.evaluate(OUTLINE)
    ann.press("Enter")
    expect(first.locator(".reactions .reaction")).to_have_text("👍 1")
    expect(first.get_by_role("button", name="More")).to_be_focused()
    open_menu(ann, first)
    choose(ann, "link", "Reply")
    expect(page.locator(".composer__reply .quote")).to_be_visible()
    own = own_message(ann, "yes!")
    expect(own.locator(".quote")).to_contain_text("hello?")


def test_escape_leads_back_to_where_the_menu_and_the_editor_were_opened(ann_in_tea: Person):
    ann, page = ann_in_tea, ann_in_tea.page
    own = own_message(ann, "good morning")
    for open_it in (open_menu, open_editor):
        open_it(ann, own, back=True)
        ann.press("Escape")
        expect(own.get_by_role("button", name="More")).to_be_focused()
        assert page.evaluate(OUTLINE)


def test_a_message_is_edited_and_deleted(ann_in_tea: Person):
    ann, page = ann_in_tea, ann_in_tea.page
    own = own_message(ann, "yes!")
    open_editor(ann, own, back=True)
    ann.press("Control+A")
    ann.type("yes indeed")
    choose(ann, "button", "Save", exact=False)
    expect(page.locator("#messages")).to_contain_text("yes indeed")
    expect(own.get_by_role("button", name="More")).to_be_focused()
    open_editor(ann, own)
    tab_to(ann, page.locator(".editor summary"))
    ann.press("Enter")
    choose(ann, "button", "Delete", exact=False)
    expect(page.locator("#messages")).to_contain_text("A message was deleted")


def test_another_room_and_another_name(ann_in_tea: Person, owner: Visitor, tea: str):
    ann, page = ann_in_tea, ann_in_tea.page
    coffee = owner.create_room("Coffee")
    ann.join_room(coffee)
    ann.switch_to(tea)
    expect(page.locator("#body")).to_be_focused()
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
