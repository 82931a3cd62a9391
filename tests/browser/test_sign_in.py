"""Signing in by another site, in the browser and under our content security policy."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from ..provider import CLIENT, SECRET, Provider
from ..running import Server
from .conftest import People

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider: Provider) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("chat"),
        CHAT_SIGN_IN="oidc,jwt",
        CHAT_OIDC_ISSUER=provider.url,
        CHAT_OIDC_CLIENT_ID=CLIENT,
        CHAT_OIDC_CLIENT_SECRET=SECRET,
        CHAT_OIDC_NAME="Provider",
        CHAT_JWT_JWKS=f"{provider.url}/jwks_uri",
        CHAT_JWT_ISSUER=provider.url,
        CHAT_JWT_AUDIENCE=CLIENT,
        CHAT_JWT_ORIGIN=site(provider),
    ).start()
    yield running
    running.clean_up()


def site(provider: Provider) -> str:
    """The provider under a name that is another site than the chat's, to the browser."""
    return provider.url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("scripts", [True, False], ids=["htmx", "no JavaScript"])
def test_signing_in_at_a_provider(people: People, server: Server, scripts: bool):
    """Zoe turns back once, then signs in, is where she wanted to be, and can write."""
    people.allowed = ("Failed to load resource: the server responded with a status of 403",)
    zoe = people.come(server.url, java_script_enabled=scripts)
    zoe.open("/rooms/new")
    zoe.page.get_by_role("link", name="Continue with Provider").click()
    zoe.page.get_by_role("button", name="Cancel").click()
    expect(zoe.page.get_by_role("alert")).to_contain_text("was cancelled or denied")
    zoe.page.get_by_role("link", name="Continue with Provider").click()
    zoe.page.get_by_label("Subject").fill("7")
    zoe.page.get_by_label("Name").fill("Zoe")
    zoe.page.get_by_role("button", name="Sign in").click()
    zoe.page.get_by_label("Name", exact=True).fill("Tea")
    zoe.page.get_by_role("button", name="Create the room").click()
    expect(zoe.page.locator("#room-name")).to_have_text("Tea")
    expect(zoe.page.locator(".side__me")).to_contain_text("Zoe")
    if scripts:
        zoe.wait_live()
        zoe.send("hello")


def test_another_site_hands_its_user_over(people: People, server: Server, provider: Provider):
    """Its form comes from another site, without our cookie; the session that it begins stays."""
    ida = people.come(site(provider))
    ida.open(f"/hand-over?to={server.url}/sign-in/token")
    ida.page.get_by_role("button", name="To the chat").click()
    expect(ida.page.locator("#side")).to_be_attached()
    expect(ida.page.locator(".side__me")).to_contain_text("Ida")
    ida.page.reload()
    expect(ida.page.locator("#side")).to_be_attached()


def test_a_site_that_is_not_named_hands_nobody_over(
    people: People, server: Server, provider: Provider
):
    people.allowed = ("Failed to load resource: the server responded with a status of 403",)
    eve = people.come(provider.url)
    eve.open(f"/hand-over?to={server.url}/sign-in/token")
    eve.page.get_by_role("button", name="To the chat").click()
    expect(eve.page.get_by_role("alert")).to_contain_text("does not accept sign-ins")


def test_a_proxy_says_who_is_there(people: People, tmp_path):
    """Nobody types a name: the proxy in front has asked already, and adds its header to all that
    the browser sends, the socket's handshake included."""
    running = Server(
        tmp_path / "chat", CHAT_SIGN_IN="proxy", CHAT_PROXIES="127.0.0.0/8", CHAT_LIMITS="off"
    ).start()
    try:
        dana = people.come(running.url, extra_http_headers={"X-Forwarded-User": "dana"})
        dana.create_room("Tea")
        expect(dana.page.locator(".side__me")).to_contain_text("dana")
        dana.wait_live()
        dana.send("hello")
        dana.wait_for("hello")
        stranger = people.come(running.url)
        stranger.open("/")
        expect(stranger.page.locator("#side")).to_have_count(0)
        expect(stranger.page.get_by_role("heading")).to_be_visible()
    finally:
        dana.page.close()
        running.clean_up()
