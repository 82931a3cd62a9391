"""Colours for code in messages: a block of code as spans with a few classes of our own."""

import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token, _TokenType

# What may stand behind ```.
LANGUAGES = frozenset(
    {"bash", "c", "c#", "c++", "cpp", "cs", "csharp", "css", "diff", "docker", "dockerfile", "go"}
    | {"golang", "html", "java", "javascript", "js", "json", "kotlin", "lua", "make", "makefile"}
    | {"php", "pl", "perl", "py", "python", "rb", "rs", "ruby", "rust", "sh", "shell", "sql"}
    | {"swift", "toml", "ts", "typescript", "xml", "yaml", "zsh"}
)
PLAIN = frozenset({"text", "txt", "plain", "plaintext", "console", "output", "log"})

# What is coloured, and the class that says so. What is not listed looks like what it is a kind of.
KINDS = {
    Token.Comment: "code-comment",
    Token.Comment.Preproc: "code-keyword",
    Token.Generic.Deleted: "code-deleted",
    Token.Generic.Heading: "code-name",
    Token.Generic.Inserted: "code-inserted",
    Token.Generic.Subheading: "code-comment",
    Token.Keyword: "code-keyword",
    Token.Literal.Number: "code-number",
    Token.Literal.String: "code-string",
    Token.Name.Attribute: "code-name",
    Token.Name.Builtin: "code-name",
    Token.Name.Class: "code-name",
    Token.Name.Constant: "code-number",
    Token.Name.Decorator: "code-name",
    Token.Name.Function: "code-name",
    Token.Name.Tag: "code-keyword",
    Token.Operator.Word: "code-keyword",
}
CLASSES = frozenset(KINDS.values())

# Seconds of computing for one message; ordinary code of 4,000 characters takes 8 ms. Pygments'
# expressions look far ahead at every step, and text made to be slow would take a second.
BUDGET = 0.03


@lru_cache(maxsize=len(LANGUAGES))
def find_lexer(language: str) -> Lexer | None:
    """What knows `language`, in small letters, or None. The first time it takes a moment."""
    if language not in LANGUAGES:
        return None
    options = {"startinline": True} if language == "php" else {}
    return get_lexer_by_name(language, **options)


def highlight(code: str, lexer: Lexer | None, seconds: float) -> Markup:
    """The code, escaped, with spans as far as the lexer comes within `seconds` of computing."""
    if lexer is None:
        return escape(code)
    pieces = groupby(_pieces(code, lexer, seconds), key=lambda piece: piece[0])
    return Markup("").join(_span(kind, "".join(t for _, t in run)) for kind, run in pieces)


def _pieces(code: str, lexer: Lexer, seconds: float) -> Iterator[tuple[str, str]]:
    """Class ("" for none) and text of each token."""
    end = time.thread_time() + seconds
    for at, token, text in lexer.get_tokens_unprocessed(code):
        if time.thread_time() > end:
            yield "", code[at:]
            return
        yield _kind(token), text


@lru_cache(maxsize=1024)
def _kind(token: _TokenType) -> str:
    """The class of a token: its own, or that of the nearest kind it belongs to; "" for none."""
    return next((KINDS[part] for part in reversed(token.split()) if part in KINDS), "")


def _span(kind: str, text: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format(kind, text) if kind else escape(text)
