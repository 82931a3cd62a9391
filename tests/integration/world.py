"""A small chat for testing permissions: one person of each kind, and one room of each kind.
Everybody has signed in as people do. A try is one request with somebody's cookie or token, and
returns the result. The whole database can be compared before and after.
"""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import redis
from PIL import Image

from chat.store import Store, keys

from ..running import Server, Visitor, browser

PASSWORD = "seven wet umbrellas"
# In the rooms are owner, member, moderator and the bot; `away` is a moderator who is in none of
# them, `ex` was in all that one can leave, `off` was in them and is deactivated, nobody ever acts
# as `target`.
ACCOUNTS = ["admin", "owner", "member", "moderator", "away", "outsider", "ex", "off", "target"]
INSIDE = ["owner", "member", "moderator"]
KINDS = ["open", "closed", "direct", "random"]
SIGN_IN = 401  # stands for the redirect to the sign-in page
# Of all keys except rate limits and presence, by which no try is judged.
DIGESTS = """
-- The order in a hash is nothing that counts: it changes with the table behind it, by reading too.
local function held(key)
  if redis.call('TYPE', key).ok ~= 'hash' then return redis.call('DUMP', key) end
  local pairs, all = {}, redis.call('HGETALL', key)
  for n = 1, #all, 2 do pairs[#pairs + 1] = cjson.encode({all[n], all[n + 1]}) end
  table.sort(pairs)
  return table.concat(pairs)
end
local answer = {}
for _, key in ipairs(redis.call('KEYS', 'chat:*')) do
  if key ~= 'chat:here' and not string.find(key, '^chat:throttle:') then
    table.insert(answer, key)
    table.insert(answer, redis.sha1hex(held(key)))
  end
end
return answer
"""


class Someone(Visitor):
    """A person with a browser and a program; `uid` is that person's id."""

    uid = ""
    first_run = "/first-run"  # where the administrator signs up

    def __init__(self, url: str, name: str) -> None:
        self.url, self.name, self.token = url, name, ""
        self.reader = self.writer = ""
        # Not closed at the end of a test, as a Visitor's is.
        self.http, self.program = browser(url), browser()

    def arrive(self) -> None:
        """Sign in, or up the first time, and make three tokens where there are none any more."""
        if self.name == "stranger":
            self._keep_form()
            return
        if self.name == "guest":
            self.http.cookies.clear()
            self.sign_in("Guest")
        elif self.uid:
            self.http.cookies.clear()
            self._enter("/sign-in")
        else:
            self._enter(self.first_run if self.name == "admin" else "/sign-up")
        self._keep_form()
        if self.name == "guest" or self.call("GET", "/api/me").status_code == 401:
            self.uid = Visitor.uid.fget(self)
            self.token = self.make_token("read", "write")
            self.reader, self.writer = self.make_token("read"), self.make_token("write")
            self.use_tokens()

    def use_tokens(self) -> None:
        """The first use of a token is written down; later ones change nothing for an hour."""
        self.call("GET", "/api/me")
        for token in (self.reader, self.writer):
            self.call("GET", "/api/me", token=token)

    def _enter(self, at: str) -> None:
        answer = self.submit(at, at, login=self.name, name=self.name.title(), password=PASSWORD)
        assert answer.status_code == 303, answer.text

    def _keep_form(self) -> None:
        page = self.get("/sign-in" if self.name == "stranger" else "/me").text
        self.csrf = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        self.kept = dict(self.http.cookies)

    def make_token(self, *scopes: str, uid: str = "") -> str:
        uid = uid or self.uid
        page = self.submit(f"/tokens/{uid}", "/me/tokens", name="mine", scopes=scopes)
        return re.search(r'value="(chat_[\w-]+)"', page.text)[1]

    def ask(self, method: str, path: str, form: dict | None = None, **kwargs) -> httpx.Response:
        """A request of the browser, with the form's token where there is a form; whatever cookies
        the answer sets are forgotten again. Of an endless answer there is no body."""
        if method == "POST":
            kwargs["data"] = {"csrf_token": self.csrf, **(form or {})}
        with self.http.stream(method, path, **kwargs) as answer:
            if not path.partition("?")[0].endswith("/stream") or answer.status_code != 200:
                answer.read()
        self.http.cookies = httpx.Cookies(self.kept)
        return answer

    def call(self, method: str, path: str, json: dict | None = None, token: str | None = None):
        """A request of the program."""
        token = self.token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.program.request(method, self.url + path, json=json, headers=headers)


class World:
    @classmethod
    @contextlib.contextmanager
    def running(cls, data: Path, **env: str) -> "Iterator[World]":
        """One over a chat of its own, in this folder, with these settings besides its own."""
        settings = {"CHAT_SIGN_IN": "guest,password", "CHAT_LIMITS": "off", **env}
        server = Server(data, **settings).start()
        try:
            with contextlib.closing(cls(server)) as world:
                yield world
        finally:
            server.clean_up()

    def __init__(self, server: Server) -> None:
        self.server = server
        socket = str(server.data / "valkey" / "valkey.sock")
        self.client = redis.Redis(unix_socket_path=socket, decode_responses=True)
        self._digests = self.client.register_script(DIGESTS)
        self.store = Store(self.client)
        names = [*ACCOUNTS, "guest", "stranger"]
        self.people = {name: Someone(server.url, name) for name in names}
        if "/first-run/" in server.log():
            self["admin"].first_run = server.setup_link()
        for someone in self.people.values():
            someone.arrive()
        admin = self["admin"]
        for name in ("moderator", "away"):
            admin.ask("POST", f"/admin/people/{self[name].uid}/role", {"role": "moderator"})
        made = admin.ask("POST", "/admin/bots", {"name": "Bot"}).headers["location"]
        self.people["bot"] = bot = Someone(server.url, "bot")
        bot.uid = made.rpartition("/")[2]
        bot.token = admin.make_token("read", "write", uid=bot.uid)
        file = io.BytesIO()
        Image.new("RGB", (9, 9)).save(file, "PNG")
        picture = {"picture": ("me.png", file.getvalue(), "image/png")}
        self["target"].ask("POST", "/me", {"name": "Target"}, files=picture)
        self.rooms: dict[str, str] = {}
        self.seqs: dict[str, int] = {}
        self.fids: dict[str, str] = {}
        for kind in KINDS:
            self.renew(kind)
        self._end_one()
        admin.ask("POST", f"/admin/people/{self['off'].uid}/deactivate")
        bot.use_tokens()

    def __getitem__(self, name: str) -> Someone:
        return self.people[name]

    def close(self) -> None:
        for someone in self.people.values():
            someone.http.close()
            someone.program.close()
        self.client.close()

    # Rooms

    def renew(self, kind: str) -> None:
        """A room of this kind as it is to be found: who belongs is in, with a message of the
        member's whose number is `seqs[kind]`, and a file whose id is `fids[kind]`."""
        if kind in ("open", "closed"):
            self.rooms[kind] = self._start(kind)
        elif kind == "direct":
            others = {"members": [self[name].uid for name in ("member", "moderator", "bot")]}
            self.rooms[kind] = self._do("owner", "/direct-rooms", others)["id"]
        else:
            self._seat()
        posted = self._do("member", f"/rooms/{self.rooms[kind]}/messages", {"body": secret(kind)})
        self.seqs[kind] = posted["seq"]
        path = f"/rooms/{self.rooms[kind]}/files?name=a.txt"
        self.fids[kind] = self._do("member", path, {"any": "bytes"})["files"][0]["id"]

    def _start(self, kind: str) -> str:
        uids = [self[name].uid for name in ("member", "moderator", "ex", "off", "bot")]
        # `off` is in the first rooms: later ones nobody can take a deactivated person into.
        members = [
            person.uid for person in self.store.people.several(uids) if not person.deactivated
        ]
        fields = {"name": f"Room {kind}", "kind": kind, "members": members}
        rid = str(self._do("owner", "/rooms", fields)["id"])
        owner = self["owner"]
        assert owner.call("DELETE", f"/api/rooms/{rid}/members/{self['ex'].uid}").is_success
        return rid

    def _seat(self) -> None:
        """All in one random room: the first makes it, the others find it."""
        before = self.rooms.get("random")
        for name in [*INSIDE, "bot", *([] if before else ["ex", "off"])]:
            if not before or not self.store.rooms.is_member(before, self[name].uid):
                self.rooms["random"] = self._do(name, "/random-rooms", None)["id"]
                assert not before or self.rooms["random"] == before
                before = self.rooms["random"]
        self["ex"].call("POST", f"/api/rooms/{before}/leave")

    def _end_one(self) -> None:
        self.rooms["ended"] = self._start("closed")
        self.seqs["ended"], self.fids["ended"] = 1, "nothing"
        assert self["owner"].call("DELETE", f"/api/rooms/{self.rooms['ended']}").is_success
        self.rooms["nowhere"], self.seqs["nowhere"], self.fids["nowhere"] = "nowhere", 1, "nothing"

    def _do(self, name: str, path: str, json: dict | None) -> dict:
        answer = self[name].call("POST", f"/api{path}", json)
        assert answer.is_success, answer.text
        return answer.json()

    # Tries

    def fill(self, text: str, kind: str = "", who: str = "") -> str:
        """`{rid}` and `{seq}` are those of the room of this kind, `{me}` is the id of `who`,
        and `{name}` the id of who is called so."""
        values = {name: someone.uid for name, someone in self.people.items()} | {"emoji": "👍"}
        if kind:
            values |= {"rid": self.rooms[kind], "seq": str(self.seqs[kind])}
            values["fid"] = self.fids[kind]
        return text.format(**values, me=self[who].uid or "nobody" if who else "", who=who.title())

    def mend(self, who: str, kind: str, answer: httpx.Response) -> None:
        """Put the world in order after a try that may have changed something."""
        if kind and answer.request.method != "GET":
            self.renew(kind)
        given = "random" in answer.request.url.path and answer.request.method == "POST"
        if given:  # a seat
            is_json = answer.headers["content-type"] == "application/json"
            rid = answer.json()["id"] if is_json else answer.headers["location"].split("/")[2]
            self[who].call("POST", f"/api/rooms/{rid}/leave")
        someone = self[who]
        if who not in ("stranger", "bot", "off") and someone.ask("GET", "/me").status_code != 200:
            someone.arrive()

    def state(self) -> dict[str, str]:
        """What a try could change in the database: every key, with a digest of what it holds."""
        pairs = iter(self._digests())
        state = dict(zip(pairs, pairs, strict=True))
        # That the processes live, who is here and which pages are closed is written every two
        # seconds; that files which nothing holds are looked for, after a minute.
        beats = re.compile(
            rf"{keys.PROCESSES}|{keys.FILES}|{keys.FILES_LEASE}|chat:guests:.*|"
            rf"chat:pages:.*|chat:user:.*:pages|{re.escape(keys.PRESENCE_CHECKED)}|{re.escape(keys.UNANNOUNCED)}"
        )
        return {key: digest for key, digest in state.items() if not beats.fullmatch(key)}


def secret(kind: str) -> str:
    """The text of the message in the room of this kind."""
    return f"secret of the {kind} room"


def outcome(answer: httpx.Response) -> int:
    """The status, or SIGN_IN."""
    to = answer.headers.get("location", "")
    asked = answer.status_code == 303 and to.startswith("/sign-in")
    return SIGN_IN if asked and answer.request.url.path != "/sign-out" else answer.status_code
