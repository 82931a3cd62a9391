"""Presence: the same on all hosts, whatever their clocks say, and every page shows it in the
end."""

import time
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from redis.exceptions import RedisError

from chat.app import create_app
from chat.config import Settings
from chat.realtime import presence
from chat.realtime.hub import Hub
from chat.realtime.viewers import Viewer
from chat.store import Store, keys
from chat.store.connections import SILENCE_SECONDS
from chat.store.presence import ANNOUNCE_SECONDS, PRESENT_SECONDS, UNWATCHED_SECONDS

from ..clocks import clock_ahead
from .page import Page

MINUTE, HOUR = 60, 3600
DIFFERENCES = (-HOUR, -30, -21, 21, 30, HOUR)  # seconds between two hosts' clocks
TIMES = (keys.PRESENT, keys.UNANNOUNCED, keys.PROCESSES)


def move(client, seconds):
    """Move what is stored so far into the past; it is the same as if the database's clock had been
    set ahead."""
    for key in TIMES:
        for name, at in client.zrange(key, 0, -1, withscores=True):
            client.zadd(key, {name: at - seconds})
    if looked := client.get(keys.PRESENCE_CHECKED):
        client.set(keys.PRESENCE_CHECKED, float(looked) - seconds)


def look_on(client, seconds):
    """As much time goes by, in which somebody looks all the time."""
    looked = client.get(keys.PRESENCE_CHECKED)
    move(client, seconds)
    if looked:
        client.set(keys.PRESENCE_CHECKED, looked)


def uids(changes):
    return [uid for found in changes for uid in found.uids]


def tell(store, changes):
    store.presence.announce(changes, {})
    return uids(changes)


def test_the_times_leave_room_for_each_other():
    last_reported = presence.REPORT_ALL_SECONDS + presence.UPDATE_SECONDS  # at most so long ago
    assert last_reported + presence.UPDATE_SECONDS < PRESENT_SECONDS
    assert UNWATCHED_SECONDS > 2 * presence.UPDATE_SECONDS, "somebody looks all the time"
    assert PRESENT_SECONDS - last_reported > UNWATCHED_SECONDS, (
        "who was here when the last look was is kept"
    )
    assert PRESENT_SECONDS + ANNOUNCE_SECONDS + 2 * presence.UPDATE_SECONDS < MINUTE
    assert SILENCE_SECONDS > 2 * presence.UPDATE_SECONDS


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_hosts_with_other_clocks_agree_on_who_is_here(store, client, difference):
    other, found = Store(client), []
    for turn in range(20):
        found += tell(store, store.presence.report(["ann"]))
        with clock_ahead(difference):
            found += tell(other, other.presence.report(["bob"]))
            assert other.presence.here(["ann", "bob", "cyd"]) == {"ann", "bob"}
        assert store.presence.here(["ann", "bob", "cyd"]) == {"ann", "bob"}, turn
        look_on(client, presence.UPDATE_SECONDS)
    assert found == ["ann", "bob"], "each came once, and nobody went"
    for _ in range(int(PRESENT_SECONDS // presence.UPDATE_SECONDS) + 1):
        found += tell(store, store.presence.report(["ann"]))
        look_on(client, presence.UPDATE_SECONDS)
    assert found == ["ann", "bob", "bob"], "who went is gone, whatever their host's clock says"
    assert store.presence.here(["ann", "bob"]) == {"ann"}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_hosts_with_other_clocks_count_the_same_pages(store, client, difference):
    key, other = keys.user_pages("ann"), Store(client)
    for _ in range(20):
        here = store.connections.beat("here")
        with clock_ahead(difference):
            there = other.connections.beat("there")
        look_on(client, presence.UPDATE_SECONDS)
    assert (here, there) == (["there"], ["here"])
    assert other.connections.enter(key, 3, "there", 3, there)
    assert not store.connections.enter(key, 3, "here", 1, here)
    for _ in range(int(PRESENT_SECONDS // presence.UPDATE_SECONDS) + 1):
        here = store.connections.beat("here")
        look_on(client, presence.UPDATE_SECONDS)
    assert here == []
    assert store.connections.enter(key, 3, "here", 1, here)


@pytest.mark.parametrize("seconds", [-HOUR, -30, 30, HOUR])
def test_when_the_databases_clock_is_set_nobody_goes_who_is_here(store, client, seconds):
    tell(store, store.presence.report(["ann", "bob"]))
    assert store.connections.beat("one") == []
    assert store.connections.beat("two") == ["one"]
    move(client, seconds)
    assert tell(store, store.presence.report([])) == []
    assert store.presence.here(["ann", "bob"]) == {"ann", "bob"}
    assert store.connections.beat("two") == ["one"]
    found = []
    for _ in range(int(PRESENT_SECONDS // presence.UPDATE_SECONDS)):
        found += tell(store, store.presence.report(["ann"]))
        alive = store.connections.beat("two")
        assert (found, alive) == ([], ["one"]), "not before their time is over"
        look_on(client, presence.UPDATE_SECONDS)
    look_on(client, 1)
    assert tell(store, store.presence.report([])) == ["bob"], "who went just then"
    assert store.connections.beat("two") == [], "and what died just then"


def test_a_look_puts_the_clock_right(store, client):
    store.clock.correct(1000.0, time.monotonic())
    store.presence.report([])
    assert store.clock.now() == pytest.approx(client.time()[0], abs=2)


def test_when_the_database_was_away_nobody_goes_who_is_here(store, client):
    """Whoever comes back first finds everybody's time over."""
    tell(store, store.presence.report(["ann", "bob"]))
    store.connections.beat("one")
    store.connections.beat("two")
    move(client, MINUTE)
    assert tell(store, store.presence.report(["ann"])) == []
    assert store.connections.beat("two") == ["one"]


def test_what_a_process_did_not_tell_another_tells(store, client):
    tell(store, store.presence.report(["bob"]))
    look_on(client, PRESENT_SECONDS + 1)
    untold = store.presence.report(["ann"])
    assert uids(untold) == ["ann", "bob"], "one came and one went"
    other = Store(client)
    assert other.presence.report([])[0].uids == [], "the one who looked first tells"
    look_on(client, ANNOUNCE_SECONDS + 1)
    found = other.presence.report([])
    assert sorted(uids(found)) == ["ann", "bob"]
    tell(store, untold)
    look_on(client, ANNOUNCE_SECONDS + 1)
    found = other.presence.report([])
    assert sorted(uids(found)) == ["ann", "bob"], (
        "the first one was too late to speak for the other"
    )
    tell(other, found)
    look_on(client, ANNOUNCE_SECONDS + 1)
    assert uids(store.presence.report([])) == []


def test_what_was_not_told_before_the_clock_was_set_back_is_told_after(store, client):
    assert uids(store.presence.report(["ann"])) == ["ann"]
    move(client, -HOUR)
    assert tell(store, store.presence.report([])) == ["ann"]


def test_thousands_who_go_at_once_are_found_in_one_look(store, client):
    many = [f"p{n}" for n in range(2500)]
    assert tell(store, store.presence.report(many)) == many
    look_on(client, PRESENT_SECONDS + 1)
    assert sorted(tell(store, store.presence.report(()))) == sorted(many)
    assert client.exists(keys.PRESENT, keys.UNANNOUNCED) == 0


@pytest.fixture
def process(store, client):
    """The presence of a process in which Ann has a page open; she is in Tea."""
    app = create_app(Settings(secret_key="x" * 32), store)
    nothing = lambda *args: ""  # noqa: E731
    hub = Hub(nothing, nothing, nothing, nothing, nothing, nothing)
    hub.connect(Viewer(lambda packet: True, nothing, "ann"))
    client.sadd(keys.user_rooms("ann"), "tea")
    return presence.LivePresence(hub, store, app.fragments)


def heard(listener):
    """How often it was said that somebody came or went."""
    words = 0
    while message := listener.get_message(timeout=0.1):
        words += message["data"] == "~here"
    return words


@pytest.mark.parametrize("goes", [False, True])
def test_what_cannot_be_told_now_is_told_later(process, client, goes):
    """The database keeps what is written and refuses what is published."""
    if goes:
        process.update()
        for viewer in list(process.hub.people["ann"]):
            process.hub.disconnect(viewer)
        look_on(client, PRESENT_SECONDS + 1)
    with client.pubsub() as listener:
        listener.ssubscribe(keys.room_channel("tea"))
        client.acl_setuser("default", commands=["-spublish"])
        try:
            with pytest.raises(RedisError):
                process.update()
            look_on(client, ANNOUNCE_SECONDS + 1)
            with pytest.raises(RedisError):
                process.update()
        finally:
            client.acl_setuser("default", enabled=True, commands=["+spublish"])
        assert heard(listener) == 0
        look_on(client, ANNOUNCE_SECONDS + 1)
        process.update()
        assert heard(listener) == 1
        look_on(client, ANNOUNCE_SECONDS + 1)
        process.update()
        assert heard(listener) == 0


def test_a_room_that_cannot_be_counted_now_is_counted_later(process, client, store):
    ann = next(iter(process.hub.people["ann"]))
    shown = []
    process.fragments = SimpleNamespace(online_count=lambda rid, count: shown.append((rid, count)))
    for rid in ("tea", "rain"):
        client.zadd(keys.members(rid), {"ann": 1})
        process.hub.belong(ann, rid, 0)
        process.hub.watch(ann, rid)
    process.dirty.update(("tea", "rain", "nowhere"))
    client.acl_setuser("default", commands=["-zcard"])
    try:
        with pytest.raises(RedisError):
            process.update()
    finally:
        client.acl_setuser("default", enabled=True, commands=["+zcard"])
    assert {"tea", "rain"} <= process.dirty
    process.update()
    assert not process.dirty
    assert shown == [("rain", 1)], "the room that is watched, and who is here"


PEOPLE = ["ann", "bob", "cyd"]
STEPS = st.one_of(
    st.tuples(st.just("come"), st.sampled_from(PEOPLE), st.integers(0, 1)),
    st.tuples(st.just("go"), st.sampled_from(PEOPLE), st.integers(0, 1)),
    st.tuples(st.just("look"), st.booleans(), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.integers(1, 2 * PRESENT_SECONDS), st.integers(0, 1)),
    st.tuples(st.just("set"), st.sampled_from((-HOUR, -7, 7, HOUR)), st.integers(0, 1)),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=25))
def test_whatever_happens_everybody_knows_a_minute_later(client, steps):
    """Two hosts; a look may end before it has told anything, as when the database goes away or the
    process is killed. What rooms show is who is here when they are told of somebody."""
    client.flushall()
    hosts, pages, shown = [Store(client), Store(client)], [set(), set()], set()

    def look(host, tells):
        changes = hosts[host].presence.report(sorted(pages[host]))
        if tells:
            for uid in tell(hosts[host], changes):
                shown.discard(uid)
                shown.update(hosts[host].presence.here([uid]))

    for what, how, host in steps:
        if what == "come":
            pages[host].add(how)
        elif what == "go":
            pages[host].discard(how)
        elif what == "look":
            look(host, how)
        else:
            move(client, how)
    for _ in range(int(MINUTE // presence.UPDATE_SECONDS)):
        look(0, True)
        look(1, True)
        look_on(client, presence.UPDATE_SECONDS)
    assert shown == pages[0] | pages[1]
    assert hosts[0].presence.here(PEOPLE) == shown
    assert not client.exists(keys.UNANNOUNCED)


# What pages show


def test_the_head_of_a_room_counts_who_joins_and_leaves(server, ann, bob):
    """Of those who are here already, and whose pages show another room."""
    rid = ann.create_room("Tea")
    Page(bob).watch("")
    page = Page(ann).watch(rid)
    page.wait_for("1 online")
    bob.join(rid)
    page.wait_for("2 online")
    bob.submit(f"/rooms/{rid}/leave")
    page.wait_for("1 online")


def test_a_panel_that_is_opened_again_says_who_is_here(ann, tea):
    page = Page(ann).watch(tea)
    page.wait_for("1 online")
    page.watch(tea)
    page.wait_for("1 online")


def test_dots_are_there_again_when_the_list_of_rooms_is_sent_anew(ann, bob):
    ann.submit("/rooms", "/people", kind="direct", members=bob.uid)
    Page(bob).watch("")
    elsewhere, dot = Page(ann).watch(""), f'class="dot" data-uid="{bob.uid}"'
    elsewhere.wait_for(dot)
    ann.create_room("Rain")
    elsewhere.wait_for('class="row__online"')
    elsewhere.wait_for(dot)


def test_what_was_told_while_a_host_did_not_hear_is_shown(server, ann, bob, tea):
    page = Page(ann).watch(tea)
    page.wait_for("1 online")
    with server.redis() as client, client.pipeline() as at_once:
        at_once.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        at_once.zadd(keys.PRESENT, {bob.uid: time.time() + PRESENT_SECONDS})
        at_once.spublish(keys.room_channel(tea), "~here")
        at_once.execute()
    page.wait_for("2 online")
