"""Scripts are called with named arguments, and Python and Lua take their order from one
declaration."""

import re
from pathlib import Path

import pytest

from chat.domain import events
from chat.store import keys, lua
from chat.store.lua import Script, source

FOLDER = Path(lua.__file__).parent / "scripts"
PARTS = {"append", "mentions", "finish", "find_post", "has_time"}  # they are included by others
SCRIPTS = sorted({path.stem for path in FOLDER.glob("*.lua")} - PARTS)
POSITION = re.compile(r"\b(?:KEYS|ARGV)\[\d+\]")


class Recorder:
    """A client whose scripts return what they were called with."""

    def register_script(self, text):
        return lambda keys, args: (list(keys), list(args))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(lua, "_FOLDER", tmp_path)
    source.cache_clear()
    yield tmp_path
    source.cache_clear()


def code(name):
    lines = (FOLDER / f"{name}.lua").read_text().splitlines()
    return "\n".join(line.partition("--")[0] for line in lines)


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_script_uses_all_that_it_declares_and_nothing_by_position(name):
    found = source(name)
    text = (FOLDER / f"{name}.lua").read_text()
    parts = re.findall(r"^-- @include (\w+)", text, re.M)
    used = "\n".join(map(code, [name, *parts]))
    assert not POSITION.search(used)
    declared = re.findall(r"^-- @(key|arg|rest) (\w+)", text, re.M)
    kinds = {"key": "KEYS", "arg": "ARGV", "rest": "REST"}
    for what, value in declared:
        if name not in ("clock", "uncount_file"):  # one takes any key, one all its arguments
            assert f"{kinds[what]}.{value}" in used
    assert len(found.keys) == len(set(found.keys))
    assert not re.search(r"\b(KEYS|ARGV|REST|FIELD|CONST|event)\.\w", found.text)


def test_the_fields_of_events_stand_in_the_order_of_their_declaration():
    authored = ", ".join(f"ARGV[{n}]" for n in range(1, len(events.AUTHORED) + 1))
    assert f"local event = {{{authored}}}" in source("post").text
    assert events.StoredEvent._fields[: len(events.AUTHORED)] == events.AUTHORED
    assert events.authored(*events.AUTHORED) == events.AUTHORED


@pytest.mark.parametrize(("place", "name"), list(enumerate(events.StoredEvent._fields, 1)))
def test_a_field_of_the_event_has_its_place_in_the_stored_form(folder, place, name):
    (folder / "say.lua").write_text(f"-- @event\nreturn event.{name}\n")
    assert source("say").text.endswith(f"return event[{place}]\n")


def test_a_script_takes_its_keys_and_arguments_by_name_in_any_order(folder):
    (folder / "two.lua").write_text(
        "-- @key one\n-- @key two\n-- @arg a\n-- @arg b\n-- @rest more\n"
        "return {KEYS.two, ARGV.b, REST.more}\n"
    )
    assert source("two").text.endswith("return {KEYS[2], ARGV[2], 3}\n")
    script = Script(Recorder(), "two")
    assert script(b=2, two="k2", a=1, one="k1", rest=[3, 4]) == (["k1", "k2"], [1, 2, 3, 4])
    with pytest.raises(TypeError):
        script(one="k1", two="k2", a=1)
    with pytest.raises(TypeError):
        script(one="k1", two="k2", a=1, b=2, c=3)
    with pytest.raises(KeyError):
        script(one="k1", two="k2", a=1, c=3)


def test_the_fields_of_an_event_come_first_in_front_of_the_other_arguments(folder):
    (folder / "say.lua").write_text("-- @room\n-- @event\n-- @arg a\nreturn KEYS.uncounted\n")
    text = source("say").text
    assert f"return KEYS[{list(keys.ROOM_KEYS).index('uncounted') + 1}]" in text
    event = events.authored("post", "u1", "Ann", "tea")
    found = Script(Recorder(), "say")(keys.of_room("r"), event, a=7)
    assert found == (list(keys.of_room("r")), [*event, 7])


@pytest.mark.parametrize(
    "used", ["KEYS.two", "ARGV.b", "REST.more", "FIELD.nothing", "CONST.X", "event.x"]
)
def test_a_script_that_uses_a_name_it_does_not_declare_is_refused(folder, used):
    (folder / "bad.lua").write_text(f"-- @key one\n-- @arg a\nreturn {used}\n")
    with pytest.raises(ValueError, match=re.escape(used)):
        source("bad")
