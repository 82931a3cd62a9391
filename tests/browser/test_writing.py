"""The composer: several lines, the preview, and formatting."""

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from chat.store import Store

from ..running import Server
from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def field(person: Person) -> str:
    """The kind of field that the next message is typed into."""
    return person.page.locator("#body").evaluate("field => field.localName")


def write_lines(person: Person) -> None:
    press(person.page, "Write multiple lines")
    expect(person.page.locator("textarea#body:focus")).to_have_count(1)


def test_several_lines(ann: Person, bob: Person, room: str):
    """What was typed goes along into the larger field; it is looked at, sent, and the field stays
    large until the other is chosen."""
    ann.type("We need **soon**:")
    write_lines(ann)
    ann.press("Enter")
    ann.enter("- milk")
    ann.type("- `tea`")
    assert ann.draft() == "We need **soon**:\n- milk\n- `tea`"
    press(ann.page, "Preview")
    expect(ann.page.locator(".composer__preview li")).to_have_text(["milk", "tea"])
    press(ann.page, "Send")
    expect(bob.page.locator("#messages .message__body li code")).to_have_text("tea")
    expect(bob.page.locator("#messages .message__body strong")).to_have_text("soon")
    ann.wait_empty()
    expect(ann.page.locator("#composer form")).to_have_count(1)
    expect(ann.page.locator(".composer__preview")).to_have_count(0)
    assert field(ann) == "textarea"

    ann.type("one")
    press(ann.page, "Single line")
    expect(ann.page.locator("input#body:focus")).to_have_value("one")
    ann.press("Enter")
    bob.until(lambda: bob.messages()[-1:] == ["one"], "the second message")
    ann.wait_empty()
    assert field(ann) == "input"
    expect(ann.page.locator("#composer form")).to_have_count(1)


def test_a_text_of_several_lines_stays_whole(ann: Person, room: str):
    """It cannot go back into one line, and says why."""
    write_lines(ann)
    ann.enter("first")
    ann.type("second")
    press(ann.page, "Single line")
    expect(ann.page.get_by_text("This text has several lines")).to_be_visible()
    assert ann.page.locator("#body").input_value() == "first\nsecond"
    press(ann.page, "Send")
    ann.wait_for("first\nsecond")
    ann.wait_empty()
    assert field(ann) == "textarea"


def test_refused_lines_keep_their_text(ann: Person, room: str):
    write_lines(ann)
    long = "x" * 3000 + "\n" + "y" * 1000
    ann.page.evaluate('document.querySelector("#body").removeAttribute("maxlength")')
    ann.page.locator("#body").fill(long)
    press(ann.page, "Send")
    refused = ann.page.locator(".composer:has(.error)")
    expect(refused.get_by_role("alert")).to_contain_text("too long: 4,001 characters")
    assert refused.locator("textarea").input_value() == long
    refused.locator("textarea").fill("short\nand good")
    refused.get_by_role("button", name="Send").click()
    ann.wait_for("short\nand good")
    expect(refused).to_be_hidden()


def test_lines_typed_before_the_next_composer_is_there(slow: Person):
    """They come back in a field that holds several lines."""
    write_lines(slow)
    slow.type("one")
    # The next composer is asked for again when the mode changes, and is not there yet.
    slow.page.locator("#composer .composer__send").last.click()
    slow.page.locator("#body").focus()
    slow.page.keyboard.press("End")
    slow.enter("", delay=0)
    slow.type("two", delay=0)
    slow.wait_for("one")
    slow.until(lambda: "".join(slow.fields()).strip() == "two", "the rest coming back")
    assert slow.messages() == ["one"]


def test_mode_lasts_for_other_rooms_and_later(ann: Person, bob: Person, room: str):
    write_lines(ann)
    ann.open(f"/rooms/{room}")
    assert field(ann) == "textarea"
    with ann.page.context.expect_page() as opened:
        ann.page.get_by_role("link", name="Formatting").click()
    expect(opened.value.get_by_role("heading", name="Formatting")).to_be_visible()
    assert field(bob) == "input"


def test_edit_changes_what_is_formatted(ann: Person, bob: Person, room: str):
    """In place, on a page that is open."""
    ann.send("**teh** kettle")
    expect(bob.page.locator("#messages strong")).to_have_text("teh")
    ann.page.locator(".message__time").last.click()
    ann.page.get_by_text("Message actions").click()
    ann.page.get_by_role("link", name="Edit or delete").click()
    ann.page.get_by_label("Message by Ann").fill("- the\n- *kettle*")
    press(ann.page, "Save")
    expect(bob.page.locator("#messages .message__body li em")).to_have_text("kettle")
    expect(bob.page.locator("#messages .message__body")).to_have_count(1)
    expect(bob.page.locator("#messages strong")).to_have_count(0)


def kept(person: Person, text: str) -> None:
    """Wait until the server keeps this of what the person writes."""
    path = f"{person.url}/rooms/{person.room}/draft?nonce=n"
    person.until(lambda: text in person.page.request.get(path).text(), f"{text!r} being kept")


def test_what_was_not_sent_is_there_when_one_comes_back(ann: Person, bob: Person, room: str):
    """From another room, from another page, after a reload; on several lines too; and once it is
    sent, no more."""
    field = ann.page.locator("#body:focus")
    other = ann.create_room("Other")
    ann.switch_to(room)
    ann.wait_live()
    ann.type("the kettle ")
    kept(ann, "the kettle")
    ann.switch_to(other)
    expect(field).to_have_value("")
    ann.switch_to(room)
    expect(field).to_have_value("the kettle")
    ann.page.get_by_role("link", name="Details").click()
    ann.page.get_by_role("link", name="Back to the room").click()
    expect(field).to_have_value("the kettle")
    ann.wait_live()
    ann.type(" is on")
    kept(ann, "the kettle is on")
    ann.page.reload()
    expect(field).to_have_value("the kettle is on")
    ann.wait_live().press("Enter")
    bob.wait_for("the kettle is on")
    ann.wait_empty()
    ann.switch_to(other)
    ann.switch_to(room)
    expect(field).to_have_value("")

    write_lines(ann)
    ann.type("first\nsecond")
    kept(ann, "first\nsecond")
    ann.page.reload()
    expect(ann.page.locator("textarea#body:focus")).to_have_value("first\nsecond")
    ann.wait_live().wait_next_form()
    press(ann.page, "Send")
    bob.wait_for("first\nsecond")
    ann.wait_empty()
    ann.page.reload()
    expect(field).to_have_value("")
    assert ann.messages() == bob.messages() == ["the kettle is on", "first\nsecond"]


def test_what_one_writes_at_once_is_not_replaced_by_what_was_kept(ann: Person, room: str):
    ann.type("old")
    kept(ann, "old")
    asked: list[Route] = []
    ann.page.route("**/draft?*", lambda route: asked.append(route))
    ann.page.reload()
    ann.wait_live().type("new")
    ann.until(lambda: asked, "the page asking for what was kept")
    with ann.page.expect_response("**/draft?*") as answer:
        asked[0].continue_()
    assert "old" in answer.value.text()
    ann.page.unroute("**/draft?*")
    kept(ann, "new")
    assert ann.draft() == "new"


def test_a_message_is_changed_where_it_stands(ann: Person, bob: Person, room: str, people: People):
    """The conversation and the draft stay; what is refused, or not sent, loses nothing."""
    people.allowed = ("status of 400",)
    bob.send("before")
    ann.send("teh kettle")
    ann.type("my draft")
    address = ann.page.url
    text = ann.page.locator("#messages .message__body").last

    def edit() -> Locator:
        ann.page.locator("#messages .message").last.hover()
        ann.page.locator("#messages .message").last.get_by_role("button", name="More").click()
        ann.page.get_by_role("link", name="Edit or delete").click()
        expect(ann.page.get_by_role("textbox", name="Message by Ann")).to_be_focused()
        expect(text).to_be_hidden()
        return ann.page.get_by_role("textbox", name="Message by Ann")

    for leave in ("Escape", "Cancel"):
        edit().fill("something else")
        ann.press("Escape") if leave == "Escape" else press(ann.page, "Cancel")
        expect(text).to_have_text("teh kettle")
        expect(text).to_be_visible()

    field = edit()
    field.evaluate("field => field.removeAttribute('maxlength')")
    field.fill("x" * 4001)
    press(ann.page, "Save")
    expect(ann.page.locator(".editor").get_by_role("alert")).to_contain_text("too long")
    assert field.input_value() == "x" * 4001
    field.fill("the kettle")
    press(ann.page, "Save")
    for person in (ann, bob):
        seen = person.page.locator("#messages .message").last
        expect(seen.locator(".message__body")).to_have_text("the kettle")
        expect(seen.locator(".message__edited")).to_have_count(1)
    expect(text).to_be_visible()
    expect(field).to_have_count(0)

    edit()
    ann.page.get_by_text("Delete…").click()
    press(ann.page, "Delete for everyone")
    for person in (ann, bob):
        expect(person.page.locator("#messages .message__body")).to_have_text(["before"])
    assert ann.page.url == address
    assert ann.fields() == ["my draft"]
    expect(ann.page.locator("#messages")).to_contain_text("A message was deleted")


def test_what_may_not_be_changed_any_more_keeps_what_was_typed(
    ann: Person, room: str, server: Server, people: People
):
    people.allowed = ("status of 404",)
    ann.send("mine")
    ann.page.locator("#messages .message").last.hover()
    press(ann.page, "More")
    ann.page.get_by_role("link", name="Edit or delete").click()
    field = ann.page.get_by_role("textbox", name="Message by Ann")
    field.fill("still mine")
    with server.redis() as client:
        message = Store(client).messages.newest(room)[-1]
        client.xdel(f"chat:room:{{{room}}}:events", f"{message.seq}-0")
    press(ann.page, "Save")
    expect(ann.page.locator(".editor").get_by_role("alert")).to_contain_text("no such message")
    assert field.input_value() == "still mine"


def test_several_lines_without_javascript(people: People, server: Server):
    ann = people.come(server.url, "Ann", java_script_enabled=False)
    ann.create_room("Paper")
    ann.page.locator("#body").fill("We need:")
    press(ann.page, "Write multiple lines")
    body = ann.page.locator("textarea#body")
    expect(body).to_have_value("We need:")
    body.fill("We need:\n- milk\n- tea")
    press(ann.page, "Preview")
    expect(ann.page.locator(".composer__preview li")).to_have_text(["milk", "tea"])
    expect(body).to_have_value("We need:\n- milk\n- tea")
    press(ann.page, "Single line")
    expect(ann.page.get_by_role("alert")).to_contain_text("several lines")
    expect(body).to_have_value("We need:\n- milk\n- tea")
    press(ann.page, "Send")
    expect(ann.page.locator("#messages .message__body li")).to_have_text(["milk", "tea"])
    expect(body).to_have_value("")
    press(ann.page, "Single line")
    expect(ann.page.locator("input#body")).to_have_value("")
