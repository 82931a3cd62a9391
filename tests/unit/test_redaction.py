"""No secret gets into the log: not by an address, not by a traceback, not in any spelling."""

import logging
import secrets
from urllib.parse import quote

import pytest
import redis

from chat.app import create_app
from chat.config import Settings
from chat.observability.redaction import Redacted, redacted
from chat.store import Store

SECRET_ARGUMENTS = {"secret"}  # of routes: `<secret>` is the only name for one
# What else routes have in their addresses: ids, which are no secrets.
IDS = {"rid", "uid", "fid", "seq", "name", "emoji", "filename", "path", "which"}


@pytest.fixture(scope="module")
def rules(tmp_path_factory):

    settings = Settings(secret_key="x" * 32, data=tmp_path_factory.mktemp("data"))
    app = create_app(settings, Store(redis.Redis(decode_responses=True)))
    return list(app.url_map.iter_rules())


def test_each_argument_of_a_route_is_known_to_be_a_secret_or_none(rules):
    """Who adds a route with a secret in its address calls it `secret`."""
    assert {name for rule in rules for name in rule.arguments} <= IDS | SECRET_ARGUMENTS


def test_the_secret_of_each_route_that_has_one_is_taken_out(rules):
    carrying = [rule for rule in rules if rule.arguments & SECRET_ARGUMENTS]
    assert len({rule.rule for rule in carrying}) >= 2
    for rule in carrying:
        secret = secrets.token_urlsafe(24)
        path = rule.rule
        for name in rule.arguments & SECRET_ARGUMENTS:
            path = path.replace(f"<{name}>", secret)
        for text in (
            path,
            repr(path),
            f"in GET {path!r}",
            f"{path}?next=/",
            f"Referer: https://chat.example.org{path}",
            f"/sign-in?next={quote(path)}&x=1",
            f"/sign-in?next={quote(path, safe='')}",
            f"/sign-in?next={quote(path, safe='').lower()}",
        ):
            assert secret not in redacted(text), text
            assert secret.lower() not in redacted(text).lower(), text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/sign-in/oidc/callback?code=abc&state=d-e_f", "/sign-in/oidc/callback?code=…&state=…"),
        ("/sign-in/token?token=abc.def.ghi next", "/sign-in/token?token=… next"),
        ("Authorization: Bearer chat_abcdefghijklmnopqrstu", "Authorization: Bearer …"),
        ("token chat_abcdefghijklmnopqrstuvwx-_9 of", "token chat_… of"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==", "whsec_…"),
        ("{'token': 'eyJhbGciOi.eyJzdWIi.c2ln'}", "{'token': 'eyJ…'}"),
        ("redis://:pass-word@10.0.0.3:6379/0", "redis://:…@10.0.0.3:6379/0"),
        ("Cookie: session=eyJ1aWQi.Zx.y; a=b", "Cookie: session=…; a=b"),
    ],
)
def test_secrets_that_are_known_by_place_or_look(text, left):
    assert redacted(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "in GET '/rooms/q3ZkT0c5/messages/42'",
        "/sign-in/reset",
        "/first-run",
        "sign-in failed from 203.0.113.7: wrong password (person q3ZkT0c5)",
        "Redis: Connection refused at redis://10.0.0.3:6379/0",
        "chat_export of the room",
        "/search?q=code",
    ],
)
def test_the_rest_stays(text):
    assert redacted(text) == text


def test_tracebacks_pass_the_same_place():
    try:
        raise ValueError("no route for /first-run/abcdefghijkl")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord(
        "chat", logging.ERROR, "", 0, "in %s", ("/first-run/abcdefghijkl",), info
    )
    line = Redacted().format(record)
    assert "abcdefghijkl" not in line
    assert line.count("/first-run/…") >= 2
