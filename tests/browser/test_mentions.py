"""People mention one another, with scripts and without."""

import json

import pytest
from playwright.sync_api import expect

from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser


def colour(person: Person, selector: str) -> str:
    return person.page.locator(selector).first.evaluate(
        "element => getComputedStyle(element).backgroundColor"
    )


def test_a_name_is_chosen_while_typing(people: People, server, ann: Person, bob: Person, room: str):
    """By mouse and by keyboard; what was typed stays, and the cursor is behind the name."""
    bob.page.goto(f"{server.url}/rooms/{room}")
    ann.type("tea, @bo")
    offered = ann.page.locator(".composer__names .name")
    expect(offered).to_have_text(["@Bob"])
    offered.click()
    expect(ann.page.locator("#body")).to_be_focused()
    ann.until(lambda: ann.draft() == "tea, @Bob ", "the whole name")
    expect(offered).to_have_count(0)
    ann.type("or coffee? @r")
    expect(offered).to_have_text(["@room everyone in the room"])
    ann.press("Tab")
    expect(offered).to_be_focused()
    ann.press("Enter")
    ann.until(lambda: ann.draft() == "tea, @Bob or coffee? @room ", "both")
    ann.type("@b")
    expect(offered).to_have_text(["@Bob"])
    offered.dispatch_event("click")  # as a tap, which leaves the focus in the field
    ann.until(lambda: ann.draft() == "tea, @Bob or coffee? @room @Bob ", "a third")
    ann.send("now")
    bob.wait_for("tea, @Bob or coffee? @room @Bob now")
    assert colour(bob, ".mention") != colour(ann, ".mention"), "it stands out for whom it is about"
    ann.page.get_by_role("button", name="Write multiple lines").click()
    expect(ann.page.locator("textarea#body")).to_be_focused()
    ann.type("two lines\n@bo")
    offered.click()
    ann.until(lambda: ann.draft() == "two lines\n@Bob ", "the name in several lines")


def test_a_mention_is_seen_from_another_room_and_in_the_inbox(ann: Person, bob: Person, room: str):
    """The mark names it, the count goes with reading, and the level says what is counted."""
    club = bob.create_room("Club")
    bob.wait_live()
    ann.send("hello")
    mark = bob.page.locator(f"#room-{room} a")
    bob.until(lambda: "1 unread" in name_of(bob, f"#room-{room} a"), "the mark")
    assert "mentioned" not in name_of(bob, f"#room-{room} a")
    ann.send("@Bob, tea?")
    bob.until(lambda: "2 unread, you are mentioned" in name_of(bob, f"#room-{room} a"), "the sign")
    bob.until(lambda: "1 unread" in name_of(bob, ".side__mentions a"), "the count")
    bob.page.locator(".side__mentions a").click()
    item = bob.page.locator(".mention-list__item")
    expect(item).to_contain_text("@Bob, tea?")
    expect(item).to_contain_text("New")
    item.get_by_role("link").click()
    expect(bob.page.locator("#messages")).to_contain_text("@Bob, tea?")
    bob.switch_to(club)
    bob.switch_to(room)
    bob.wait_live()
    expect(mark.locator(".row__unread > i")).to_have_count(0)
    assert "unread" not in name_of(bob, ".side__mentions a")
    bob.open(f"/rooms/{room}/people")
    bob.page.get_by_label("Mentions").check()
    bob.page.get_by_role("button", name="Save").click()
    expect(bob.page.get_by_text("Saved.")).to_be_visible()
    bob.open(f"/rooms/{club}")
    bob.wait_live()
    ann.send("nothing for Bob")
    expect(bob.page.locator(f"#last-{room}")).to_contain_text("nothing for Bob")
    assert "unread" not in name_of(bob, f"#room-{room} a")
    ann.send("@room, tea!")
    bob.until(lambda: "1 unread, you are mentioned" in name_of(bob, f"#room-{room} a"), "one")


def test_without_scripts(people: People, server, ann: Person, room: str):
    """A name is typed as the list of members has it; the frame shows the mention."""
    cyd = people.come(server.url, "Cyd", java_script_enabled=False)
    cyd.join_room(room)
    with cyd.page.context.expect_page() as opened:
        cyd.page.get_by_role("link", name="Names to mention with @").click()
    expect(opened.value.locator(".members")).to_contain_text("Ann")
    cyd.page.locator("#body").fill("@Ann, tea?")
    cyd.page.get_by_role("button", name="Send").click()
    ann.wait_for("@Ann, tea?")
    ann.send("yes, @Cyd")
    frame = cyd.page.frame_locator("iframe.stream")
    expect(frame.locator(".mention")).to_have_text("@Cyd")
    cyd.open("/mentions")
    expect(cyd.page.locator(".mention-list__item")).to_contain_text("yes, @Cyd")


def name_of(person: Person, selector: str) -> str:
    """What a screen reader says of an element, the counts of CSS included."""
    session = person.page.context.new_cdp_session(person.page)
    element = {"expression": f"document.querySelector({json.dumps(selector)})"}
    found = session.send("Runtime.evaluate", element)["result"]["objectId"]
    tree = session.send(
        "Accessibility.getPartialAXTree", {"objectId": found, "fetchRelatives": False}
    )
    session.detach()
    return tree["nodes"][0].get("name", {}).get("value", "")


def test_what_is_new_is_noticed_without_looking(ann: Person, bob: Person, room: str):
    """A dot in the title, the icon of the tab, and a sound for who wants one; the title has the
    count when it is made anew."""
    club = bob.create_room("Club")
    bob.open("/me")
    bob.page.get_by_label("Play a sound").check()
    bob.page.get_by_role("button", name="Save").click()
    expect(bob.page.get_by_label("Play a sound")).to_be_checked()
    bob.open(f"/rooms/{club}")
    bob.wait_live()
    bob.type("a click, or a key, lets a page make a sound")
    expect(bob.page).to_have_title("Club · Chat")
    sounds = bob.page.locator("#sound audio")
    for text in ("hello", "hello again"):
        ann.send(text)
        expect(bob.page).to_have_title("● Club · Chat")
        expect(bob.page.locator("#icon")).to_have_attribute("href", "/static/unread.svg")
    bob.until(lambda: sounds.evaluate("audio => audio.currentTime > 0"), "the sound")
    expect(ann.page.locator("#sound")).to_have_count(0)
    expect(ann.page).to_have_title("Tea · Chat")
    bob.open(f"/rooms/{club}")
    expect(bob.page).to_have_title("(2) Club · Chat")
    bob.wait_live()
    bob.switch_to(room)
    expect(bob.page).to_have_title("Tea · Chat")
    expect(bob.page.locator("#icon")).to_have_attribute("href", "/static/icon.svg")
    expect(sounds).to_have_count(0)
    ann.send("hush")
    bob.wait_for("hush")
    expect(sounds).to_have_count(0)
    ann.send("@Bob!")
    expect(sounds).to_have_count(1)


def test_who_goes_to_another_room_has_read_what_was_on_screen(ann: Person, bob: Person, room: str):
    """The click that leads away says what was on screen; nothing has to be waited for."""
    club = bob.create_room("Club")
    bob.wait_live()
    for n in range(3):
        bob.switch_to(room)
        bob.wait_live()
        ann.send(f"tea {n}?")
        bob.wait_for(f"tea {n}?")
        bob.switch_to(club)
        bob.wait_live()
        assert "unread" not in name_of(bob, f"#room-{room} a")
        bob.page.reload()
        bob.wait_live()
        assert "unread" not in name_of(bob, f"#room-{room} a")
