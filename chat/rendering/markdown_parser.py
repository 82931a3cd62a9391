"""The parser for messages: CommonMark without the parts that a chat does not need or that people
trigger by accident, and with emoji names, mentions and a budget of steps."""

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

MAX_STEPS = 1500  # places in a text where the parser tries its rules; dense prose has 500
MAX_LEVELS = 12  # of nested quotes and lists; a text with more is shown as it was typed
# In the ids of all mentions of a message together. Each mention contains the ids of all people it
# reaches, and a message can repeat a name that a thousand people have, or `@here` in a large room.
MAX_MARK_CHARS = 30_000

_STARS = re.compile(r"\*+")
_NO_ADDRESS = re.compile(r"\(\s*\)")


class TooMuchWork(Exception):
    """A text exceeds MAX_STEPS or MAX_LEVELS."""


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
        """An address as it was typed. Its punycode is never decoded, because the decoded name may
        look like another address."""
        return url


def _count(state: StateBlock | StateInline, *_: object) -> bool:
    """A rule that matches nothing and counts a step. It is tried before all other rules: as a block
    rule at each line, as an inline rule at each place in a line."""
    state.env["steps"] -= 1
    if state.env["steps"] < 0:
        raise TooMuchWork
    return False


# Inline rules


def _link(state: StateInline, silent: bool) -> bool:
    """`[text](address)`. Without an address, as in `list[0]()`, it is not a link."""
    if state.src[state.pos] != "[":
        return False
    end = state.md.helpers.parseLinkLabel(state, state.pos, True)
    return not _NO_ADDRESS.match(state.src, end + 1) and link(state, silent)


def _image(state: StateInline, silent: bool) -> bool:
    """`![text](address)` is an ordinary link: nothing is loaded from other sites. Finds nothing if
    `silent`, so that the parser notices a link inside another one."""
    if silent or not state.src.startswith("![", state.pos):
        return False
    state.pos += 1
    if _link(state, silent):
        return True
    state.pos -= 1
    return False


def _emphasis(state: StateInline, silent: bool) -> bool:
    """A star inside a word, as in `2*3*4`, does not emphasize: CommonMark's rule for `_`. In
    scripts without spaces, as in `很**重要**的`, it does."""
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
    """The line after a quote is not part of it, even without an empty line between them."""
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
                token.attrSet("class", "named")  # so its address appears in print


def _mark_mentions(state: StateCore) -> None:
    """Make an element of each mention, with the ids of the people it reaches. The first mention of
    each name is always marked, the others up to MAX_MARK_CHARS."""
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
    """Return True if one more mention with these ids may be marked; the first one always may."""
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
