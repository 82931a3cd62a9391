"""The fast templates depend on Jinja's internals; Flask's own environment takes their place."""

import logging
from importlib.metadata import version

import flask
import flask.templating
import jinja2
import pytest

from chat.domain.events import CHANGES, DELETED, JOIN, POST, START, Event, File, Quote, Reaction
from chat.domain.events import Reactions as ReactionsOf
from chat.rendering import assets, cached_html, environment
from chat.rendering.fragments import Fragments
from chat.rendering.text_renderer import Texts
from chat.store import Person, Room, Row

from .test_fragments import HOSTILE, templates

KINDS = (POST, JOIN, START, DELETED, *CHANGES, "add", "name", "about", "open", "owner", "later")


def test_the_installed_jinja_has_been_tested():
    assert environment.environment_class() is environment.FastEnvironment


def test_an_imported_file_runs_once_though_globals_are_added_after_it_was_loaded():
    app, runs = flask.Flask(__name__), []
    env = environment.FastEnvironment(app)
    env.loader = jinja2.DictLoader(
        {
            "macros": "{% set _ = run() %}{% macro hello() %}Hello {{ late }}{% endmacro %}",
            "page": '{% from "macros" import hello %}{{ hello() }}',
        }
    )
    env.globals["run"] = lambda: runs.append(1)
    env.get_template("macros")
    env.globals["late"] = "Ann"
    assert [env.get_template("page").render() for _ in range(3)] == ["Hello Ann"] * 3
    assert len(runs) == 1


def test_every_minor_version_that_was_tested_is_fast_and_no_other(caplog):
    for minor in environment.TESTED_JINJA:
        assert environment.environment_class(f"{minor}.99") is environment.FastEnvironment
    assert not caplog.records
    for unknown in ("3.2.0", "4.0.0", "3.10.1", "2.1.3"):
        with caplog.at_level(logging.WARNING):
            assert environment.environment_class(unknown) is flask.templating.Environment
        assert unknown in caplog.messages[-1]


def test_the_version_that_is_looked_at_is_the_installed_one(monkeypatch):
    assert version("jinja2").startswith(environment.TESTED_JINJA)
    monkeypatch.setattr(environment, "TESTED_JINJA", ("9.9",))
    assert environment.environment_class() is flask.templating.Environment


def plain_templates():
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(assets.folder("templates")), autoescape=True
    )
    cached_html.init(env, Texts())
    return env


def events(text):
    for seq, kind in enumerate(KINDS, 1):
        yield Event("tea", seq, 1_700_000_000_000, kind, "u1", text, text, number=2)
    yield Event("tea", 50, 5, POST, "u1", text, text, mentions=(("bo", "u2 u3"),))
    yield Event("tea", 400, 5, POST, "u1", text, text, mentions=(("all", "*"),), tag="x1")
    yield Event(
        "tea",
        51,
        86_400_005,
        POST,
        "u1",
        text,
        text,
        before=5,
        edited=True,
        number=3,
        quote=Quote("u2", text, text),
        files=(File("f1", text, 3, "application/zip"), File("f2", text, 3, "image/png", 2, 3)),
        reactions=ReactionsOf((Reaction("👍", ("u2",), (text,)),), 8, "u2"),
        picture="v1",
    )


def every_fragment(env, text):
    """What each method of Fragments returns for texts that people write."""
    env.globals |= {"asset": "/static/{}".format, "csrf_token": lambda: text}
    made, several = Fragments(env), list(events(text))
    for event in several:
        yield made.for_viewers(event, "UTC")
        yield made.for_members(event, "UTC")
        yield made.room_row(event, "UTC")
        yield made.missed_events([event], "UTC")
        yield made.menu_closed(event)
        yield made.message_editor(event, text)
        yield made.message_saved(event)
        yield made.message_deleted(event, "UTC")
        yield made.reply_target("tea", event)
        yield made.reaction_sent(event)
        yield made.menu(event=event, uid="u1", quick=[text], own=True, token=text)
    person, room = (
        Person("u1", text, "member"),
        Room("tea", text, text, "open", "", "", 9, several[0]),
    )
    yield made.missed_events(several, "UTC")
    yield made.updated_events(several, "UTC")
    yield made.replaced_list("tea", several, "e", "UTC")
    yield made.room_list([Row(room, 3)], "tea", "UTC")
    yield made.room_list([Row(room, 3)], "", "UTC") + made.room_read("tea") + made.room_left("tea")
    yield made.signed_out() + made.online_count("tea", 3) + made.online_dots("tea", ["u1", "u2"])
    yield made.typing("tea", person) + made.typing_ended("tea", "u1")
    yield made.edit_refused("tea", 3, text) + made.reaction_refused(3, text)
    yield made.reply_target("tea", None) + made.name_suggestions("tea", [person], [text])
    yield made.message_stored(text) + made.composer_done(text) + made.message_refused("n", text)
    yield made.fresh_composer("tea", "n", "m", text, text)
    macros = env.get_template("macros/rooms.html").module
    yield macros.panel(room, several, 3, "d", "UTC", token=text)
    yield macros.panel(room, several, 3, "d", "UTC", history=True, new=2, unread=3)


@pytest.mark.parametrize("text", [*HOSTILE, "a *b* `c` https://d.example", "%(name)s \0seq\0"])
def test_the_fallback_gives_the_same_bytes_for_every_fragment(text):
    fast, plain = every_fragment(templates(), text), every_fragment(plain_templates(), text)
    for one, other in zip(fast, plain, strict=True):
        assert one == other


def test_older_messages_are_the_same_but_not_announced():
    """Each item of the list says so, whatever it shows; nothing else differs."""
    items = templates().get_template("macros/messages.html").module.items
    several = list(events("text"))
    loud = str(items("tea", several, 1, "UTC", new=3))
    silent = str(items("tea", several, 1, "UTC", new=3, silent=True))
    assert silent == loud.replace(' data-id="', ' aria-live="off" data-id="')
    assert silent.count('aria-live="off" data-id') == len(several) + 1
