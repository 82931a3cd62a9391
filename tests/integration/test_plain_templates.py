"""With an untested version of Jinja, pages are the same (chat.rendering.environment)."""

import re

import flask.templating
import pytest

from chat.app import create_app
from chat.config import Settings
from chat.rendering import environment

PAGES = (
    "/",
    "/people",
    "/rooms",
    "/rooms/new",
    "/unread",
    "/mentions",
    "/go",
    "/search",
    "/me",
    "/sessions",
    "/help/text",
    "/people/{uid}",
    "/rooms/{rid}",
    "/rooms/{rid}/people",
    "/rooms/{rid}/leave",
    "/rooms/{rid}/messages/2",
    "/rooms/none",
)
_RANDOM = re.compile(r'name="(?:csrf_token|nonce)"[^>]* value="([^"]+)')


@pytest.fixture
def apps(store, tmp_path, monkeypatch):
    settings = Settings(secret_key="x" * 32, data=tmp_path, limits=False)
    fast = create_app(settings, store)
    monkeypatch.setattr(environment, "TESTED_JINJA", ("0.0",))
    plain = create_app(settings, store)
    for app in (fast, plain):
        app.config["WTF_CSRF_ENABLED"] = False
    return fast, plain


def test_every_page_has_the_same_bytes(apps, store):
    fast, plain = apps
    assert type(fast.jinja_env) is environment.FastEnvironment
    assert type(plain.jinja_env) is flask.templating.Environment
    browser = fast.test_client()
    browser.post("/sign-in", data={"name": "Ann <b> & Co"})
    other = plain.test_client()
    cookie = browser.get_cookie("session")
    other.set_cookie("session", cookie.value)
    rid = browser.post("/rooms", data={"name": "Tea <i>", "kind": "open"}).location.split("/")[2]
    uid = store.rooms.uids(rid)[0]
    author = store.people.get(uid)
    for text in ("*plain*", "<script>", "a `b` https://c.example @Ann"):
        store.messages.post(rid, author, text)
    for path in PAGES:
        pages = [one.get(path.format(rid=rid, uid=uid)) for one in (browser, other)]
        assert pages[0].status_code == pages[1].status_code, path
        one, same = (without_random(page.text) for page in pages)
        assert one == same, path
        assert len(one) > 500


def without_random(page):
    """A page without the tokens and nonces that differ each time."""
    for value in _RANDOM.findall(page):
        page = page.replace(value, "")
    return page
