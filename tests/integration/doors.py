"""All inputs of the chat, and clients for each: for the tests that send invalid values.

They are found in the application (routes, operations of the API, frames) and in its source (names
of fields), so that a new one is tested without a change here. What is valid, and who may send it,
is in the tables of rules.py; a test makes sure that these are complete.
"""

import inspect
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from chat.app import create_app
from chat.config import Settings

from ..bad_values import Wire, escaped
from ..provider import CLIENT
from ..running import ROOT, Visitor
from .rules import FORMS, PAGE_ROWS
from .test_jwt import AUDIENCE, ISSUER, SECRET
from .world import World

AT_ONCE = 4  # connections
FEW = 5  # requests after which somebody else is asked who they are

# What the source asks a request for: `request.form.get("body")`, `"menu" in request.args`, and
# `for name in ("name", "about")`.
_FORMS, _ADDRESSES = "form|args|values|files", "args|values"
_ASKED = r"(?:{0})(?:\.get(?:list)?\(|\[)\s*\"(\w+)\"|\"(\w+)\" (?:not )?in request\.(?:{0})"
_LISTED = r"for \w+ in \(((?:\"\w+\",? ?)+)\)"


def asked_in(text, of=_FORMS):
    """The names of fields that a source asks for; with `_ADDRESSES`, those of queries."""
    found = {a or b for a, b in re.findall(_ASKED.format(of), text)}
    for names in re.findall(_LISTED, text) if of == _FORMS else []:
        found |= set(re.findall(r"\w+", names))
    return found - {"csrf_token"}


def asked_by(app, rule, method):
    """The names of fields that the module of a route asks for."""
    source = inspect.getsource(module_of(app, rule))
    return asked_in(source, _ADDRESSES if method == "GET" else _FORMS)


SOURCES = [path.read_text() for path in sorted((ROOT / "chat").rglob("*.py"))]
PAGES = [path.read_text() for path in sorted((ROOT / "templates").rglob("*.html"))]
FIELDS = set().union(*map(asked_in, SOURCES), *(re.findall(r'name="(\w+)"', p) for p in PAGES))
FIELDS -= {"csrf_token", "viewport"}


# The chat


@contextmanager
def running(folder, provider):
    """A chat with all ways of signing in, and one of each kind of person and room."""
    env = {
        "CHAT_SIGN_IN": "guest,password,oidc,jwt,proxy",
        "CHAT_PROXIES": "127.0.0.1",
        "CHAT_OIDC_ISSUER": provider.url,
        "CHAT_OIDC_CLIENT_ID": CLIENT,
        "CHAT_JWT_SECRET": SECRET,
        "CHAT_JWT_ISSUER": ISSUER,
        "CHAT_JWT_AUDIENCE": AUDIENCE,
    }
    with World.running(folder, **env) as world:
        world.server.forget_log()
        yield world


def application(world):
    """The application that the world runs, for its table of routes, and those without a socket."""
    app = create_app(Settings(secret_key="x" * 32, data=world.server.data), world.store)
    return app, [rule for rule in app.url_map.iter_rules() if not rule.websocket]


@contextmanager
def nothing_in_the_log(world):
    """No error is logged meanwhile, and the processes are those that there were."""
    workers = world.server.workers()
    yield
    log = world.server.log()
    world.server.forget_log()
    found = re.search(r".*(?:Traceback| ERROR )[\s\S]{0,3000}", log)
    assert not found, found[0]
    assert world.server.workers() == workers


# Who asks


class Actor:
    """Somebody's browser, whose cookie stays what it is whatever is answered."""

    def __init__(self, world, visitor, token=""):
        self.wire = Wire(world.server.address, world.server.port)
        page = (
            visitor.get("/sign-in").text
            if visitor.get("/me").is_redirect
            else (visitor.get("/me").text)
        )
        self.csrf = re.search(r'name="csrf_token" value="([^"]+)"', page)[1].encode()
        self.cookie = b"Cookie: " + visitor.cookie.encode()
        self.bearer = b"Authorization: Bearer " + token.encode()

    def browse(self, method, target, form=(), *headers):
        """With pairs of escaped names and values as the form."""
        if method == "GET":
            return self.wire.ask("GET", target, [self.cookie, *headers])
        pairs = [(b"csrf_token", self.csrf), *form]
        body = b"&".join(b"=".join(pair) for pair in pairs)
        kind = b"Content-Type: application/x-www-form-urlencoded"
        return self.wire.ask(method, target, [self.cookie, kind, *headers], body)

    def send_parts(self, target, parts):
        """With pairs of names and values, and triples with the name of a file, in parts."""
        body = b""
        for name, value, *files in [(b"csrf_token", self.csrf), *parts]:
            file = b'; filename="%b"' % files[0] if files else b""
            body += b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n' % (name, file)
            body += value + b"\r\n"
        kind = b"Content-Type: multipart/form-data; boundary=b"
        return self.wire.ask("POST", target, [self.cookie, kind], body + b"--b--\r\n")

    def call(self, method, target, body=None, *headers):
        """As a program."""
        return self.wire.ask(method, target, [self.bearer, *headers], body)


class Door:
    """One place for values; `check` looks at what is answered, and now and then at what somebody
    else gets on a connection of their own."""

    def __init__(self, world):
        self.world = world
        self.other = Actor(world, world["outsider"], world["outsider"].token)
        self.uid = world["outsider"].uid
        self.tried = 0
        self.wrong = []

    def check(self, what, answer):
        status, body = answer
        self.tried += 1
        if status >= 500 or (status >= 400 and not body and "HTTP" not in what):
            self.wrong.append(f"{what}: {status} {body[-300:]!r}")
        if self.tried % FEW == 0:
            self.look()

    def look(self):
        """Somebody else is answered, and with what is theirs."""
        status, body = self.other.call("GET", b"/api/me")
        if status != 200 or json.loads(body)["id"] != self.uid:
            self.wrong.append(f"somebody else got {status} {body[-300:]!r}")

    def close(self):
        self.look()
        assert not self.wrong, f"{len(self.wrong)} of {self.tried}: " + "\n".join(self.wrong[:20])
        return self.tried


def at_once(world, jobs):
    """Run jobs, each a function of a Door; returns how many values were tried."""

    def run(job):
        door = Door(world)
        job(door)
        return door.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(run, jobs))


def room_of_its_own(world):
    """The ids of a room that a job may end, with a message and a file in it."""
    member = world["member"]
    uids = [world[name].uid for name in ("member", "moderator", "bot")]
    made = world["owner"].call("POST", "/api/rooms", {"name": "Job", "members": uids}).json()
    path = f"/api/rooms/{made['id']}"
    posted = member.call("POST", f"{path}/messages", {"body": "Hello"}).json()
    file = member.call("POST", f"{path}/files?name=a.txt", {"any": "bytes"}).json()
    return {"rid": made["id"], "seq": posted["seq"], "fid": file["files"][0]["id"]}


def ids_for(world, rule):
    """A value for each part of the address."""
    ids = room_of_its_own(world) if "rid" in rule.arguments else {}
    bot = any(word in rule.rule for word in ("/tokens", "/bots", "/remove", "members"))
    more = {"uid": world["bot" if bot else "target"].uid, "emoji": "👍", "filename": "chat.css"}
    return {name: {**more, **ids}.get(name, "x") for name in rule.arguments}


def address(rule, ids, **raw):
    """The address of a rule; `raw` is put in as it is."""
    target = rule.rule.encode()
    for name in rule.arguments:
        value = raw[name] if name in raw else escaped(str(ids[name]))
        target = re.sub(rb"<(?:\w+:)?%b>" % name.encode(), lambda _, value=value: value, target)
    return target


SIGN_IN_MODULES = {"sessions", "sign_in", "sign_up", "passwords", "oidc_sign_in", "jwt_sign_in"}


def module_of(app, rule):
    return sys.modules[app.view_functions[rule.endpoint].__module__]


def actor_for(world, app, rule, method):
    """Who may do it, by the table of rights; a guest of its own where sessions begin and end."""
    if module_of(app, rule).__name__.rpartition(".")[2] in SIGN_IN_MODULES:
        return Actor(world, Visitor(world.server.url, "Gus"))
    adapter = app.url_map.bind("chat")
    for what, _, codes in PAGE_ROWS:
        its, path = what.split()
        path = re.sub(r"\{\w+\}", "1", path.partition("?")[0])
        if its == method and adapter.match(path, method)[0] == rule.endpoint:
            able = [who for who in ("member", "owner", "admin") if codes[who] in (200, 303)]
            return Actor(world, world[able[0] if able else "member"])
    return Actor(world, world["admin"])


def form_of(world, app, rule, method, ids):
    """What is sent to the rule when all is well."""
    adapter = app.url_map.bind("chat")
    for what, form in FORMS.items():
        its, path = what.split()
        path = re.sub(r"\{\w+\}", "1", path)
        if its == method and adapter.match(path, method)[0] == rule.endpoint:
            filled = {k: v.replace("{seq}", str(ids.get("seq", ""))) for k, v in form.items()}
            return {name: world.fill(value, "", "guest") for name, value in filled.items()}
    return {}


def costly(rule):
    """The few values for what hashes a password each time, which is made to take long."""
    few = ["NUL", "surrogate inside", "noncharacters", "long"]
    return few if rule.endpoint.startswith("sign_in.") else []


def pairs(fields):
    return [(name.encode(), escaped(value)) for name, value in fields.items()]


def is_api(rule):
    return rule.rule.startswith("/api/")
