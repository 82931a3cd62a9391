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
