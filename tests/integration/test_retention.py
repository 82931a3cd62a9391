"""Messages that are too old are removed, and no page shows them as deleted."""

import time

import pytest

from chat.domain.errors import NotFound
from chat.domain.events import DELETE, DELETED, EDIT, POST, File
from chat.store import keys
from chat.store.retention import STEP_EVENTS

from ..running import Server, Visitor, wait_until
from ..stored_events import pack
from .page import Page

DAY = 24 * 3600 * 1000  # ms


@pytest.fixture
def ada(store):
    return store.people.create("Ada")


@pytest.fixture
def tea(store, ada):
    """A room in which the events 2 to 10 are messages."""
    rid = store.rooms.create("Tea", "closed", ada)
    for n in range(2, 11):
        store.messages.post(rid, ada, f"m{n}", f"n{n}")
    return rid


def numbers(client, rid):
    return [int(entry.partition("-")[0]) for entry, _ in client.xrange(keys.events(rid))]


def old_messages(client, rid, uid, ages):
    """Messages that were written so many days ago."""
    seq, now = int(client.hget(keys.room(rid), "seq")), int(time.time() * 1000)
    for n, days in enumerate(ages, seq + 1):
        fields = {"at": now - int(days * DAY), "data": pack(POST, uid, "Ada", f"m{n}")}
        client.xadd(keys.events(rid), fields, id=f"{n}-0")
        client.hset(keys.room(rid), "seq", n)


# What goes


def test_the_newest_so_many_events_are_kept(store, client, tea):
    assert store.retention.trim(tea, messages=4, days=0) == 6
    assert numbers(client, tea) == [7, 8, 9, 10]
    assert store.retention.trim(tea, messages=4, days=0) == 0
    room = store.rooms.get(tea)
    assert (room.first, room.seq) == (7, 10)


def test_deleted_messages_count_as_the_numbers_they_had(store, client, ada, tea):
    store.messages.delete(tea, ada, 8)
    store.messages.delete(tea, ada, 9)
    store.retention.trim(tea, messages=5, days=0)
    assert numbers(client, tea) == [10, 11, 12]
    assert store.rooms.get(tea).first == 10


def test_what_is_older_than_so_many_days_goes_but_the_newest(store, client, ada):
    tea = store.rooms.create("Tea", "closed", ada)
    client.delete(keys.events(tea))
    client.hset(keys.room(tea), "seq", 0)
    old_messages(client, tea, ada.uid, [40, 31, 29, 2, 0])
    assert store.retention.trim(tea, messages=0, days=30) == 2
    assert numbers(client, tea) == [3, 4, 5]
    assert store.retention.trim(tea, messages=0, days=1) == 2
    assert numbers(client, tea) == [5]


def test_a_room_that_is_quiet_for_long_keeps_its_newest_event(store, client, ada):
    tea = store.rooms.create("Tea", "closed", ada)
    old_messages(client, tea, ada.uid, [90, 80])
    client.xdel(keys.events(tea), "1-0")
    store.retention.trim(tea, messages=0, days=30)
    assert numbers(client, tea) == [3]
    assert store.messages.post(tea, ada, "still here") == 4


def test_zero_keeps_everything(store, client, ada, tea):
    old_messages(client, tea, ada.uid, [900])
    assert store.retention.trim(tea, messages=0, days=0) == 0
    assert len(numbers(client, tea)) == 11


def test_it_goes_in_small_steps(store, client, ada):
    tea = store.rooms.create("Tea", "closed", ada)
    for n in range(STEP_EVENTS + 20):
        store.messages.post(tea, ada, f"m{n}")
    assert store.retention.trim(tea, messages=10, days=0) == STEP_EVENTS
    assert store.rooms.get(tea).first == STEP_EVENTS + 1
    assert [event.seq for event in store.messages.after(tea, 0, 2)] == [
        STEP_EVENTS + 1,
        STEP_EVENTS + 2,
    ]
    assert store.retention.trim(tea, messages=10, days=0) == 11
    assert len(numbers(client, tea)) == 10


def test_what_was_changed_goes_along(store, client, ada, tea):
    store.messages.edit(tea, ada, 3, "three")
    store.messages.edit(tea, ada, 9, "nine")
    store.retention.trim(tea, messages=5, days=0)
    assert client.hgetall(keys.edits(tea)) == {"9": "nine"}
    assert "m2" not in str(client.xrange(keys.events(tea)))


def test_files_go_along(store, client, ada, tea):
    for n in range(2):
        file = File(f"f{n}", "a.zip", 9, "application/zip")
        seq = store.messages.post(tea, ada, "", files=[file])
        assert store.messages.file(tea, ada.uid, f"f{n}") == file
    store.retention.trim(tea, messages=1, days=0)
    assert client.zrange(keys.files(tea), 0, -1, withscores=True) == [("f1", seq)]
    with pytest.raises(NotFound):
        store.messages.file(tea, ada.uid, "f0")
    assert store.retention.held_among([(tea, "f0"), (tea, "f1")]) == [(tea, "f1")]


def test_reactions_go_along_and_what_has_gone_is_quoted_no_longer(store, client, ada, tea):
    for seq in (3, 9):
        store.messages.react(tea, ada, seq, "👍", "on")
    reply = store.messages.post(tea, ada, "yes", reply=3)
    assert store.messages.get(tea, reply).quote.text == "m3"
    store.retention.trim(tea, messages=5, days=0)
    assert numbers(client, tea) == [9, 10, 11, 12, 13]
    assert set(client.hgetall(keys.reactions(tea))) == {"9"}
    assert client.zrange(keys.uncounted(tea), 0, -1) == ["11", "12"]
    assert store.messages.get(tea, reply).quote is None
    store.retention.trim(tea, messages=2, days=0)
    assert client.zrange(keys.uncounted(tea), 0, -1) == ["12"]


# Nothing is posted twice


def test_a_resend_of_what_has_just_gone_is_still_known(store, ada, tea):
    store.retention.trim(tea, messages=1, days=0)
    assert store.messages.post(tea, ada, "m5", "n5") == 5
    assert store.messages.posted(tea, ada, "n5") is None


def test_that_an_old_message_was_posted_is_forgotten_with_it(store, client, ada):
    tea = store.rooms.create("Tea", "closed", ada)
    old_messages(client, tea, ada.uid, [3, 2])
    client.zadd(keys.nonces(tea), {f"{ada.uid} n2": 2, f"{ada.uid} n3": 3})
    store.messages.post(tea, ada, "new", "n4")
    client.xdel(keys.events(tea), "1-0")
    store.retention.trim(tea, messages=0, days=1)
    assert numbers(client, tea) == [4]
    assert client.zcount(keys.nonces(tea), "-inf", 3) == 0
    assert store.messages.post(tea, ada, "new", "n4") == 4


# Reading


def test_a_page_whose_cursor_is_older_than_what_is_kept_gets_the_list_anew(store, ada, tea):
    store.retention.trim(tea, messages=4, days=0)
    missed = store.messages.missed(tea, ada.uid, 3, "")
    assert missed.replace
    assert [event.seq for event in missed.events] == [7, 8, 9, 10]
    assert (missed.first, missed.seq) == (7, 10)


@pytest.mark.parametrize("cursor", [6, 7, 10])
def test_a_page_whose_cursor_reaches_what_is_kept_goes_on(store, ada, tea, cursor):
    store.retention.trim(tea, messages=4, days=0)
    missed = store.messages.missed(tea, ada.uid, cursor, "")
    assert not missed.replace
    assert [event.seq for event in missed.events] == list(range(cursor + 1, 11))


def test_what_is_no_longer_kept_is_no_deleted_message(store, ada, tea):
    store.messages.delete(tea, ada, 8)
    store.retention.trim(tea, messages=5, days=0)
    for events in (
        store.messages.after(tea, 0),
        store.messages.after(tea, 2),
        store.messages.newest(tea),
        store.messages.before(tea, 12),
        store.messages.around(tea, 9),
    ):
        assert [event.seq for event in events] == [7, 8, 9, 10, 11]
        assert [event.kind for event in events] == [POST, DELETED, POST, POST, DELETE]


def test_a_page_of_the_deleted_keeps_its_tombstones_behind_the_oldest(store, ada, tea):
    store.retention.trim(tea, messages=4, days=0)
    store.messages.delete(tea, ada, 7)
    assert [event.kind for event in store.messages.after(tea, 2)][:2] == [DELETED, POST]


def test_a_change_of_what_has_gone_has_no_body(store, ada, tea):
    """It must not empty a message that is still on a screen (pushes/event.html)."""
    store.messages.edit(tea, ada, 3, "three")
    store.retention.trim(tea, messages=2, days=0)
    edit = store.messages.missed(tea, ada.uid, 10, "").events[0]
    assert (edit.kind, edit.number, edit.body) == (EDIT, 3, "")


def test_a_message_that_has_gone_says_so(store, ada, tea):
    store.retention.trim(tea, messages=4, days=0)
    with pytest.raises(NotFound, match="old messages are not kept"):
        store.messages.get(tea, 3)
    with pytest.raises(NotFound, match="no such message"):
        store.messages.get(tea, 99)
    for change in (store.messages.delete, lambda *args: store.messages.edit(*args, "x")):
        with pytest.raises(NotFound):
            change(tea, ada, 3)


def test_rooms_are_found_page_by_page(store, ada):
    made = {store.rooms.create(f"R{n}", "open", ada) for n in range(30)}
    assert set(store.retention.rooms()) == made


def test_one_process_at_a_time_trims(store):
    one, two = (store.lease(keys.TRIM_LEASE, 30) for _ in range(2))
    assert one.acquire()
    assert not two.acquire()
    one.release()
    assert two.acquire()


# On the running chat


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory):
    """A chat with two workers that keeps six events of a room."""
    env = {"CHAT_KEEP_MESSAGES": "6", "CHAT_WORKERS": "2", "CHAT_LIMITS": "off"}
    running = Server(tmp_path_factory.mktemp("chat"), **env).start()
    yield running
    running.clean_up()


@pytest.fixture
def room(forgetful):
    """A visitor, a page of theirs that was closed early, and their room after trimming."""
    visitor = Visitor(forgetful.url, "Ann")
    rid = visitor.create_room("Tea")
    page = Page(visitor).watch(rid)
    visitor.post(rid, "the first")
    page.wait_shown("the first")
    page.close()
    for n in range(3, 31):
        visitor.post(rid, f"message {n}")
    wait_until(lambda: "message 24" not in visitor.room(rid), "the end of old messages")
    return visitor, page, rid


def test_old_messages_go_and_nothing_says_that_they_were_deleted(room):
    visitor, page, rid = room
    html = visitor.room(rid)
    assert [f"message {n}" in html for n in (24, 25, 30)] == [False, True, True]
    assert "deleted" not in html
    assert "Older messages" not in html
    assert "Older messages" not in visitor.get(f"/rooms/{rid}/messages?before=31").text
    page.reconnect()
    page.watch(rid)
    page.wait_shown("message 30")
    assert sorted(page.shown) == list(range(25, 31))
    assert "deleted" not in page.frames[-1]
    visitor.post(rid, "and on")
    page.wait_shown("and on")


def test_the_link_to_an_old_message_says_what_became_of_it(room):
    visitor, _, rid = room
    answer = visitor.get(f"/rooms/{rid}/messages/3")
    assert answer.status_code == 404
    assert "old messages are not kept here" in answer.text
    assert visitor.get(f"/rooms/{rid}/messages/30").status_code == 200


def test_a_page_comes_back_when_what_its_server_missed_is_no_longer_kept(server, ann):
    """The server's link to Redis is cut, and before it stands again much was said and let go."""
    rid = ann.create_room("Tea")
    page = Page(ann).watch(rid)
    page.wait_for("created this room")
    with server.redis() as client:
        at_once = client.pipeline(transaction=True)
        at_once.client_kill_filter(_type="pubsub")
        for n in range(2, 31):
            fields = {"at": int(time.time() * 1000), "data": pack(POST, ann.uid, "Ann", f"m{n}")}
            at_once.xadd(keys.events(rid), fields, id=f"{n}-0")
            last = f"{n} {fields['at']} {fields['data']}"
        at_once.xtrim(keys.events(rid), minid="21-0", approximate=False)
        at_once.hset(keys.room(rid), mapping={"seq": 30, "last": last, "first": 21})
        at_once.execute()
        ann.post(rid, "and on")
    assert page.wait_closed() == 1012
    page.reconnect()
    page.watch(rid)
    page.wait_shown("and on")
    assert sorted(page.shown) == list(range(21, 32))
    assert "deleted" not in "".join(page.frames)
