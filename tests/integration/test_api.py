"""The API on the running chat, with tokens made on the pages."""

import re
import subprocess
import sys

import httpx
import pytest

from chat.store import Store

from ..api_schema import check_response
from ..running import Server, Visitor, browser, opened
from .page import Page


class Program:
    """Somebody's program, with a token. Every response that it gets is checked against the OpenAPI
    document."""

    def __init__(self, visitor: Visitor, scopes=("read", "write"), uid: str = "") -> None:
        self.uid = uid or visitor.uid
        page = visitor.submit(f"/tokens/{self.uid}", "/me/tokens", name="test", scopes=scopes)
        self.token = re.search(r'value="(chat_[\w-]+)"', page.text)[1]
        headers = {"Authorization": f"Bearer {self.token}"}
        hooks = {"response": [check_response]}
        self.http = browser(f"{visitor.url}/api", headers=headers, event_hooks=hooks)
        opened.callback(self.http.close)

    def __call__(self, method: str, path: str, status: int = 200, **json):
        """The answer to a request, which must have this status."""
        answer = self.http.request(method, path, json=json or None)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def anns(ann):
    return Program(ann)


@pytest.fixture
def bobs(bob):
    return Program(bob)


@pytest.fixture
def tea(anns, bobs):
    return anns("POST", "/rooms", 201, name="Tea", kind="closed", members=[bobs.uid])["id"]


def test_all_that_pages_do_with_rooms(ann, bob, anns, bobs, tea):
    assert anns("GET", "/me")["id"] == ann.uid
    assert anns("PATCH", "/me", name="Annie", about="Tea")["about"] == "Tea"
    assert anns("GET", f"/people/{bob.uid}")["name"] == "Bob"
    found = anns("GET", "/people?q=annie")["people"]
    assert ann.uid in [person["id"] for person in found]
    assert bobs("GET", "/rooms")["rooms"][0]["unread"] == 1
    assert bobs("GET", f"/rooms/{tea}")["owner"] == ann.uid
    assert anns("PATCH", f"/rooms/{tea}", name="Coffee", kind="open")["name"] == "Coffee"
    assert tea in [room["id"] for room in bobs("GET", "/open-rooms")["rooms"]]
    bobs("POST", f"/rooms/{tea}/leave", 204)
    assert bobs("POST", f"/rooms/{tea}/join")["kind"] == "open"
    anns("DELETE", f"/rooms/{tea}/members/{bob.uid}", 204)
    members = anns("POST", f"/rooms/{tea}/members", members=[bob.uid])["people"]
    assert {member["id"] for member in members} == {ann.uid, bob.uid}
    assert anns("POST", f"/rooms/{tea}/owner", owner=bob.uid)["owner"] == bob.uid
    anns("DELETE", f"/rooms/{tea}", 403)
    bobs("DELETE", f"/rooms/{tea}", 204)
    anns("GET", f"/rooms/{tea}", 404)
    direct = anns("POST", "/direct-rooms", members=[bob.uid])
    assert direct == {**bobs("POST", "/direct-rooms", members=[ann.uid]), "name": "Bob"}
    assert anns("POST", "/random-rooms")["kind"] == "random"


def test_messages_are_posted_read_changed_and_deleted(ann, bob, anns, bobs, tea):
    page = Page(bob).watch(tea)
    page.wait_for("created this room")
    posted = anns("POST", f"/rooms/{tea}/messages", 201, body="Hello", nonce="n1")
    assert anns("POST", f"/rooms/{tea}/messages", 201, body="Hello", nonce="n1") == posted
    page.wait_shown("Hello")
    seq = posted["seq"]
    anns("PATCH", f"/rooms/{tea}/messages/{seq}", body="Hello all")
    assert bobs("GET", f"/rooms/{tea}/messages/{seq}")["body"] == "Hello all"
    bobs("PATCH", f"/rooms/{tea}/messages/{seq}", 403, body="Bye")
    bobs("DELETE", f"/rooms/{tea}/messages/{seq}", 403)
    for n in range(5):
        bobs("POST", f"/rooms/{tea}/messages", 201, body=f"m{n}")
    listed = anns("GET", f"/rooms/{tea}/messages?limit=2")
    assert [message["body"] for message in listed["messages"]] == ["m3", "m4"]
    first = listed["messages"][0]["seq"]
    before = anns("GET", f"/rooms/{tea}/messages?before={first}&limit=2")["messages"]
    assert [message["body"] for message in before] == ["m1", "m2"]
    after = anns("GET", f"/rooms/{tea}/messages?after={first}")
    assert [message["body"] for message in after["messages"]] == ["m4"]
    assert after["newest"] == after["messages"][-1]["seq"]
    anns("DELETE", f"/rooms/{tea}/messages/{seq}", 204)
    page.wait_for("A message was deleted")
    anns("GET", f"/rooms/{tea}/messages/{seq}", 404)


def test_programs_reply(anns, bobs, tea):
    first = anns("POST", f"/rooms/{tea}/messages", 201, body="Hello")
    assert first["reply"] is None
    posted = bobs("POST", f"/rooms/{tea}/messages", 201, body="Hi", reply=first["seq"])
    assert posted["reply"] == first["seq"]
    assert bobs("POST", f"/rooms/{tea}/messages", 201, body="Hi", reply=99)["reply"] is None
    for reply in (0, "2", True, 10**15):
        bobs("POST", f"/rooms/{tea}/messages", 400, body="Hi", reply=reply)


def test_programs_react_and_take_it_back(anns, bobs, tea):
    seq = anns("POST", f"/rooms/{tea}/messages", 201, body="Hello")["seq"]
    path = f"/rooms/{tea}/messages/{seq}/reactions"
    for _ in range(2):
        bobs("PUT", f"{path}/👍")
    anns("PUT", f"{path}/👍")
    shown = [{"emoji": "👍", "people": [bobs.uid, anns.uid]}]
    assert anns("GET", f"/rooms/{tea}/messages/{seq}")["reactions"] == shown
    left = bobs("DELETE", f"{path}/👍")["reactions"]
    assert left == [{"emoji": "👍", "people": [anns.uid]}]
    told = anns("GET", f"/rooms/{tea}/messages?after={seq}")["messages"]
    kinds = [(event["kind"], event["changes"], event["body"]) for event in told]
    assert kinds == [("react", seq, "👍"), ("react", seq, "👍"), ("unreact", seq, "👍")]
    assert bobs("GET", "/rooms")["rooms"][0]["unread"] == 2, "the start and the message"
    anns("PUT", f"{path}/x", 400)
    anns("PUT", f"/rooms/{tea}/messages/99/reactions/👍", 404)


def test_programs_take_back_a_stored_symbol_that_is_no_emoji(server, anns, tea):
    seq = anns("POST", f"/rooms/{tea}/messages", 201, body="Hello")["seq"]
    path, stored = f"/rooms/{tea}/messages/{seq}/reactions", "→\ufe0f"
    anns("PUT", f"{path}/{stored}", 400)
    with server.redis() as client:
        store = Store(client)
        store.messages.react(tea, store.people.get(anns.uid), seq, stored, "on")
    assert anns("GET", f"/rooms/{tea}/messages/{seq}")["reactions"][0]["emoji"] == stored
    for _ in range(2):
        assert anns("DELETE", f"{path}/{stored}")["reactions"] == []
    anns("DELETE", f"{path}/x", 400)


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/rooms", {}),
        ("POST", "/rooms", {"name": ""}),
        ("POST", "/rooms", {"name": 5}),
        ("POST", "/rooms", {"name": "x" * 61}),
        ("POST", "/rooms", {"name": "x", "kind": "direct"}),
        ("POST", "/rooms", {"name": "x", "members": "ann"}),
        ("POST", "/rooms", {"name": "x", "members": ["nobody"]}),
        ("POST", "/rooms", {"name": "x", "owner": "me"}),
        ("POST", "/direct-rooms", {"members": []}),
        ("PATCH", "/me", {"name": "  "}),
        ("GET", "/people?limit=0", None),
        ("GET", "/people?limit=many", None),
    ],
)
def test_what_cannot_be_used_is_explained(anns, method, path, sent):
    answer = anns.http.request(method, path, json=sent)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["status"] == 400
    assert error["text"]


def test_what_is_no_json_is_explained(anns):
    for sent in (b"", b"{", b"[]", b"\xff", b'"x"', b"[" * 100_000):
        answer = anns.http.post("/rooms", content=sent[:60_000])
        assert answer.status_code == 400
        assert answer.json()["error"]["text"] == "Send a JSON object."
    assert anns.http.post("/rooms", content=b"x" * 70_000).status_code == 413


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_number_beyond_all_is_that_of_no_message(anns, tea, method):
    for seq in ("9" * 19, str(2**64 - 1), "9" * 25, "9" * 4000):
        answer = anns.http.request(method, f"/rooms/{tea}/messages/{seq}", json={"body": "x"})
        assert answer.status_code == 404


def test_without_a_token_nothing_is_told(server, ann, tea):
    for headers in ({}, {"Authorization": "Bearer chat_x"}, {"Authorization": "Basic eDp5"}):
        answer = httpx.get(f"{server.url}/api/rooms/{tea}", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["status"] == 401
    assert ann.get("/api/me").status_code == 401, "a cookie is no token"


def test_of_others_one_is_told_what_their_page_shows(bobs, anns):
    """Not their login, sessions or address."""
    shown = {"id", "name", "tag", "role", "about", "bot"}
    assert set(anns("GET", f"/people/{bobs.uid}")) == shown
    assert all(set(person) == shown for person in anns("GET", "/people?q=")["people"])


def test_a_token_does_what_it_may_until_it_is_revoked(ann, anns, tea):
    reader = Program(ann, scopes=["read"])
    reader("GET", f"/rooms/{tea}/messages")
    reader("POST", f"/rooms/{tea}/messages", 403, body="Hello")
    page = ann.get("/me/tokens").text
    assert reader.token not in page, "shown once"
    for tid in re.findall(r'name="tid" value="(\w+)"', page):
        ann.submit(f"/tokens/{ann.uid}/revoke", "/me/tokens", tid=tid)
    reader("GET", "/me", 401)
    anns("GET", "/me", 401)


def test_a_token_that_may_only_write_is_told_nothing_of_others(ann, bob, anns, tea):
    seq = anns("POST", f"/rooms/{tea}/messages", 201, body="a secret")["seq"]
    writer, manager = Program(bob, ("write",)), Program(ann, ("write",))
    writer("GET", f"/rooms/{tea}/messages/{seq}", 403)
    for method in ("PUT", "DELETE"):
        writer(method, f"/rooms/{tea}/messages/{seq}/reactions/👍", 204)
    manager("POST", f"/rooms/{tea}/members", 204, members=[bob.uid])
    posted = writer("POST", f"/rooms/{tea}/messages", 201, body="my own")
    assert list(posted) == ["seq"], "it can change what it posted"
    writer("PATCH", f"/rooms/{tea}/messages/{posted['seq']}", 204, body="better")
    assert anns("GET", f"/rooms/{tea}/messages/{posted['seq']}")["body"] == "better"
    for program, path in ((writer, "/me"), (manager, f"/rooms/{tea}")):
        answer = program.http.patch(path, json={})
        assert (answer.status_code, answer.content) == (204, b"")
    assert list(manager("POST", "/rooms", 201, name="Lab")) == ["id"]


def test_a_token_without_a_name_or_a_use_is_refused(ann):
    assert ann.submit(f"/tokens/{ann.uid}", "/me/tokens", name="", scopes="read").status_code == 400
    assert ann.submit(f"/tokens/{ann.uid}", "/me/tokens", name="x").status_code == 400


def test_nobody_makes_or_revokes_the_tokens_of_others(ann, bob, bobs):
    assert (
        ann.submit(f"/tokens/{bob.uid}", "/me/tokens", name="x", scopes="read").status_code == 403
    )
    tid = re.search(r'name="tid" value="(\w+)"', bob.get("/me/tokens").text)[1]
    assert ann.submit(f"/tokens/{bob.uid}/revoke", "/me/tokens", tid=tid).status_code == 403
    ann.submit(f"/tokens/{ann.uid}/revoke", "/me/tokens", tid=tid)
    bobs("GET", "/me")


def test_a_bot_speaks_where_it_was_added(tmp_path):
    running = Server(tmp_path / "chat", CHAT_SIGN_IN="password").start()
    try:
        ada = Visitor(running.url)
        fields = {"login": "ada", "name": "Ada", "password": "seven wet umbrellas"}
        ada.submit("/first-run", "/first-run", **fields)
        made = ada.submit("/admin/bots", "/admin/bots", name="Robot").headers["location"]
        bot = Program(ada, uid=made.rpartition("/")[2])
        assert bot("GET", "/me")["bot"] is True
        rid = ada.create_room("Lab", "closed")
        bot("POST", f"/rooms/{rid}/messages", 404, body="Beep")
        ada.submit(f"/rooms/{rid}/people", f"/rooms/{rid}/people", members=bot.uid)
        bot("POST", f"/rooms/{rid}/messages", 201, body="Beep")
        assert ">Beep</div>" in ada.room(rid)
        assert "Robot" in ada.get("/admin/bots").text
        ada.submit(f"/admin/people/{bot.uid}/deactivate")
        bot("GET", "/me", 401)
    finally:
        running.clean_up()


def test_what_is_not_there_is_json_too(anns):
    for method, path, status in (("GET", "/nothing", 404), ("PUT", "/me", 405)):
        answer = anns.http.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]["status"] == status


@pytest.mark.timeout(600)  # seconds, for a machine that does much else besides
@pytest.mark.parametrize("known", [False, True], ids=["any ids", "ids that are there"])
def test_nothing_contradicts_the_document(server, anns, tea, tmp_path, known):
    """Schemathesis makes requests of the document, good and bad ones, and looks for answers that
    are not in it. Only one of its checks is left out: that all a schema allows is taken, for a
    text of blanks alone is a text to every schema."""
    anns("POST", f"/rooms/{tea}/messages", 201, body="Hello")
    # A request that is too large is refused as such, which Schemathesis does not expect by itself.
    config = (
        "[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 413]\n"
    )
    if known:
        config += f'[parameters]\nrid = "{tea}"\nuid = "{anns.uid}"\nseq = 2\n'
    (tmp_path / "schemathesis.toml").write_text(config)
    # With these, there would soon be nothing left to ask for.
    ending = ["end_room", "leave_room", "delete_message", "remove_member"] if known else []
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/openapi.json"),
        *("--header", f"Authorization: Bearer {anns.token}"),
        *("--exclude-checks", "positive_data_acceptance"),
        *("--max-examples", "10", "--seed", "1", "--phases", "examples,coverage,fuzzing"),
        *("--generation-database", "none", "--no-color"),
        *(word for name in ending for word in ("--exclude-operation-id", name)),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr
