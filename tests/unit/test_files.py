"""The types and names of files."""

import json

import pytest

from chat.domain.events import POST, Event, File, pack_files
from chat.domain.file_types import PLAIN, clean_file_name, type_of
from chat.media.attachments import NOTES, file_size
from chat.media.avatars import ERRORS
from chat.media.image_protocol import OVER

from ..stored_events import pack


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("photo.JPG", "image/jpeg"),
        ("song.opus", "audio/ogg"),
        ("clip.mp4", "video/mp4"),
        ("page.html", PLAIN),
        ("drawing.svg", PLAIN),
        ("feed.xml", PLAIN),
        ("photo.jpg.html", PLAIN),
        ("nothing", PLAIN),
    ],
)
def test_the_type_is_said_by_the_end_of_the_name(name, type):
    assert type_of(name) == type


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("C:\\Users\\ann\\photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("a\nb\x00.txt", "a b.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        (".bashrc", "bashrc"),
        ("...", "file"),
        ("\u200b", "file"),
        ("", "file"),
        ("名前 été.pdf", "名前 été.pdf"),
        ("x" * 300 + ".tar", "x" * 116 + ".tar"),
    ],
)
def test_a_name_is_made_clean(sent, kept):
    assert clean_file_name(sent) == kept


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1536, "1.5 KB"), (25 * 2**20, "25 MB"), (3 * 2**30, "3 GB")],
)
def test_sizes_are_said_as_people_do(count, said):
    assert file_size(count) == said


def test_an_event_holds_its_files():
    files = (File("f1", "a.png", 70, "image/png", 3, 2), File("f2", "b\n.zip", 9, PLAIN))
    data = [*json.loads(pack(POST, "u1", "Ann")), "0", "0", "", "", pack_files(files)]
    event = Event.parse("tea", 1, 1, json.dumps(data))
    assert event.files == files
    assert event.excerpt == "a.png, b…"
    assert pack_files([]) == ""


def test_only_a_file_with_a_note_is_stored_with_one():
    """A chat of an earlier version reads the others."""
    plain, noted = File("f1", "a.png", 70, PLAIN), File("f2", "b.png", 9, PLAIN, note="pixels")
    stored = json.loads(pack_files([plain, noted]))
    assert [len(values) for values in stored] == [6, 7]
    assert [File(*values) for values in stored] == [plain, noted]


def test_every_limit_of_an_image_has_its_words():
    assert set(NOTES) == set(OVER)
    assert set(ERRORS) == {*OVER, "broken"}


def test_an_image_is_shown_in_its_proportions():
    assert File("", "", 0, "", 4000, 3000).shown == (360, 270)
    assert File("", "", 0, "", 100, 50).shown == (100, 50)
    assert File("", "", 0, "", 5000, 2).shown == (360, 1)
