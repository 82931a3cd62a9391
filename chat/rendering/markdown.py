"""What people write, as it is shown: a part of Markdown, as HTML that holds nothing else.

The store keeps what was typed; this module turns it into the HTML of a message. The text between
the tags is in exactly the order in which it was typed, and the only markup is the tags and
attributes of `_clean`: nh3 removes anything else, so that a mistake in the parser, or here, is not
a security hole.

Rendering is work: in the server it is done by another process (chat.rendering.text_renderer). A
text has a budget of MAX_STEPS, which depends on the text alone, so that every process shows it
alike; one over it is shown as it was typed. MAX_PARSE_SECONDS is for what nobody has thought of.
"""

import html
import logging
import re
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import emoji
import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore, linkify
from markdown_it.rules_inline import StateInline, emphasis, link
from markdown_it.token import Token
from markupsafe import Markup, escape
from pygments.lexer import Lexer

from ..domain.mentions import Mentions, marks
from ..runtime.cpu_limit import OutOfTime, within
from ..search.tokenizer import is_alone
from .syntax_highlighting import CLASSES, PLAIN, find_lexer, highlight

log = logging.getLogger(__name__)

MAX_STEPS = 1500  # places in a text at which the parser tries its rules; dense prose has 500
MAX_PARSE_SECONDS = 0.1  # of processor time; MAX_STEPS of the slowest kind take a sixth of that
MAX_COLOR_SECONDS = 0.05  # for the colours of all code in a message; 4,000 characters take 5 ms
GIST_READ_CHARS = 400  # of a message, in which its first line is looked for
DEEPEST = 12  # levels of quotes and lists; a text with more is shown as it was written
MOST_IN_WORD = 5  # addresses in what has no space in it
MOST_LARGE = 3  # emoji in a message of nothing else, up to which they are large
LONGEST_GIST = 80  # characters of a message in the list of rooms
# In all marks of a message together. A name that a thousand people have, or `@here` in a room of
# hundreds, stands in a message as often as somebody likes, and each mark holds all their ids.
MAX_MARK_CHARS = 30_000

# One of these is in every text that is shown otherwise than it was written: line ends, what
# Markdown means something by (what is in brackets holds an address, which has a colon), names of
# emoji and addresses, but not the @ before a name nor the colon after a word; or one of those at
# its beginning, of a list, a quote, or an emoji. Written so that nearly all characters are passed
# over by their first test.
_MEANT = re.compile(r"[\n*_~`\\:@](?<!\W@)(?<!^@)(?!(?<=:)(?:\s|$))")
_KEYCAP = "[0-9#*]\ufe0f?\u20e3"
_BEGINS = re.compile(
    rf"[-+>]|[0-9]{{1,9}}[.)]|{_KEYCAP}"
    r"|[\xa9\xae\u203c-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
# What may be nothing but emoji. No two of the alternatives begin with the same character.
_EMOJI = re.compile(rf"(?:[ \n]|:[^\s:]+:|{_KEYCAP}|[^\0-\x7f])+")
_NAME = re.compile(r":[^\s:]+:")
# Not emoji.emojize, which looks through the whole table for each name that is none.
_NAMES = {
    name: text
    for text, data in emoji.EMOJI_DATA.items()
    if data["status"] <= emoji.STATUS["fully_qualified"]
    for name in (data["en"], *data.get("alias", ()))
}
_SCHEMES = ("http", "https", "mailto")
# Without a name before the host: `https://bank.example@a.org` is a page of a.org.
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:[/?#]|$)|mailto:", re.I)
_STARS = re.compile(r"\*+")
_NOWHERE = re.compile(r"\(\s*\)")
_SCHEME = re.compile(r"(?:^|[^a-z0-9.+-])(https?)$", re.I)
_DEAD_LINK = re.compile(
    r'<a (?:class="named" )?target="_blank" rel="[^"]*">(.*?)</a>'
)  # nh3 knows no such address
_BLOCK_END = re.compile(r"</(?:p|li|blockquote|pre)>|<br>")
_TAG = re.compile(r"<[^>]*>")

_clean = nh3.Cleaner(
    tags={"a", "blockquote", "br", "code", "em", "li", "ol", "p", "pre", "s", "span", "strong"}
    | {"ul"},
    clean_content_tags=set(),
    attributes={"*": set(), "a": {"href"}, "ol": {"start"}, "span": {"data-uid"}},
    tag_attribute_values={
        tag: {"dir": {"auto", "ltr"}} for tag in ("blockquote", "ol", "p", "pre", "ul")
    },
    set_tag_attribute_values={"a": {"target": "_blank"}},  # the page, and what is typed, stays
    allowed_classes={"a": {"named"}, "span": {"emoji", "mention", *CLASSES}},
    link_rel="noopener noreferrer nofollow ugc",
    url_schemes=set(_SCHEMES),
    url_relative="deny",
).clean


class TooMuchWork(Exception):
    """A text is over MAX_STEPS."""


def render(body: str, mentions: Mentions = ()) -> Markup:
    """A message's body as it is shown: text, or elements for Markdown and for whom it mentions.
    A text that cannot be shown so, or would take too much work, is shown as it was typed."""
    if not mentions and not is_marked_up(body):
        return escape(body)
    try:
        if large := _large(body):
            return Markup('<span class="emoji">{}</span>').format(large)
        return _rendered(body, mentions)
    except (TooMuchWork, OutOfTime):
        return as_typed(body)
    except Exception:
        log.exception("cannot show a text of %d characters", len(body))
        return as_typed(body)


def gist(body: str) -> str:
    """The first line of a body as it reads, without markup: LONGEST_GIST characters at most."""
    if not is_marked_up(body):
        return body[:LONGEST_GIST]
    shown = str(render(body[:GIST_READ_CHARS]))
    lines = html.unescape(_TAG.sub("", _BLOCK_END.sub("\n", shown))).split("\n")
    return next(filter(None, map(str.strip, lines)), "")[:LONGEST_GIST]


def is_marked_up(body: str) -> bool:
    """False for a text that is shown as it is: most are, and are not worth a parser."""
    return bool(_MEANT.search(body) or _BEGINS.match(body)) or "ww." in body


def as_typed(body: str) -> Markup:
    """A body with no markup but its line ends."""
    return escape(body).replace("\n", Markup("<br>"))


def _rendered(body: str, mentions: Mentions) -> Markup:
    tokens = within(MAX_PARSE_SECONDS, lambda: _parsed(body, mentions))
    deep = any(token.level >= DEEPEST - 1 for token in tokens)
    if deep or not any(token.content.strip() for token in tokens):
        return as_typed(body)
    _color(tokens)
    shown = _markdown.renderer.render(tokens, _markdown.options, {})
    return Markup(_DEAD_LINK.sub(r"\1", _clean(shown)))


def _parsed(body: str, mentions: Mentions) -> list[Token]:
    env = {
        "crowded": _is_crowded(body),
        "mentions": mentions,
        "steps": MAX_STEPS,
        "mark_chars": MAX_MARK_CHARS,
        "marked": set(),
    }
    return _markdown.parse(body, env)


def _color(tokens: list[Token]) -> None:
    """Replace the content of each block of code by its HTML, with colours as far as the time for
    all of them goes."""
    # Loading a lexer for the first time takes longer than there is for colours.
    blocks = [(token, *_code_of(token)) for token in tokens if token.type == "fence"]

    def color() -> None:
        for token, code, lexer in blocks:
            token.meta["html"] = highlight(code, lexer)

    if blocks:
        with suppress(OutOfTime):
            within(MAX_COLOR_SECONDS, color)


def _code_of(token: Token) -> tuple[str, Lexer | None]:
    """The code of a block, and what knows its language."""
    code, words = token.content, token.info.strip()
    lexer = find_lexer(words.lower())
    if lexer is None and words and words.lower() not in PLAIN:
        code = f"{words}\n{code}"  # no language: it begins behind the marks, and may end so
        code = code.rstrip("\n").removesuffix(token.markup)
    return code, lexer


def _large(body: str) -> str:
    """The emoji of a text that is nothing but a few; "" for any other."""
    if len(body) > 100 or not _EMOJI.fullmatch(body):
        return ""
    text = _named(body).replace(" ", "")
    found = [part.value for part in emoji.analyze(text, non_emoji=True)]
    are = all(isinstance(part, emoji.EmojiMatch) for part in found)
    return text if are and 0 < len(found) <= MOST_LARGE else ""


def _named(text: str) -> str:
    """Text with emoji in the places of their names, as `:tada:`."""
    return _NAME.sub(lambda name: _NAMES.get(name[0], name[0]), text)


# The parser: CommonMark without what a chat does not need or people do not mean


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        return bool(_ADDRESS.match(url))

    def normalizeLinkText(self, url: str) -> str:
        """An address as it was written, never as the name that its punycode stands for, which may
        look like another's."""
        return url


class _Renderer(RendererHTML):
    """Without line ends between elements, which would be seen: white space in messages is kept."""

    def renderToken(
        self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]
    ) -> str:
        if tokens[idx].block and tokens[idx].level == 0 and tokens[idx].nesting == 1:
            tokens[idx].attrSet("dir", "auto")
        return super().renderToken(tokens, idx, options, env).strip("\n")

    def fence(
        self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]
    ) -> str:
        code = tokens[idx].meta.get("html")
        if code is None:  # there was no time left for this block
            code = escape(_code_of(tokens[idx])[0])
        return f'<pre dir="ltr"><code>{code}</code></pre>'

    def softbreak(
        self, tokens: Sequence[Token], idx: int, options: Any, env: MutableMapping[str, Any]
    ) -> str:
        return "<br>"

    hardbreak = softbreak


def _link(state: StateInline, silent: bool) -> bool:
    """`[text](address)`; a link to nowhere, as in `list[0]()`, is none."""
    if state.src[state.pos] != "[":
        return False
    end = state.md.helpers.parseLinkLabel(state, state.pos, True)
    return not _NOWHERE.match(state.src, end + 1) and link(state, silent)


def _image(state: StateInline, silent: bool) -> bool:
    """`![text](address)` is a plain link: nothing of other sites is loaded. Not when somebody
    only looks (`silent`), so that it is seen that there is a link, where none may be in another."""
    if silent or not state.src.startswith("![", state.pos):
        return False
    state.pos += 1
    if _link(state, silent):
        return True
    state.pos -= 1
    return False


def _count_inline(state: StateInline, silent: bool) -> bool:
    """No rule, but a count: it is tried at each place in a line before all others."""
    _count(state.env)
    return False


def _count_block(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """The same for lines."""
    _count(state.env)
    return False


def _count(env: MutableMapping[str, Any]) -> None:
    env["steps"] -= 1
    if env["steps"] < 0:
        raise TooMuchWork


def _ends_quote(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """What follows a quote is the answer to it, though no empty line is between them."""
    return silent


def _ends_item(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """What follows a list and is not indented is not a part of its last item."""
    return silent and 0 <= state.sCount[line] < state.blkIndent


def _address(state: StateInline, silent: bool) -> bool:
    """An address with http: or https: is a link before anything in it can be taken for markup.
    In the place of the parser's own rule, which searches all before the colon for a scheme."""
    if not state.src.startswith("://", state.pos) or state.linkLevel or state.env["crowded"]:
        return False
    scheme = _SCHEME.search(state.pending[-6:])
    if scheme is None or state.md.linkify is None:
        return False
    found = state.md.linkify.match_at_start(state.src[state.pos - len(scheme[1]) :])
    if found is None:
        return False
    shown = found.url.rstrip("*")  # those are the end of what is emphasized
    address = state.md.normalizeLink(shown)
    if not state.md.validateLink(address):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[1])]
        state.push("link_open", "a", 1).attrs = {"href": address}
        state.tokens[-1].markup = "linkify"
        state.push("text", "", 0).content = shown
        state.push("link_close", "a", -1)
    state.pos += len(shown) - len(scheme[1])
    return True


def _emphasis(state: StateInline, silent: bool) -> bool:
    """Nothing is emphasized by a star within a word, as in `2*3*4`: CommonMark's rule for `_`. But
    in scripts that know no spaces, as in `很**重要**的`, it must be."""
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


def _www(_: object, text: str, start: int) -> int:
    """How many characters of an address follow its `www.`; 0 where that begins none."""
    before = text[start - 5 : start - 4] if start > 4 else ""
    found = _host_and_path().match(text, start) if before not in ("/", "@", ".", "-", "=") else None
    return len(found[0]) if found and "." in found[0] else 0


@cache
def _host_and_path() -> re.Pattern[str]:
    assert _markdown.linkify is not None
    parts = _markdown.linkify.re
    return re.compile(parts["src_host_port_strict"] + parts["src_path"], re.I)


def _with_https(_: object, match: Any) -> None:
    match.url = f"https://{match.url}"


def _find_addresses(state: StateCore) -> None:
    """Addresses of mail and those that begin with `www.`, and what `_address` did not see."""
    if not state.env["crowded"]:
        linkify(state)


def _is_crowded(body: str) -> bool:
    """True where many addresses follow one another without a space, which nobody writes: from
    each, linkify-it looks to the end of all."""
    marks = body.count("://") + body.count("ww.")
    return marks > MOST_IN_WORD and any(
        word.count("://") + word.count("ww.") > MOST_IN_WORD for word in body.split()
    )


def _name_emoji(state: StateCore) -> None:
    """Emoji for their names, but not in code, nor in what is an address."""
    for block in state.tokens:
        before = ""
        for token in block.children or ():
            if token.type == "text" and before not in ("linkify", "autolink"):
                token.content = _named(token.content)
            before = token.markup if token.type == "link_open" else ""
            if token.type == "link_open" and not before:
                token.attrSet("class", "named")  # its address is to be read on paper


def _mark_mentions(state: StateCore) -> None:
    """An element for each mention, which says whom it reaches: for the first of each name, and
    for the others up to MAX_MARK_CHARS."""
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


def _parser() -> MarkdownIt:
    markdown = _Markdown(
        "commonmark",
        {"html": False, "linkify": True, "maxNesting": DEEPEST},
        renderer_cls=_Renderer,
    )
    # An indented text is no code, a line of dashes no rule, `&amp;` what it says.
    markdown.disable(
        ["code", "heading", "lheading", "hr", "html_block", "html_inline", "reference", "entity"]
    )
    markdown.enable(["strikethrough", "linkify"])
    markdown.inline.ruler.at("link", _link)
    markdown.inline.ruler.at("image", _image)
    markdown.inline.ruler.at("linkify", _address)
    markdown.inline.ruler.at("emphasis", _emphasis)
    markdown.core.ruler.at("linkify", _find_addresses)
    everywhere: Any = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    markdown.block.ruler.before("fence", "count", _count_block, everywhere)
    markdown.inline.ruler.before("text", "count", _count_inline)
    markdown.block.ruler.before("blockquote", "ends_quote", _ends_quote, {"alt": ["blockquote"]})
    markdown.block.ruler.before("blockquote", "ends_item", _ends_item, {"alt": ["paragraph"]})
    markdown.core.ruler.push("emoji", _name_emoji)
    markdown.core.ruler.push("mentions", _mark_mentions)
    assert markdown.linkify is not None
    # Not `setup.py` or `main.rs`, whose ends are those of countries.
    markdown.linkify.set({"fuzzy_link": False, "fuzzy_email": True})
    for scheme in ("ftp:", "//"):
        markdown.linkify.add(scheme, None)
    markdown.linkify.add("www.", {"validate": _www, "normalize": _with_https})
    return markdown


_markdown = _parser()
