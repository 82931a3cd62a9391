"""Files, chosen or dropped, as others see them, and errors on the way."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from ..running import Server
from .conftest import People
from .person import Person

pytestmark = pytest.mark.browser


def photo(folder: Path, name: str = "photo.jpg") -> Path:
    file = io.BytesIO()
    Image.new("RGB", (1200, 900), "teal").save(file, "JPEG")
    (folder / name).write_bytes(file.getvalue())
    return folder / name


def attach(person: Person):
    """Ask for the field for files; returns it."""
    person.page.get_by_role("button", name="Attach files").click()
    field = person.page.locator(".attach__field")
    expect(field).to_be_visible()
    return field


def drop(person: Person, *files: Path) -> None:
    """Drop files on the field as the desktop does."""
    box = person.page.locator(".attach__field").bounding_box()
    assert box
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    session = person.page.context.new_cdp_session(person.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"type": kind, "x": box["x"] + 20, "y": box["y"] + box["height"] - 20}
        session.send("Input.dispatchDragEvent", {**at, "data": data})


def images(person: Person):
    return person.page.locator("#messages .file__image img")


def test_two_people_and_a_photo(ann: Person, bob: Person, room: str, tmp_path: Path):
    """What Ann typed goes along; Bob's list does not move when the image comes; it opens large."""
    ann.type("Look at ")
    field = attach(ann)
    expect(field).to_be_focused()
    (tmp_path / "notes.zip").write_bytes(b"PK")
    drop(ann, photo(tmp_path), tmp_path / "notes.zip")
    text = ann.page.locator(".composer--files .composer__body")
    expect(text).to_have_value("Look at ")
    text.press("End")
    ann.type("this")
    ann.press("Enter")
    for person in (ann, bob):
        person.wait_for("Look at this")
        expect(images(person)).to_have_attribute("alt", "photo.jpg")
        person.until(lambda p=person: images(p).evaluate("i => i.naturalWidth") == 720, "the image")
        expect(person.page.locator("#messages .file", has_text="notes.zip")).to_be_visible()
    box = images(bob).bounding_box()
    assert box
    assert (round(box["width"]), round(box["height"])) == (360, 270)
    # With reactions too the words are a line, and the files below it.
    own = ann.page.locator("#messages .message").last
    own.hover()
    own.get_by_role("button", name="More").click()
    ann.page.get_by_role("dialog").get_by_role("button", name="👍").click()
    expect(own.locator(".reactions .reaction")).to_have_count(1)
    words, files = (own.locator(part).bounding_box() for part in (".message__body", ".files"))
    assert words["height"] < 40
    assert words["y"] + words["height"] <= files["y"]
    ann.page.locator("#body").focus()
    expect(ann.page.locator(".composer--files")).to_have_count(0)
    ann.send("and on we go")
    bob.wait_for("and on we go")
    with bob.page.context.expect_page() as opened:
        images(bob).click()
    large = opened.value.locator("img")
    large.wait_for()
    assert large.evaluate("i => i.naturalWidth") == 1200


def test_what_is_refused_stays_with_its_reason(ann: Person, room: str, tmp_path: Path):
    ann.type("my words")
    field = attach(ann)
    (tmp_path / "run.exe").write_bytes(b"MZ")
    field.set_input_files(tmp_path / "run.exe")
    ann.page.locator(".composer--files").get_by_role("button", name="Send").click()
    problem = ann.page.locator(".composer--files").get_by_role("alert")
    expect(problem).to_have_text("“run.exe” is a program. Programs cannot be sent.")
    text = ann.page.locator(".composer--files .composer__body")
    expect(text).to_have_value("my words")
    field.set_input_files(photo(tmp_path))
    ann.page.locator(".composer--files").get_by_role("button", name="Send").click()
    ann.wait_for("my words")
    expect(images(ann)).to_have_count(1)
    expect(ann.page.locator(".composer--files")).to_have_count(0)
    ann.complaints.clear()  # Chromium's word about an answer of 400


def test_one_writes_on_while_files_are_on_their_way(ann: Person, room: str, tmp_path: Path):
    """Nothing else waits for them, and a line that breaks loses nothing that was chosen."""
    holding = []
    ann.page.route("**/messages", lambda route: holding.append(route))
    field = attach(ann)
    field.set_input_files(photo(tmp_path))
    ann.page.locator(".composer--files").get_by_role("button", name="Send").click()
    expect(ann.page.get_by_text("Uploading files…")).to_be_visible()
    ann.wait_empty()
    ann.send("meanwhile")
    ann.wait_for("meanwhile")
    holding.pop().abort()
    composer = ann.page.locator(".composer--files")
    expect(composer.get_by_role("alert")).to_contain_text("were not sent")
    ann.page.unroute("**/messages")
    composer.get_by_role("button", name="Send").click()
    expect(images(ann)).to_have_count(1)
    expect(composer).to_have_count(0)
    ann.page.locator("#body").click()
    ann.send("after all")
    ann.complaints.clear()


def test_files_with_javascript_off(server: Server, people: People, bob: Person, tmp_path: Path):
    ann = people.come(server.url, "Ann", java_script_enabled=False)
    rid = ann.create_room("Plain")
    bob.join_room(rid)
    bob.wait_live()
    ann.page.locator("#body").fill("without scripts")
    field = attach(ann)
    field.set_input_files(photo(tmp_path))
    ann.page.locator(".composer--files").get_by_role("button", name="Send").click()
    bob.wait_for("without scripts")
    expect(images(bob)).to_have_count(1)
    expect(ann.page.locator("#messages .file__image img")).to_have_attribute("width", "360")
