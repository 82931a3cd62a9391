"""People talk: what one sends is there for everyone, once and in order."""

import time

import pytest
from playwright.sync_api import expect

from chat.realtime.client_messages import MAX_PENDING

from ..running import Server
from .conftest import People, meet
from .person import Person
from .proxy import Proxy

pytestmark = pytest.mark.browser


def test_two_people_talk(ann: Person, bob: Person, room: str):
    """What one sends is at the other at once, and both read the same."""
    start = time.perf_counter()
    ann.send("hello")
    bob.wait_for("hello")
    print(f"typed, sent and read by the other in {time.perf_counter() - start:.2f} s")
    assert time.perf_counter() - start < 5

    for number in range(10):
        ann.send(f"a{number}")
        bob.send(f"b{number}")
    expected = {"hello"} | {f"{who}{number}" for who in "ab" for number in range(10)}
    for person in (ann, bob):
        person.wait_for(*expected)
        assert len(person.messages()) == 21
        assert person.seqs() == sorted(set(person.seqs()))
        for who in "ab":
            own = [text for text in person.messages() if text[0] == who]
            assert own == [f"{who}{number}" for number in range(10)]
    assert ann.messages() == bob.messages()


def test_own_message_appears_once(ann: Person, room: str):
    """Its author sees it once; the composer is empty and waits for the next."""
    ann.send("only once")
    ann.wait_for("only once")
    assert ann.draft() == ""
    expect(ann.page.locator("#composer form")).to_have_count(1)
    for once in ("#body", "#nonce"):
        expect(ann.page.locator(once)).to_have_count(1)
    assert ann.messages() == ["only once"]
    ann.send("and again")
    ann.wait_for("and again")
    assert ann.messages() == ["only once", "and again"]


def test_who_is_typing_is_seen_by_the_other(ann: Person, bob: Person, room: str):
    """Until the message is there, and not by who types."""
    ann.type("I am wri")
    expect(bob.page.locator("#typing")).to_contain_text("Ann")
    expect(bob.page.locator("#typing")).to_contain_text("is typing")
    expect(ann.page.locator(".typing__person:visible")).to_have_count(0)
    ann.enter("ting this")
    bob.wait_for("I am writing this")
    expect(bob.page.locator(".typing__person")).to_have_count(0)


def test_typing_ahead_of_a_slow_server(slow: Person, far: Proxy):
    """Nobody waits for the server: the next composer is there before it has answered."""
    far.latency = 4.0  # each way; a busy machine takes seconds for three lines of typing
    first, second = "this is the first of my messages", "and the second comes right after it"
    slow.send(first)
    slow.send(second)
    slow.type("while the third is still a draft")
    assert slow.messages() == []
    slow.wait_for(first, second)
    slow.until(lambda: slow.fields() == ["while the third is still a draft"], "only the draft")
    assert slow.messages() == [first, second]
    assert slow.draft() == "while the third is still a draft"


def test_what_waits_for_an_answer_goes_along_when_a_page_comes_back_but_not_all_at_once(
    people: People, server: Server, network
):
    """The frame would be larger than the server takes, which would end the page."""
    proxy = network(server)
    person = people.come(proxy.url, "Far")
    meet(person)
    proxy.latency = 600
    for number in range(MAX_PENDING + 2):
        person.send(f"m{number}")
    parts = person.page.locator("#watch").get_attribute("hx-include").split(", ")
    bodies = person.page.locator(next(part for part in parts if part.endswith("[name=body]")))
    expect(bodies).to_have_count(MAX_PENDING)
    expect(bodies.first).to_have_value("m0")
    expect(bodies.last).to_have_value(f"m{MAX_PENDING - 1}")


def test_next_composer_is_fetched_once_ahead_of_time(ann: Person, room: str):
    """Not again when it is wanted, and its address holds no more than it must."""
    for number in (1, 2, 3):
        ann.send(f"m{number}")
        ann.wait_for(f"m{number}")
        ann.wait_next_form(number + 1)
    assert len(ann.forms) == 4
    assert all(url.partition("?")[2].count("=") == 1 for url in ann.forms)


def test_a_next_composer_that_did_not_come_is_asked_for_again(people: People, server: Server):
    people.may_lose_the_server()
    ann = people.come(server.url, "Ann")
    ann.page.route("**/composer?*", lambda route: route.abort())
    ann.create_room("Tea")
    ann.wait_live().enter("hello")
    ann.wait_for("hello")
    ann.page.unroute("**/composer?*")
    ann.wait_next_form(1)
    ann.wait_empty()
    ann.send("and on")
    ann.wait_for("hello", "and on")
    assert ann.messages() == ["hello", "and on"]


def test_typing_before_the_next_composer_is_there(slow: Person):
    """Short messages, one after the other: what was typed into a form already sent comes back
    as a form of its own."""
    typed = ["one", "two", "three", "four"]
    for text in typed:
        slow.enter(text)
    slow.type("five")
    slow.until(lambda: settled(slow), "everything being stored or given back")
    assert everything(slow) == "".join(sorted("onetwothreefourfive"))
    assert len(slow.seqs()) == len(set(slow.seqs()))


def test_typing_at_inhuman_speed(ann: Person, room: str):
    """No time at all between the keys."""
    for text in ("one", "two", "three", "four"):
        ann.enter(text, delay=0)
    ann.type("five", delay=0)
    ann.until(lambda: settled(ann), "everything being stored or given back")
    assert everything(ann) == "".join(sorted("onetwothreefourfive"))
    assert len(ann.messages()) == len(set(ann.messages()))


def settled(person: Person) -> bool:
    """True when nothing is on its way any more."""
    forms = person.page.locator("#composer .composer--live").count()
    return forms == 1 and bool(person.sent("typed")) and bool(person.messages())


def everything(person: Person) -> str:
    """All characters that were stored or stand in a field; typing ahead may part a word."""
    return "".join(sorted("".join(person.messages() + person.fields())))


def test_double_enter_sends_once(ann: Person, room: str):
    ann.enter("once")
    ann.press("Enter")
    ann.wait_empty()
    ann.wait_for("once")
    ann.send("after it")
    ann.wait_for("after it")
    assert ann.messages() == ["once", "after it"]


def test_double_enter_with_a_slow_composer_sends_once(slow: Person):
    for text in ("once", "twice"):  # the next composer is at hand for the first only
        slow.enter(text, delay=0)
        slow.press("Enter")
        slow.wait_empty()
    slow.wait_for("once", "twice")
    slow.until(lambda: slow.fields() == [""], "an empty composer")
    assert slow.messages() == ["once", "twice"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("x" * 4001, "too long: 4,001 characters"), ("   ", "Write something first")],
    ids=["too long", "blank"],
)
def test_refused_message_keeps_its_text(ann: Person, room: str, text: str, reason: str):
    """It says why, and goes once it is mended."""
    ann.page.evaluate('document.querySelector("#body").removeAttribute("maxlength")')
    ann.page.locator("#body").fill(text)
    ann.press("Enter")
    refused = ann.page.locator(".composer:has(.error)")
    expect(refused.get_by_role("alert")).to_contain_text(reason)
    expect(refused.locator(".composer__body")).to_be_visible()
    assert refused.locator(".composer__body").input_value() == text
    assert ann.messages() == []

    refused.locator(".composer__body").fill("short and good")
    ann.press("Enter")
    ann.wait_for("short and good")
    expect(refused).to_be_hidden()
    ann.page.locator("#body").click()
    ann.send("go on")
    ann.wait_for("go on")
    assert ann.messages() == ["short and good", "go on"]
    expect(ann.page.locator("#body")).to_have_count(1)


MARKUP = [
    "<img src=x onerror=alert(1)>",
    "</li></ol><script>alert(1)</script>",
    '"><hx-partial hx-target="body">gone</hx-partial>',
    "<template hx><b>bold</b></template> &lt;b&gt; &amp; {{ 7 * 7 }}",
    "</hx-upsert><p hx-get='/rooms' hx-trigger='load'>",
]


def test_markup_is_text(people: People, server: Server):
    """In names of people and rooms and in messages, live and after a reload."""
    name = "<img src=x onerror=alert(2)>"
    eve, bob = people.come(server.url, name), people.come(server.url, "Bob")
    rid = eve.create_room("<script>alert(3)</script>")
    bob.join_room(rid)
    eve.wait_live()
    bob.wait_live()
    for text in MARKUP:
        eve.send(text)
        eve.wait_for(text)
        bob.wait_for(text)
    bob.open(f"/rooms/{rid}")
    for person in (eve, bob):
        assert person.messages() == MARKUP
        authors = person.page.locator(".message__author").all_text_contents()
        assert authors == [name] * len(MARKUP)
        assert person.page.locator(f"#room-{rid} .row__name").text_content() == (
            "<script>alert(3)</script>"
        )
