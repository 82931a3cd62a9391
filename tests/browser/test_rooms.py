"""Several rooms: switching, unread marks, and other tabs."""

import pytest
from playwright.sync_api import expect

from ..running import Server
from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser


def test_switching_rooms_keeps_the_socket(ann: Person, bob: Person, room: str):
    """Only the panel changes; the room left is marked unread, with the number, until entered."""
    coffee = ann.create_room("Coffee")
    ann.wait_live()
    ann.page.evaluate("document.querySelector('#live').dataset.same = 'yes'")
    sockets = len(ann.sockets)
    ann.switch_to(room)
    ann.wait_live()
    expect(ann.page.locator("#room-name")).to_have_text("Tea")
    expect(ann.page).to_have_title("Tea · Chat")
    expect(ann.page.locator(f"#room-{room} a")).to_have_attribute("aria-current", "page")
    expect(ann.page.locator("#body")).to_be_focused()
    bob.send("are you there?")
    ann.wait_for("are you there?")
    ann.send("yes")
    bob.wait_for("yes")

    ann.switch_to(coffee)
    ann.wait_live()
    bob.send("one")
    bob.send("two")
    expect(unread(ann, room)).to_have_count(2)
    expect(ann.page.locator(f"#last-{room}")).to_contain_text("Bob: two")
    assert "2 unread" in accessible_name(ann, f"#room-{room} a")
    assert ann.messages() == []
    expect(unread(ann, coffee)).to_have_count(0)
    assert len(ann.sockets) == sockets
    expect(ann.page.locator("#live")).to_have_attribute("data-same", "yes")

    ann.switch_to(room)
    expect(unread(ann, room)).to_have_count(0)
    assert ann.messages() == ["are you there?", "yes", "one", "two"]
    ann.page.reload()
    expect(unread(ann, room)).to_have_count(0)


def test_back_returns_to_the_room_before_and_it_is_live(ann: Person, bob: Person, room: str):
    coffee = ann.create_room("Coffee")
    ann.wait_live().switch_to(room)
    ann.wait_live().switch_to(coffee)
    ann.wait_live()
    bob.send("said meanwhile")
    expect(unread(ann, room)).to_have_count(1)
    ann.page.go_back()
    expect(ann.page.locator("#room-name")).to_have_text("Tea")
    ann.wait_live().wait_for("said meanwhile")
    expect(unread(ann, room)).to_have_count(0)
    bob.send("and now")
    ann.wait_for("and now")
    ann.page.locator("#body").click()
    ann.send("back again")
    for person in (ann, bob):
        person.wait_for("back again")
    assert ann.messages() == bob.messages()
    ann.page.go_forward()
    expect(ann.page.locator("#room-name")).to_have_text("Coffee")
    ann.wait_live()


def test_leaving_the_first_room_by_back_before_htmx_pushed_anything(ann: Person, room: str):
    """Back over a page that was loaded, not swapped."""
    ann.open("/")
    ann.page.go_back()
    expect(ann.page.locator("#room-name")).to_have_text("Tea")
    ann.wait_live()
    ann.page.locator("#body").click()
    ann.send("here")
    ann.wait_for("here")


def test_going_from_the_list_to_a_room_is_quiet(ann: Person):
    """The list alone has no field to be focused, the room that takes its place has one. Some
    times, because what Chromium says about it depends on when it draws."""
    rid = ann.create_room("Tea")
    for _ in range(8):
        ann.open("/")
        ann.wait_live()
        ann.switch_to(rid)
        expect(ann.page.locator("#body")).to_be_focused()
        ann.wait_live()
        assert ann.complaints == []


def test_new_room_appears_in_another_tab(people: People, ann: Person, bob: Person, room: str):
    """Started or joined in one tab, on the list of the other, and live there."""
    other = people.tab(ann.page.context, ann.url, "Ann's other tab")
    other.open("/")
    other.wait_live()
    started = ann.create_room("Juice")
    expect(other.page.locator(f"#room-{started} .row__name")).to_have_text("Juice")
    bobs = bob.create_room("Milk")
    ann.join_room(bobs)
    expect(other.page.locator(f"#room-{bobs} .row__name")).to_have_text("Milk")
    bob.wait_live()
    bob.send("fresh milk")
    expect(other.page.locator(f"#last-{bobs}")).to_contain_text("Bob: fresh milk")
    other.switch_to(bobs)
    other.wait_for("fresh milk")
    bob.send("more milk")
    other.wait_for("more milk")


def test_two_tabs_of_one_person(people: People, server: Server):
    """What is sent in one is in the other, by the same author."""
    ann = people.come(server.url, "Ann")
    rid = ann.create_room("Alone")
    other = people.tab(ann.page.context, ann.url, "Ann's other tab")
    other.open(f"/rooms/{rid}")
    ann.wait_live()
    other.wait_live()
    ann.send("from here")
    other.wait_for("from here")
    other.send("from there")
    for tab in (ann, other):
        tab.wait_for("from there")
        assert tab.messages() == ["from here", "from there"]


def unread(person: Person, rid: str):
    """The marks whose number a CSS counter shows."""
    return person.page.locator(f"#unread-{rid} > i")


def accessible_name(person: Person, selector: str) -> str:
    """What is read out, with the numbers that CSS counts."""
    devtools = person.page.context.new_cdp_session(person.page)
    root = devtools.send("DOM.getDocument")["root"]["nodeId"]
    node = devtools.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
    tree = devtools.send("Accessibility.getPartialAXTree", {"nodeId": node})
    return tree["nodes"][0]["name"]["value"]


def test_a_room_is_started_with_people_found_by_typing(people: People, server: Server, ann: Person):
    """Quentin is ticked in what a search found, another search keeps him, and his list shows
    the room by itself."""
    quentin = people.come(server.url, "Quentin")
    quentin.open("/")
    expect(quentin.page.locator("#rooms > li.row")).to_have_count(0)
    quentin.until(lambda: quentin.sent("watch"), "Quentin's page being live")
    ann.open("/rooms/new")
    ann.page.get_by_label("Name", exact=True).fill("Club")
    ann.page.get_by_label("Closed").check()
    search = ann.page.get_by_label("Find people by name")
    search.press_sequentially("quen", delay=20)
    box = ann.page.locator("#found label", has_text="Quentin")
    uid = box.locator("input").get_attribute("value")
    box.click()
    search.fill("nobody-like-that")
    expect(ann.page.locator("#found")).to_contain_text("Nobody else matches")
    expect(ann.page.locator(f"#found input[value='{uid}']")).to_be_checked()
    ann.page.get_by_role("button", name="Create the room").click()
    expect(ann.page.locator("#room-name")).to_have_text("Club")
    expect(ann.page.locator(".panel__size")).to_have_text("2 members")
    club = ann.room
    expect(quentin.page.locator(f"#name-{club}")).to_have_text("Club")
    quentin.switch_to(club)
    ann.wait_live()
    ann.send("you are in it")
    quentin.wait_for("you are in it")


def test_a_rename_is_seen_in_the_other_browser(ann: Person, bob: Person, room: str):
    ann.page.get_by_role("link", name="Details").click()
    ann.page.get_by_role("link", name="Edit the room").click()
    ann.page.get_by_label("Name", exact=True).fill("Coffee")
    ann.page.get_by_label("Topic").fill("Beans and more")
    ann.page.get_by_role("button", name="Save").click()
    expect(bob.page.locator("#room-name")).to_have_text("Coffee")
    expect(bob.page.locator(".panel__topic")).to_have_text("Beans and more")
    expect(bob.page.locator(f"#name-{room}")).to_have_text("Coffee")
    expect(bob.page).to_have_title("Coffee · Chat")
    expect(bob.page.locator("#messages")).to_contain_text("renamed the room to Coffee")


def test_the_room_with_news_moves_to_the_top(ann: Person, bob: Person, room: str):
    """Without losing its mark, its link or the focus on it."""
    coffee = ann.create_room("Coffee")
    ann.wait_live()
    rows = ann.page.locator("#rooms > li.row")
    expect(rows.first).to_have_id(f"room-{coffee}")
    ann.page.locator(f"#room-{room} a").focus()
    bob.send("news")
    expect(rows.first).to_have_id(f"room-{room}")
    expect(rows).to_have_count(2)
    expect(unread(ann, room)).to_have_count(1)
    expect(ann.page.locator(f"#room-{room} a")).to_be_focused()
    ann.switch_to(room)
    ann.wait_live().wait_for("news")


def test_who_is_removed_sees_it_and_who_leaves_is_gone(ann: Person, bob: Person, room: str):
    ann.page.get_by_role("link", name="Details").click()
    ann.page.get_by_role("button", name="Remove Bob").click()
    expect(bob.page.locator("#panel")).to_contain_text("You are no longer in this room")
    expect(bob.page.locator(f"#room-{room}")).to_have_count(0)
    ann.page.get_by_role("link", name="Leave").click()
    ann.page.get_by_role("button", name="Leave and end the room").click()
    expect(ann.page.locator("#rooms")).to_contain_text("You have not joined any rooms yet")


def test_two_strangers_talk(people: People, server: Server):
    """A seat beside a stranger, a word, and the way back."""
    dan, eve = people.come(server.url, "Dan"), people.come(server.url, "Eve")
    for stranger in (dan, eve):
        stranger.page.get_by_role("link", name="Talk to someone new").click()
        stranger.page.get_by_role("button", name="Join a random chat").click()
        expect(stranger.page.locator("#room-name")).to_contain_text("Random chat")
        stranger.wait_live().wait_next_form()
    assert dan.room == eve.room
    expect(dan.page.locator("#messages")).to_contain_text("Eve joined")
    eve.send("hello stranger")
    dan.wait_for("hello stranger")
    eve.page.get_by_role("link", name="Details").click()
    eve.page.get_by_role("link", name="Leave").click()
    eve.page.get_by_role("button", name="Leave").click()
    expect(eve.page.get_by_role("link", name="Talk to someone new")).to_be_visible()
    expect(dan.page.locator("#messages")).to_contain_text("Eve left")
    expect(dan.page.locator(".panel__size")).to_have_text("1 member")


def test_a_room_switch_is_one_transition(ann: Person, room: str):
    """The panel, the composer and the list change at the same moment, and one writes on at once."""
    ann.create_room("Coffee")
    ann.wait_live().wait_next_form()
    ann.page.evaluate(
        """() => { window.seen = [];
        document.addEventListener("htmx:before:viewTransition", () => window.seen.push("begin"));
        new MutationObserver(() => window.seen.push("list"))
            .observe(document.querySelector("#rooms"), {childList: true}); }"""
    )
    ann.switch_to(room)
    ann.until(lambda: "list" in ann.page.evaluate("window.seen"), "the list")
    assert ann.page.evaluate("window.seen")[:2] == ["begin", "list"]
    assert ann.page.evaluate("window.seen").count("begin") == 1
    ann.wait_live()
    ann.send("at once")
    ann.wait_for("at once")
