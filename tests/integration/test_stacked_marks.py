"""Many marks on one character: normalization takes n² steps to order n of them. Every form gets as
many marks as a request may have, in every field, and the steps of normalization are counted. A text
of 64 KB that is normalized unchanged takes some hundred million steps, a second in which nobody
else gets a response.
"""

import asyncio
import unicodedata
from collections import Counter
from io import BytesIO

import pytest

from chat.domain.errors import Invalid
from chat.domain.file_types import MAX_FILES, MAX_SENT_NAME_CHARS, clean_file_name
from chat.domain.validation import MAX_BODY_CHARS, clean_body, clean_caption, clean_line, clean_name
from chat.media.attachments import Files, Upload
from chat.media.avatars import Pictures
from chat.search import tokenizer
from chat.store.name_index import folded
from chat.store.person import Person

from .doors import asked_by
from .turns import Chat

MAX_STEPS = 50_000  # of one normalization: less than a millisecond
LENGTH = 30_000  # characters, of two bytes or three: nearly what a request may have

LAST = ["room_settings.end", "sessions.end", "sessions.sign_out"]  # they end what others need

normalize = unicodedata.normalize


def piled(piece, length=LENGTH):
    return ("a" + piece * length)[:length]


PILES = {
    "by turns": piled("\u0301\u0316"),
    "one kind after the other": "a" + "\u0301" * (LENGTH // 2) + "\u0316" * (LENGTH // 2),
    "marks without a class that come apart": piled("\u0f73", LENGTH * 2 // 3),
    "two kinds of these": piled("\u0f75\u0f73", LENGTH * 2 // 3),
    "with joiners between": piled("\u0301\u200d\u0316\u200c", LENGTH * 2 // 3),
    "with selectors between": piled("\u094d\ufe0f", LENGTH * 2 // 3),
    "half-width voicing": piled("\uff9e\u0334", LENGTH * 2 // 3),
    "of a capital that comes apart": piled("\u0345\u0327\u0301"),
}


class Steps:
    """Stands in for `unicodedata.normalize`, and keeps the most steps that one text took."""

    def __init__(self):
        self.most, self.text = 0, ""

    def __call__(self, form, text):
        if not text.isascii() and (steps := steps_of(form, text)) > self.most:
            self.most, self.text = steps, text[:20]
        return normalize(form, text)


def steps_of(form, text):
    """How often two marks change places when the text is brought in order (UAX 15, section 1.3)."""
    steps, before = 0, Counter()
    for character in text:
        for part in normalize("NFKD" if "K" in form else "NFD", character):
            if kind := unicodedata.combining(part):
                steps += sum(count for other, count in before.items() if other > kind)
                before[kind] += 1
            else:
                before.clear()
    return steps


@pytest.fixture
def counted(monkeypatch):
    found = Steps()
    monkeypatch.setattr(unicodedata, "normalize", found)
    return found


def test_the_steps_are_counted():
    assert steps_of("NFC", "a\u0316\u0301") == 0
    assert steps_of("NFC", "a\u0301\u0316") == 1
    assert steps_of("NFC", "\u0f73" * 100) == 99 * 100 // 2
    assert steps_of("NFC", PILES["by turns"][:8000]) > 10 * MAX_STEPS


@pytest.mark.parametrize("pile", PILES.values(), ids=PILES.keys())
@pytest.mark.parametrize(
    "clean",
    [
        *(clean_body, clean_caption, clean_name, clean_file_name, folded, tokenizer.words),
        lambda text: clean_line(text, "text", 200),
    ],
)
def test_all_that_cleans_texts(counted, clean, pile):
    for length in (LENGTH, 4 * MAX_BODY_CHARS, 800, 160):
        try:
            clean(pile[:length])
        except Invalid:
            continue
    assert counted.most <= MAX_STEPS, counted.text


@pytest.mark.parametrize("pile", PILES.values(), ids=PILES.keys())
def test_every_field_of_every_form(client, valkey, tmp_path, counted, pile):
    async def send():
        chat = Chat(valkey.url, tmp_path)
        try:
            eve, bob = await chat.person("Eve"), await chat.person("Bob")
            made = await eve.post("/rooms", data={"name": "Tea", "kind": "closed"})
            rid = made.headers["location"].rpartition("/")[2]
            await eve.post(f"/rooms/{rid}/messages", data={"body": "Hi"})
            ids = {"rid": rid, "uid": bob.uid, "seq": "2", "fid": "x", "name": "x", "secret": "x"}
            tried = 0
            rules = sorted(chat.app.url_map.iter_rules(), key=lambda rule: rule.endpoint in LAST)
            for rule in rules:
                if "POST" not in rule.methods or rule.endpoint.startswith(("api.", "live.")):
                    continue
                path = rule.rule
                for name, value in ids.items():
                    path = path.replace(f"<{name}>", value)
                for field in sorted(asked_by(chat.app, rule, "POST")):
                    kind = {"content_type": "multipart/form-data"}
                    others = {} if field == "body" else {"body": "Hi"}
                    await eve.post(path, data={**others, field: pile}, **kind)
                    assert counted.most <= MAX_STEPS, (path, field)
                    tried += 1
            return tried
        finally:
            await chat.close()

    assert asyncio.run(send()) > 60


def test_files_are_counted_before_their_names_are_read(tmp_path, monkeypatch):
    """A name may take a millisecond to clean, and a request may bring a thousand."""
    files, read = Files(Pictures(str(tmp_path)), 1000), []
    monkeypatch.setattr(
        "chat.media.attachments.clean_file_name", lambda name: read.append(name) or name
    )
    with pytest.raises(Invalid, match="A message can have 10"):
        files.keep("r", [Upload("a.txt", BytesIO(b"x"))] * (MAX_FILES + 1), Person("u", "Ann"))
    assert read == []


def test_a_long_name_of_a_file_is_cut_before_it_is_cleaned(monkeypatch):
    seen = []

    def line(text, *more):
        seen.append(len(text))
        return clean_line(text, *more)

    monkeypatch.setattr("chat.domain.file_types.clean_line", line)
    assert clean_file_name("x" * 100_000 + ".txt").endswith(".txt")
    assert max(seen) <= MAX_SENT_NAME_CHARS
