"""Forms and API requests that are sent again because no response came."""

import re

import pytest

from ..running import Visitor
from .test_api import Program


class Form:
    """A form as it stands on a page: what it holds is sent each time."""

    def __init__(self, visitor, page, **typed):
        html = visitor.get(page).text
        hidden = re.findall(r'type="hidden" name="(csrf_token|nonce)" value="([^"]+)"', html)
        self.http, self.fields = visitor.http, {**dict(hidden), **typed}
        assert self.fields["nonce"]

    def send(self, path, **changed):
        return self.http.post(path, data={**self.fields, **changed})


def rooms_of(program):
    return [room["id"] for room in program("GET", "/rooms")["rooms"]]


@pytest.mark.parametrize(
    ("page", "path", "typed"),
    [
        ("/rooms/new", "/rooms", {"name": "Tea", "kind": "open"}),
        ("/rooms/new", "/rooms", {"name": "Den", "kind": "closed", "about": "quiet"}),
        ("/rooms/random", "/rooms/random", {}),
    ],
    ids=["open", "closed", "random"],
)
def test_a_form_that_is_sent_again_makes_no_second_room(server, page, path, typed):
    ann = Visitor(server.url, "Ann")
    form = Form(ann, page, **typed)
    places = {form.send(path).headers["location"] for _ in range(3)}
    assert len(places) == 1
    assert rooms_of(Program(ann)) == [places.pop().rpartition("/")[2]]


def test_another_form_and_another_text_are_other_rooms(ann):
    form = Form(ann, "/rooms/new", name="Tea", kind="open")
    places = [form.send("/rooms"), form.send("/rooms", name="Coffee")]
    places.append(Form(ann, "/rooms/new", name="Tea", kind="open").send("/rooms"))
    assert len({answer.headers["location"] for answer in places}) == 3


def test_a_form_whose_room_is_over_can_be_sent_once_more(ann):
    """It comes back with what was typed, and is a new one."""
    form = Form(ann, "/rooms/new", name="Tea", kind="open")
    place = form.send("/rooms").headers["location"]
    ann.submit(f"{place}/end")
    answer = form.send("/rooms")
    assert answer.status_code == 400
    assert "You have already created this room" in answer.text
    assert 'value="Tea"' in answer.text
    nonce = re.search(r'name="nonce" value="([^"]+)"', answer.text)[1]
    assert form.send("/rooms", nonce=nonce).headers["location"] != place


def test_a_program_that_asks_again_makes_no_second_room(server):
    program = Program(Visitor(server.url, "Ann"))
    asked = {"name": "Tea", "kind": "closed", "nonce": "build-1"}
    made = {program("POST", "/rooms", 201, **asked)["id"] for _ in range(2)}
    made |= {program("POST", "/random-rooms?nonce=n1")["id"] for _ in range(2)}
    assert len(made) == 2
    assert set(rooms_of(program)) == made
    assert program("POST", "/random-rooms")["id"] not in made, "without a nonce it is another seat"


def test_what_is_done_already_is_done(server, ann, bob):
    """Leaving, removing, deleting, handing over."""
    anns, rid = Program(ann), ann.create_room("Tea", "open", [bob.uid])
    seq = anns("POST", f"/rooms/{rid}/messages", 201, body="hello")["seq"]
    for _ in range(2):
        anns("DELETE", f"/rooms/{rid}/messages/{seq}", 204)
    cid = Visitor(server.url, "Cid")
    cid.join(rid)
    for _ in range(2):
        anns("DELETE", f"/rooms/{rid}/members/{cid.uid}", 204)
    for _ in range(2):
        anns("POST", f"/rooms/{rid}/owner", owner=bob.uid)
    assert [ann.submit(f"/rooms/{rid}/leave").status_code for _ in range(2)] == [303, 404]
    kinds = [event["kind"] for event in Program(bob)("GET", f"/rooms/{rid}/messages")["messages"]]
    assert [kinds.count(kind) for kind in ("delete", "remove", "owner", "leave")] == [1, 1, 1, 1]


def test_a_token_form_that_is_sent_again_leaves_one_token(server):
    ann = Visitor(server.url, "Ann")
    form = Form(ann, "/me/tokens", name="laptop", scopes="read")
    secrets = [
        re.search(r'value="(chat_[\w-]+)"', form.send(f"/tokens/{ann.uid}").text)[1]
        for _ in range(2)
    ]
    page = ann.get("/me/tokens").text
    assert page.count("Revoke<") == 1
    answers = [
        ann.http.get("/api/me", headers={"Authorization": f"Bearer {secret}"}).status_code
        for secret in secrets
    ]
    assert answers == [401, 200]
