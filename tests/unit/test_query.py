"""Search queries: any text can be parsed, and none causes an error."""

import re
import sqlite3
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.search.index import _TABLES, Wanted, _match
from chat.search.query import Phrase, excerpt, matches, parse
from chat.search.tokenizer import words

TODAY = date(2026, 11, 25)


def read(text):
    return parse(text, TODAY)


# Words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Tea, with MILK.", ["tea", "with", "milk"]),
        ("Crème Brûlée straße", ["creme", "brulee", "strasse"]),
        ("don't snake_case", ["don", "t", "snake", "case"]),
        ("日本語 kanji", ["日", "本", "語", "kanji"]),
        ("Ёлка й", ["елка", "и"]),
        ("हिन्दी", ["हिन्दी"]),
        ("שָׁלוֹם", ["שלום"]),
        ("ok 👍🏽!", ["ok", "👍", "🏽"]),
        ("⑴ ½", ["1", "1⁄2"]),
        ("... ---", []),
    ],
)
def test_words_are_folded(text, found):
    assert [word.text for word in words(text)] == found


def test_a_word_knows_where_it_stands():
    text = "Où est Zoë?"
    assert [text[word.start : word.end] for word in words(text)] == ["Où", "est", "Zoë"]


@given(st.text())
def test_words_stand_in_their_order_and_have_nothing_that_means_something_to_fts(text):
    found = words(text)
    edges = [edge for word in found for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert not any(re.search(r"[\x00-/:-@\[-`{-\x7f]", word.text) for word in found)


# Queries


def test_a_query_has_words_phrases_people_rooms_and_days():
    query = read('tea "with milk" from:@ann in:"Tea room" after:2026-11-01 before:2027 ')
    assert query.phrases == (Phrase(("tea",)), Phrase(("with", "milk")))
    assert (query.people, query.rooms) == (("ann",), ("Tea room",))
    assert (query.since, query.until) == (date(2026, 11, 2), date(2027, 1, 1))
    assert not query.problem


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("tea ti", Phrase(("ti",), True)),
        ("tea ti ", Phrase(("ti",))),
        ('"tea ti', Phrase(("tea", "ti"), True)),
        ('"tea ti"', Phrase(("tea", "ti"))),
        ("x", Phrase(("x",))),
        ("茶", Phrase(("茶",), True)),
        ("a.b-c", Phrase(("a", "b", "c"))),
        ("“tea time”", Phrase(("tea", "time"))),
    ],
)
def test_the_last_word_is_the_beginning_of_one_while_it_is_typed(text, phrase):
    assert read(text).phrases[-1] == phrase


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("on:today", TODAY, date(2026, 11, 26)),
        ("on:Yesterday", date(2026, 11, 24), TODAY),
        ("on:2026-12", date(2026, 12, 1), date(2027, 1, 1)),
        ("on:2026-2-3", date(2026, 2, 3), date(2026, 2, 4)),
        ("after:2025", date(2026, 1, 1), None),
        ("before:today", None, TODAY),
    ],
)
def test_days_months_and_years(text, since, until):
    query = read(text)
    assert (query.since, query.until, query.problem) == (since, until, "")


@pytest.mark.parametrize(
    "text", ["from:", "in:", "on:", "on:2026-02-30", "after:soon", "on:0000", "on:9999-12-31"]
)
def test_what_cannot_be_understood_is_told_in_plain_words(text):
    assert read(text).problem.endswith(".")


@pytest.mark.parametrize("text", ["", "  ", '"', '""', "-*()^:", "NEAR(", "foo:bar"])
def test_what_is_not_for_us_is_words_or_nothing(text):
    assert not read(text).problem


db = sqlite3.connect(":memory:")
db.executescript(_TABLES)


@given(st.text(), st.text())
@example('a" OR "b', "a")
@example('from:"x" in:# *"', "x")
@example("AND NOT (", "and not")
def test_nothing_that_is_typed_is_an_error(text, body):
    query = read(text)
    question = _match(db, Wanted(query.phrases))
    if question:
        db.execute("SELECT rowid FROM words WHERE words MATCH ?", (question,)).fetchall()
    spans = matches(query, body)
    assert spans is None or "<mark>" not in body or excerpt(body, spans)


# What it finds


def test_all_words_must_be_there_in_any_order():
    assert matches(read("milk tea "), "Tea and milk") == [(0, 3), (8, 12)]
    assert matches(read("milk tea sugar "), "Tea and milk") is None


def test_words_in_quotes_stand_side_by_side():
    assert matches(read('"tea time"'), "time for tea time") == [(9, 17)]
    assert matches(read('"tea time"'), "tea, at any time") is None


def test_a_beginning_finds_the_word_without_accents_and_case():
    assert matches(read("ca"), "Un Café") == [(3, 7)]
    assert matches(read("日本"), "これは日本語です") == [(3, 5)]


def test_what_is_found_is_marked_and_the_rest_is_text():
    body = "<b>Tea</b>\n& tea"
    marked = excerpt(body, matches(read("tea"), body))
    assert marked == "&lt;b&gt;<mark>Tea</mark>&lt;/b&gt; &amp; <mark>tea</mark>"


def test_of_a_long_text_the_part_with_the_match_is_shown():
    body = "before " * 300 + "needle" + " after" * 300
    shown = excerpt(body, matches(read("needle"), body))
    assert shown.startswith("…before")
    assert shown.endswith("…")
    assert "<mark>needle</mark>" in shown
    assert len(shown) < 400


@given(st.text(max_size=40), st.text(max_size=40))
def test_an_index_finds_what_the_text_holds(text, body):
    """What FTS5 answers and what is marked later are the same."""
    query = read(text)
    if not query.phrases:
        return
    db.execute("DELETE FROM words")
    db.execute(
        "INSERT INTO words VALUES ('', ?, '')", (" ".join(word.text for word in words(body)),)
    )
    question = _match(db, Wanted(query.phrases))
    found = db.execute("SELECT 1 FROM words WHERE words MATCH ?", (question,)).fetchone()
    assert bool(found) == (matches(query, body) is not None)
