"""Every page, frame and API call as every person, on the running chat. Every cell of the tables in
rules.py is tried. A refused request must not change the database. A route, a frame or an operation
without a row fails a test.
"""

import html
import re

import pytest
from websockets.exceptions import InvalidStatus

from chat.api.endpoints import OPERATIONS
from chat.api.openapi import document
from chat.app import create_app
from chat.config import Settings
from chat.web.page_connection import FRAME_TYPES

from .page import Page
from .rules import API_ROWS, BODIES, FORMS, FRAME_ROWS, PAGE_ROWS, WHO
from .world import INSIDE, KINDS, SIGN_IN, World, outcome, secret


def named(row):
    return row[0].replace("rid", row[1])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with World.running(tmp_path_factory.mktemp("chat")) as there:
        yield there


@pytest.fixture(scope="module")
def routes(world):
    return create_app(Settings(secret_key="x" * 32, data=world.server.data), world.store).url_map


# The tables are whole


def test_every_route_has_a_row(routes):
    router = routes.bind("chat")
    told = {(router.match(path.partition("?")[0], method)[0], method) for method, path in tried()}
    there = {
        (rule.endpoint, method)
        for rule in routes.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.websocket and (rule.endpoint == "api.openapi" or "/api/" not in rule.rule)
    }
    assert told == there


def tried():
    """Method and path of each row of a page, with something for what is to be filled in."""
    for what, _, _ in PAGE_ROWS:
        method, path = what.split()
        yield method, re.sub(r"\{\w+\}", "1", path)


def test_every_operation_of_the_api_has_a_row():
    told = {re.sub(r"\{\w+\}", "1", what.partition("?")[0]) for what, _, _ in API_ROWS}
    there = {f"{op.method} {re.sub(r'<[^>]+>', '1', op.path)}" for op in OPERATIONS}
    assert told == there


def test_every_frame_has_a_row(routes):
    assert {what.split()[0] for what, _, _ in FRAME_ROWS} == set(TRIES) == set(FRAME_TYPES)
    assert [rule.rule for rule in routes.iter_rules() if rule.websocket] == ["/live"]


# Every cell is tried


def check(world, who, kind, answer, expected, before):
    """An answer is what the table says; what is refused has changed nothing since `before`. The
    state after it."""
    assert outcome(answer) == expected, f"{who}: {answer.text[-500:]}"
    if answer.request.method == "GET":
        return before
    if expected in (SIGN_IN, 400, 403, 404):
        assert world.state() == before, f"{who} changed something"
        return before
    world.mend(who, kind, answer)
    return world.state()


@pytest.mark.parametrize("row", PAGE_ROWS, ids=named)
def test_a_page(world, row):
    what, kind, codes = row
    method, path = what.split()
    state = world.state()
    # The next composer does not ask the store, so that people can go on while Redis is unavailable.
    off = 200 if "composer?" in path else codes["stranger"]
    for who, code in [*codes.items(), ("off", off)]:
        form = {k: world.fill(v, kind, who) for k, v in FORMS.get(what, {}).items()}
        answer = world[who].ask(method, world.fill(path, kind, who), form)
        state = check(world, who, kind, answer, code, state)
        assert kind == "" or code == 200 or secret(kind) not in answer.text


@pytest.mark.parametrize("row", API_ROWS, ids=named)
def test_an_operation(world, row):
    what, kind, codes = row
    method, path = what.split()
    state = world.state()
    for who, code in [*codes.items(), ("off", 401)]:
        answer = world[who].call(method, "/api" + world.fill(path, kind), body(world, what))
        state = check(world, who, kind, answer, code, state)
    codes["reader"] = codes["member"] if method == "GET" else 403
    path = "/api" + world.fill(path, kind)
    answer = world["member"].call(method, path, body(world, what), world["member"].reader)
    check(world, "reader", kind, answer, codes["reader"], state)


WRITES = [row for row in API_ROWS if not row[0].startswith("GET ")]


@pytest.mark.parametrize("row", WRITES, ids=named)
def test_a_token_for_writing_is_told_ids_and_nothing_else(world, row):
    """Of every operation that changes something: those who may, with a token without "read". A new
    operation has a row in the table, and so is tried here too."""
    what, kind, codes = row
    method, path = what.split()
    for who in [who for who, code in codes.items() if code < 300 and who != "bot"]:
        someone = world[who]
        path_now, sent = "/api" + world.fill(path, kind), body(world, what)
        answer = someone.call(method, path_now, sent, someone.writer)
        if answer.status_code != 204:
            assert answer.status_code == codes[who], answer.text
            assert set(answer.json()) <= {"id", "seq"}
            assert all(re.fullmatch(r"[\w.-]{1,64}", str(v)) for v in answer.json().values())
        else:
            assert answer.content == b""
        for header in answer.headers:
            assert header not in ("location", "etag", "content-disposition")
        world.mend(who, kind, answer)


def test_the_document_says_what_a_token_for_writing_is_told():
    for operation in OPERATIONS:
        described = document([operation], "")["paths"]
        answers = next(iter(next(iter(described.values())).values()))["responses"]
        if operation.scope == "write":
            schema = answers.get("201", answers.get("200"))
            assert "204" in answers or "anyOf" in str(schema), operation.id
        else:
            assert "204" not in answers


def body(world, what):
    """The JSON that goes along."""
    if what not in BODIES:
        return None
    fill = world.fill
    return {
        name: [fill(v) for v in value] if isinstance(value, list) else fill(value)
        for name, value in BODIES[what].items()
    }


# Frames


def told(page, rid, *frames):
    """What a page is told when it says these frames, up to the refusal of a post to no room."""
    since = len(page.frames)
    for frame in frames:
        page.say(**{"room": rid, **frame})
    page.wait_for(f"#c-{page.post('nowhere', 'the end')}")
    return html.unescape("".join(page.frames[since:]))


def watch(page, kind, rid):
    return secret(kind) in told(page, rid, {"type": "watch", "after": "0"})


def post(page, kind, rid):
    post = {"type": "post", "body": "let me in", "nonce": f"post-{kind}"}
    return f'#c-post-{kind}" hx-swap="beforeend"><i class="sent">' in told(page, rid, post)


def typing(page, kind, rid):
    """The note that somebody is typing is sent to all viewers of the room, including that
    person."""
    frames = {"type": "watch", "after": "0"}, {"type": "typing"}
    said = told(page, rid, *frames)
    return secret(kind) in said and bool("is typing" in said or page.wait_for("is typing"))


def typed(page, kind, rid):
    """Somebody types on after Enter: what was sent is stored, the rest comes back."""
    fields = {"nonce": f"typed-{kind}"}
    post = {"type": "post", "body": "one", **fields}
    return "You typed this" in told(page, rid, post, {"type": "typed", "body": "one two", **fields})


def name(page, kind, rid):
    """Those who can be mentioned are offered to who looks at the room."""
    frames = {"type": "watch", "after": "0"}, {"type": "name", "body": "@"}
    said = told(page, rid, *frames)
    return secret(kind) in said and bool(
        "composer__names" in said or page.wait_for("composer__names")
    )


TRIES = {"watch": watch, "post": post, "typing": typing, "typed": typed, "name": name}


@pytest.mark.parametrize("who", WHO)
def test_a_frame(world, who):
    if who == "stranger":
        with pytest.raises(InvalidStatus) as refused:
            Page(world[who])
        assert refused.value.response.status_code == 401
        return
    page = Page(world[who])
    for what, kind, codes in FRAME_ROWS:
        before, rid = world.state(), world.rooms[kind]
        done = TRIES[what.split()[0]](page, kind, rid)
        assert done == (codes[who] == 200), f"{what} {kind}"
        assert done or world.state() == before
    assert page.code is None


def test_what_was_pending_is_not_taken_where_one_is_not(world):
    page, before = Page(world["ex"]), world.state()
    rids = [world.rooms[kind] for kind in KINDS]
    pending = {"to": rids, "nonce": [f"p-{kind}" for kind in KINDS], "body": ["let me in"] * 4}
    answers = told(page, "", {"type": "watch", **pending})
    assert answers.count('class="error"') == 5, "with the end"
    assert world.state() == before


def test_nothing_is_pushed_to_who_is_not_in_the_room(world):
    """Neither to who asked to watch it, nor to who was in it; those in it are told at once."""
    pages = {who: Page(world[who]) for who in WHO[1:]}
    for kind in KINDS:
        for page in pages.values():
            told(page, world.rooms[kind], {"type": "watch", "after": "0"})
        for page in pages.values():
            page.frames.clear()
        path = f"/api/rooms/{world.rooms[kind]}"
        seq = world["owner"].call("POST", f"{path}/messages", {"body": f"new {kind}"}).json()["seq"]
        world["owner"].call("PATCH", f"{path}/messages/{seq}", {"body": f"changed {kind}"})
        for who in INSIDE:
            pages[who].wait_for(f"changed {kind}")
        for who in set(pages) - set(INSIDE):
            assert world.rooms[kind] not in told(pages[who], "nowhere"), who


def test_another_site_opens_no_socket(world):
    for who in WHO:
        with pytest.raises(InvalidStatus) as refused:
            Page(world[who], Origin="http://evil.example")
        assert refused.value.response.status_code == 403


# Ids of others


HIDDEN = ["closed", "direct", "random", "ended"]


@pytest.mark.parametrize("who", ["outsider", "away", "admin", "ex", "member"])
def test_what_is_hidden_is_as_if_it_were_not_there(world, who):
    """Address by address: what is answered for a room one is not in, and for one that has ended,
    is to the letter what is answered for none."""
    hidden = ["ended"] if who == "member" else HIDDEN
    for what in dict.fromkeys(what for what, kind, _ in PAGE_ROWS if kind):
        answers = {kind: page_of(world, who, what, kind) for kind in [*hidden, "nowhere"]}
        assert set(answers.values()) == {answers["nowhere"]}, what
    for what in dict.fromkeys(what for what, kind, _ in API_ROWS if kind):
        answers = {kind: json_of(world, who, what, kind) for kind in [*hidden, "nowhere"]}
        assert set(answers.values()) == {answers["nowhere"]}, what


def page_of(world, who, what, kind):
    method, path = what.split()
    form = {k: world.fill(v, kind, who) for k, v in FORMS.get(what, {}).items()}
    return as_it_reads(world, world[who].ask(method, world.fill(path, kind), form), kind)


def json_of(world, who, what, kind):
    method, path = what.split()
    path = "/api" + world.fill(path, kind)
    return as_it_reads(world, world[who].call(method, path, body(world, what)), kind)


def as_it_reads(world, answer, kind):
    """Return status, headers and text without the parts that differ each time."""
    text = re.sub(world.rooms[kind], "rid", answer.text)
    text = re.sub(r'(c-|nonce" (id="nonce" )?value="|after=|csrf_token" value=")[^"&]+', "", text)
    # A connection ends after its thousandth request, whatever that is.
    names = {"date", "content-length", "set-cookie", "connection"}
    headers = {name: value for name, value in answer.headers.items() if name not in names}
    assert "composer" in answer.request.url.path or answer.status_code == 404
    return answer.status_code, str(headers), text


def test_a_number_is_one_of_its_own_room(world):
    """With the numbers of a closed room one gets at nothing of it through an open one."""
    member, rid = world["member"], world.rooms["open"]
    for _ in range(9):
        seq = member.call("POST", f"/api/rooms/{world.rooms['closed']}/messages", {"body": "x"})
    seq, before = seq.json()["seq"], world.state()
    for who in INSIDE:
        for method, path, form in (
            ("GET", "", None),
            ("GET", "/edit", None),
            ("POST", "/edit", {"body": "x y"}),
            ("POST", "/delete", {}),
        ):
            path = f"/rooms/{rid}/messages/{seq}{path}"
            assert world[who].ask(method, path, form).status_code == 404
        for method in ("GET", "PATCH", "DELETE"):
            path = f"/api/rooms/{rid}/messages/{seq}"
            json = {"body": "x y"} if method == "PATCH" else None
            assert world[who].call(method, path, json).status_code == 404
    assert world.state() == before


def test_nobody_ends_the_session_or_the_token_of_another(world):
    sid = world.store.sessions.of(world["member"].uid)[0].sid
    tid = world.store.tokens.of(world["member"].uid)[0].tid
    for who in ("guest", "outsider", "owner", "away", "admin"):
        before, mine = world.state(), f"/tokens/{world[who].uid}/revoke"
        assert world[who].ask("POST", "/me/sessions/end", {"sid": sid}).status_code == 303
        assert world[who].ask("POST", mine, {"tid": tid}).status_code == 303
        theirs = f"/tokens/{world['member'].uid}/revoke"
        assert world[who].ask("POST", theirs, {"tid": tid}).status_code in (403, 404)
        assert world.state() == before


def test_a_picker_tells_nothing_of_rooms_one_is_not_in(world):
    """Members of the room are left out of what is found, for its members only."""
    for kind in [*HIDDEN, "nowhere"]:
        for who, shown in (("outsider", True), ("owner", kind in ("ended", "nowhere"))):
            found = world[who].ask("GET", f"/people/picker?room={world.rooms[kind]}").text
            assert (world["member"].uid in found) == shown


def test_who_was_deactivated_is_nobody_to_pick(world):
    owner, off, rid = world["owner"], world["off"].uid, world.rooms["closed"]
    owner.call("DELETE", f"/api/rooms/{rid}/members/{off}")
    before = world.state()
    for path, fields in (
        ("/rooms", {"name": "x"}),
        ("/direct-rooms", {}),
        (f"/rooms/{rid}/members", {}),
    ):
        assert owner.call("POST", f"/api{path}", {**fields, "members": [off]}).status_code == 400
    assert owner.ask("POST", f"/rooms/{rid}/people", {"members": off}).status_code == 400
    assert world.state() == before


# Forms of other sites


def test_a_form_without_its_token_does_nothing(world, routes):
    """Every route that changes something, as who may do it: without the token of the session, with
    that of another one, and from a program's address with nothing but a cookie."""
    before, tried = world.state(), 0
    # Programs bring a token of their own; another site brings one for its user, which is off here.
    refused = {"/api": 401, "/sign-in/token": 404}
    ids = {"rid": world.rooms["open"], "seq": world.seqs["open"], "uid": world["bot"].uid}
    for rule in routes.iter_rules():
        with_id = {name: ids.get(name, "x") for name in rule.arguments}
        _, path = rule.build(with_id)
        for method in rule.methods - {"GET", "HEAD", "OPTIONS"}:
            for who, token in (("admin", ""), ("owner", world["member"].csrf), ("stranger", "x")):
                form = {"csrf_token": token, "name": "x", "body": "mine", "members": "x"}
                answer = world[who].http.request(method, path, data=form)
                expected = next((refused[p] for p in refused if path.startswith(p)), 400)
                assert answer.status_code == expected, path
                tried += 1
    assert world.state() == before
    assert tried > 100
