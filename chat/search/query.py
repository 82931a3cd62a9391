"""What a person types to find messages, and what it finds in a text.

    tea "with milk" from:ann in:"Tea room" after:2026-11-01

All words must be there; words in quotes stand side by side; the last word, while it is typed, is
the beginning of one. Nothing that is typed is an error of syntax: what cannot be understood is
told in plain words (Query.problem).
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup, escape

from .tokenizer import Word, words

LONGEST = 200  # characters of a query that are read
MOST = 12  # phrases in one
BEFORE, AFTER = 60, 240  # characters shown around the first match

_PART = re.compile(r'((?i:from|in|before|after|on):)?(?:"([^"]*)("?)|(\S*))')
_QUOTES = str.maketrans("“”„«»", '"""""')
_MISSING = {
    "from": "Write whose messages after from:, such as from:ann.",
    "in": "Write the name of a room after in:, such as in:tea.",
}


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words side by side; with `open` the last is the beginning of one."""

    words: tuple[str, ...]
    open: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """`people` and `rooms` as they are called by who asks; from the day `since` on and before the
    day `until`. `problem` says what cannot be understood."""

    phrases: tuple[Phrase, ...] = ()
    people: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    problem: str = ""

    def __bool__(self) -> bool:
        """False where nothing is looked for."""
        return bool(self.phrases or self.people or self.rooms or self.since or self.until)


def parse(text: str, today: date) -> Query:
    """Understand what was typed; `today` is the day it is for who typed it."""
    text = text[:LONGEST].translate(_QUOTES)
    phrases: list[Phrase] = []
    named: dict[str, list[str]] = {"from": [], "in": []}
    days: list[tuple[date | None, date | None]] = []
    problem = ""
    for found in _PART.finditer(text):
        key, quoted, closed, bare = (found[1] or "")[:-1].lower(), found[2], found[3], found[4]
        value = " ".join((quoted if bare is None else bare).split())
        if key in named:
            value = value.removeprefix("@").removeprefix("#") if bare is not None else value
            named[key].append(value)
            problem = problem or ("" if value else _MISSING[key])
        elif key:
            span = _span(key, value.lower(), today)
            problem = problem or ("" if span else _not_a_day(key, value))
            days += [span] if span else []
        elif parts := tuple(word.text for word in words(value)):
            typing = found.end() == len(text) and not closed
            phrases.append(Phrase(parts, typing and _may_go_on(parts[-1])))
    return Query(
        tuple(phrases[:MOST]),
        tuple(filter(None, named["from"])),
        tuple(filter(None, named["in"])),
        max((since for since, _ in days if since), default=None),
        min((until for _, until in days if until), default=None),
        problem,
    )


def matches(query: Query, text: str) -> list[tuple[int, int]] | None:
    """Where in a text what is looked for stands, in order; None where some of it does not."""
    all_words, spans = words(text), []
    for phrase in query.phrases:
        found = list(_of(phrase, all_words))
        if not found:
            return None
        spans += found
    return sorted(spans)


def excerpt(text: str, spans: list[tuple[int, int]]) -> Markup:
    """The part of a text around the first match, with `<mark>` around each."""
    first = spans[0][0] if spans else 0
    start = 0 if first <= BEFORE else text.rfind(" ", 0, first - BEFORE // 2) + 1
    start = max(start, first - BEFORE)
    end = min(len(text), start + BEFORE + AFTER)
    parts, at = [Markup("…") if start else Markup("")], start
    for low, high in spans:
        if at <= low and high <= end:
            parts += [_line(text[at:low]), Markup("<mark>{}</mark>").format(_line(text[low:high]))]
            at = high
    parts += [_line(text[at:end]), Markup("…") if end < len(text) else Markup("")]
    return Markup("").join(parts)


def _line(text: str) -> Markup:
    return escape(text.replace("\n", " "))


def _of(phrase: Phrase, among: list[Word]) -> list[tuple[int, int]]:
    size, spans = len(phrase.words), []
    *whole, last = phrase.words
    for n in range(len(among) - size + 1):
        end = among[n + size - 1]
        right = end.text.startswith(last) if phrase.open else end.text == last
        if right and all(among[n + i].text == word for i, word in enumerate(whole)):
            spans.append((among[n].start, end.end))
    return spans


def _may_go_on(word: str) -> bool:
    """One Latin letter is the beginning of too much."""
    return len(word) > 1 or not word.isascii()


def _span(key: str, value: str, today: date) -> tuple[date | None, date | None] | None:
    """The days that before:, after: and on: mean, as the first one and the first one that is not
    meant any more; None for what is no day."""
    days = _days(value, today)
    if days is None or not 1970 <= days[0].year < 9000:
        return None
    first, next_one = days
    return {"before": (None, first), "after": (next_one, None), "on": days}[key]


def _days(value: str, today: date) -> tuple[date, date] | None:
    """A day, month or year, as its first day and the first after it."""
    try:
        if value in ("today", "yesterday"):
            first = today - timedelta(days=value == "yesterday")
            return first, first + timedelta(days=1)
        if re.fullmatch(r"[0-9]{4}", value):
            return date(int(value), 1, 1), date(int(value) + 1, 1, 1)
        if re.fullmatch(r"[0-9]{4}-[0-9]{1,2}", value):
            year, month = map(int, value.split("-"))
            return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)
        if re.fullmatch(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}", value):
            first = date(*map(int, value.split("-")))
            return first, first + timedelta(days=1)
    except (ValueError, OverflowError):
        pass
    return None


def _not_a_day(key: str, value: str) -> str:
    like = f"{key}:2026-11-25, {key}:2026-11 or {key}:yesterday"
    return (
        f"“{value}” is no day. Write {like}." if value else f"Write a day after {key}: as {like}."
    )
