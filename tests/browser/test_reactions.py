"""People react to messages, with scripts and without, by mouse and by keyboard."""

import pytest
from playwright.sync_api import expect

from ..running import Server, Visitor
from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser

LIKE = "👍"


def said(person: Person, text: str):
    """The message with this text."""
    return person.page.locator("#messages > .message", has_text=text)


def chips(person: Person, text: str) -> list[str]:
    return said(person, text).locator(".reactions .reaction").all_text_contents()


def open_menu(person: Person, text: str):
    said(person, text).hover()
    said(person, text).get_by_role("button", name="More").click()
    menu = person.page.get_by_role("dialog")
    expect(menu.get_by_role("button", name=LIKE)).to_be_focused()
    return menu


def test_two_people_react(ann: Person, bob: Person, room: str):
    """Each click is seen by both at once; what one has set is marked as one's own."""
    sockets = len(ann.sockets)
    ann.send("shall we?")
    ann.type("a draft")
    bob.wait_for("shall we?")
    open_menu(bob, "shall we?").get_by_role("button", name=LIKE).click()
    expect(bob.page.get_by_role("dialog")).to_have_count(0)
    for person in (ann, bob):
        person.until(lambda p=person: chips(p, "shall we?") == [f"{LIKE} 1"], "the chip")
    chip = said(ann, "shall we?").locator(".reaction")
    expect(chip).to_have_attribute("title", "Bob")
    colours = [
        said(person, "shall we?")
        .locator(".reaction")
        .evaluate("chip => getComputedStyle(chip).backgroundColor")
        for person in (ann, bob)
    ]
    assert colours[0] != colours[1]
    chip.dblclick()
    for person in (ann, bob):
        person.until(lambda p=person: chips(p, "shall we?") == [f"{LIKE} 2"], "the second")
    expect(said(bob, "shall we?").locator(".reaction")).to_have_attribute("title", "Bob, Ann")
    said(bob, "shall we?").locator(".reaction").click()
    for person in (ann, bob):
        person.until(lambda p=person: chips(p, "shall we?") == [f"{LIKE} 1"], "one less")
    assert ann.page.locator("#body").input_value() == "a draft"
    assert len(ann.sockets) == sockets
    ann.open(f"/rooms/{room}")
    assert chips(ann, "shall we?") == [f"{LIKE} 1"]


def test_reacting_by_keyboard(ann: Person, bob: Person, room: str):
    """The focus stays where one clicks; what is no emoji says so beside the field."""
    ann.send("tea?")
    bob.wait_for("tea?")
    said(bob, "tea?").get_by_role("button", name="More").focus()
    bob.press("Enter")
    expect(bob.page.get_by_role("dialog").get_by_role("button", name=LIKE)).to_be_focused()
    bob.press("Enter")
    bob.until(lambda: chips(bob, "tea?") == [f"{LIKE} 1"], "the chip")
    said(bob, "tea?").locator(".reactions .reaction").focus()
    for count in (0, 1):
        bob.press("Enter")
        if count == 0:
            bob.until(lambda: chips(bob, "tea?") == [], "none")
            open_menu(bob, "tea?").get_by_role("button", name=LIKE).press("Enter")
    bob.until(lambda: chips(bob, "tea?") == [f"{LIKE} 1"], "the chip again")
    ann.until(lambda: chips(ann, "tea?") == [f"{LIKE} 1"], "the chip at Ann")
    said(ann, "tea?").locator(".reactions .reaction").focus()
    ann.press("Enter")
    ann.until(lambda: chips(ann, "tea?") == [f"{LIKE} 2"], "both")
    expect(said(ann, "tea?").locator(".reactions .reaction")).to_be_focused()

    menu = open_menu(bob, "tea?")
    menu.get_by_label("Another emoji").fill("no")
    bob.complaints.clear()
    bob.press("Enter")
    expect(menu.get_by_role("alert")).to_contain_text("a single emoji")
    bob.complaints.clear()  # Chromium mentions the 400
    menu.get_by_label("Another emoji").fill("🦊")
    bob.press("Enter")
    bob.until(lambda: chips(bob, "tea?") == [f"{LIKE} 2", "🦊 1"], "any emoji")
    open_menu(bob, "tea?")
    bob.press("Escape")
    expect(bob.page.get_by_role("dialog")).to_have_count(0)


def test_a_menu_is_closed_by_its_button(ann: Person, room: str):
    ann.send("one")
    ann.send("two")
    ann.wait_for("one", "two")
    open_menu(ann, "one")
    open_menu(ann, "two").get_by_role("button", name="Close").click()
    expect(ann.page.get_by_role("dialog")).to_have_count(0)


def test_a_permalink_shows_ones_own_reaction(ann: Person, bob: Person, room: str):
    """Nothing comes live there; what one clicks is shown all the same."""
    ann.send("old news")
    bob.wait_for("old news")
    said(bob, "old news").locator(".message__time").click()
    bob.page.get_by_text("Message actions").click()
    bob.page.get_by_role("button", name="🎉").click()
    bob.until(lambda: chips(bob, "old news") == ["🎉 1"], "the chip")


def test_on_a_phone_the_menu_and_the_head_have_room(people: People, server: Server):
    """Of two people of one name, too: one's own messages have neither name nor tag."""
    ann, other = (people.come(server.url, "Ann") for _ in range(2))
    ann.page.set_viewport_size({"width": 390, "height": 844})
    rid = ann.create_room("A room")
    other.join_room(rid)
    other.send("from the other")
    expect(ann.page.locator(".panel__online")).to_have_text("2 online")
    about = ann.page.locator(".panel__about")
    assert about.evaluate("about => about.scrollWidth <= about.clientWidth")
    ann.send("mine")
    expect(said(ann, "from the other").locator(".tag")).to_be_visible()
    tag = said(other, "from the other").locator(".tag")
    expect(tag).to_have_css("inline-size", "1px")
    menu = open_menu(ann, "mine")
    link, close = (
        menu.get_by_role(role, name=name).evaluate("item => item.getBoundingClientRect().toJSON()")
        for role, name in (("link", "Edit or delete"), ("button", "Close"))
    )
    assert close["top"] < link["bottom"]
    menu.get_by_role("link", name="Edit or delete").click()
    cancel, fold = (
        ann.page.locator(".editor").get_by_text(text, exact=True) for text in ("Cancel", "Delete…")
    )
    fold.click()
    expect(ann.page.get_by_role("button", name="Delete for everyone")).to_be_in_viewport(ratio=1)
    assert fold.bounding_box()["y"] == cancel.bounding_box()["y"]
    assert ann.page.evaluate("document.documentElement.scrollWidth") == 390


def test_reacting_without_javascript(people: People, server: Server):
    ann = people.come(server.url, "Ann", java_script_enabled=False)
    rid = ann.create_room("Paper")
    ann.page.locator("#body").fill("by post")
    ann.press("Enter")
    expect(said(ann, "by post")).to_be_visible()
    said(ann, "by post").hover()
    said(ann, "by post").get_by_role("button", name="More").click()
    expect(ann.page.get_by_role("link", name="Edit or delete")).to_be_visible()
    ann.page.get_by_role("button", name=LIKE).dblclick(no_wait_after=True)
    chip = said(ann, "by post").locator(".reaction")
    expect(chip).to_have_text(f"{LIKE} 1")
    ann.page.wait_for_url(lambda url: url.endswith("#m-2"), wait_until="commit")
    assert f"/rooms/{rid}" in ann.page.url
    chip.click(no_wait_after=True)
    expect(chip).to_have_count(0)


def test_replying(ann: Person, bob: Person, room: str):
    """What was typed stays; the answer says what it answers, and leads there."""
    ann.send("tea at four?")
    bob.wait_for("tea at four?")
    bob.type("with ")
    open_menu(bob, "tea at four?").get_by_role("link", name="Reply").click()
    expect(bob.page.locator(".composer__reply")).to_contain_text("Replying to Ann tea at four?")
    expect(bob.page.locator("#body")).to_be_focused()
    bob.page.get_by_role("link", name="Cancel").click()
    expect(bob.page.locator(".composer__reply")).to_be_hidden()
    open_menu(bob, "tea at four?").get_by_role("link", name="Reply").click()
    expect(bob.page.locator("#body")).to_be_focused()
    bob.press("End")
    bob.send("pleasure")
    for person in (ann, bob):
        person.wait_for("with pleasure")
        expect(said(person, "with pleasure").locator(".quote")).to_have_text("Ann tea at four?")
    bob.send("no reply")
    ann.wait_for("no reply")
    expect(said(ann, "no reply").locator(".quote")).to_have_count(0)
    said(ann, "with pleasure").locator(".quote").click()
    expect(ann.page.locator(".message:target")).to_contain_text("tea at four?")
    ann.page.get_by_text("Message actions").click()
    ann.page.get_by_role("link", name="Edit or delete").click()
    ann.page.get_by_text("Delete…").click()
    ann.page.get_by_role("button", name="Delete for everyone").click()
    expect(said(bob, "with pleasure").locator(".quote")).to_have_text("A message was deleted")


def test_replying_on_several_lines(ann: Person, bob: Person, room: str):
    """What was typed stays as one begins to reply, and what is answered as the field changes."""
    ann.send("tea at four?")
    bob.wait_for("tea at four?")
    bob.type("yes")
    for before, name in (("yes", "Write multiple lines"), ("yes, **please**", "Single line")):
        open_menu(bob, "tea at four?").get_by_role("link", name="Reply").click()
        expect(bob.page.locator("#body")).to_be_focused()
        expect(bob.page.locator("#body")).to_have_value(before)
        bob.page.get_by_role("button", name=name).click()
        if name == "Write multiple lines":
            expect(bob.page.locator("textarea#body:focus")).to_have_value("yes")
            bob.type(", **please**")
    expect(bob.page.locator("input#body:focus")).to_have_value("yes, **please**")
    bob.press("Enter")
    ann.wait_for("yes, please")
    expect(said(ann, "yes, please").locator(".quote")).to_have_text("Ann tea at four?")


def test_replying_without_javascript(people: People, server: Server):
    """From the frame of new messages too, whose links lead out of it."""
    ann = people.come(server.url, "Ann", java_script_enabled=False)
    rid = ann.create_room("Paper")
    bob = Visitor(server.url, "Bob")
    bob.join(rid)
    bob.post(rid, "by post")
    frame = ann.page.frame_locator("iframe.stream")
    frame.get_by_role("button", name="More").click(no_wait_after=True)
    reply = ann.page.get_by_role("link", name="Reply")
    expect(reply).to_be_visible()
    reply.click(no_wait_after=True)
    expect(ann.page.locator(".composer__reply")).to_contain_text("Replying to Bob by post")
    ann.page.locator("#body").fill("so soon")
    ann.press("Enter")
    expect(said(ann, "so soon").locator(".quote")).to_have_text("Bob by post")
