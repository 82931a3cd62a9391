"""Webhooks of bots: the running chat with two workers, and real programs that receive
deliveries."""

import base64
import hashlib
import hmac
import html
import os
import re
import signal
import threading
import time

import pytest
import redis
from standardwebhooks import Webhook, WebhookVerificationError

from chat.server.embedded_valkey import EmbeddedValkey
from chat.store import keys
from chat.webhooks import signing

from ..receiver import RawReceiver, Receiver
from ..running import Server, Visitor, wait_until
from .test_api import Program

ACCOUNT = {"login": "ada", "name": "Ada", "password": "seven wet umbrellas"}
BEEP = (200, {"Content-Type": "application/json"}, b'{"body": "Beep"}')


class Bot:
    """A bot that Ada has made, and its webhook's page."""

    def __init__(self, ada: Visitor, name: str) -> None:
        self.ada = ada
        made = ada.submit("/admin/bots", "/admin/bots", name=name).headers["location"]
        self.uid = made.rpartition("/")[2]
        self.path = f"/admin/bots/{self.uid}/webhook"

    def hook(self, address: str):
        return self.ada.submit(self.path, self.path, address=address)

    def tell(self, *answers) -> Receiver:
        """Have a program told, which answers this."""
        receiver = Receiver(*answers)
        assert self.hook(receiver.url).status_code == 303
        return receiver

    def secret(self, **fields: str) -> str:
        page = self.ada.submit(f"{self.path}/secret", self.path, **fields)
        return re.search(r'value="(whsec_[^"]+)"', page.text)[1]

    def page(self) -> str:
        return html.unescape(self.ada.get(self.path).text)

    def waits_to_read(self, text: str) -> None:
        wait_until(lambda: text in self.page(), f"{text!r} on the page")


def start(folder, **env: str) -> Server:
    settings = {"CHAT_SIGN_IN": "guest,password", "CHAT_HOOK_WAIT": "1", "CHAT_LIMITS": "off"}
    return Server(folder, **{**settings, **env}).start()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = {"CHAT_HOOK_NETWORKS": "127.0.0.0/8", "CHAT_WORKERS": "2"}
    running = start(tmp_path_factory.mktemp("chat"), **home)
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def account(server):
    """The cookies of the first account."""
    ada = Visitor(server.url)
    assert ada.submit("/first-run", "/first-run", **ACCOUNT).status_code == 303
    return ada.http.cookies


@pytest.fixture
def ada(server, account):
    visitor = Visitor(server.url)
    visitor.http.cookies = account
    return visitor


@pytest.fixture
def robot(ada):
    return Bot(ada, "Robot")


@pytest.fixture
def lab(ada, robot):
    return ada.create_room("Lab", "closed", [robot.uid])


def direct(visitor: Visitor, uid: str) -> str:
    answer = visitor.submit("/rooms", "/rooms/new", kind="direct", members=uid)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("/")[2]


def test_a_mention_is_told_once_and_signed(ada, robot, lab):
    program = robot.tell()
    ada.post(lab, "nothing for anybody")
    ada.post(lab, "@Robots are many")
    ada.post(lab, "hello @rOBOT, how are you?")
    wait_until(lambda: program.requests, "a delivery")
    request = program.requests[0]
    told = request.json
    assert told["event"] == "mention"
    assert told["bot"]["id"] == robot.uid
    assert (told["room"]["id"], told["room"]["name"]) == (lab, "Lab")
    assert told["message"]["body"] == "hello @rOBOT, how are you?"
    assert told["message"]["author"] == {"id": ada.uid, "name": "Ada"}
    sent = request.headers
    assert abs(int(sent["webhook-timestamp"]) - time.time()) < 60
    key = base64.b64decode(robot.secret().removeprefix("whsec_"))
    text = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.".encode() + request.body
    made = base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    assert sent["webhook-signature"] == f"v1,{made}"
    robot.waits_to_read("Delivered.")
    ada.post(lab, "@Robot again")
    wait_until(lambda: len(program.requests) > 1, "another delivery")
    assert program.bodies() == ["hello @rOBOT, how are you?", "@Robot again"]


def test_the_reference_library_verifies_what_is_sent_and_nothing_else(ada, robot, lab):
    """The library of the Standard Webhooks project, which receivers use, on a real delivery."""
    program = robot.tell()
    ada.post(lab, "@Robot how are you? 👋")
    wait_until(lambda: program.requests, "a delivery")
    request, secret = program.requests[0], robot.secret()
    receiver = Webhook(secret)
    assert receiver.verify(request.body, request.headers) == request.json

    def check_refused(body: bytes, **changed: str) -> None:
        headers = {**request.headers, **{f"webhook-{name}": v for name, v in changed.items()}}
        with pytest.raises(WebhookVerificationError):
            receiver.verify(body, headers)

    for place, byte in enumerate(request.body):
        if byte < 0x80:  # the body stays UTF-8
            changed_byte = bytes([byte ^ 1])
            check_refused(request.body[:place] + changed_byte + request.body[place + 1 :])
    did, sent_at = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
    check_refused(request.body, id=f"{did}0")
    check_refused(request.body, timestamp=str(sent_at - 1))
    check_refused(request.body, signature=f"v2,{request.headers['webhook-signature'][3:]}")
    for age_seconds, is_accepted in ((0, True), (200, True), (600, False), (-600, False)):
        headers = signing.signed_headers(secret, did, request.body, int(time.time()) - age_seconds)
        if is_accepted:
            receiver.verify(request.body, headers)
        else:
            with pytest.raises(WebhookVerificationError, match="timestamp too"):
                receiver.verify(request.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(robot.secret(renew="1")).verify(request.body, request.headers)


def test_each_of_many_messages_is_told_once(ada, robot, lab):
    """Through both workers, more messages than deliveries may run at once."""
    program = robot.tell()
    texts = [f"@Robot {n}" for n in range(30)]

    def post(some: list[str]) -> None:
        visitor = Visitor(ada.url)
        visitor.http.cookies = ada.http.cookies
        for text in some:
            visitor.post(lab, text)

    threads = [threading.Thread(target=post, args=(texts[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(program.requests) >= 30, "all deliveries")
    ada.post(lab, "@Robot end")
    wait_until(lambda: "@Robot end" in program.bodies(), "the last delivery")
    assert sorted(program.bodies()) == sorted([*texts, "@Robot end"])
    assert len({request.headers["webhook-id"] for request in program.requests}) == 31


def test_all_is_told_in_a_direct_room_and_the_answer_is_said_there(ada, robot):
    program = robot.tell(BEEP)
    rid = direct(ada, robot.uid)
    ada.post(rid, "how are you?")
    wait_until(lambda: ">Beep</div>" in ada.room(rid), "the answer")
    assert program.requests[0].json["event"] == "direct"
    assert program.requests[0].json["room"]["name"] == "Ada"
    robot.waits_to_read("Delivered, and the reply was posted.")
    ada.post(rid, "and now?")
    wait_until(lambda: ada.room(rid).count(">Beep</div>") == 2, "another answer")
    assert program.bodies() == ["how are you?", "and now?"], "not what it said itself"


def test_what_is_told_twice_is_answered_once(server, ada, robot, lab):
    """As when a worker dies after it has posted the answer and before it has written that down."""
    program = robot.tell(BEEP)
    ada.post(lab, "@Robot 1")
    robot.waits_to_read("the reply was posted")
    seq = program.requests[0].json["message"]["seq"]
    with redis.Redis.from_url(EmbeddedValkey(server.data / "valkey").url) as client:
        client.zadd(keys.webhook_queue(robot.uid), {f"{lab} {seq}": 0})
    ada.post(lab, "@Robot 2")
    wait_until(lambda: len(program.requests) == 3, "three deliveries")
    wait_until(lambda: robot.page().count("the reply was posted") == 3, "three answers")
    assert ada.room(lab).count(">Beep</div>") == 2


def test_bots_do_not_set_each_other_going(ada, robot, lab):
    other = Bot(ada, "Marvin")
    ada.submit(f"/rooms/{lab}/people", f"/rooms/{lab}/people", members=other.uid)
    said = (200, {"Content-Type": "text/plain"}, b"@Robot and @Marvin: hello")
    programs = robot.tell(said), other.tell(said)
    Program(ada, uid=other.uid)("POST", f"/rooms/{lab}/messages", 201, body="@Robot hello")
    ada.post(lab, "@Robot @Marvin")
    answers = re.compile(": hello(</p>)?</div>")
    wait_until(lambda: len(answers.findall(ada.room(lab))) == 2, "both answers")
    ada.post(lab, "@Robot @Marvin end")
    for program in programs:
        wait_until(lambda program=program: len(program.requests) > 1, "the last delivery")
        assert program.bodies() == ["@Robot @Marvin", "@Robot @Marvin end"]


def test_what_fails_is_tried_again_with_the_same_id(ada, robot, lab):
    program = robot.tell((500, {}, b""), (302, {"Location": "/other"}, b""), BEEP)
    ada.post(lab, "@Robot 1")
    wait_until(lambda: ">Beep</div>" in ada.room(lab), "the answer")
    assert len({request.headers["webhook-id"] for request in program.requests}) == 1
    assert {request.path for request in program.requests} == {"/hook"}
    robot.waits_to_read("The program answered 500.")
    robot.waits_to_read("The program answered 302. Redirects are not followed.")
    robot.waits_to_read("try 3")
    assert len(program.requests) == 3


def test_of_an_answer_that_is_no_http_little_is_kept(ada, robot):
    """Neither in the database nor on the page."""
    for junk in (b"<html>\r\n\r\n", b"\xff" * 12_000 + b"\r\n\r\n", b"x" * 10**6):
        assert robot.hook(RawReceiver(junk * 5).url).status_code == 303
        rid = direct(ada, robot.uid)
        for n in range(4):
            ada.post(rid, f"message {n}")
        robot.waits_to_read("The response is")
        wait_until(lambda: robot.page().count("The response is") >= 4, "four tries")
        assert len(robot.page()) < 60_000


def test_who_is_busy_is_left_alone_for_as_long_as_asked(ada, robot, lab):
    program = robot.tell((429, {"Retry-After": "3"}, b""), (200, {}, b""))
    ada.post(lab, "@Robot 1")
    wait_until(lambda: program.requests, "a delivery")
    began = time.monotonic()
    wait_until(lambda: len(program.requests) > 1, "another try")
    assert time.monotonic() - began > 2


def test_an_answer_that_cannot_be_posted_is_explained(ada, robot, lab):
    robot.tell((200, {"Content-Type": "text/plain"}, b"x" * 5000))
    ada.post(lab, "@Robot 1")
    robot.waits_to_read("Delivered, but the reply was not posted: The message is too long")


def test_answers_count_for_the_bots_limit_and_wait_for_it(tmp_path):
    """30 answers at once, where everybody may post 20 at once and 5 a second."""
    running = start(tmp_path / "chat", CHAT_HOOK_NETWORKS="127.0.0.0/8", CHAT_LIMITS="on")
    try:
        ada = Visitor(running.url)
        ada.submit("/first-run", "/first-run", **ACCOUNT)
        robot, ben = Bot(ada, "Robot"), Visitor(running.url, "Ben")
        lab = ada.create_room("Lab", "closed", [robot.uid, ben.uid])
        robot.tell(BEEP)
        programs = reader, _ = Program(ada), Program(ben)
        for n in range(15):
            for program in programs:
                program("POST", f"/rooms/{lab}/messages", 201, body=f"@Robot {n}")

        def answers() -> int:
            found = reader("GET", f"/rooms/{lab}/messages?limit=200")["messages"]
            return sum(message["body"] == "Beep" for message in found)

        wait_until(lambda: answers() == 30, "all answers")
        with running.redis() as client:
            assert client.exists(keys.rate_limit("post", robot.uid))
        assert "was not posted" not in robot.page()
    finally:
        running.clean_up()


def test_a_program_may_want_no_more(ada, robot, lab):
    program = robot.tell((410, {}, b""), (200, {}, b""))
    ada.post(lab, "@Robot 1")
    robot.waits_to_read("The webhook was turned off. The program answered 410")
    ada.post(lab, "@Robot 2")
    robot.hook(program.url)
    ada.post(lab, "@Robot 3")
    wait_until(lambda: len(program.requests) > 1, "a delivery")
    assert program.bodies() == ["@Robot 1", "@Robot 3"]


def test_a_bot_is_told_only_of_what_is_said_while_it_is_there(ada, robot, lab):
    program = robot.tell()
    people = f"/rooms/{lab}/people"
    ada.submit(f"{people}/{robot.uid}/remove", people)
    ada.post(lab, "@Robot while it is away")
    ada.submit(people, people, members=robot.uid)
    ada.post(lab, "@Robot welcome back")
    wait_until(lambda: program.requests, "a delivery")
    assert program.bodies() == ["@Robot welcome back"]


def test_a_deactivated_bot_is_told_nothing(ada, robot, lab):
    program, other = robot.tell(), Bot(ada, "Marvin")
    ada.submit(f"/rooms/{lab}/people", f"/rooms/{lab}/people", members=other.uid)
    marvins = other.tell()
    ada.submit(f"/admin/people/{robot.uid}/deactivate")
    ada.post(lab, "@Robot and @Marvin")
    wait_until(lambda: marvins.requests, "the other's delivery")
    assert not program.requests


def test_what_waits_is_not_told_when_it_is_deleted_or_the_bot_is_gone(ada, robot, lab):
    program = robot.tell((500, {"Retry-After": "1"}, b""), (200, {}, b""))
    ada.post(lab, "@Robot a slip")
    wait_until(lambda: program.requests, "a delivery")
    seq = program.requests[0].json["message"]["seq"]
    ada.submit(f"/rooms/{lab}/messages/{seq}/delete", f"/rooms/{lab}/messages/{seq}")
    wait_until(lambda: "waiting." not in robot.page(), "the end of it")
    ada.post(lab, "@Robot another")
    wait_until(lambda: len(program.requests) > 1, "a delivery")
    assert program.bodies() == ["@Robot a slip", "@Robot another"]


def test_without_an_address_nothing_is_told(ada, robot, lab):
    program = robot.tell()
    ada.submit(f"{robot.path}/remove", robot.path)
    ada.post(lab, "@Robot 1")
    robot.hook(program.url)
    ada.post(lab, "@Robot 2")
    wait_until(lambda: program.requests, "a delivery")
    assert program.bodies() == ["@Robot 2"]
    audit = html.unescape(ada.get("/admin/audit").text)
    assert f"set the webhook {program.url} of" in audit
    assert "removed the webhook of" in audit


def test_a_new_secret_ends_the_old_one(ada, robot, lab):
    robot.tell()
    assert "whsec_" not in robot.page(), "only when asked for"
    first = robot.secret()
    assert robot.secret() == first
    assert robot.secret(renew="1") != first


def test_who_is_slow_delays_nobody_else(ada, robot, lab):
    end = threading.Event()
    slow = Bot(ada, "Slowcoach")
    rid = ada.create_room("Slow", "closed", [slow.uid])
    slow.tell(lambda request: (end.wait(30), (200, {}, b""))[1])
    program = robot.tell()
    try:
        for n in range(6):
            ada.post(rid, f"@Slowcoach {n}")
        ada.post(lab, "@Robot 1")
        began = time.monotonic()
        wait_until(lambda: program.requests, "a delivery")
        assert time.monotonic() - began < 4
        slow.waits_to_read("There was no answer within 7 seconds.")
    finally:
        end.set()


def test_only_admins_see_and_set_it(server, ada, robot):
    guest = Visitor(server.url, "Gus")
    assert guest.get(robot.path).status_code == 403
    for path in (robot.path, f"{robot.path}/secret", f"{robot.path}/remove"):
        assert guest.submit(path, address="https://example.org/").status_code == 403
    assert ada.get(f"/admin/bots/{guest.uid}/webhook").status_code == 404


def test_what_a_killed_worker_has_begun_another_ends(server, ada, robot, lab):
    """All workers are killed while a program thinks; those that come in their place take over."""
    end = threading.Event()
    program = robot.tell(lambda request: (end.wait(60), BEEP)[1])
    ada.post(lab, "@Robot 1")
    wait_until(lambda: program.requests, "a delivery")
    began = time.monotonic()
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    end.set()
    wait_until(lambda: len(program.requests) > 1, "another delivery", deadline=60)
    assert time.monotonic() - began < 60
    wait_until(server.is_ready, "the server's readiness")
    wait_until(lambda: ">Beep</div>" in ada.room(lab), "the answer")
    ada.post(lab, "@Robot 2")
    wait_until(lambda: len(program.requests) > 2, "the next delivery")
    first, second, third = (request.headers["webhook-id"] for request in program.requests)
    assert first == second != third


def test_an_inner_address_is_refused_on_the_page_and_when_it_comes_to_it(tmp_path):
    running = start(tmp_path / "chat", CHAT_HOOK_NETWORKS="127.0.0.0/8")
    try:
        ada = Visitor(running.url)
        ada.submit("/first-run", "/first-run", **ACCOUNT)
        robot = Bot(ada, "Robot")
        lab = ada.create_room("Lab", "closed", [robot.uid])
        program = robot.tell()
        assert robot.hook("http://169.254.169.254/latest").status_code == 400
        running.stop()
        del running.env["CHAT_HOOK_NETWORKS"]
        running.start()
        answer = robot.hook(program.url)
        assert answer.status_code == 400
        assert "127.0.0.1 is at 127.0.0.1, which is not a public address." in answer.text
        assert program.url in answer.text, "what was typed is still there"
        ada.post(lab, "@Robot 1")
        robot.waits_to_read("which is not a public address.")
        assert not program.requests
    finally:
        running.clean_up()
