"""Highlights code in messages: converts a block of code to spans with a few classes."""

from functools import lru_cache
from itertools import groupby

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token, _TokenType

# The names that may follow ```.
LANGUAGES = frozenset(
    {"bash", "c", "c#", "c++", "cpp", "cs", "csharp", "css", "diff", "docker", "dockerfile", "go"}
    | {"golang", "html", "java", "javascript", "js", "json", "kotlin", "lua", "make", "makefile"}
    | {"php", "pl", "perl", "py", "python", "rb", "rs", "ruby", "rust", "sh", "shell", "sql"}
    | {"swift", "toml", "ts", "typescript", "xml", "yaml", "zsh"}
)
PLAIN = frozenset({"text", "txt", "plain", "plaintext", "console", "output", "log"})

# The tokens that are highlighted, by class. A token that is not listed has the class of its parent.
CLASSES = {
    "code-comment": (Token.Comment, Token.Generic.Subheading),
    "code-deleted": (Token.Generic.Deleted,),
    "code-inserted": (Token.Generic.Inserted,),
    "code-keyword": (Token.Keyword, Token.Comment.Preproc, Token.Name.Tag, Token.Operator.Word),
    "code-name": (
        *(Token.Name.Attribute, Token.Name.Builtin, Token.Name.Class, Token.Name.Decorator),
        *(Token.Name.Function, Token.Generic.Heading),
    ),
    "code-number": (Token.Literal.Number, Token.Name.Constant),
    "code-string": (Token.Literal.String,),
}
_CLASS_OF = {token: name for name, tokens in CLASSES.items() for token in tokens}

# In one block. Each is about ten times as long in HTML; 4,000 characters of ordinary code have 800.
MAX_SPANS = 1200


@lru_cache(maxsize=len(LANGUAGES))
def find_lexer(language: str) -> Lexer | None:
    """The lexer for a language, in lower case, or None. Loading one for the first time is slow."""
    if language not in LANGUAGES:
        return None
    options = {"startinline": True} if language == "php" else {}
    return get_lexer_by_name(language, **options)


def highlight(code: str, lexer: Lexer | None) -> Markup:
    """The code as HTML, with at most MAX_SPANS spans. Call it with a time limit: the expressions of
    Pygments look far ahead at every step, and code written to be slow takes a second."""
    if lexer is None:
        return escape(code)
    parts: list[Markup] = []
    runs = groupby(lexer.get_tokens_unprocessed(code), key=lambda piece: _kind(piece[1]))
    spans, end = 0, 0
    for kind, run in runs:
        text = "".join(text for *_, text in run)
        spans += bool(kind)
        parts.append(_span(kind if spans <= MAX_SPANS else "", text))
        end += len(text)
    return Markup("").join([*parts, escape(code[end:])])


@lru_cache(maxsize=1024)
def _kind(token: _TokenType) -> str:
    """The class of a token or of its nearest parent that has one; "" if none has."""
    return next((_CLASS_OF[part] for part in reversed(token.split()) if part in _CLASS_OF), "")


def _span(kind: str, text: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format(kind, text) if kind else escape(text)
