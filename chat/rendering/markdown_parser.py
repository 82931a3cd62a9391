"""The parser for messages: CommonMark without what a chat does not need or people do not mean, with
emoji for their names, mentions, and a budget of steps."""

import re
from collections.abc import MutableMapping
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline, emphasis, link
from markdown_it.token import Token

from ..domain.mentions import Mentions, marks
from ..search.tokenizer import is_alone
from . import markdown_links
from .emoji_names import replace_names

MAX_STEPS = 1500  # places in a text at which the parser tries its rules; dense prose has 500
MAX_LEVELS = 12  # of quotes and lists; a text with more is shown as it was typed
# In all mention marks of a message together. A name that a thousand people have, or `@here` in a
# room of hundreds, can stand in a message many times, and each mark holds all their ids.
MAX_MARK_CHARS = 30_000

_STARS = re.compile(r"\*+")
_NO_ADDRESS = re.compile(r"\(\s*\)")


class TooMuchWork(Exception):
    """A text is over MAX_STEPS."""


def parse(body: str, mentions: Mentions = ()) -> list[Token]:
    """The tokens of a message. Raises TooMuchWork."""
    env = {
        "crowded": markdown_links.is_crowded(body),
        "mentions": mentions,
        "steps": MAX_STEPS,
        "mark_chars": MAX_MARK_CHARS,
        "marked": set(),
    }
    return _parser.parse(body, env)


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        return markdown_links.is_allowed(url)

    def normalizeLinkText(self, url: str) -> str:
        """An address as it was typed, never as the name that its punycode stands for, which may
        look like another one."""
        return url


def _count(state: StateBlock | StateInline, *_: object) -> bool:
    """A block rule and an inline rule that matches nothing, but counts: it is tried before all
    others at each line and at each place in it."""
    state.env["steps"] -= 1
    if state.env["steps"] < 0:
        raise TooMuchWork
    return False


# Inline rules


def _link(state: StateInline, silent: bool) -> bool:
    """`[text](address)`; without an address, as in `list[0]()`, it is no link."""
    if state.src[state.pos] != "[":
        return False
    end = state.md.helpers.parseLinkLabel(state, state.pos, True)
    return not _NO_ADDRESS.match(state.src, end + 1) and link(state, silent)


def _image(state: StateInline, silent: bool) -> bool:
    """`![text](address)` is a plain link: nothing is loaded from other sites. A `silent` look finds
    nothing, so that the link is seen where none may stand inside another."""
    if silent or not state.src.startswith("![", state.pos):
        return False
    state.pos += 1
    if _link(state, silent):
        return True
    state.pos -= 1
    return False


def _emphasis(state: StateInline, silent: bool) -> bool:
    """A star within a word, as in `2*3*4`, emphasizes nothing: CommonMark's rule for `_`. In
    scripts without spaces, as in `很**重要**的`, it must."""
    run = _STARS.match(state.src, state.pos)
    if (
        silent
        or run is None
        or not (_in_word(state.src, run.start() - 1) and _in_word(state.src, run.end()))
    ):
        return emphasis.tokenize(state, silent)
    state.append_pending(run[0])
    state.pos = run.end()
    return True


def _in_word(text: str, at: int) -> bool:
    sign = text[at : at + 1] if at >= 0 else ""
    return sign.isalnum() and not is_alone(sign)


# Block rules


def _ends_quote(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """The line after a quote is the answer to it, even without an empty line between them."""
    return silent


def _ends_item(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """A line after a list that is not indented is not part of the last item."""
    return silent and 0 <= state.sCount[line] < state.blkIndent


# Core rules


def _name_emoji(state: StateCore) -> None:
    """Replace the names of emoji, but not in code and not in addresses."""
    for block in state.tokens:
        before = ""
        for token in block.children or ():
            if token.type == "text" and before not in ("linkify", "autolink"):
                token.content = replace_names(token.content)
            before = token.markup if token.type == "link_open" else ""
            if token.type == "link_open" and not before:
                token.attrSet("class", "named")  # its address is printed on paper


def _mark_mentions(state: StateCore) -> None:
    """Make an element of each mention, with the ids of the people it reaches: of the first with
    each name, and of the others up to MAX_MARK_CHARS."""
    if not state.env["mentions"]:
        return
    for block in state.tokens:
        if block.children:
            pieces = (_marked(token, state.env) for token in block.children)
            block.children = [piece for some in pieces for piece in some]


def _marked(token: Token, env: MutableMapping[str, Any]) -> list[Token]:
    if token.type != "text":
        return [token]
    tokens = []
    for piece, uids in marks(token.content, env["mentions"]):
        shown = [Token("text", "", 0, content=piece)]
        if uids and _may_mark(uids, env):
            attrs: dict[str, str | int | float] = {"class": "mention", "data-uid": uids}
            open_ = Token("mention_open", "span", 1, attrs)
            shown = [open_, *shown, Token("mention_close", "span", -1)]
        tokens += shown
    return tokens


def _may_mark(uids: str, env: MutableMapping[str, Any]) -> bool:
    """Whether one more mark with these ids is within MAX_MARK_CHARS; the first one always is."""
    env["mark_chars"] -= len(uids)
    is_first = uids not in env["marked"]
    env["marked"].add(uids)
    return is_first or env["mark_chars"] >= 0


def _make_parser() -> MarkdownIt:
    parser = _Parser("commonmark", {"html": False, "linkify": True, "maxNesting": MAX_LEVELS})
    # Indented text is not code, a line of dashes is not a rule, and `&amp;` is those characters.
    parser.disable(
        ["code", "heading", "lheading", "hr", "html_block", "html_inline", "reference", "entity"]
    )
    parser.enable(["strikethrough", "linkify"])
    parser.inline.ruler.at("link", _link)
    parser.inline.ruler.at("image", _image)
    parser.inline.ruler.at("linkify", markdown_links.address_rule)
    parser.inline.ruler.at("emphasis", _emphasis)
    parser.core.ruler.at("linkify", markdown_links.linkify_rule)
    everywhere: Any = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "count", _count, everywhere)
    parser.inline.ruler.before("text", "count", _count)
    parser.block.ruler.before("blockquote", "ends_quote", _ends_quote, {"alt": ["blockquote"]})
    parser.block.ruler.before("blockquote", "ends_item", _ends_item, {"alt": ["paragraph"]})
    parser.core.ruler.push("emoji", _name_emoji)
    parser.core.ruler.push("mentions", _mark_mentions)
    parser.core.ruler.push("dead_links", markdown_links.dead_links_rule)
    assert parser.linkify is not None
    markdown_links.configure(parser.linkify)
    return parser


_parser = _make_parser()
options: Any = _parser.options  # for a renderer of the tokens
