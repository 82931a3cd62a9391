"""The most expensive texts of each kind: the longest that people write, and texts that somebody
writes to block a server."""

from chat.domain.validation import MAX_BODY_CHARS
from chat.rendering.syntax_highlighting import LANGUAGES

_CODE = """
import os  # a comment with "quotes" and 'more' of them
class Tea(Cup, metaclass=Pot):
    \"\"\"Words about it.\"\"\"
    def pour(self, amount=0x1F, *, into: str = f"{os.sep}x") -> list[int]:
        if (amount > 3 and not self.empty) || a->b != c::d { return [n ** 2 for n in range(10)]; }
        <div class="a" id='b'>&amp;</div> $x = @y; SELECT * FROM t WHERE a = 'b' AND c <= 4.5e3;
"""
# Repeated to fill a message.
_PIECES = {
    "brackets": "](*[[&",
    "images": "![](https://",
    "emphasis": "*a _b **c ",
    "stars": "*_",
    "links": "[a](http://x.org/",
    "whole links": "[a](https://b.org) ",
    "addresses": "https://a.b ",
    "mail": "a.b@c.org ",
    "www": "www.a.org ",
    "quotes": "> a\n> > b\n",
    "lists": "- a\n  - b\n",
    "numbered": "1. a\n",
    "code in lines": "`a` ``b`` ",
    "emoji names": ":tada: :+1:",
    "emoji": "🎉👍🏽",
    "no emoji": ":nonesuch: ",
    "mentions": "@Ann @here @Ann Bee ",
    "backslashes": "\\*",
    "tildes": "~~a~~ ",
    "lines": "\n",
    "escapes": "<&'\"",
    "marks": "a\u0301\u0301",
    "thai": "กำ",
    "prose": "Some **bold** words with [a link](https://a.org/b), `code` and :tada: in it.\n\n",
    "plain": "Nothing but words here ",
}


def filled(piece: str) -> str:
    """A message of nothing but a piece."""
    return ("x" + piece * MAX_BODY_CHARS)[:MAX_BODY_CHARS]


def code(language: str) -> str:
    """A message of code."""
    body = (_CODE * 20)[: MAX_BODY_CHARS - 40]
    return f"```{language}\n{body}\n```"


TEXTS = {name: filled(piece) for name, piece in _PIECES.items()}
TEXTS |= {f"code, {language}": code(language) for language in sorted(LANGUAGES)}
