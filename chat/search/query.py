"""Search queries as people type them, and their matches in a text.

    tea "with milk" from:ann in:"Tea room" after:2026-11-01

A message must contain all words, and words in quotes next to each other. The last word may be
incomplete while it is being typed. There are no syntax errors: if a part of the query cannot be
understood, `Query.problem` says in plain words what to write.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup, escape

from .tokenizer import Word, words

MAX_QUERY_CHARS = 200  # the rest of a longer query is ignored
MAX_PHRASES = 12  # in a query; more are ignored
CHARS_BEFORE_MATCH, CHARS_AFTER_MATCH = 60, 240  # shown around the first match

_PART = re.compile(r'((?i:from|in|before|after|on):)?(?:"([^"]*)("?)|(\S*))')
_QUOTES = str.maketrans("“”„«»", '"""""')
_DAY = re.compile(r"[0-9]{4}(-[0-9]{1,2}){0,2}")
_MISSING = {
    "from": "Write a name after from:, such as from:ann.",
    "in": "Write the name of a room after in:, such as in:tea.",
}


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words next to each other. With `open`, the last one is the beginning of a word."""

    words: tuple[str, ...]
    open: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """`people` and `rooms` are names as they were typed. The messages are from the day `since` or
    later, and from before the day `until`. `problem` says what cannot be understood."""

    phrases: tuple[Phrase, ...] = ()
    people: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    problem: str = ""

    def __bool__(self) -> bool:
        """False for a query that asks for nothing."""
        return bool(self.phrases or self.people or self.rooms or self.since or self.until)


def parse(text: str, today: date) -> Query:
    """Parse what was typed. `today` is the day in the time zone of the person who searches."""
    text = text[:MAX_QUERY_CHARS].translate(_QUOTES)
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
            is_typed = found.end() == len(text) and not closed
            # A single Latin letter is the beginning of too many words.
            is_open = is_typed and (len(parts[-1]) > 1 or not parts[-1].isascii())
            phrases.append(Phrase(parts, is_open))
    return Query(
        tuple(phrases[:MAX_PHRASES]),
        tuple(filter(None, named["from"])),
        tuple(filter(None, named["in"])),
        max((since for since, _ in days if since), default=None),
        min((until for _, until in days if until), default=None),
        problem,
    )


def matches(query: Query, text: str) -> list[tuple[int, int]] | None:
    """Return the places of all phrases in a text, in order; None if the text lacks one of them."""
    all_words, spans = words(text), []
    for phrase in query.phrases:
        found = list(_of(phrase, all_words))
        if not found:
            return None
        spans += found
    return sorted(spans)


def excerpt(text: str, spans: list[tuple[int, int]]) -> Markup:
    """The part of a text around the first match, with `<mark>` around each match."""
    first = spans[0][0] if spans else 0
    space = text.rfind(" ", 0, first - CHARS_BEFORE_MATCH // 2)
    start = 0 if first <= CHARS_BEFORE_MATCH else max(space + 1, first - CHARS_BEFORE_MATCH)
    end = min(len(text), start + CHARS_BEFORE_MATCH + CHARS_AFTER_MATCH)
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


def _span(key: str, value: str, today: date) -> tuple[date | None, date | None] | None:
    """The days that before:, after: and on: mean: the first one, and the first one after them.
    None if `value` is not a day."""
    days = _days(value, today)
    if days is None or not 1970 <= days[0].year < 9000:
        return None
    first, next_one = days
    return {"before": (None, first), "after": (next_one, None), "on": days}[key]


def _days(value: str, today: date) -> tuple[date, date] | None:
    """The first day of a day, month or year, and the first day after it."""
    if value in ("today", "yesterday"):
        value = (today - timedelta(days=value == "yesterday")).isoformat()
    if not _DAY.fullmatch(value):
        return None
    numbers = [int(number) for number in value.split("-")]
    year, month, day = [*numbers, 1, 1][:3]
    end = (year + 1, 1) if len(numbers) == 1 else (year + month // 12, month % 12 + 1)
    try:
        first = date(year, month, day)
        return first, first + timedelta(days=1) if len(numbers) == 3 else date(*end, 1)
    except (ValueError, OverflowError):
        return None


def _not_a_day(key: str, value: str) -> str:
    like = f"{key}:2026-11-25, {key}:2026-11 or {key}:yesterday"
    return f"“{value}” is not a date. Write {like}." if value else f"Write a date, such as {like}."
