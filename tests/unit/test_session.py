"""The caches of cookies and of CSRF tokens let nobody in, and confuse nobody with anybody else."""

from datetime import timedelta

import pytest
from flask import Flask
from flask import session as cookie
from flask_wtf.csrf import validate_csrf
from werkzeug.exceptions import BadRequest

from chat.auth.signed_cookies import SignedCookies
from chat.web import security

LASTS = 90 * 24 * 3600  # seconds
NOW = 1_800_000_000.5  # the time for all hosts, whatever this machine's clock says


@pytest.fixture
def app():
    app = Flask("test")
    app.clock = [NOW]
    app.session_interface = SignedCookies(lambda: app.clock[0])
    app.config.update(
        SECRET_KEY="x" * 32,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=LASTS),
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.csrf = security.protect(app)
    return app


def signed(app, **fields):
    return app.session_interface.get_signing_serializer(app).dumps(fields)


def read(app, text):
    """What a request with this cookie is told."""
    with app.test_request_context(headers={"Cookie": f"session={text}"}):
        return dict(cookie)


def test_a_cookie_that_was_changed_says_nothing(app):
    text = signed(app, uid="ann")
    assert read(app, text) == {"uid": "ann"}
    head, _, tail = text.partition(".")
    other = signed(app, uid="ben").partition(".")[0]
    for wrong in (f"{other}.{tail}", text[:-2], f"{head}.{tail}x", head):
        assert read(app, wrong) == {}
    assert read(app, text) == {"uid": "ann"}


def test_a_cookie_that_was_read_before_gets_too_old(app):
    text = signed(app, uid="ann")
    assert read(app, text) == {"uid": "ann"}
    app.clock[0] += LASTS - 2
    assert read(app, text) == {"uid": "ann"}
    app.clock[0] += 4
    assert read(app, text) == {}


@pytest.mark.parametrize("earlier", [1, 60, 3600])
def test_a_cookie_outlives_a_clock_that_is_set_back(app, earlier):
    """Whether the session goes on is the store's to say."""
    text = signed(app, uid="ann")
    app.clock[0] -= earlier
    assert read(app, text) == {"uid": "ann"}


def test_what_a_request_changes_is_not_in_the_next(app):
    text = signed(app, uid="ann", oidc=[{"state": "1"}])
    with app.test_request_context(headers={"Cookie": f"session={text}"}):
        cookie["uid"] = "ben"
        cookie["oidc"][0]["state"] = "2"
        cookie["oidc"].append({})
    assert read(app, text) == {"uid": "ann", "oidc": [{"state": "1"}]}


def test_a_token_belongs_to_its_session(app):
    ann, ben = (signed(app, csrf_token=secret) for secret in ("a" * 40, "b" * 40))
    tokens = []
    for text in (ann, ben, ann):
        with app.test_request_context(headers={"Cookie": f"session={text}"}):
            tokens.append(security.csrf_token())
            assert security.csrf_token() == tokens[-1]
    assert tokens[0] == tokens[2] != tokens[1]
    for text, token, fits in ((ann, tokens[0], True), (ben, tokens[0], False)):
        headers = {"Cookie": f"session={text}", "X-CSRFToken": token}
        with app.test_request_context("/", method="POST", headers=headers):
            if fits:
                app.csrf.protect()
            else:
                with pytest.raises(BadRequest):
                    app.csrf.protect()


def test_who_has_no_token_yet_gets_one(app):
    with app.test_request_context():
        token = security.csrf_token()
        assert cookie["csrf_token"]
        assert security.csrf_token()
        text = signed(app, **dict(cookie))
    headers = {"Cookie": f"session={text}", "X-CSRFToken": token}
    with app.test_request_context("/", method="POST", headers=headers):
        app.csrf.protect()


def test_a_new_secret_has_a_new_token_in_the_same_request(app):
    """As when somebody signs in: the answer's forms belong to the new session."""
    with app.test_request_context():
        tokens = []
        for secret in ("c" * 40, "d" * 40):
            cookie["csrf_token"] = secret
            tokens.append(security.csrf_token())
            validate_csrf(tokens[-1])
        assert tokens[0] != tokens[1]
