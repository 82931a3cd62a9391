"""Files in messages on the running chat: posting, showing, downloading and deleting them."""

import asyncio
import io
import os
import re
import time
from errno import ENOSPC

import pytest
from greenback import with_portal_run_sync
from PIL import Image

from chat.app import create_app
from chat.config import Settings
from chat.media.attachments import Files
from chat.media.avatars import Pictures
from chat.media.orphan_cleanup import OrphanCleanup
from chat.store import Store

from ..running import Visitor
from .page import Page

SECRET = b"51.5074N the place"


def image(format="JPEG", size=(1200, 900), **options):
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, format, **options)
    return file.getvalue()


def token(person, page="/"):
    html = person.http.get(page, follow_redirects=True).text
    return re.search(r'name="csrf_token" value="([^"]+)"', html)[1]


def send(person, rid, *files, body="", nonce="", live=False):
    """Send files, each a name and its bytes, as the form does; `live`: as htmx does."""
    return person.http.post(
        f"/rooms/{rid}/messages",
        data={"csrf_token": token(person), "body": body, "nonce": nonce},
        files=[("files", (name, content, "text/html")) for name, content in files]
        or {"files": ("", b"")},
        headers={"HX-Request": "true"} if live else {},
    )


def shown(person, rid):
    """Addresses of files in the room, as the page names them."""
    return re.findall(r'<a class="file[^"]*" href="(/rooms/[^"]+)"', person.room(rid))


def kept(server):
    """What is kept of files, as paths."""
    there = (server.data / "files").rglob("*")
    return {path.name for path in there if path.is_file()} - {"database"}


def test_an_image_is_seen_by_everyone_and_nothing_but_pixels_is_kept(server, ann, bob, tea):
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = 6  # to be turned by a quarter
    sent = image(exif=exif, comment=SECRET)
    assert SECRET in sent
    reading = Page(bob).watch(tea)
    assert send(ann, tea, ("my photo.jpg", sent), body="Look!").status_code == 303
    pushed = reading.wait_for("Look!")
    found = re.search(
        r'<img src="([^"]+)\?small" alt="my photo.jpg" width="(\d+)" height="(\d+)"', pushed
    )
    assert found.groups()[1:] == ("202", "270")
    whole, small = bob.get(found[1]), bob.get(found[1] + "?small")
    for answer, size in ((whole, (900, 1200)), (small, (405, 540))):
        assert SECRET not in answer.content
        with Image.open(io.BytesIO(answer.content)) as opened:
            assert (opened.size, len(opened.getexif())) == (size, 0)
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "private" in answer.headers["cache-control"]
    assert whole.headers["content-type"] == "image/jpeg"
    assert small.headers["content-type"] == "image/webp"
    assert shown(bob, tea) == [found[1]]


def test_a_message_may_have_several_files_and_no_text(ann, bob, tea):
    files = [("a.png", image("PNG")), ("b.zip", b"PK zip"), ("c.mp3", b"ID3 music")]
    assert send(ann, tea, *files).status_code == 303
    page = bob.room(tea)
    assert page.count('class="file__image"') == 1
    assert '<audio class="file__audio" controls' in page
    assert len(shown(bob, tea)) == 3
    assert "a.png, b.zip, c.mp3" in re.search(r'class="row__last">(.*?)</span>', page)[1]
    assert [bob.get(at).content for at in shown(bob, tea)[1:]] == [b"PK zip", b"ID3 music"]


@pytest.mark.parametrize(
    "name", ["page.html", "drawing.svg", "a.xhtml", "b.xml", "nothing", "c.pdf", "d.txt"]
)
def test_what_a_browser_could_run_is_for_saving(ann, tea, name):
    """The uploader says text/html; an image that is none is refused."""
    sent = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/><script>alert(1)</script>"
    assert send(ann, tea, (name, sent)).status_code == 303
    answer = ann.get(shown(ann, tea)[-1])
    assert answer.content == sent
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["content-type"] in (
        "application/octet-stream",
        "application/pdf",
        "text/plain",
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].endswith("sandbox")
    refused = send(ann, tea, ("picture.png", sent), body="my text")
    assert refused.status_code == 400
    assert "not a picture" in refused.text
    assert "my text" in refused.text


def test_a_name_of_any_letters_comes_back(ann, tea):
    assert send(ann, tea, ('été "1" 名.zip', b"x")).status_code == 303
    answer = ann.get(shown(ann, tea)[0])
    said = answer.headers["content-disposition"]
    assert "filename*=UTF-8''%C3%A9t%C3%A9%20%221%22%20%E5%90%8D.zip" in said
    assert 'filename="ete _1_ .zip"' in said


def test_only_members_get_a_file(server, ann, bob, tea):
    send(ann, tea, ("a.zip", b"secret"))
    at = shown(ann, tea)[0]
    assert bob.get(at).content == b"secret"
    eve = Visitor(server.url, "Eve")
    assert eve.get(at).status_code == 404
    assert Visitor(server.url).get(at).headers["location"].startswith("/sign-in")
    mine = eve.create_room("Eve's")
    assert eve.get(at.replace(tea, mine)).status_code == 404
    bob.submit(f"/rooms/{tea}/leave")
    assert bob.get(at).status_code == 404


def test_who_is_no_member_can_send_none(server, tea):
    eve = Visitor(server.url, "Eve")
    before = kept(server)
    assert send(eve, tea, ("a.zip", b"x")).status_code == 403
    assert send(eve, tea, ("a.zip", b"x"), live=True).status_code == 403
    assert kept(server) == before


def test_parts_of_a_file_are_given(ann, tea):
    """As players ask for them (RFC 9110, section 14)."""
    film = os.urandom(300_000)
    send(ann, tea, ("film.mp4", film))
    at = shown(ann, tea)[0]
    whole = ann.get(at)
    assert (whole.content, whole.headers["accept-ranges"]) == (film, "bytes")
    assert whole.headers["content-disposition"].startswith("inline")
    for asked, part in (
        ("bytes=0-99", film[:100]),
        ("bytes=250000-", film[250_000:]),
        ("bytes=-5", film[-5:]),
        ("bytes=100-999999", film[100:]),
    ):
        answer = ann.get(at, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["content-range"].endswith("/300000")
        assert answer.headers["content-length"] == str(len(part))
    assert ann.get(at, headers={"Range": "bytes=300000-"}).status_code == 416
    for whole in ("bytes=0-1,5-6", "lines=1-2", "bytes", "bytes=x-y", "bytes=9-1"):
        assert ann.get(at, headers={"Range": whole}).status_code == 200
    stale = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert ann.get(at, headers=stale).status_code == 200
    assert ann.http.head(at).headers["content-length"] == "300000"
    etag = ann.http.head(at).headers["etag"]
    same = {"Range": "bytes=0-9", "If-Range": etag}
    assert ann.get(at, headers=same).content == film[:10]
    dated = {"Range": "bytes=0-9", "If-Range": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert ann.get(at, headers=dated).status_code == 200
    known = ann.get(at, headers={"Range": "bytes=0-9", "If-None-Match": f"W/{etag}"})
    assert (known.status_code, known.content) == (304, b"")
    part = ann.http.head(at, headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.headers["content-length"]) == (206, "100")
    for answer in (known, part):
        assert (answer.headers["etag"], answer.headers["cache-control"]) == (
            etag,
            "private, no-cache",
        )
        assert "sandbox" in answer.headers["content-security-policy"]


def test_a_resend_is_stored_once(server, ann, tea):
    before = kept(server)
    for _ in range(2):
        assert send(ann, tea, ("a.zip", b"x"), body="once", nonce="again").status_code == 303
    assert ann.room(tea).count('<div class="files">') == 1
    assert len(kept(server) - before) == 1
    assert send(ann, tea, ("b.zip", b"y"), body="once", nonce="again").status_code == 303
    assert len(shown(ann, tea)) == 2


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.zip", b"", "“a.zip” is empty"),
        ("virus.exe", b"MZ", "“virus.exe” is a program"),
        ("a.jpg", b"no picture", "“a.jpg” is not a picture"),
        ("a.zip", b"x" * (25 * 2**20 + 1), "The limit is 25 MB"),
    ],
)
def test_what_is_refused_says_why_and_keeps_the_text(server, ann, tea, name, content, why):
    before = kept(server)
    answer = send(ann, tea, ("first.zip", b"x"), (name, content), body="typed for long")
    assert answer.status_code == 400
    assert why in answer.text
    assert 'value="typed for long"' in answer.text
    assert 'type="file"' in answer.text
    assert "25 MB each" in answer.text, "the limits"
    live = send(ann, tea, ("first.zip", b"x"), (name, content), live=True)
    assert why in live.text
    assert "<form" not in live.text
    assert kept(server) == before


def test_too_many_and_too_large_together(ann, tea):
    many = send(ann, tea, *[(f"{n}.txt", b"x") for n in range(11)])
    assert "A message can have 10" in many.text
    assert "Choose a file first" in send(ann, tea, body="x").text
    heavy = [(f"{n}.zip", b"x" * (18 * 2**20)) for n in range(3)]
    answer = send(ann, tea, *heavy, live=True)
    assert answer.status_code == 413
    assert "The limit is 50 MB" in answer.text
    assert "<form" not in answer.text


def test_what_was_said_with_files_can_be_taken_back(ann, bob, tea):
    """At once where it is on screen, where it is quoted, and for who comes later."""
    send(ann, tea, ("a.zip", b"x"), body="the wrong words")
    seq = int(re.findall(r'<li id="m-(\d+)" class="message', ann.room(tea))[-1])
    bob.submit(f"/rooms/{tea}/messages", body="which?", reply=str(seq))
    reading = Page(bob).watch(tea)
    reading.wait_shown("which?")
    at = f"/rooms/{tea}/messages/{seq}/edit"
    assert " required" not in ann.get(at).text
    assert ann.submit(at, body=" ").status_code == 303
    frame = reading.wait_for(f"#m-{seq} .message__body")
    assert 'class="message__body" dir="auto" hx-ignore></div>' in frame
    page = bob.room(tea)
    assert "the wrong words" not in page
    assert 'class="quote__text">a.zip<' in page
    assert shown(bob, tea)
    assert ann.submit(f"/rooms/{tea}/messages/{seq + 1}/edit", body="").status_code in (400, 403)


def test_a_deleted_message_takes_its_files_along(server, ann, bob, tea):
    before = kept(server)
    send(ann, tea, ("a.png", image("PNG")), ("b.zip", b"x"))
    made = kept(server) - before
    assert len(made) == 3
    at, seq = shown(ann, tea), re.findall(r'<li id="m-(\d+)" class="message', ann.room(tea))[-1]
    ann.submit(f"/rooms/{tea}/messages/{seq}/delete")
    assert [bob.get(path).status_code for path in at] == [404, 404]
    assert kept(server) == before
    with server.redis() as client:
        assert not client.exists(f"chat:room:{{{tea}}}:files")


def test_a_file_that_may_not_be_seen_any_more_is_shown_by_no_cache(ann, bob, tea):
    """A browser asks before it shows again what it has: that costs no byte as long as the file is
    there for this person, and then there is nothing to show."""
    send(ann, tea, ("a.png", image("PNG")), ("b.mp4", b"film"), ("c.zip", b"zip"))
    at = shown(ann, tea)
    picture = re.search(r'<img src="([^"]+\?small)"', ann.room(tea))[1]
    seen = {path: bob.get(path) for path in (*at, picture)}
    for path, answer in seen.items():
        assert answer.headers["cache-control"] == "private, no-cache"
        known = {"If-None-Match": answer.headers["etag"]}
        for headers in (known, {**known, "Range": "bytes=0-1"}):
            again = bob.get(path, headers=headers)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == answer.headers["etag"]
            assert again.headers["cache-control"] == "private, no-cache"
        other = bob.get(path, headers={"If-None-Match": '"another"'})
        assert (other.status_code, other.content) == (200, answer.content)
    eve = Visitor(bob.url, "Eve")
    seq = re.findall(r'<li id="m-(\d+)" class="message', ann.room(tea))[-1]
    ann.submit(f"/rooms/{tea}/messages/{seq}/delete")
    for path, answer in seen.items():
        known = {"If-None-Match": answer.headers["etag"]}
        gone = bob.get(path, headers=known)
        assert gone.status_code == 404
        assert gone.headers["cache-control"] == "no-store"
        assert eve.get(path, headers=known).status_code == 404


def test_an_ended_room_keeps_its_files_as_long_as_its_messages_and_from_everybody(
    server, ann, bob, tea
):
    send(ann, tea, ("a.zip", b"x"))
    at = shown(ann, tea)[0]
    ann.submit(f"/rooms/{tea}/end")
    assert [person.get(at).status_code for person in (ann, bob)] == [404, 404]
    with server.redis() as client:
        ends = [client.ttl(f"chat:room:{{{tea}}}:{part}") for part in ("events", "files")]
    assert ends[0] > 0
    assert ends[0] == ends[1]


def test_where_nothing_can_be_kept_it_is_said_and_the_text_stays(server, ann, tea):
    folder = server.data / "files" / tea
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way")
    answer = send(ann, tea, ("a.zip", b"x"), body="typed")
    assert answer.status_code == 503
    assert "cannot reach its file storage" in answer.text
    assert 'value="typed"' in answer.text


def test_a_disk_that_is_full_while_a_file_comes_in_is_said(store, tmp_path):
    app = create_app(Settings(secret_key="x" * 32, data=tmp_path), store)
    with app.test_request_context("/rooms/x/messages", method="POST", data={"body": "typed"}):
        answer = app.make_response(app.handle_user_exception(OSError(ENOSPC, "no space")))
    assert answer.status_code == 503
    assert "the storage is full" in answer.get_data(as_text=True)
    assert "typed" in answer.get_data(as_text=True)


def test_without_scripts_the_form_takes_files_and_keeps_the_text(ann, tea):
    page = ann.submit(f"/rooms/{tea}/attach", body="so far", files="1")
    assert 'enctype="multipart/form-data"' in page.text
    assert 'value="so far"' in page.text
    back = ann.submit(f"/rooms/{tea}/attach", body="so far", files="")
    assert 'type="file"' not in back.text
    assert 'value="so far"' in back.text


def test_an_answer_quotes_the_names(ann, tea):
    send(ann, tea, ("photo.png", image("PNG")))
    seq = re.findall(r'<li id="m-(\d+)" class="message', ann.room(tea))[-1]
    reading = Page(ann).watch(tea)
    ann.submit(f"/rooms/{tea}/messages", body="nice", reply=seq)
    assert 'quote__text">photo.png<' in reading.wait_for("nice")
    assert 'quote__text">photo.png<' in ann.room(tea)


# Programs


@pytest.fixture
def program(ann):
    scopes = ["read", "write"]
    page = ann.submit(f"/tokens/{ann.uid}", "/me/tokens", name="mine", scopes=scopes).text
    return {"Authorization": "Bearer " + re.search(r'value="(chat_[^"]+)"', page)[1]}


def test_a_program_posts_and_gets_files(ann, tea, program):
    at = f"/api/rooms/{tea}/files"
    query = {"name": "a.png", "body": "by a program", "nonce": "p1"}
    for _ in range(2):
        answer = ann.http.post(at, params=query, content=image("PNG"), headers=program)
        assert answer.status_code == 201, answer.text
    message = answer.json()
    [file] = message["files"]
    assert (message["body"], file["type"], file["width"]) == ("by a program", "image/png", 1200)
    assert ann.http.get(file["url"], headers=program).headers["content-type"] == "image/png"
    assert len(shown(ann, tea)) == 1
    assert ann.http.post(at, content=b"x", headers=program).json()["error"]["status"] == 400
    large = ann.http.post(at, params={"name": "a.zip"}, content=b"x" * 51 * 2**20, headers=program)
    assert large.status_code == 413


def test_chat_check_says_which_files_are_lost(fresh_server):
    ann = Visitor(fresh_server.url, "Ann")
    rid = ann.create_room("Tea")
    send(ann, rid, ("a.zip", b"x"), ("b.zip", b"y"))
    assert fresh_server.console("check").stdout == "No problems found.\n"
    [lost, _] = [at.split("/")[4] for at in shown(ann, rid)]
    (fresh_server.data / "files" / rid / lost).unlink()
    told = fresh_server.console("check", "--repair")
    for _ in range(5):  # however its threads stand when it ends
        assert fresh_server.console("check").returncode == 1
    assert told.returncode == 1
    assert f"the file {lost} of the room {rid} is missing from the file storage" in told.stdout
    assert "(this cannot be repaired)" in told.stdout
    assert ann.get(shown(ann, rid)[0]).status_code == 404


# What nothing holds


def test_what_nothing_holds_is_swept(server, ann, tea):
    """Files of another database are left alone, and so is what is young."""
    send(ann, tea, ("a.png", image("PNG")))
    there = kept(server)
    folder = server.data / "files" / tea
    for name in ("orphan", "orphan.small"):
        (folder / name).write_bytes(b"x")
    assert sweep(server, time.time() - 24 * 3600) == 0
    assert sweep(server, time.time() + 24 * 3600) == 2
    assert kept(server) == there
    with server.redis() as client:
        name = client.getset("chat:files", "another")
    (folder / "orphan").write_bytes(b"x")
    assert sweep(server, time.time() + 24 * 3600) == 0
    with server.redis() as client:
        client.set("chat:files", name)
    assert sweep(server, time.time() + 24 * 3600) == 1


def sweep(server, until):
    async def run():
        with server.redis() as client:
            sweeper = OrphanCleanup(Store(client), Files(Pictures(str(server.data)), 1))
            return await with_portal_run_sync(sweeper.sweep, until)

    return asyncio.run(run())
