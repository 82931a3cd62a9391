"""`chat export` and `chat import` on running chats, and a room as a page for people."""

import html
import json
import re
from html.parser import HTMLParser

import pytest

from ..running import Server, Visitor
from .page import Page, reads
from .test_files import send
from .test_people import picture

GOOD = "seven wet umbrellas"
ACCOUNTS = {"CHAT_SIGN_IN": "guest,password"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A chat with accounts and a first administrator, Ada."""
    running = Server(tmp_path_factory.mktemp("chat"), **ACCOUNTS).start()
    account(Visitor(running.url), "ada", "/first-run")
    yield running
    running.clean_up()


@pytest.fixture
def other(tmp_path):
    """Another chat with another memory."""
    running = Server(tmp_path / "other", **ACCOUNTS).start()
    yield running
    running.clean_up()


def account(visitor, login, at):
    answer = visitor.submit(at, at, login=login, name=login.title(), password=GOOD)
    assert answer.status_code == 303, answer.text
    return visitor


def ok(ended):
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_all_of_a_chat_moves_to_another_one(server, other, tmp_path):
    ben = account(Visitor(server.url), "ben", "/sign-up")
    form = {"csrf_token": token(ben), "name": "Ben", "about": "Tea", "theme": "", "zone": ""}
    ben.http.post("/me", data=form, files={"picture": ("me.png", picture(), "image/png")})
    tea = ben.create_room("Tea")
    ann = Visitor(server.url, "Ann")
    ann.join(tea)
    ann.post(tea, "hello there")
    send(ann, tea, ("a.png", picture()), ("b.zip", b"PK zip"))
    file = tmp_path / "all.jsonl.gz"
    ok(server.console("export", "--all", "--with-secrets", str(file)))
    assert file.stat().st_mode & 0o777 == 0o600

    assert "1 new room" in ok(other.console("import", "--all", str(file))).replace("rooms", "room")
    there = Visitor(other.url)
    answer = there.submit("/sign-in", "/sign-in", login="ben", password=GOOD)
    assert answer.status_code == 303
    assert "hello there" in there.room(tea)
    shown = re.search(r'src="(/people/[^"]+/picture\?[^"]+)"', there.get("/").text)[1]
    assert there.get(shown).content == ben.get(shown).content
    image, packed = re.findall(r'<a class="file[^"]*" href="(/rooms/[^"]+)"', there.room(tea))
    assert there.get(packed).content == b"PK zip"
    for at in (image, f"{image}?small"):
        assert there.get(at).content == ben.get(at).content
    assert ok(other.console("check")) == "No problems found.\n"

    again = ok(other.console("import", "--all", str(file)))
    assert "new" not in again
    assert "here already" in again


def token(visitor):
    return re.search(r'name="csrf_token" value="([^"]+)"', visitor.get("/me").text)[1]


def test_an_open_page_sees_how_a_room_goes_on(server, other, tmp_path):
    ben = account(Visitor(server.url), "benno", "/sign-up")
    tea = ben.create_room("Tea")
    ben.post(tea, "the first")
    file = str(tmp_path / "all.jsonl")
    ok(server.console("export", "--all", "--with-secrets", file))
    ok(other.console("import", "--all", file))
    there = Visitor(other.url)
    there.submit("/sign-in", "/sign-in", login="benno", password=GOOD)
    page = Page(there).watch(tea)
    page.wait_shown("the first")

    ben.post(tea, "the second")
    ben.submit(f"/rooms/{tea}/messages/2/delete")
    ok(server.console("export", f"{server.url}/rooms/{tea}", file))
    assert "1 rooms continued" in ok(other.console("import", "--all", file))
    page.wait_shown("the second")
    assert "A message was deleted" in page.frames[-1]

    ben.submit(f"/rooms/{tea}/reactions", react="3 999", emoji="🦊")
    ok(server.console("export", tea, file))
    ok(other.console("import", "--all", file))
    page.wait_for("🦊")
    there.post(tea, "and on")
    page.wait_shown("and on")
    assert sorted(page.shown) == [1, 2, 3, 4, 5, 6]

    ben.post(tea, "another way")
    ok(server.console("export", tea, file))
    refused = other.console("import", "--all", file)
    assert refused.returncode == 1
    assert "number 6 is another message here" in refused.stdout
    assert "another way" not in there.room(tea)


def test_what_cannot_be_exported_is_said_in_a_line(server, tmp_path):
    ann = Visitor(server.url, "Ann")
    rid = ann.create_room("A rare name")
    file = str(tmp_path / "x.jsonl")
    for args, said in (
        (["A rare name", file], f"\n  {rid}  A rare name"),
        (["nothing", file], "there is no room"),
        ([rid], "give rooms and then a file"),
        (["--all", rid, file], "give rooms and then a file"),
        ([rid, file, "--with-secrets"], "--with-secrets requires --all"),
        (["--all", "x", "--html", file], "--html requires exactly one room"),
        ([rid, str(tmp_path / "no" / "x")], "No such file or directory"),
    ):
        ended = server.console("export", *args)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("chat: ")
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_imported_is_said_in_a_line(server, tmp_path):
    (tmp_path / "x").write_text("hello")
    header = {"format": "chat archive", "version": 1, "schema": 1, "whole": True}
    (tmp_path / "y").write_text(f"{json.dumps(header)}\n" + '{"is":"room","id":"../x"}\n')
    for name, said in (("x", "damaged"), ("y", "invalid record"), ("z", "No such file")):
        ended = server.console("import", "--all", str(tmp_path / name))
        assert ended.returncode == 1
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr


# A page for people


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attrs = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attrs.update(attrs)


@pytest.fixture
def page(server, tmp_path):
    """A room of everything, as a file."""
    ann = Visitor(server.url, "Ann <3")
    rid = ann.create_room("Tea & <b>")
    ann.post(rid, "teh first")
    ann.submit(f"/rooms/{rid}/messages/2/edit", body="the first")
    ann.post(rid, "unsaid")
    ann.submit(f"/rooms/{rid}/messages/4/delete")
    ann.post(rid, '<script>alert(1)</script> href="/rooms/x/messages/1#m-1" /people/me')
    ann.submit(f"/rooms/{rid}/reactions", react="2 0 👍")
    send(ann, rid, ("a.png", picture()), ("b_c_d.zip", b"PK"), body="take these")
    file = tmp_path / "tea.html"
    ok(server.console("export", rid, "--html", str(file)))
    assert file.stat().st_mode & 0o777 == 0o600
    return file.read_text()


def test_a_room_is_a_page_that_can_be_read_and_searched(page):
    text = reads(page)
    assert "Tea & <b>" in text
    assert "the first" in text
    assert "edited" in text
    assert '<span class="reaction" title="Ann &lt;3">👍 1</span>' in page
    assert "A message was deleted" in text
    assert "Ann <3 created this room" in text
    assert 'href="/rooms/x/messages/1#m-1" /people/me' in text
    assert "teh" not in text
    assert "unsaid" not in text
    assert "take these" in text
    assert "b_c_d.zip" in text
    assert re.search(r'<h2 class="day">\w+, \d+ \w+ \d{4}</h2>', page)
    assert page.count('<h2 class="day">') == 1


def test_the_page_has_nobodys_id_and_nothing_of_the_chats_own_pages(server, tmp_path):
    """Whoever gets the file learns what was said, not by what the chat knows people."""
    ann, bob = Visitor(server.url, "Ann"), Visitor(server.url, "Bob")
    rid = ann.create_room("Tea")
    bob.join(rid)
    said = '@Bob data-author="x" hx-get="/y" <input name="after"> `data-uid="z"`'
    ann.post(rid, said)
    bob.submit(f"/rooms/{rid}/messages", body="answered", reply="3")
    bob.submit(f"/rooms/{rid}/reactions", react="3 0 👍")
    bob.submit(f"/rooms/{rid}/leave")
    send(ann, rid, ("a.png", picture()))
    ok(server.console("export", rid, "--html", str(tmp_path / "tea.html")))
    page = (tmp_path / "tea.html").read_text()
    for ident in (ann.uid, bob.uid, rid):
        assert ident not in page
    assert not [name for name, _ in Elements(page).attrs if re.match("data-|hx-|form", name)]
    assert said.replace("`", "") in reads(page)


def test_the_page_needs_nothing_and_runs_nothing(page):
    made = Elements(page)
    assert not made.tags & {"script", "img", "link", "iframe", "form", "button", "input"}
    leads = {value for name, value in made.attrs if name in ("href", "src")}
    assert leads
    assert all(re.fullmatch(r"#m-\d+", value) for value in leads)
    assert not [name for name, _ in made.attrs if name.startswith("on") or name == "style"]
    assert "default-src 'none'" in html.unescape(page)
