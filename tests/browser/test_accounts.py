"""Accounts in the browser: the first one, coming back, and administrators."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from ..running import Server
from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser
GOOD = "seven wet umbrellas"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_SIGN_IN="guest,password").start()
    yield running
    running.clean_up()


def test_the_first_account_looks_after_the_others(people: People, server: Server):
    """Ada makes the first account, Ben the second; he becomes a moderator, and forgets his
    password."""
    people.allowed = ("Failed to load resource: the server responded with a status of 400",)
    ada = people.come(server.url)
    ada.open("/")
    expect(ada.page.get_by_role("heading")).to_have_text("Welcome to your chat")
    fill(ada, login="ada", password=GOOD)
    ada.page.get_by_role("button", name="Create the account").click()
    expect(ada.page.locator("#side")).to_be_attached()

    ben = people.come(server.url)
    ben.open("/sign-in")
    ben.page.get_by_role("link", name="Create one").click()
    fill(ben, login="ben", password="password1")
    ben.page.get_by_role("button", name="Create the account").click()
    expect(ben.page.get_by_role("alert")).to_contain_text("too short")
    expect(ben.page.get_by_label("Login")).to_have_value("ben")
    fill(ben, password=GOOD)
    ben.page.get_by_role("button", name="Create the account").click()
    expect(ben.page.locator("#side")).to_be_attached()
    ben.wait_live()

    ada.page.locator(".side__me").click()
    ada.page.get_by_role("link", name="People", exact=True).click()
    row = ada.page.locator(".entries__row", has_text="ben")
    row.locator("summary").click()
    row.get_by_label("Role of ben").select_option("moderator")
    row.get_by_role("button", name="Set role").click()
    expect(row).to_contain_text("moderator")
    row.locator("summary").click()
    row.get_by_role("button", name="Password link").click()
    link = ada.page.get_by_label("Link for a new password").input_value()

    ben.open(link.removeprefix(server.url))
    fill(ben, password="nine red kettles", again="nine red kettles")
    ben.page.get_by_role("button", name="Set password").click()
    expect(ben.page.locator("#side")).to_be_attached()


def test_signing_in_and_being_signed_out_elsewhere(people: People, server: Server):
    first, second = people.come(server.url), people.come(server.url)
    first.open("/sign-up")
    fill(first, login="cat", password=GOOD)
    first.page.get_by_role("button", name="Create the account").click()
    expect(first.page.locator("#side")).to_be_attached()
    second.open("/sign-in")
    fill(second, login="cat", password=GOOD)
    second.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(second.page.locator("#side")).to_be_attached()
    second.wait_live()
    first.open("/me/sessions")
    first.page.get_by_role("button", name="End all other sessions").click()
    expect(second.page.get_by_role("heading")).to_have_text("You are signed out")


def fill(person: Person, **fields: str) -> None:
    for name, value in fields.items():
        person.page.locator(f"#{name}").fill(value)
