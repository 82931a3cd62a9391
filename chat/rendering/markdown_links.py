"""Links in messages: which addresses are allowed, and where an address begins and ends in text."""

import re
from typing import Any

import nh3
from markdown_it.rules_core import StateCore, linkify
from markdown_it.rules_inline import StateInline
from markupsafe import Markup

SCHEMES = ("http", "https", "mailto")
MAX_ADDRESSES_IN_WORD = 5  # in a run of characters without a space

# Without a user name before the host: `https://bank.example@a.org` is a page of a.org.
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:[/?#]|$)|mailto:", re.I)
_SCHEME_AT_END = re.compile(r"(?:^|[^a-z0-9.+-])(https?)$", re.I)
_clean_link = nh3.Cleaner(
    tags={"a"}, attributes={"a": {"href"}}, url_schemes=set(SCHEMES), url_relative="deny"
).clean


def is_allowed(url: str) -> bool:
    """True if a message may contain a link to this address."""
    return bool(_ADDRESS.match(url))


def configure(finder: Any) -> None:
    """Make a LinkifyIt find mail addresses and addresses with `www.`, but not `setup.py` or
    `main.rs`, which end like the domains of countries."""
    finder.set({"fuzzy_link": False, "fuzzy_email": True})
    for scheme in ("ftp:", "//"):
        finder.add(scheme, None)
    host_and_path = re.compile(finder.re["src_host_port_strict"] + finder.re["src_path"], re.I)

    def www_length(_: object, text: str, start: int) -> int:
        """Return how many characters of an address follow `www.`; 0 if this is not an address."""
        before = text[start - 5 : start - 4] if start > 4 else ""
        if before in ("/", "@", ".", "-", "="):
            return 0
        found = host_and_path.match(text, start)
        return len(found[0]) if found and "." in found[0] else 0

    finder.add("www.", {"validate": www_length, "normalize": _add_https})


def _add_https(_: object, match: Any) -> None:
    match.url = f"https://{match.url}"


def address_rule(state: StateInline, silent: bool) -> bool:
    """An inline rule: an address with http: or https: becomes a link before anything in it can be
    mistaken for markup. Replaces the parser's own rule, which searches all text before the colon
    for a scheme."""
    if not state.src.startswith("://", state.pos) or state.linkLevel or state.env["crowded"]:
        return False
    scheme = _SCHEME_AT_END.search(state.pending[-6:])
    if scheme is None or state.md.linkify is None:
        return False
    found = state.md.linkify.match_at_start(state.src[state.pos - len(scheme[1]) :])
    if found is None:
        return False
    shown = found.url.rstrip("*")  # stars end an emphasis
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


def linkify_rule(state: StateCore) -> None:
    """A core rule: mail addresses, addresses with `www.`, and those that `address_rule` missed."""
    if not state.env["crowded"]:
        linkify(state)


def dead_links_rule(state: StateCore) -> None:
    """A core rule: removes links whose address nh3 would remove, such as one with an impossible
    port."""
    for block in state.tokens:
        is_dead, kept = False, []
        for token in block.children or ():
            if token.type == "link_open":
                is_dead = not _is_address(str(token.attrGet("href")))
            if not (is_dead and token.type in ("link_open", "link_close")):
                kept.append(token)
        if block.children:
            block.children = kept


def _is_address(url: str) -> bool:
    return "href" in _clean_link(Markup('<a href="{}"></a>').format(url))


def is_crowded(body: str) -> bool:
    """True for many addresses in a row without a space, which nobody writes: from each of them,
    linkify-it reads to the end of the last."""
    marks = body.count("://") + body.count("ww.")
    return marks > MAX_ADDRESSES_IN_WORD and any(
        word.count("://") + word.count("ww.") > MAX_ADDRESSES_IN_WORD for word in body.split()
    )
