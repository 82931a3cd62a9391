"""What an administrator made for others stops working when they lose the role: tokens and webhooks
of bots, and links for a new password, because they know all these secrets."""

import itertools
import re

import httpx
import pytest

from chat.store import keys

from ..receiver import Receiver
from ..running import Server, Visitor, wait_until
from .test_api import Program
from .test_sign_in import account
from .test_webhooks import Bot, start

COUNT = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = start(tmp_path_factory.mktemp("chat"), CHAT_HOOK_NETWORKS="127.0.0.0/8")
    running.jar = account(Visitor(running.url), "ada", "/first-run").http.cookies
    yield running
    running.clean_up()


@pytest.fixture
def ada(server: Server):
    visitor = Visitor(server.url)
    visitor.http.cookies = server.jar
    return visitor


@pytest.fixture
def bea(server, ada):
    """Another administrator."""
    visitor = account(Visitor(server.url), f"bea-{next(COUNT)}")
    visitor.kept = visitor.uid
    give(ada, visitor, "admin")
    return visitor


def give(ada, visitor, role):
    assert ada.submit(f"/admin/people/{visitor.kept}/role", role=role).status_code == 303


def demote(ada, bea):
    give(ada, bea, "member")


def deactivate(ada, bea):
    give(ada, bea, "moderator")
    assert ada.submit(f"/admin/people/{bea.kept}/deactivate").status_code == 303


def come_back(ada, bea):
    """Deactivated and activated again: a member like others."""
    deactivate(ada, bea)
    assert ada.submit(f"/admin/people/{bea.kept}/activate").status_code == 303


LOSSES = pytest.mark.parametrize("lose", [demote, deactivate, come_back])


@LOSSES
@pytest.mark.parametrize("noted", [True, False], ids=["noted", "from before it was noted"])
def test_tokens_that_they_made_for_bots_stop(server, ada, bea, lose, noted):
    bot = Bot(bea, "Robot")
    beas, adas = Program(bea, uid=bot.uid), Program(ada, uid=bot.uid)
    if not noted:
        client = server.redis()
        for tid in client.smembers(keys.tokens(bot.uid)):
            client.hdel(keys.token(tid), "by")
    beas("GET", "/me")
    adas("GET", "/me")
    lose(ada, bea)
    beas("GET", "/me", 401)
    beas("POST", "/rooms", 401, name="Mine")
    page = ada.get(f"/tokens/{bot.uid}").text
    assert page.count("This token has stopped working") == (1 if noted else 2)
    if noted:
        adas("GET", "/me")
    Program(ada, uid=bot.uid)("GET", "/me")


@LOSSES
def test_a_token_of_a_bot_made_by_another_admin_stops_too(ada, bea, lose):
    """Ada made the bot, Bea the token."""
    bot = Bot(ada, "Robot")
    beas = Program(bea, uid=bot.uid)
    lose(ada, bea)
    beas("GET", "/me", 401)


@LOSSES
def test_webhooks_that_they_saved_stop(ada, bea, lose):
    beas, adas = Bot(bea, f"Bees{next(COUNT)}"), Bot(ada, f"Ants{next(COUNT)}")
    names = [re.search(r"Webhook of <bdi>(\w+)", bot.page())[1] for bot in (beas, adas)]
    rid = ada.create_room("Lab", "closed", [beas.uid, adas.uid])
    told, other = beas.tell(), adas.tell()
    ada.post(rid, f"@{names[0]} and @{names[1]}, hello")
    wait_until(lambda: told.requests and other.requests, "two deliveries")
    lose(ada, bea)
    secret = beas_secret(ada, beas)
    for n in range(3):
        ada.post(rid, f"@{names[0]} and @{names[1]}, number {n}")
    wait_until(lambda: len(other.requests) == 4, "three more deliveries")
    assert len(told.requests) == 1
    beas.ada = ada
    assert "The webhook has stopped" in beas.page()
    assert len(told.requests) == 1
    # Another administrator takes it over, with an address of theirs and a new secret.
    receiver = Receiver()
    assert beas.hook(receiver.url).status_code == 303
    assert "The webhook has stopped" not in beas.page()
    assert beas_secret(ada, beas) != secret
    ada.post(rid, f"@{names[0]}, again")
    wait_until(lambda: any("again" in body for body in receiver.bodies()), "a delivery")
    assert len(told.requests) == 1


def beas_secret(ada, bot):
    bot.ada = ada
    return bot.secret()


@LOSSES
def test_links_for_a_new_password_that_they_made_stop(server, ada, bea, lose):
    victim = account(Visitor(server.url), f"cy-{next(COUNT)}")
    links = []
    for admin in (bea, ada, bea):
        page = admin.submit(f"/admin/people/{victim.uid}/reset").text
        links.append(re.search(r"/sign-in/reset/[\w-]+", page)[0])
    assert httpx.get(f"{server.url}{links[-1]}").status_code == 200
    lose(ada, bea)
    assert [httpx.get(f"{server.url}{link}").status_code for link in links] == [404] * 3
    page = ada.submit(f"/admin/people/{victim.uid}/reset").text
    link = re.search(r"/sign-in/reset/[\w-]+", page)[0]
    assert httpx.get(f"{server.url}{link}").status_code == 200


def test_what_is_an_admins_own_goes_on_with_the_rights_they_have(ada, bea):
    own = Program(bea)
    demote(ada, bea)
    own("GET", "/me")
    assert own("GET", "/me")["role"] == "member"
    assert bea.get("/admin/people").status_code == 403, "the role is asked for with each request"
    give(ada, bea, "admin")
    assert bea.get("/admin/people").status_code == 200


def test_ending_a_room_and_changing_messages_of_others_are_in_the_audit(server, ada, bea):
    rid = bea.create_room("Tea")
    ada.join(rid)
    for text in ("mine", "also mine"):
        bea.post(rid, text)
    ada.post(rid, "Ada's own")
    first, second, own = re.findall(r'id="m-(\d+)"', ada.room(rid))[-3:]
    ada.submit(f"/rooms/{rid}/messages/{first}/delete")
    ada.submit(f"/rooms/{rid}/messages/{second}/edit", body="hers now")
    ada.submit(f"/rooms/{rid}/messages/{own}/delete")
    bea.submit(f"/rooms/{rid}/end", f"/rooms/{rid}/end")
    entries = server.redis().xrange(keys.AUDIT)[-3:]
    did = [(fields["what"], fields["whom"]) for _, fields in entries]
    whose = f"({bea.kept}), number"
    assert [what for what, _ in did] == [
        "deleted a message of",
        "changed a message of",
        "ended the room",
    ]
    assert f"{whose} {first} in the room {rid}" in did[0][1]
    assert f"{whose} {second} in the room {rid}" in did[1][1]
    assert did[2][1] == f"Tea ({rid})"
    assert "mine" not in str(did), "not what was said"
    assert "deleted a message of" in ada.get("/admin/audit").text
    gil = Visitor(server.url, "Gil")
    alone = gil.create_room("Nothing")
    gil.submit(f"/rooms/{alone}/end", f"/rooms/{alone}/end")
    assert server.redis().xrevrange(keys.AUDIT, count=1)[0] == entries[-1], (
        "guests push nothing out"
    )
