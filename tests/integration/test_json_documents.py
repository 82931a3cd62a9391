"""Fetching documents of other sites, which may be slow, large or wrong."""

import asyncio
import socket
import threading

import greenback
import httpx
import pytest
from flask import Flask, Response, redirect, request
from werkzeug.serving import make_server

from chat.http_client import json_documents
from chat.http_client.json_documents import CachedDocument, Unreachable, get_json

from ..provider import Quiet
from ..running import Server, Visitor, wait_until

PAGES = {
    "right": lambda: {"token": request.headers.get("Authorization")},
    "large": lambda: {"x": "x" * json_documents.MAX_BODY_BYTES},
    "endless": lambda: Response(iter(lambda: b" " * 999, b"")),
    "list": lambda: ["x"],
    "deep": lambda: "[" * 100_000 + "]" * 100_000,
    "text": lambda: "hello",
    "surrogate": lambda: Response('{"a": ["\\ud800"]}', mimetype="application/json"),
    "numbers": lambda: Response('{"a": ' + "9" * 5000 + "}", mimetype="application/json"),
    "bytes": lambda: Response(b'{"a": "\xff"}', mimetype="application/json"),
    "error": lambda: ({"error": "invalid_grant"}, 400),
    "moved": lambda: redirect("/right"),
    "nothing": lambda: ("", 404),
}


@pytest.fixture(scope="module")
def site():
    """The address of a site whose pages are not what they should be."""
    app = Flask("site")
    app.add_url_rule("/<page>", view_func=lambda page: PAGES[page](), endpoint="page")
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def on_loop(function, *args):
    """Call it in a greenlet, as a request is."""
    return asyncio.run(greenback.with_portal_run_sync(function, *args))


@pytest.fixture
def silent():
    """A site that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_an_object_is_read(site):
    assert on_loop(get_json, f"{site}/right", "t") == {"token": "Bearer t"}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("large", "more than"),
        ("endless", "more than"),
        ("list", "no JSON object"),
        ("deep", "no JSON object"),
        ("text", "no JSON object"),
        ("numbers", "no JSON object"),
        ("bytes", "no JSON object"),
        ("surrogate", "answered 200"),
        ("error", "invalid_grant"),
        ("moved", "302"),
        ("nothing", "404"),
    ],
)
def test_what_cannot_be_used(site, path, why):
    with pytest.raises(Unreachable, match=why):
        on_loop(get_json, f"{site}/{path}")


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.org/x", "file:///etc/passwd", "", "https://", "https://[", "https://a:b"),
        *("https://\ud800", "https://a/\n", "https://a b/", "https://\u00e4/", "https://a/#b"),
    ],
)
def test_an_address_on_which_anybody_could_answer(url):
    with pytest.raises(Unreachable, match="not an https address"):
        on_loop(get_json, url)


@pytest.mark.parametrize("url", ["https://xn--/", "https://xn--a/", f"https://{'a' * 64}/"])
def test_a_name_that_is_none(url):
    with pytest.raises(Unreachable):
        on_loop(get_json, url)


def test_a_site_that_says_nothing_is_given_up(silent, monkeypatch):
    monkeypatch.setattr(json_documents, "TIMEOUT_SECONDS", 0.1)
    with pytest.raises(Unreachable, match="Timeout"):
        on_loop(get_json, f"http://127.0.0.1:{silent.getsockname()[1]}/")


def test_however_many_ask_it_is_fetched_once(site):
    reads = []

    def read(document):
        reads.append(document)
        return document

    async def all_at_once():
        kept = CachedDocument(f"{site}/right", read)
        asking = [greenback.with_portal_run_sync(kept.get) for _ in range(5)]
        first, *others = await asyncio.gather(*asking)
        return all(other is first for other in others)

    assert asyncio.run(all_at_once())
    assert len(reads) == 1


def test_nobody_waits_for_a_slow_provider_but_who_signs_in(tmp_path, silent):
    address = f"http://127.0.0.1:{silent.getsockname()[1]}"
    oidc = {"CHAT_OIDC_ISSUER": address, "CHAT_OIDC_CLIENT_ID": "chat"}
    running = Server(tmp_path / "chat", CHAT_SIGN_IN="guest,oidc", **oidc).start()
    answers = []

    def sign_in():
        answers.append(httpx.get(f"{running.url}/sign-in/oidc", timeout=30).status_code)

    waiting = [threading.Thread(target=sign_in) for _ in range(20)]
    try:
        for thread in waiting:
            thread.start()
        asked, _ = silent.accept()
        visitor = Visitor(running.url, "Ann")
        assert visitor.get("/").status_code < 400
        assert answers == []
        asked.close()
        wait_until(lambda: len(answers) == 20, "an answer to all")
        assert set(answers) == {502}
    finally:
        for thread in waiting:
            thread.join()
        running.clean_up()
