"""Invalid values in every form, address and path of the running chat. No response is a 5xx, the log
stays empty, and everybody else still gets correct responses.
"""

import itertools
from functools import partial

import pytest

from ..bad_values import MILLION, RAW, TEXTS, WORST, as_bytes, escaped
from ..running import Visitor
from .doors import (
    FIELDS,
    Actor,
    actor_for,
    address,
    application,
    asked_by,
    at_once,
    costly,
    form_of,
    ids_for,
    is_api,
    nothing_in_the_log,
    pairs,
    running,
)
from .world import PASSWORD

ANY = {**{name: escaped(text) for name, text in TEXTS.items()}, **RAW}
SHORT = {**{name: escaped(text, 1000) for name, text in TEXTS.items()}, **RAW}  # for addresses
BRIEF = {**{name: escaped(text, 250) for name, text in TEXTS.items()}, **RAW}  # all fields at once


@pytest.fixture(scope="module")
def world(tmp_path_factory, provider):
    with running(tmp_path_factory.mktemp("chat"), provider) as there:
        yield there


@pytest.fixture(autouse=True)
def quiet(world):
    with nothing_in_the_log(world):
        yield


@pytest.fixture(scope="module")
def routes(world):
    return application(world)


pytestmark = pytest.mark.timeout(600)  # seconds, for a machine that does much else besides


def test_the_names_of_fields_are_found():
    assert {"body", "nonce", "name", "members", "address", "login", "again", "sid", "upto"} < FIELDS
    assert {"q", "before", "after", "older", "day", "next", "state", "code", "token"} < FIELDS


def test_every_field_of_every_form(world, routes):
    app, rules = routes

    def send(rule, door):
        ids = ids_for(world, rule)
        target, actor = address(rule, ids), actor_for(world, app, rule, "POST")
        form = form_of(world, app, rule, "POST", ids)
        names = asked_by(app, rule, "POST")
        for name in costly(rule) or BRIEF:
            sent = [(field.encode(), BRIEF[name]) for field in [*FIELDS, "x"]]
            answer = actor.browse("POST", target, [*sent, (BRIEF[name], BRIEF[name])])
            door.check(f"POST {rule.rule} all fields {name}", answer)
        fields = set(form) if costly(rule) else names | set(form)
        for field, name in itertools.product(sorted(fields), costly(rule) or WORST):
            sent = pairs({k: v for k, v in form.items() if k != field})
            sent.append((field.encode(), ANY[name]))
            door.check(f"POST {rule.rule} {field} {name}", actor.browse("POST", target, sent))
        sent = [*pairs(form), (b"x", MILLION.encode())]
        door.check(f"POST {rule.rule} too much", actor.browse("POST", target, sent))

    jobs = [partial(send, rule) for rule in rules if "POST" in rule.methods and not is_api(rule)]
    assert at_once(world, jobs) > 2500


def test_every_form_in_parts(world, routes):
    app, rules = routes
    values = {name: as_bytes(text) for name, text in TEXTS.items()} | RAW

    def send(rule, door):
        ids = ids_for(world, rule)
        target, actor = address(rule, ids), actor_for(world, app, rule, "POST")
        form = form_of(world, app, rule, "POST", ids)
        valid = [(name.encode(), value.encode()) for name, value in form.items()]
        for name in costly(rule) or values:
            short = values[name][:1000].replace(b'"', b"%22")
            parts = [(field, values[name], short) for field in (b"files", b"picture", b"x")]
            parts += [(short, values[name]), (short, values[name], b"a")]
            answer = actor.send_parts(target, [*valid, *parts])
            door.check(f"POST {rule.rule} in parts, {name}", answer)

    jobs = [partial(send, rule) for rule in rules if "POST" in rule.methods and not is_api(rule)]
    assert at_once(world, jobs) > 1000


def test_every_field_of_every_address(world, routes):
    app, rules = routes

    def send(rule, method, door):
        ids = ids_for(world, rule)
        path, actor = address(rule, ids), actor_for(world, app, rule, method)
        form = pairs(form_of(world, app, rule, method, ids))
        names = asked_by(app, rule, method)
        for n, name in enumerate(BRIEF if method == "GET" else costly(rule) or WORST):
            if not BRIEF[name].isascii():
                continue
            fields = sorted(FIELDS)[:: 1 + len(BRIEF[name]) // 100]
            query = b"&".join(b"%b=%b" % (field.encode(), BRIEF[name]) for field in fields)
            headers = [b"HX-Request: true"] if n % 2 else []
            answer = actor.browse(method, path + b"?" + query[:6000], form, *headers)
            door.check(f"{method} {rule.rule}?… {name}", answer)
        for field, name in itertools.product(sorted(names) if method == "GET" else [], WORST):
            target = b"%b?%b=%b" % (path, field.encode(), SHORT[name])
            door.check(f"GET {rule.rule}?{field} {name}", actor.browse("GET", target))

    jobs = [
        partial(send, rule, method)
        for rule in rules
        for method in ("GET", "POST")
        if method in rule.methods and not is_api(rule)
    ]
    assert at_once(world, jobs) > 2500


def test_every_part_of_every_path(world, routes):
    app, rules = routes

    def send(rule, method, door):
        ids, actor = ids_for(world, rule), actor_for(world, app, rule, method)
        form = pairs(form_of(world, app, rule, method, ids))
        actor.bearer = Actor(world, world["member"], world["member"].token).bearer
        for part, (name, value) in itertools.product(sorted(rule.arguments), SHORT.items()):
            target = address(rule, ids, **{part: value})
            what = f"{method} {rule.rule} {part} {name}" + ("" if value.isascii() else " HTTP")
            if is_api(rule):
                door.check(what, actor.call(method, target, b"{}"))
            else:
                door.check(what, actor.browse(method, target, form))

    jobs = [
        partial(send, rule, method)
        for rule in rules
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.arguments
    ]
    assert at_once(world, jobs) > 1000


def test_passwords_are_what_they_are(world):
    """A password is not cleaned; it is hashed as it came, and whoever has it comes in."""
    for n, text in enumerate(("a\0b wet umbrellas", "\u202e" * 3 + PASSWORD, "\ufffe" + PASSWORD)):
        login = f"odd-{n}"
        visitor = Visitor(world.server.url)
        sent = {"login": login, "name": "Odd", "password": text}
        assert visitor.submit("/sign-up", "/sign-up", **sent).status_code in (303, 400)
