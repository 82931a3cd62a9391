"""The live socket on the running chat: watch, post, resume."""

import html
import json
import re
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ..running import Server, Visitor, wait_until
from .page import Page


@pytest.fixture(scope="module", params=["direct", "plain"])
def server(request, tmp_path_factory):
    """The chat as it writes to its sockets, and as it would where there is no direct way to them
    (over HTTP/2)."""
    direct = "off" if request.param == "plain" else "on"
    running = Server(tmp_path_factory.mktemp("chat"), CHAT_LIMITS="off", CHAT_DIRECT=direct).start()
    yield running
    running.clean_up()


@pytest.fixture
def pages(ann, bob, tea):
    both = [Page(ann).watch(tea), Page(bob).watch(tea)]
    for page in both:
        page.wait_for("joined")
    yield both
    for page in both:
        page.close()


def test_what_one_sends_both_are_shown_once_and_in_order(tea, pages):
    ann, bob = pages
    for n in range(20):
        (ann if n % 2 else bob).post(tea, f"message {n:02}")
        ann.wait_for(f"message {n:02}")
    bob.wait_shown("message 19")
    assert ann.bodies == bob.bodies == [f"message {n:02}" for n in range(20)]
    assert bob.order == sorted(bob.order)
    assert set(bob.times.values()) == {1}


def test_a_message_is_acknowledged_by_the_nonce_of_its_composer(tea, pages):
    ann, _ = pages
    nonce = ann.post(tea, "hello")
    ann.wait_for(f'hx-target="#c-{nonce}" hx-swap="beforeend"><i class="sent">')


def test_who_wrote_and_when_is_not_for_the_page_to_say(ann, tea, pages):
    said = {"name": "server", "author": "x", "uid": "x", "time": "0", "at": "0", "kind": "start"}
    pages[0].say(type="post", room=tea, body="it is me", nonce="claims", **said)
    shown = pages[1].wait_for(">it is me</div>")
    assert f'data-author="{ann.uid}"' in shown
    assert "<bdi>Ann</bdi>" in shown
    minutes = re.findall(r'<time datetime="([^"]+)"', shown)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(minutes[0])).total_seconds()) < 120


def test_a_resend_is_acknowledged_again_and_shown_once(tea, pages):
    ann, bob = pages
    ann.post(tea, "hello", "same")
    ann.wait_for("#c-same")
    ann.post(tea, "hello", "same")
    ann.wait_for("#c-same")
    ann.post(tea, "the end")
    bob.wait_shown("the end")
    assert bob.bodies == ["hello", "the end"]


def test_what_was_pending_when_the_line_broke_is_stored_once(tea, pages):
    """#watch brings the texts of pending composers; those stored already are acknowledged."""
    ann, bob = pages
    ann.post(tea, "one", "n-one")
    ann.wait_for("#c-n-one")
    ann.close()
    ann.reconnect()
    ann.watch(tea, to=[tea, tea], nonce=["n-one", "n-two"], body=["one", "two"])
    ann.wait_for("#c-n-two")
    bob.wait_shown("two")
    assert bob.bodies == ["one", "two"]


def test_a_single_pending_message_comes_as_text_not_as_a_list(tea, pages):
    ann, bob = pages
    ann.watch(tea, to=tea, nonce="solo", body="alone")
    bob.wait_shown("alone")


def test_text_typed_on_after_sending_is_given_back(tea, pages):
    ann, bob = pages
    ann.post(tea, "hello", "n1x")
    ann.say(type="typed", room=tea, nonce="n1x", body="hello wor")
    frame = ann.wait_for("You typed this")
    assert 'value=" wor"' in frame
    bob.wait_shown("hello")
    assert bob.bodies == ["hello"]


def test_a_composer_that_holds_no_more_than_was_sent_goes(tea, pages):
    ann, _ = pages
    ann.post(tea, "hello", "n2x")
    ann.say(type="typed", room=tea, nonce="n2x", body="hello")
    ann.wait_for('hx-target="#c-n2x" hx-swap="delete"')


def test_enter_pressed_again_in_the_same_composer_sends_only_the_rest(tea, pages):
    ann, bob = pages
    ann.post(tea, "one", "n3x")
    ann.post(tea, "onetwo", "n3x")
    bob.wait_shown("two")
    ann.post(tea, "onetwo", "n3x")
    ann.post(tea, "the end")
    bob.wait_shown("the end")
    assert bob.bodies == ["one", "two", "the end"]


@pytest.mark.parametrize(("body", "reason"), [("", "empty"), ("x" * 4001, "too long")])
def test_what_cannot_be_stored_is_refused_in_words(tea, pages, body, reason):
    ann, _ = pages
    nonce = ann.post(tea, body)
    frame = ann.wait_for(reason)
    assert f'hx-target="#c-{nonce}"' in frame
    assert 'class="error"' in frame


def test_a_page_that_comes_back_gets_what_it_missed(tea, pages):
    ann, bob = pages
    bob.close()
    for n in range(60):
        ann.post(tea, f"message {n:02}")
    ann.wait_shown("message 59")
    bob.reconnect()
    bob.watch(tea)
    bob.wait_shown("message 59")
    assert bob.bodies == [f"message {n:02}" for n in range(60)]
    assert set(bob.times.values()) == {1}


def test_a_page_that_missed_too_much_gets_a_new_list(tea, pages):
    ann, bob = pages
    bob.close()
    for n in range(310):
        ann.post(tea, f"message {n:03}")
    ann.wait_shown("message 309")
    bob.reconnect()
    bob.watch(tea)
    bob.wait_shown("message 309")
    assert bob.bodies == [f"message {n:03}" for n in range(260, 310)]


def test_who_comes_back_after_others_sees_the_room_as_it_is_then(server, ann, bob, tea, pages):
    """What one page lacked is shown to the next that lacks the same, while it is still so."""
    cid = Visitor(server.url, "Cid")
    cid.join(tea)
    pages[0].post(tea, "hello")
    pages[0].wait_shown("hello")
    seq = max(pages[0].shown)

    def comes_back(visitor) -> Page:
        page = Page(visitor)
        page.watch(tea, after=1)
        page.wait_for("joined")
        page.close()
        return page

    assert [comes_back(who).bodies for who in (bob, cid, bob)] == [["hello"]] * 3
    ann.submit(f"/rooms/{tea}/messages/{seq}/edit", body="goodbye")
    assert comes_back(cid).bodies == ["goodbye"]
    ann.submit("/me", name="Anna")
    pages[0].wait_for("Anna")
    assert "Anna" in "".join(comes_back(bob).frames)
    ann.submit(f"/rooms/{tea}/people/{cid.uid}/remove")
    pages[0].wait_for("removed")
    stranger = Page(cid).watch(tea, after=1)
    stranger.post(tea, "me too", "n7x")
    stranger.wait_for("#c-n7x")
    assert not stranger.shown


def test_a_cursor_of_another_life_replaces_the_list(tea, pages):
    ann, bob = pages
    ann.post(tea, "hello")
    bob.wait_shown("hello")
    bob.watch(tea, after=3, epoch="another")
    bob.wait_for(f"""#messages[data-live='{tea}']" hx-swap="innerHTML""")
    assert bob.bodies == ["hello"]


def test_a_room_that_is_not_on_screen_gets_the_unread_mark(ann, bob, tea, pages):
    club = ann.create_room("Club")
    bob.join(club)
    on_tea = pages[1]
    on_tea.wait_for("Club")  # the list anew: joined in another page
    Page(ann).watch(club).post(club, "psst")
    told = on_tea.wait_for("psst")
    assert f'hx-target="#unread-{club}" hx-swap="beforeend"><i></i>' in told
    assert f'hx-target="#last-{club}"' in told
    assert "psst" not in on_tea.bodies


def test_switching_rooms_goes_on_on_the_same_socket(ann, bob, tea, pages):
    club = ann.create_room("Club")
    page = pages[0]
    page.wait_for("Club")
    page.watch(club, after=0)
    page.wait_for("created this room")
    page.post(club, "here")
    page.wait_for("here")
    pages[1].post(tea, "there")
    told = page.wait_for("there")
    assert f'hx-target="#unread-{tea}" hx-swap="beforeend"><i></i>' in told


def test_joining_shows_the_room_in_every_open_page(ann, bob):
    page = Page(bob).watch("")
    rid = ann.create_room("Garden")
    bob.join(rid)
    frame = page.wait_for("Garden")
    assert 'hx-target="#rooms"' in frame
    page.close()


def test_what_is_sent_again_on_another_socket_with_more_behind_it_is_not_said_twice(tea, pages):
    """No other composer had taken the place of the one that was sent."""
    ann, bob = pages
    nonce = ann.post(tea, "the bells")
    bob.wait_shown("the bells")
    ann.close()
    ann.reconnect()
    ann.watch(tea)
    for body in ("the bells", "the bells ring"):
        ann.post(tea, body, nonce)
        ann.wait_for(f"#c-{nonce}")
    bob.wait_shown("ring")
    assert bob.bodies == ["the bells", "ring"]


def test_text_typed_on_before_the_line_broke_comes_back_and_is_not_stored_twice(tea, pages):
    """The first part was stored; its acknowledgement and the rest fell into a dead socket."""
    ann, bob = pages
    ann.post(tea, "good", "n4x")
    bob.wait_shown("good")
    ann.close()
    ann.reconnect()
    ann.watch(tea, to=tea, nonce="n4x", body="good morning")
    assert 'value=" morning"' in ann.wait_for("You typed this")
    ann.post(tea, "the end")
    bob.wait_shown("the end")
    assert bob.bodies == ["good", "the end"]


def test_what_was_deleted_before_it_is_sent_again_does_not_come_back(ann, tea, pages):
    """Its acknowledgement was lost, and it was deleted since: it counts as sent."""
    page = pages[0]
    page.post(tea, "oops", "n6x")
    page.wait_shown("oops")
    seq = max(page.shown)
    page.close()
    ann.submit(f"/rooms/{tea}/messages/{seq}/delete")
    page.reconnect()
    page.watch(tea, to=tea, nonce="n6x", body="oops")
    assert "oops" not in page.wait_for("#c-n6x")
    assert "oops" not in ann.room(tea)


def test_a_refused_rest_is_sent_again_alone(tea, pages):
    ann, bob = pages
    ann.post(tea, "one", "n5x")
    ann.post(tea, "one" + "x" * 4001, "n5x")
    ann.wait_for("too long")
    ann.post(tea, "onetwo", "n5x")
    bob.wait_shown("two")
    assert bob.bodies == ["one", "two"]


def test_a_push_names_its_room(tea, pages):
    """The panel may show another room by the time it arrives, whose numbers are its own."""
    ann, bob = pages
    ann.post(tea, "hello")
    frame = bob.wait_for(">hello</div>")
    assert f"#messages[data-live='{tea}']" in html.unescape(frame)


def test_leaving_a_room_on_screen_clears_its_mark_and_remembers_what_was_seen(ann, bob, tea, pages):
    club = bob.create_room("Club")
    page = pages[1]
    page.wait_for("Club")
    pages[0].post(tea, "hello")
    page.wait_shown("hello")
    page.watch(tea)  # sent by the click that leads away
    page.watch(club, after=0)
    page.wait_for(f'hx-target="#unread-{tea}" hx-swap="innerHTML"></hx-partial>')
    page.wait_for("created this room")

    def row():
        return bob.get("/").text.split(f'id="unread-{tea}"')[1].split("</span>")[0]

    wait_until(lambda: "<i></i>" not in row(), "what the page has confirmed")


def test_a_stream_asked_from_a_number_far_ahead_deafens_nobody(ann, bob, tea):
    with ann.http.stream("GET", f"/rooms/{tea}/stream?after=999999999") as answer:
        next(answer.iter_text())
        page = Page(bob).watch(tea)
        page.wait_for("joined")
        writer = Page(bob).watch(tea)
        writer.wait_for("joined")
        writer.post(tea, "can you hear me")
        page.wait_shown("can you hear me")


def test_signing_out_ends_every_open_page(server, tea, ann):
    page = Page(ann).watch(tea)
    page.wait_for("joined")
    ann.submit("/sign-out")
    page.wait_for("You are signed out")
    assert page.wait_closed() == 1008


# Who may say what


def test_a_stranger_cannot_watch_or_post(server, ann, bob):
    rid = ann.create_room("Secret", kind="closed")
    page = Page(bob)
    page.watch(rid)
    # The store's refusal closes nothing that concerns others; the page is told in words.
    page.post(rid, "let me in", "nx1")
    frame = page.wait_for("#c-nx1")
    assert 'class="error"' in frame
    Page(ann).watch(rid).post(rid, "only for us", "nx2")
    page.post(rid, "again", "nx3")
    page.wait_for("#c-nx3")
    assert not page.bodies
    assert "only for us" not in "".join(page.frames)
    page.close()


def test_an_open_room_is_read_by_members_only(ann, bob):
    rid = ann.create_room("Open")
    page = Page(bob)
    page.watch(rid)
    page.post(rid, "hello", "ny1")
    assert "Join the room first" in page.wait_for("#c-ny1")
    assert not page.shown
    page.close()


FOREIGN = [
    "",
    "null",
    "file://",
    "http://evil.example",
    "http://127.0.0.1",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1:{port}.evil.example",
    "http://127.0.0.1:{port}@evil.example",
    "http://xn--127-8cd.0.0.1:{port}",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_site_cannot_open_the_socket(server, ann, origin):
    with pytest.raises(InvalidStatus) as refused:
        Page(ann, Origin=origin.format(port=server.port))
    assert refused.value.response.status_code == 403


def test_nobody_cannot_open_the_socket(server, ann):
    for cookie in ("", "session=forged", "session=eyJ1aWQiOiJ4In0.aaaaaa.bbbbbbbbbbbb"):
        with pytest.raises(InvalidStatus) as refused:
            Page(ann, Cookie=cookie)
        assert refused.value.response.status_code == 401


NONSENSE = [
    "",
    "null",
    "123",
    "[1]",
    '"watch"',
    "{",
    "[" * 50_000,
    "1" * 5000,
    '{"type": 3}',
    '{"type": ["watch"]}',
    '{"type": "fly"}',
    '{"type": "watch"}',
    '{"type": "watch", "room": {"a": 1}, "after": []}',
    '{"type": "watch", "room": "../..", "after": "x"}',
    '{"type": "watch", "room": "nowhere", "after": "99999999999999999999"}',
    '{"type": "post"}',
    '{"type": "post", "room": null, "body": 3, "nonce": {}}',
    '{"type": "post", "room": "a b", "body": "x", "nonce": "n"}',
    '{"type": "post", "room": "r", "body": "x", "nonce": "\\"><script>"}',
    '{"type": "typed", "nonce": [], "body": {}}',
    '{"type": "post", "room": "r", "body": "\\ud800", "nonce": "\\ud800"}',
    '{"a": NaN, "type": "Infinity"}',
    '{"type": "watch", "room": "r", "to": ["r", "r"], "nonce": ["a"], "body": "x"}',
    '{"type": "post", "room": "r", "body": "a", "nonce": "sur"}',
    '{"type": "typed", "room": "r", "body": "a\\ud800", "nonce": "sur"}',
]


def test_nonsense_harms_nobody(server, ann, tea, pages):
    """No traceback, no closed socket, until there is too much of it."""
    page = Page(ann)
    for text in NONSENSE[:12]:
        page.socket.send(text)
    page.watch(tea)
    page.wait_for("joined")
    page.close()
    page.reconnect()
    for text in NONSENSE[12:]:
        page.socket.send(text)
    page.watch(tea, after=0)
    page.wait_for("joined")
    assert "Traceback" not in server.log()
    page.close()


def test_too_much_nonsense_closes_the_socket_for_good(ann):
    page = Page(ann)
    with suppress(ConnectionClosed):  # before all is sent
        for _ in range(30):
            page.socket.send("nonsense")
    assert page.wait_closed() == 1008


def test_a_binary_frame_is_nonsense_too(ann, tea):
    page = Page(ann)
    page.socket.send(b"\x00\xff")
    page.watch(tea)
    page.wait_for("joined")
    page.close()


def test_a_frame_over_the_limit_closes_the_socket(ann):
    page = Page(ann)
    page.socket.send(json.dumps({"type": "watch", "room": "x" * 300_000}))
    assert page.wait_closed() == 1009


def test_who_reads_compressed_messages_is_shown_the_same(ann, bob, tea):
    """What a browser offers is agreed to, and the two see the same, in both directions."""
    plain, packed = Page(ann).watch(tea), Page(bob, compression="deflate").watch(tea)
    assert packed.socket.protocol.extensions
    for page in (plain, packed):
        page.wait_for("joined")
    for n in range(20):
        (plain if n % 2 else packed).post(tea, f"message {n:02} " + "words " * 20)
        plain.wait_for(f"message {n:02}")
    packed.wait_for("message 19")
    assert packed.bodies == plain.bodies
    assert len(packed.bodies) == 20


def test_who_is_typing_is_shown_until_it_is_sent(tea, pages):
    ann, bob = pages
    ann.say(type="typing", room=tea)
    ann.say(type="typing", room=tea)
    shown = bob.wait_for("Ann is typing")
    assert f'id="typing-{ann.visitor.uid}"' in shown
    ann.post(tea, "there")
    assert 'hx-swap="delete"' in bob.wait_for(f"#typing-{ann.visitor.uid}")
    bob.wait_shown("there")
    assert sum("is typing" in frame for frame in bob.frames) == 1, "not told for every key"
