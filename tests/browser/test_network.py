"""The network breaks, or the server dies: nothing is lost or duplicated, and nobody reloads."""

import os
import signal

import pytest
from playwright.sync_api import expect

from ..running import Server, Visitor, wait_until
from .conftest import People, meet
from .person import BACK, Person

pytestmark = pytest.mark.browser


@pytest.fixture
def ann(people: People, mortal_server: Server) -> Person:
    people.may_lose_the_server()
    return people.come(mortal_server.url, "Ann")


@pytest.fixture
def bob(people: People, mortal_server: Server) -> Person:
    return people.come(mortal_server.url, "Bob")


def test_message_survives_the_death_of_the_server(
    ann: Person, bob: Person, room: str, mortal_server: Server
):
    """Its frame has left and was not stored when the server is killed: the page sends it again
    by itself, and the next draft is not touched."""
    ann.send("before")
    bob.wait_for("before")
    ann.wait_next_form(2)
    sent = len(ann.sent("post"))
    workers = mortal_server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    ann.send("into the void")
    assert len(ann.sent("post")) == sent + 1
    ann.type("the next dr")
    assert mortal_server.process is not None
    for pid in (mortal_server.process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    mortal_server.kill()

    ann.type("aft")
    assert bob.messages() == ["before"]
    mortal_server.start()
    for person in (ann, bob):
        person.wait_live(BACK).wait_for("into the void")
        assert person.messages() == ["before", "into the void"]
    assert ann.draft() == "the next draft"
    ann.press("Enter")
    for person in (ann, bob):
        person.wait_for("the next draft")
        assert person.messages() == ["before", "into the void", "the next draft"]


def test_while_the_database_is_away_the_page_stays_and_the_text_too(
    ann: Person, bob: Person, room: str, mortal_server: Server
):
    """What was said can be read, what was written says why it is not sent; then it can be."""
    ann.send("before")
    bob.wait_for("before")
    ann.wait_next_form(2)
    valkey = mortal_server.valkey()
    os.kill(valkey, signal.SIGSTOP)
    try:
        ann.enter("can you hear me")
        refused = ann.page.locator(".composer:has(.error)")
        expect(refused.get_by_role("alert")).to_contain_text("cannot reach its database")
        expect(refused.locator(".composer__body")).to_have_value("can you hear me")
        assert ann.messages() == bob.messages() == ["before"]
    finally:
        os.kill(valkey, signal.SIGCONT)
    wait_until(mortal_server.is_ready, "the return of the database")
    refused.locator(".composer__body").press("Enter")
    for person in (ann, bob):
        person.wait_for("can you hear me")
        assert person.messages() == ["before", "can you hear me"]
    expect(refused).to_be_hidden()


def test_several_lines_survive_the_death_of_the_server(
    ann: Person, bob: Person, room: str, mortal_server: Server
):
    """As one line does, though the field is another."""
    ann.page.get_by_role("button", name="Write multiple lines").click()
    ann.wait_empty()
    ann.wait_next_form(2)
    workers = mortal_server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    ann.type("into\nthe void")
    ann.page.get_by_role("button", name="Send").click()
    ann.wait_empty()
    assert mortal_server.process is not None
    for pid in (mortal_server.process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    mortal_server.kill()
    ann.type("the next\ndraft")
    mortal_server.start()
    for person in (ann, bob):
        person.wait_live(BACK).wait_for("into\nthe void")
    assert ann.draft() == "the next\ndraft"
    ann.until(lambda: ann.fields() == ["the next\ndraft"], "only the draft")
    assert ann.messages() == bob.messages() == ["into\nthe void"]


def test_page_that_was_offline_catches_up(people: People, mortal_server: Server, network):
    """Sixty messages, and some of its own meanwhile: all there, without a reload."""
    people.may_lose_the_server()
    proxy = network(mortal_server)
    ann = people.come(proxy.url, "Ann")
    rid = meet(ann)
    bob = Visitor(mortal_server.url, "Bob")
    bob.join(rid)
    bob.post(rid, "m0")
    ann.wait_for("m0")
    ann.page.evaluate("document.querySelector('#live').dataset.same = 'yes'")

    proxy.cut()
    expect(ann.page.locator("#connection")).to_contain_text("Reconnecting")
    expected = [f"m{number}" for number in range(61)]
    for text in expected[1:]:
        bob.post(rid, text)
    ann.enter("while away")
    assert ann.messages() == ["m0"]
    proxy.heal()

    ann.wait_live(BACK).wait_for(expected[-1])
    assert ann.messages() == expected
    assert ann.seqs() == list(range(1, 64))  # with "started" and "joined"
    expect(ann.page.locator("#live")).to_have_attribute("data-same", "yes")
    assert ann.draft() == "while away"
    ann.press("Enter")
    ann.wait_for("while away")
    bob.post(rid, "welcome back")
    ann.wait_for("welcome back")
    assert ann.messages() == [*expected, "while away", "welcome back"]


def test_reconnecting_is_shown_while_the_server_is_away(
    ann: Person, room: str, mortal_server: Server
):
    """And what is typed meanwhile stays, Enter or not."""
    connection = ann.page.locator("#connection")
    expect(connection).to_be_empty()
    mortal_server.kill()
    expect(connection).to_contain_text("Reconnecting")
    expect(connection.locator("p")).to_be_visible()
    ann.enter("typed ")
    ann.type("meanwhile")
    mortal_server.start()
    ann.wait_live(BACK)
    expect(connection).to_be_empty()
    assert ann.draft() == "typed meanwhile"
    assert ann.messages() == []
    ann.press("Enter")
    ann.wait_for("typed meanwhile")
    ann.wait_empty()


def test_a_room_that_does_not_load_is_told_until_one_does(
    people: People, mortal_server: Server, network
):
    """What is chosen while nothing gets through leaves the page as it is, and says so."""
    people.may_lose_the_server()
    proxy = network(mortal_server)
    ann = people.come(proxy.url, "Ann")
    tea, other = meet(ann), ann.create_room("Other")
    ann.wait_live()
    said = ann.page.locator("#unloaded")
    expect(said).to_be_empty()
    proxy.cut()
    ann.page.locator(f"#room-{tea} a").click()
    expect(said.get_by_role("alert")).to_have_text("That did not load. Try again.")
    assert ann.room == other
    proxy.heal()
    ann.switch_to(tea)
    expect(said).to_be_empty()

    ann.wait_live(BACK)  # nothing but the requests fails from here on
    ann.page.route(f"**/rooms/{other}", lambda route: route.abort())
    ann.page.locator(f"#room-{other} a").click()
    expect(said.get_by_role("alert")).to_be_visible()
    ann.page.unroute(f"**/rooms/{other}")
    expect(ann.page.locator("#connection")).to_be_empty()
    ann.switch_to(other)
    expect(said).to_be_empty()


def test_a_restart_ends_no_conversation(ann: Person, bob: Person, room: str, mortal_server: Server):
    """Stopped in order and started again: the pages come back by themselves."""
    for number in range(5):
        ann.send(f"a{number}")
        bob.send(f"b{number}")
    for person in (ann, bob):
        person.until(lambda person=person: len(person.messages()) == 10, "ten messages")
    before = ann.messages()
    assert mortal_server.stop() == 0
    for person in (ann, bob):
        expect(person.page.locator("#connection")).to_contain_text("Reconnecting")
    mortal_server.start()
    for person in (ann, bob):
        person.wait_live(BACK)
    ann.send("still here?")
    bob.wait_for("still here?")
    bob.send("of course")
    for person in (ann, bob):
        person.wait_for("of course")
        assert person.messages() == [*before, "still here?", "of course"]
    ann.page.reload()
    assert ann.messages() == bob.messages()


def test_the_next_worker_takes_over(ann: Person, bob: Person, room: str, mortal_server: Server):
    """A worker that dies alone is replaced while people type."""
    (worker,) = mortal_server.workers()
    ann.type("half a sent")
    os.kill(worker, signal.SIGKILL)
    expect(ann.page.locator("#connection")).to_contain_text("Reconnecting")
    ann.type("ence")
    wait_until(lambda: mortal_server.workers() not in ([], [worker]), "another worker")
    ann.wait_live(BACK)
    bob.wait_live(BACK)
    ann.press("Enter")
    for person in (ann, bob):
        person.wait_for("half a sentence")
        assert person.messages() == ["half a sentence"]


def test_scripts_that_arrive_late(people: People, server: Server, network):
    """On a slow first visit the page is live all the same."""
    proxy = network(server)
    proxy.slow[b"/hx-ws-"] = 0.5
    proxy.slow[b"/hx-upsert-"] = 1.0
    ann = people.come(proxy.url, "Ann")
    ann.create_room("Tea")
    ann.wait_live()
    ann.send("hello")
    ann.wait_for("hello")
