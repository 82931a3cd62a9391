"""The index follows the rooms' streams: a real Valkey, a real SQLite, no server."""

import json
import os
import sqlite3
import threading

import pytest

from chat.domain.events import File
from chat.rendering.local_time import today
from chat.search import indexer as indexer_module
from chat.search.index import INDEX_FILE, Index, Unready, Wanted, find
from chat.search.indexer import Indexer
from chat.search.query import parse
from chat.store import keys


@pytest.fixture
def ada(store):
    return store.people.create("Ada")


@pytest.fixture
def tea(store, ada):
    return store.rooms.create("Tea", "closed", ada)


@pytest.fixture
def indexer(client, tmp_path):
    index = Index(tmp_path)
    yield Indexer(index, client)
    index.close()


@pytest.fixture
def found(indexer, tmp_path, store):
    """Brings the index up to date; the numbers of the messages in a room that a text finds."""

    def ask(text, rid, **wanted):
        indexer.look()
        last = store.rooms.get(rid).last.at if store.rooms.kind(rid) != "ended" else 0
        query = Wanted(parse(text, today("")).phrases, **wanted)
        return [place.seq for place in find(tmp_path, query, [(rid, last)], 20)[0]]

    return ask


def test_what_is_written_is_found_the_newest_first(store, ada, tea, found):
    for body in ("Green tea", "coffee", "Tea, TEA"):
        store.messages.post(tea, ada, body)
    assert found("tea", tea) == [4, 2]
    assert found("tea green", tea) == [2]
    assert found("cof", tea) == [3]
    assert found("milk", tea) == []


def test_a_change_replaces_and_a_deletion_removes(store, ada, tea, found):
    first = store.messages.post(tea, ada, "green tea")
    second = store.messages.post(tea, ada, "black tea")
    assert found("tea", tea) == [3, 2]
    store.messages.edit(tea, ada, first, "coffee")
    store.messages.delete(tea, ada, second)
    assert found("tea", tea) == []
    assert found("coffee", tea) == [2]
    store.messages.delete(tea, ada, first)
    assert found("coffee", tea) == []


def test_what_was_changed_before_it_was_read_is_read_as_it_is(store, ada, tea, found):
    seq = store.messages.post(tea, ada, "green tea")
    store.messages.edit(tea, ada, seq, "coffee")
    gone = store.messages.post(tea, ada, "secret")
    store.messages.edit(tea, ada, gone, "more secret")
    store.messages.delete(tea, ada, gone)
    assert (found("green", tea), found("coffee", tea), found("secret", tea)) == ([], [2], [])


def test_files_are_found_by_their_names_whatever_becomes_of_the_text(store, ada, tea, found):
    file = File("f1", "Tide table.pdf", 9, "application/pdf")
    seq = store.messages.post(tea, ada, "for the boat", files=[file])
    assert found('"tide table" boat', tea) == [2]
    store.messages.edit(tea, ada, seq, "")
    assert (found("tide", tea), found("boat", tea)) == ([2], [])
    store.messages.delete(tea, ada, seq)
    assert found("tide", tea) == []


def test_nothing_of_a_deleted_text_is_in_the_table(store, ada, tea, found, indexer):
    seq = store.messages.post(tea, ada, "unforgettable")
    assert found("unforgettable", tea) == [2]
    store.messages.delete(tea, ada, seq)
    found("", tea)
    assert indexer.index.db.execute("SELECT count(*) FROM words").fetchone() == (0,)


def test_what_is_no_longer_kept_is_no_longer_found(store, ada, tea, found):
    for n in range(2, 8):
        store.messages.post(tea, ada, f"tea {n}")
    assert found("tea", tea) == [7, 6, 5, 4, 3, 2]
    store.retention.trim(tea, messages=2, days=0)
    assert found("tea", tea) == [7, 6]


def test_a_room_that_ended_is_forgotten(store, ada, tea, found, indexer):
    store.messages.post(tea, ada, "tea")
    assert found("tea", tea) == [2]
    store.rooms.end(tea, ada)
    assert found("tea", tea) == []
    assert indexer.index.rooms() == []


def test_another_history_under_the_same_numbers_is_read_anew(store, ada, tea, found, client):
    store.messages.post(tea, ada, "tea")
    assert found("tea", tea) == [2]
    client.hset(keys.room(tea), "epoch", "another")
    entry = client.xrange(keys.events(tea), "2-0", "2-0")[0][1]
    client.xdel(keys.events(tea), "2-0")
    client.xadd(keys.events(tea), {**entry, "data": entry["data"].replace("tea", "milk")}, id="2-1")
    assert found("tea", tea) == []


def test_numbers_that_were_lost_and_used_again_are_read_anew(store, ada, tea, found, client):
    """A failover to a replica that lagged: the same epoch, another event under the number."""
    store.messages.post(tea, ada, "tea")
    assert found("tea", tea) == [2]
    client.delete(keys.events(tea))
    for seq, body in ((1, "milk"), (2, "milk"), (3, "sugar")):
        data = f'["post","{ada.uid}","Ada","{body}"]'
        client.xadd(keys.events(tea), {"at": 1000 + seq, "data": data}, id=f"{seq}-0")
    client.hset(keys.room(tea), "seq", 3)
    assert found("tea", tea) == []
    assert found("milk", tea) == [2, 1]


@pytest.fixture(params=[(20, 2000), (0, 2000), (0, 3)], ids=["by room", "at once", "too much"])
def way(request, monkeypatch):
    """What is rare is looked for in all of many rooms at once."""
    many, rare = request.param
    monkeypatch.setattr("chat.search.index.MANY_ROOMS", many)
    monkeypatch.setattr("chat.search.index.MAX_RARE_MATCHES", rare)


@pytest.mark.usefixtures("way")
def test_authors_days_and_pages(store, ada, tea, found, client, tmp_path):
    bob = store.people.create("Bob")
    store.rooms.add(tea, ada, bob)
    for n in range(6):
        store.messages.post(tea, (ada, bob)[n % 2], f"tea {n}")
    assert found("tea", tea, authors=(bob.uid,)) == [8, 6, 4]
    assert found("", tea, authors=(bob.uid,)) == [8, 6, 4]
    assert found("tea", tea, authors=("nobody",)) == []
    places = find(tmp_path, Wanted(parse("tea", today("")).phrases), [(tea, 1 << 50)], 20)[0]
    assert found("tea", tea, since=places[1].at, until=places[0].at + 1)[:2] == [8, 7]
    assert found("tea", tea, since=places[0].at + 1) == []
    assert found("tea", tea, until=places[-1].at) == []
    pages = [found("tea", tea, older=place) for place in places]
    assert pages == [[8, 7, 6, 5, 4, 3][n:] for n in range(1, 7)]


@pytest.mark.usefixtures("way")
def test_places_of_several_rooms_come_in_the_order_of_time(store, ada, tea, indexer, tmp_path):
    rooms = [tea, store.rooms.create("Milk", "closed", ada), store.rooms.create("Un", "open", ada)]
    told = [(rooms[n % 3], store.messages.post(rooms[n % 3], ada, "tea")) for n in range(9)]
    indexer.look()
    asked = [(rid, store.rooms.get(rid).last.at) for rid in rooms]
    tea = Wanted(parse("tea", today("")).phrases)
    places = find(tmp_path, tea, asked, 20)[0]
    assert sorted(places, reverse=True) == places
    assert {(place.rid, place.seq) for place in places} == set(told)
    seen, older = [], None
    while some := find(tmp_path, Wanted(tea.phrases, older=older), asked, 2)[0]:
        seen, older = seen + some, some[-1]
    assert seen == places
    assert find(tmp_path, tea, asked[:1], 20)[0] == [p for p in places if p.rid == rooms[0]]


def test_an_index_that_is_damaged_or_of_another_form_is_made_anew(
    store, ada, tea, tmp_path, client
):
    posted = []
    for damage in ("damaged", "old"):
        posted.insert(0, store.messages.post(tea, ada, "tea"))
        if damage == "old":
            with sqlite3.connect(tmp_path / INDEX_FILE) as db:
                db.executescript("DROP TABLE author; PRAGMA user_version = 99;")
            db.close()
        else:
            (tmp_path / INDEX_FILE).write_bytes(b"this is no database at all" * 100)
        index = Index(tmp_path)
        Indexer(index, client).look()
        index.close()
        asked = Wanted(parse("tea", today("")).phrases)
        assert [p.seq for p in find(tmp_path, asked, [(tea, 0)], 5)[0]] == posted


def _seq_is_no_number(client, rid):
    client.hset(keys.room(rid), "seq", "many")


def _first_is_no_number(client, rid):
    client.hset(keys.room(rid), "first", "one")


def _room_is_a_text(client, rid):
    client.set(keys.room(rid), "Tea")


def _events_are_a_text(client, rid):
    client.set(keys.events(rid), "Tea")


def _edits_are_a_text(client, rid):
    client.set(keys.edits(rid), "Tea")


def _event_has_no_data(client, rid):
    client.xadd(keys.events(rid), {"foo": "bar"}, id="99-0")
    client.hset(keys.room(rid), "seq", 99)


def _event_has_no_time(client, rid):
    data = client.xrange(keys.events(rid))[-1][1]["data"]
    client.xadd(keys.events(rid), {"at": "noon", "data": data}, id="99-0")
    client.hset(keys.room(rid), "seq", 99)


def _event_changes_a_number_beyond_sqlite(client, rid):
    data = json.dumps(["edit", "u", "Ada", "tea", "", "", "9" * 30])
    client.xadd(keys.events(rid), {"at": 1000, "data": data}, id="99-0")
    client.hset(keys.room(rid), "seq", 99)


def _author_has_half_a_character(client, rid):
    client.xadd(keys.events(rid), {"at": 1000, "data": r'["post","\ud800","Ada","tea"]'}, id="99-0")
    client.hset(keys.room(rid), "seq", 99)


DAMAGES = [
    _seq_is_no_number,
    _first_is_no_number,
    _room_is_a_text,
    _events_are_a_text,
    _edits_are_a_text,
    _event_has_no_data,
    _event_has_no_time,
    _event_changes_a_number_beyond_sqlite,
    _author_has_half_a_character,
]


@pytest.mark.parametrize("is_indexed", [False, True], ids=["new", "indexed before"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_broken_data_of_one_room_does_not_stop_the_others(
    store, ada, tea, indexer, found, client, caplog, damage, is_indexed
):
    rooms = [store.rooms.create(f"Room {n}", "closed", ada) for n in range(4)]
    for rid in (tea, *rooms):
        store.messages.post(rid, ada, "tea")
    kept = {key: client.dump(key) for key in (f(tea) for f in (keys.room, keys.events, keys.edits))}
    if is_indexed:
        indexer.look()
    damage(client, tea)
    for rid in rooms:
        store.messages.post(rid, ada, "more tea")
    indexer.follow(tea)  # something was published in it
    for _ in range(2):
        assert [found("tea", rid) for rid in rooms] == [[3, 2]] * 4
    assert caplog.text.count(tea) <= 1  # the log names it once, however often it is tried
    for key, data in kept.items():
        client.delete(key)
        if data is not None:
            client.restore(key, 0, data)
    assert found("tea", tea) == [2]


def test_it_can_be_read_by_its_owner_only(indexer, tmp_path):
    assert (tmp_path / INDEX_FILE).stat().st_mode & 0o777 == 0o600


def test_without_an_index_there_is_nothing_to_ask(tmp_path):
    with pytest.raises(Unready):
        find(tmp_path / "nowhere", Wanted(), [("x", 1)], 5)


def test_it_ends_with_its_chat_whatever_the_workers_do_with_their_end_of_the_pipe(monkeypatch):
    """An event loop makes it one on which reading never waits, for everybody."""
    ended = threading.Event()
    monkeypatch.setattr(indexer_module.os, "_exit", lambda code: ended.set())
    lifeline, held = os.pipe()
    os.set_blocking(lifeline, False)
    waiting = threading.Thread(target=indexer_module._die_with, args=(lifeline,))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    os.close(held)
    waiting.join()
    os.close(lifeline)
    assert ended.is_set()
