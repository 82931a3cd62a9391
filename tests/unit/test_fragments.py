"""Nothing that people write leaves its element, and a fragment does not depend on its viewer."""

import ast
import re
import time
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import jinja2
import markupsafe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.domain.events import (
    DELETE,
    EDIT,
    JOIN,
    POST,
    START,
    Event,
    File,
    Quote,
    Reaction,
    Reactions,
)
from chat.rendering import (
    assets,
    cached_html,
    environment,
    filters,
    fragments,
    local_time,
)
from chat.rendering.text_renderer import Texts
from chat.store import Room, Row

from ..stored_events import pack

HOSTILE = [
    "<script>alert(1)</script>",
    "</p></div></li><li id=m-1>",
    '"><img src=x onerror=alert(1)>',
    "<hx-partial hx-target=body>x</hx-partial>",
    "</textarea><svg><style>",
    "{{ 7*7 }} {% raw %}",
    "' onmouseover='x",
    "<!-- --> ]]> <![CDATA[",
]


class Templates(jinja2.Environment):
    """The application's, without Flask."""

    code_generator_class = environment.FastCodeGenerator
    escape_output = staticmethod(environment.escape_output)
    call = staticmethod(environment.call)


def templates(texts=None):
    env = Templates(loader=jinja2.FileSystemLoader(assets.folder("templates")), autoescape=True)
    cached_html.init(env, texts or Texts())
    return env


@pytest.fixture(scope="module")
def env():
    return templates()


@pytest.fixture(scope="module")
def made(env):
    return InServersZone(env)


class InServersZone(fragments.Fragments):
    """Fragments for tests that are not about times."""

    def for_viewers(self, event, zone=""):
        return super().for_viewers(event, zone)

    def for_members(self, event, zone=""):
        return super().for_members(event, zone)

    def room_row(self, event, zone=""):
        return super().room_row(event, zone)

    def missed_events(self, events, zone=""):
        return super().missed_events(events, zone)

    def replaced_list(self, rid, events, epoch, first=1):
        return str(self.macros.replaced_list(rid, events, epoch, "", first))

    def room_list(self, rows, current, zone=""):
        return str(self.macros.room_list(rows, current, zone))


class Shape(HTMLParser):
    """The elements of a fragment outside the message's body, and the text of the body."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple] = []
        self.inside = False
        self.body = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if not self.inside:
            self.tags.append((tag, tuple(sorted(name for name, _ in attrs))))
            self.inside = dict(attrs).get("class") == "message__body"

    def handle_endtag(self, tag):
        if tag == "div":  # there is none in a body: see test_markdown.py
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.body += data


def said(body: str, name: str = "Ann") -> Event:
    return Event("tea", 7, 1_700_000_000_000, POST, "u1", name, body)


visible = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1)


@given(body=visible | st.sampled_from(HOSTILE), name=visible | st.sampled_from(HOSTILE))
def test_any_text_stays_in_its_element(made, body, name):
    shown = made.for_viewers(said(body, name))
    plain = made.for_viewers(said("x", "x"))
    assert Shape(shown).tags == Shape(plain).tags


@given(body=st.text(st.characters(categories=["L", "N"]), min_size=1))
def test_a_text_comes_back_whole(made, body):
    assert Shape(made.for_viewers(said(body))).body == body


@pytest.mark.parametrize("text", ["100 % of %(name)s", "%s %%", "{body}", "\0seq\0 \0body\0"])
def test_a_text_that_looks_like_a_slot_stays_a_text(made, text):
    """What is pushed most is a precompiled template."""
    event = said(text, text)
    assert Shape(made.for_viewers(event)).body == text
    assert f"<bdi>{text}</bdi></a>" in made.for_viewers(event)
    assert f"<bdi>{text}</bdi>: <bdi>{text}</bdi>" in made.room_row(event)


def test_a_precompiled_template_is_what_its_macro_makes(made):
    event = said("a <b> & %", "Ann & Co")
    message = made._message(event, "")
    assert made.for_viewers(event) == str(made.macros.put(event.room, message))
    assert made.room_row(event) == str(made.macros.room_row(event, ""))
    assert made.message_stored("n1") == str(made.macros.message_stored("n1"))


def test_no_function_of_the_templates_asks_for_their_context(env):
    """They are called without it (environment.FastCodeGenerator)."""
    assert not [name for name, one in env.globals.items() if hasattr(one, "jinja_pass_arg")]


def test_the_rare_pieces_of_a_message_are_there_where_they_are(made):
    plain, day = said("text"), 86_400_000
    pieces = {
        'class="day"': {"before": plain.at - day},
        "message--continued": {"before": plain.at - 1, "same": True},
        '<small class="tag">#x1': {"tag": "x1"},
        'class="message__edited"': {"edited": True},
        'class="quote"': {"quote": Quote("u2", "Bob", "before"), "number": 3},
        'class="files"': {"files": (File("f1", "a.zip", 3, "application/zip"),)},
        'class="reaction"': {"reactions": Reactions((Reaction("👍", ("u2",), ("Bob",)),), 8, "u2")},
        "picture?v1": {"picture": "v1"},
    }
    for piece, fields in pieces.items():
        assert piece not in made.for_viewers(plain)
        assert piece in made.for_viewers(replace(plain, **fields))
    assert "message--continued" not in made.for_viewers(
        replace(plain, before=plain.at - day, same=True)
    )


@given(kind=st.sampled_from([POST, START, JOIN]), body=st.text(), name=st.text())
def test_an_event_comes_back_from_its_stored_form(kind, body, name):
    event = Event("tea", 3, 5, kind, "u1", name, body)
    assert Event.parse("tea", 3, 5, pack(kind, "u1", name, body)) == event


@pytest.mark.parametrize(
    "data",
    ["", "x", "3", "{}", "[1]", '["post","u","n"]', '["post","u","n",3]', '["later","u","n","b"]'],
)
def test_an_event_that_cannot_be_read_leaves_the_room_alive(made, data):
    """A later version's event, or a damaged one, is a line that says so."""
    event = Event.parse("tea", 5, 0, data)
    shown, note = made.for_viewers(event), made.for_members(event)
    assert 'id="m-5"' in shown
    assert 'name="after" value="5-0"' in shown
    assert "cannot be shown" in shown
    assert note


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_comes_back_stays_in_its_element(made, text):
    html = made.fresh_composer("tea", "n1", "n2", text, "Typed late.")
    plain = made.fresh_composer("tea", "n1", "n2", "x", "Typed late.")
    assert Shape(html).tags == Shape(plain).tags


@pytest.mark.parametrize("kind", [START, JOIN])
def test_a_server_line_cannot_be_written_by_a_person(made, kind):
    """A person's text is a .message with an author, whatever it says."""
    line = made.for_viewers(Event("tea", 1, 0, kind, "u1", "Ann", "Tea"))
    person = made.for_viewers(said("Ann created this room", "server"))
    assert 'class="server-line"' in line
    assert "data-author" not in line
    assert 'class="server-line"' not in person


def test_every_fragment_is_markup_from_its_first_character(made):
    """hx-ws takes what parses as JSON for data."""
    event = said("1")
    texts = [
        made.for_viewers(event),
        made.for_members(event),
        made.missed_events([event]),
        made.replaced_list("tea", [event], "e"),
    ]
    texts += [made.room_list([], ""), made.message_stored("n1"), made.message_refused("n1", "no")]
    texts += [made.composer_done("n1"), made.fresh_composer("tea", "n1", "n2", "1", "why")]
    assert all(text.startswith("<") for text in texts)


def test_a_history_page_and_a_push_hold_the_same_message(env, made):
    event = said("same")
    item = str(env.globals["message"](event, ""))
    assert item in made.for_viewers(event)
    assert item in made.missed_events([event])
    assert item in made.replaced_list("tea", [event], "e")


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Ann", "A"), ("ann lee", "AL"), ("Ann van Lee", "AL"), ("é", "É"), (" ", "?")],
)
def test_initials(name, letters):
    assert filters.initials(name) == letters


def test_a_day_is_told_where_it_begins_for_the_reader():
    """Midnight is at another moment in each zone."""
    noon = 1_700_000_000_000 // 86_400_000 * 86_400_000 + 43_200_000
    for zone, hours in (("", 12), ("Asia/Kolkata", 6.5), ("America/Lima", 17)):
        midnight = noon + int(hours * 3_600_000)
        assert local_time.new_day(midnight, midnight - 1, zone)
        assert not local_time.new_day(midnight - 1, midnight - 60_000, zone)
        assert not local_time.new_day(midnight + 80_000_000, midnight, zone)


def test_a_change_of_a_message_that_is_gone_does_not_empty_it_on_screen(made):
    """Its text went with it: see store.retention."""
    edit = Event("tea", 9, 0, EDIT, "u1", "Ann", "new text", number=4)
    assert "#m-4 .message__body" in made.missed_events([edit])
    assert "#m-4" not in made.missed_events([replace(edit, body="")])


def test_older_messages_are_offered_down_to_the_oldest_that_is_kept(made):
    event = said("same")
    assert "Older messages" in made.replaced_list("tea", [event], "e", event.seq - 1)
    assert "Older messages" not in made.replaced_list("tea", [event], "e", event.seq)


def test_the_note_of_a_plain_message_is_made_once_for_its_room_and_author(made):
    """It has nothing of the message; who is mentioned makes it another."""
    notes = [
        made.for_members(Event(room, seq, 0, "post", uid, "Ann", f"text {seq}"))
        for room, seq, uid in [
            ("tea", 1, "u1"),
            ("tea", 2, "u1"),
            ("tea", 3, "u2"),
            ("pub", 4, "u1"),
        ]
    ]
    assert notes[0] == notes[1]
    assert len(set(notes)) == 3
    assert "text" not in "".join(notes)
    called = Event("tea", 5, 0, "post", "u1", "Ann", "@Bob", mentions=(("bob", "u9"),))
    assert 'data-uid="u9" data-by="u1"' in made.for_members(called)


def test_what_is_kept_is_filled_anew_for_each_page(env):
    """Composer and foot of a panel are as their macros have them, and each has its own token."""
    composer = env.get_template("macros/composer.html").module.composer
    foot = env.get_template("macros/rooms.html").module.footer
    for nonce, token, lines in (("n1", "t1", None), ("n2", "t2", True), ("n1", "t3", None)):
        made = env.globals["empty_composer_of"]("r1", lines, nonce=nonce, token=token)
        assert made == composer("r1", nonce, token, lines)
        made = env.globals["panel_footer"]("r1", "e1", False, seq=7, digest=nonce, token=token)
        assert made == foot("r1", "e1", False, 7, nonce, token)
    hostile = env.globals["empty_composer_of"]("r1", None, nonce="n", token=HOSTILE[2])
    assert hostile == composer("r1", "n", HOSTILE[2], None)


def test_the_room_header_a_room_is_that_of_its_name_and_size(env):
    def head(name, size):
        room = Room("r1", name, "", "open", "", "", 1, Event("r1", 1, 0, START, "", "", ""))
        return env.globals["room_header"](room, size)

    assert "<bdi>Tea</bdi>" in head("Tea", 1)
    assert "1 member<" in head("Tea", 1)
    assert "<bdi>[[token]]</bdi>" in head("[[token]]", 2)
    assert "2 members<" in head("[[token]]", 2)
    assert "<script" not in head(HOSTILE[0], 1)


@given(st.text() | st.integers() | st.none() | st.text().map(markupsafe.Markup) | st.booleans())
def test_what_is_put_out_is_what_markupsafe_makes_of_it(value):
    assert environment.escape_output(value) == str(markupsafe.escape(value))
    for text in ("{{ value }}", "{% set x %}<{{ value }}>{% endset %}{{ x }}", "{{ value ~ '<' }}"):
        told = Templates(autoescape=True).from_string(text).render(value=value)
        assert told == jinja2.Environment(autoescape=True).from_string(text).render(value=value)


ZONES = ["Asia/Tokyo", "America/Lima", "UTC"]
AT = int(time.time() * 1000)
KINDS = [POST, JOIN, START, EDIT, DELETE, "name"]


@st.composite
def timed(draw):
    """What shows a time: a method of Fragments with its arguments but for the zone."""
    kind = draw(st.sampled_from(KINDS))
    event = Event("tea", draw(st.integers(1, 100)), AT, kind, "u1", "Ann", "x", number=3)
    room = Room("tea", "Tea", "", "open", "", "", event.seq, event)
    return draw(
        st.sampled_from(
            [
                ("for_viewers", (event,)),
                ("room_row", (event,)),
                ("updated_events", ([event],)),
                ("missed_events", ([event, replace(event, seq=event.seq + 1)],)),
                ("replaced_list", ("tea", [event], "e")),
                ("message_deleted", (replace(event, kind="deleted"),)),
                ("room_list", ([Row(room, 0)], "")),
            ]
        )
    )


@given(st.lists(st.tuples(timed(), st.sampled_from(ZONES)), max_size=6))
def test_every_time_is_in_the_zone_that_was_asked_for(env, asked):
    """One task makes what people in many zones read, in any order."""
    made = fragments.Fragments(env)
    for (name, args), zone in asked:
        html = getattr(made, name)(*args, zone)
        told = set(re.findall(r"\b(\d\d:\d\d)[ <]", html))
        assert told <= {f"{datetime.fromtimestamp(AT / 1000, ZoneInfo(zone)):%H:%M}"}
        assert told or "server-line--silent" in html


def test_whatever_the_server_asks_for_is_a_fragment(made):
    """Macros are called by their names, which no type checker knows."""
    files = Path(assets.folder("templates")).parent.glob("chat/**/*.py")
    asked = set(re.findall(r"\bfragments\.([a-z_]+)", "".join(map(Path.read_text, files))))
    assert len(asked) > 20
    assert [name for name in asked if not callable(getattr(made, name, None))] == []


def test_no_time_is_shown_without_a_zone(env):
    """A template that gives none on would show times of the server's zone."""
    nothing = env.from_string("{{ nothing }}").environment.undefined()
    for show in (local_time.when, local_time.short_time):
        with pytest.raises(TypeError, match="zone"):
            show(AT, nothing)
    with pytest.raises(TypeError, match="zone"):
        local_time.new_day(AT, 1, nothing)


def test_no_zone_is_kept_in_a_task():
    """What one task keeps would be found by whoever is served next in it."""
    for file in Path(assets.folder("templates")).parent.glob("chat/**/*.py"):
        text = file.read_text()
        assert not re.search(r"ContextVar.*zone|use_zone|in_zone", text), file


PEOPLE = tuple(f"{n:022}" for n in range(50))
LARGE = {
    "a text": Event("r", 1, 1, POST, "u1", "Ann", "x" * 1001),
    "mentions": replace(said("@Bo"), mentions=(("bo", " ".join(PEOPLE)),)),
    "reactions": replace(said("a"), reactions=Reactions((Reaction("👍", PEOPLE, PEOPLE),))),
}


@pytest.mark.parametrize("event", LARGE.values(), ids=LARGE.keys())
def test_what_is_large_is_not_kept(event):
    """4,096 messages are kept as HTML, and nobody's texts may fill the memory of a process."""
    for one, times_made in ((said("small"), 1), (event, 3)):
        renders = Renders()
        message = templates(renders).globals["message"]
        for _ in range(3):
            message(one, "")
        assert renders.count == times_made


class Renders:
    """Counts the texts it is asked for."""

    def __init__(self):
        self.count = 0

    def render(self, body, mentions=()):
        self.count += 1
        return markupsafe.escape(body)

    def gist(self, body):
        return body


def test_events_that_are_large_are_read_anew():
    for body, is_kept in (("small", True), ("x" * 1001, False)):
        data = pack(POST, "u1", "Ann", body)[:-1] + ',"","",""]'
        first, second = (Event.parse("r", 1, 1, data) for _ in range(2))
        assert first == second
        assert (first is second) == is_kept


def test_all_fragments_that_the_code_names_exist(made):
    """mypy cannot see macros (Fragments.__getattr__)."""
    named = set()
    for path in (Path(__file__).parents[2] / "chat").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                of = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                if of == "fragments":
                    named.add(node.attr)
    assert {"for_viewers", "signed_out", "typing"} <= named
    for name in sorted(named):
        assert callable(getattr(made, name)), name
    assert not hasattr(made, "none_of_these")
