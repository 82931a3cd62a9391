"""Finding messages, rooms and people, as people do it."""

from playwright.sync_api import expect

from .person import Person


def find(person: Person, text: str, found: str) -> None:
    """Type until it is found: the index may be a moment late."""
    field, hits = person.page.locator("#q"), person.page.locator("#found mark")

    def there() -> bool:
        field.fill("")
        field.type(text)
        person.page.wait_for_url(f"**/search?q={text}")
        return found in hits.all_inner_texts()

    person.until(there, f"{found!r} being found")


def access_key(person: Person, key: str) -> None:
    """Alt and the key, as a keyboard sends it: Playwright's `press` leaves out what it is without
    Alt, which is what Chromium compares."""
    session = person.page.context.new_cdp_session(person.page)
    code = {"key": key, "code": f"Key{key.upper()}", "windowsVirtualKeyCode": ord(key.upper())}
    for kind in ("keyDown", "keyUp"):
        event = {"type": kind, "modifiers": 1, "unmodifiedText": key, **code}
        session.send("Input.dispatchKeyEvent", event)


def test_a_message_is_found_while_its_word_is_typed_and_leads_to_its_place(ann, bob, room):
    ann.send("The lighthouse is painted")
    bob.wait_for("The lighthouse is painted")
    bob.send("Good")
    bob.page.locator("#side").get_by_role("button", name="Search").click()
    bob.page.wait_for_url("**/search?*")
    find(bob, "lighth", "lighthouse")
    expect(bob.page.locator("#told")).to_have_text("1 message")
    expect(bob.page.locator("#q")).to_be_focused()
    bob.page.locator("#found a").first.click()
    expect(bob.page.locator("#messages :target")).to_contain_text("The lighthouse is painted")


def test_a_room_is_gone_to_by_the_beginning_of_its_name(ann):
    ann.create_room("Observatory")
    other = ann.create_room("Boathouse")
    ann.create_room("Greenhouse")
    access_key(ann, "k")
    expect(ann.page.locator(".side__switcher input")).to_be_focused()
    ann.type("boat")
    expect(ann.page.locator("#going .switcher-results__name").first).to_have_text("Boathouse")
    ann.press("Enter")
    expect(ann.page.locator("#panel")).to_have_attribute("data-room", other)


def test_what_is_unread_is_read_from_where_it_begins(ann, bob, room):
    other = bob.create_room("Elsewhere")
    ann.send("The first of it")
    ann.send("The second")
    access_key(bob, "u")
    first = bob.page.locator(".unread .found__text").first
    expect(first).to_have_text("Ann The first of it")
    bob.page.get_by_role("link", name="Jump to first unread").click()
    expect(bob.page.locator("#panel")).to_have_attribute("data-room", room)
    expect(bob.page.locator("#new")).to_be_in_viewport()
    bob.wait_for("The second")
    bob.switch_to(other)


def test_without_javascript_a_name_and_a_word_lead_there_too(people, server, ann):
    rid = ann.create_room("Signal box")
    bob = people.come(server.url, "Bob", java_script_enabled=False)
    bob.join_room(rid)
    field = bob.page.locator(".side__switcher input")
    field.fill("signal")
    field.press("Enter")
    bob.page.wait_for_url(f"**/rooms/{rid}", wait_until="commit")
    bob.page.locator(".side__switcher input").fill("nothing is called that")
    bob.page.locator(".side__switcher").get_by_role("button", name="Search").click()
    expect(bob.page.locator("#told")).to_have_text("No messages found")
    expect(bob.page.locator("#q")).to_have_value("nothing is called that")
