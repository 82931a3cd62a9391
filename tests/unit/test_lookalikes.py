"""Names that look like other names, by Unicode's data."""

import sys
import unicodedata

import pytest
import regex
from hypothesis import assume, given
from hypothesis import strategies as st

from chat.domain.errors import Invalid
from chat.domain.lookalikes import (
    _FILE,
    EVERYBODY,
    OFFICES,
    _data,
    is_mixed,
    is_reserved,
    is_told_apart,
    keys,
    skeleton,
)
from chat.domain.validation import clean_name

ALL = "".join(chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n < 0xE000)
# One search through all of them: every process of a run imports this file, and a match for each of
# a million characters takes it three seconds.
IGNORABLE = regex.findall(r"\p{DI}", ALL)
JOINERS = "\u200c\u200d\ufe0f"  # they have a meaning in some places
LOOKS_LIKE: dict[str, list[str]] = {}
for source, prototype in _data()[0].items():
    LOOKS_LIKE.setdefault(prototype, []).append(source)
# Names as people have them, in many scripts.
REAL = [
    "Ann Lee",
    "José García",
    "Søren Ødegård",
    "Łukasz Żółć",
    "Nguyễn Văn Á",
    "İbrahim Işık",
    "O’Brien",
    "Anne-Marie",
    "Анна Каренина",
    "Ελένη",
    "Հայկ",
    "გიორგი",
    "חיים",
    "علی رضا",
    "می\u200cخواهم",
    "अनिल कुमार",
    "क्\u200dष",
    "தமிழ்",
    "മലയാളം",
    "ശ്രീ",
    "ශ්\u200dරී",
    "ខ្មែរ",
    "ລາວ",
    "မြန်မာ",
    "አማርኛ",
    "สมชาย",
    "김철수",
    "山田太郎",
    "ゆきサン",
    "김 Kim",
    "Ahmed أحمد",
    "ᏣᎳᎩ",
    "Ọláyínká",
    "Kapiʻolani",
    "Tom 🚀 42",
    "👩\u200d💻 Ann",
    "🧑🏽\u200d🚀",
    "🏳️\u200d🌈",
    "👁️\u200d🗨️",
    "Ann ❤\ufe0f",
    "1\ufe0f⃣",
    "🇩🇪 Uwe",
]
# Row 4 of the attack, and what is like it.
IMITATIONS = [
    *(f"Annette{chr(n)}" for n in (0x206A, 0x61C, 0x2065, 0x206F, 0x180B, 0x180C, 0xFE0F, 0xFFF0)),
    *(f"Annette{chr(n)}" for n in (0xFFF9, 0xFFFB, 0xFFFC, 0x1D173, 0xE0080, 0xE01F0, 0xE0FFF)),
    *(f"Ann{chr(n)}ette" for n in (0x17B4, 0x17B5, 0x16FE4, 0x1107F, 0xE000, 0x378, 0x3164)),
    "Anɴette",
    "ꓮnnette",
    "ᴀɴɴᴇᴛᴛᴇ",
    "Ⓐⓝⓝⓔⓣⓣⓔ",
    "𝓐nnette",
    "Ａnnette",
    "🅰nnette",
    "Αnnette",
    "Аnnette",
    "ANNETTE",
    "Ánnette",
    "Annette.",
    "A\u0336n\u0336n\u0336e\u0336t\u0336t\u0336e\u0336",
]


def names() -> st.SearchStrategy[str]:
    """Clean names: real ones, and any characters."""
    return st.one_of(st.sampled_from(REAL), st.text(max_size=40).map(_cleaned)).filter(bool)


def _cleaned(text: str) -> str:
    try:
        return clean_name(text)
    except Invalid:
        return ""


def test_the_data_is_of_this_version_of_unicode():
    assert "\n@version 17.0.0\n" in _FILE.read_text()
    assert len(_data()[0]) == 5499


@given(names())
def test_a_clean_name_stays_as_it_is(name):
    assert clean_name(name) == name


@pytest.mark.parametrize("name", REAL)
def test_real_names_stay_and_are_not_suspected(name):
    assert clean_name(name) == unicodedata.normalize("NFC", name)
    assert not is_told_apart(name)


@given(names(), st.data())
def test_what_is_ignorable_by_unicode_is_no_part_of_a_name(name, data):
    """Joiners stay only where a script or an emoji needs them, and then the name looks alike."""
    pieces = list(name)
    for character in data.draw(st.lists(st.sampled_from(IGNORABLE), min_size=1, max_size=4)):
        pieces.insert(data.draw(st.integers(0, len(pieces))), character)
    with_them = "".join(pieces)
    assume(len(with_them) <= 40)
    cleaned = clean_name(with_them)
    assert keys(cleaned) & keys(name)
    if not set(with_them) & set(JOINERS) and unicodedata.normalize("NFC", name) == name:
        assert cleaned == clean_name("".join(c for c in pieces if c not in IGNORABLE))


def test_nothing_ignorable_stays_in_a_latin_name():
    for c in IGNORABLE:
        for text in (f"{c}Annette", f"Ann{c}ette", f"Annette{c}"):
            assert clean_name(text) == "Annette", f"U+{ord(c):04X}"


@given(names(), st.data())
def test_a_name_of_characters_that_look_alike_looks_alike(name, data):
    parts = []
    for character in unicodedata.normalize("NFD", name):
        prototype = _data()[0].get(character, character)
        parts.append(data.draw(st.sampled_from([character, *LOOKS_LIKE.get(prototype, [])])))
    imitation = "".join(parts)
    assert skeleton(imitation) == skeleton(name)
    assert keys(imitation) & keys(name)


@pytest.mark.parametrize("imitation", IMITATIONS, ids=ascii)
def test_imitations_of_a_name_look_like_it(imitation):
    assert keys(clean_name(imitation)) & keys("Annette")


@pytest.mark.parametrize(
    ("imitation", "name"),
    [("сосо", "coco"), ("СОСО", "Coco"), ("AIice", "Alice"), ("aIi", "ali"), ("ALI", "Ali")],
)
def test_the_case_hides_nothing(imitation, name):
    assert keys(imitation) & keys(name)


@pytest.mark.parametrize("name", ["Anɴette", "ꓮnnette", "Αnna", "Аnna", "Аннα", "Հnna", "ᏣAnn"])
def test_letters_mixed_as_in_no_language_are_told(name):
    assert is_mixed(name)


MARKS = [c for c in ALL if unicodedata.category(c)[0] == "M"]


@pytest.mark.parametrize("script", ["Devanagari", "Thai", "Khmer", "Hebrew", "Thaana", "Cham"])
def test_a_mark_of_one_script_on_a_letter_of_another_is_told(script):
    marks = [m for m in MARKS if regex.match(rf"\p{{Script={script}}}", m)]
    assert marks
    for mark in marks:
        for name in (f"Ann{mark}ette", f"Annette{mark}", f"山{mark}田"):
            assert is_mixed(name) or keys(name) & keys(name.replace(mark, "")), ascii(name)


@pytest.mark.parametrize(
    ("name", "stretch"), [("محمد", "\u0640"), ("علی رضا", "\u0640"), ("ߒߞߏ", "\u07fa")]
)
def test_a_letter_that_is_stretched_is_the_same_letter(name, stretch):
    assert keys(name) & keys(name[0] + stretch * 3 + name[1:])


@pytest.mark.parametrize("word", sorted(OFFICES))
def test_a_reserved_word_in_capitals_is_told_by_what_looks_like_them(word):
    """A capital I looks like a 1 or a bar, a small one does not."""
    for sign, like in zip("IIOO", "1|0Ο", strict=True):
        assert is_reserved(word.upper().replace(sign, like))


@pytest.mark.parametrize("word", sorted(OFFICES | EVERYBODY))
def test_reserved_words_are_told_however_they_are_written(word):
    for text in (word, word.upper(), word.title(), f" {word[0]}\u2060{word[1:]}", f"{word}."):
        assert is_reserved(clean_name(text))
    greek = word.replace("o", "ο").replace("a", "а").replace("e", "е")
    assert is_reserved(greek)


@pytest.mark.parametrize(
    "number", ["2", "007", "\u0663", "\uff12", "\u00b2", "\u2170", "\u2460", "\u3007"]
)
@pytest.mark.parametrize("word", sorted(OFFICES))
def test_a_reserved_word_with_a_number_is_told(word, number):
    assert is_reserved(word + number)
    assert is_reserved(f"{number}{word.upper()} Anne")


@pytest.mark.parametrize("name", ["Chat Admin", "Support Team", "The Administrator", "Mod-Bob"])
def test_a_reserved_word_among_others_is_told(name):
    assert is_reserved(name)
    assert not is_reserved(name, is_staff=True)


def test_nobody_is_called_as_everybody_is():
    assert is_reserved("here", is_staff=True)
    assert is_reserved("ROOM", is_staff=True)
    assert not is_reserved("Mike Room")
    assert not is_reserved("Modest Mussorgsky")
