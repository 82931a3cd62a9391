"""Converts the text of messages, a subset of Markdown, to HTML.

The store contains messages as they were typed. The text between the tags keeps its order. The only
tags and attributes are those of `_clean`: nh3 removes all others, so that a bug in the parser or in
this module is not a security hole.

Rendering takes time, so servers do it in a child process (chat.rendering.text_renderer). A text has
a budget of MAX_STEPS (chat.rendering.markdown_parser). What a text uses of it depends on the text
alone, so all processes render it alike. A text that exceeds the budget is shown as it was typed.
MAX_PARSE_SECONDS is a second limit, for kinds of text that nobody has foreseen.
"""

import logging
import re
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

import nh3
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup, escape
from pygments.lexer import Lexer

from ..domain.mentions import Mentions
from ..runtime.cpu_limit import OutOfTime, within
from . import markdown_links
from .emoji_names import KEYCAP, large_emoji
from .markdown_parser import MAX_LEVELS, TooMuchWork, options, parse
from .syntax_highlighting import CLASSES, PLAIN, find_lexer, highlight

log = logging.getLogger(__name__)
T = TypeVar("T")
Env = MutableMapping[str, Any]  # of markdown-it

MAX_PARSE_SECONDS = 0.1  # of processor time; MAX_STEPS of the slowest kind take a sixth of this
MAX_COLOR_SECONDS = 0.05  # to highlight all code in a message; 4,000 characters take 5 ms
MAX_GIST_CHARS = 80  # of a message, in the room list
GIST_SOURCE_CHARS = 400  # at the beginning of a message, from which the gist is made

# Every text with markup contains one of these characters or begins with one of those below: line
# ends, characters that Markdown uses (brackets only around an address, which has a colon), and the
# first characters of emoji names and addresses. The @ before a name and the colon after a word do
# not count. The expression is written so that nearly all characters fail its first test.
_HAS_MARKUP = re.compile(r"[\n*_~`\\:@](?<!\W@)(?<!^@)(?!(?<=:)(?:\s|$))")
# The beginning of a list, a quote or an emoji.
_BEGINS_MARKUP = re.compile(
    rf"[-+>]|[0-9]{{1,9}}[.)]|{KEYCAP}"
    r"|[\xa9\xae\u203c-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_BLOCK_ENDS = {"paragraph_close", "list_item_close", "blockquote_close"}

_clean = nh3.Cleaner(
    tags={"a", "blockquote", "br", "code", "em", "li", "ol", "p", "pre", "s", "span", "strong"}
    | {"ul"},
    clean_content_tags=set(),
    attributes={"*": set(), "a": {"href"}, "ol": {"start"}, "span": {"data-uid"}},
    tag_attribute_values={
        tag: {"dir": {"auto", "ltr"}} for tag in ("blockquote", "ol", "p", "pre", "ul")
    },
    set_tag_attribute_values={"a": {"target": "_blank"}},  # keeps the page, and text typed in it
    allowed_classes={"a": {"named"}, "span": {"emoji", "mention", *CLASSES}},
    link_rel="noopener noreferrer nofollow ugc",
    url_schemes=set(markdown_links.SCHEMES),
    url_relative="deny",
).clean


def render(body: str, mentions: Mentions = ()) -> Markup:
    """The HTML of a message's body, with elements for Markdown and mentions. A text that cannot be
    rendered, or would take too much work, is shown as it was typed."""
    if not mentions and not is_marked_up(body):
        return escape(body)
    html = _attempt(body, lambda: _html(body, mentions))
    return as_typed(body) if html is None else html


def gist(body: str) -> str:
    """The first line of a body without markup, with at most MAX_GIST_CHARS characters."""
    if not is_marked_up(body):
        return body[:MAX_GIST_CHARS]
    text = body[:GIST_SOURCE_CHARS]
    plain = _attempt(text, lambda: _plain_text(text))
    lines = (text if plain is None else plain).split("\n")
    return next(filter(None, map(str.strip, lines)), "")[:MAX_GIST_CHARS]


@lru_cache(maxsize=8)  # called several times in a row for each message
def is_marked_up(body: str) -> bool:
    """Return False for a text that is shown as it was typed. Most texts are, and need no parser."""
    return bool(_HAS_MARKUP.search(body) or _BEGINS_MARKUP.match(body)) or "ww." in body


def as_typed(body: str) -> Markup:
    """A body with no markup except line breaks."""
    return escape(body).replace("\n", Markup("<br>"))


def _attempt(body: str, render: Callable[[], T]) -> T | None:
    """The result of `render`, or None if the text must be shown as it was typed."""
    try:
        return render()
    except (TooMuchWork, OutOfTime):
        return None
    except Exception:
        log.exception("cannot show a text of %d characters", len(body))
        return None


def _tokens(body: str, mentions: Mentions = ()) -> list[Token]:
    """The tokens of a body; none if it contains only markup. Raises TooMuchWork, also for too many
    levels, and OutOfTime."""
    tokens = within(MAX_PARSE_SECONDS, lambda: parse(body, mentions))
    if any(token.level >= MAX_LEVELS - 1 for token in tokens):
        raise TooMuchWork
    return tokens if any(token.content.strip() for token in tokens) else []


# Plain text


def _plain_text(body: str) -> str | None:
    """Return the text without markup, with a line end after each block; None if nothing is left."""
    if large := large_emoji(body):
        return large
    return "".join(map(_text_of, _tokens(body))) or None


def _text_of(token: Token) -> str:
    if token.type == "inline":
        return "".join(map(_text_of, token.children or ()))
    if token.type in ("softbreak", "hardbreak") or token.type in _BLOCK_ENDS:
        return "\n"
    return f"{_code_of(token)[0]}\n" if token.type == "fence" else token.content


# HTML


def _html(body: str, mentions: Mentions) -> Markup | None:
    if large := large_emoji(body):
        return Markup('<span class="emoji">{}</span>').format(large)
    if not (tokens := _tokens(body, mentions)):
        return None
    _color(tokens)
    return Markup(_clean(_renderer.render(tokens, options, {})))


def _color(tokens: list[Token]) -> None:
    """Highlight as many blocks of code as MAX_COLOR_SECONDS allows."""
    # Find the lexers first: loading one takes longer than MAX_COLOR_SECONDS.
    blocks = [(token, *_code_of(token)) for token in tokens if token.type == "fence"]

    def color() -> None:
        for token, code, lexer in blocks:
            token.meta["html"] = highlight(code, lexer)

    if blocks:
        with suppress(OutOfTime):
            within(MAX_COLOR_SECONDS, color)


def _code_of(token: Token) -> tuple[str, Lexer | None]:
    """The code of a block, and the lexer for its language."""
    code, words = token.content, token.info.strip()
    lexer = find_lexer(words.lower())
    if lexer is None and words and words.lower() not in PLAIN:
        # There is no language: the code begins right after the opening marks, and may end before
        # other text.
        code = f"{words}\n{code}".rstrip("\n").removesuffix(token.markup)
    return code, lexer


class _Renderer(RendererHTML):
    """Leaves out line ends between elements, because white space in messages is visible."""

    def renderToken(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        if tokens[idx].block and tokens[idx].level == 0 and tokens[idx].nesting == 1:
            tokens[idx].attrSet("dir", "auto")
        return super().renderToken(tokens, idx, options, env).strip("\n")

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        code = tokens[idx].meta.get("html")
        if code is None:  # no time was left to highlight this block
            code = escape(_code_of(tokens[idx])[0])
        return f'<pre dir="ltr"><code>{code}</code></pre>'

    def softbreak(self, tokens: Sequence[Token], idx: int, options: Any, env: Env) -> str:
        return "<br>"

    hardbreak = softbreak


_renderer = _Renderer()
