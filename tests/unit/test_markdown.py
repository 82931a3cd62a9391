"""How messages are rendered: which Markdown there is, and that nothing else ever gets through."""

import html
import re
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.domain.validation import MAX_BODY_CHARS
from chat.rendering import markdown, markdown_parser, syntax_highlighting
from chat.rendering.markdown import gist, render
from chat.runtime.cpu_limit import OutOfTime, within


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """Counting what is called takes more time than a text has."""
    monkeypatch.setattr(markdown, "MAX_PARSE_SECONDS", 60)
    monkeypatch.setattr(markdown, "MAX_COLOR_SECONDS", 60)


LINK = 'target="_blank" rel="noopener noreferrer nofollow ugc"'


def link(address: str, text: str = "") -> str:
    named = ' class="named"' if text and text not in address else ""
    return f'<a href="{address}"{named} {LINK}>{text or address}</a>'


def paragraph(inner: str) -> str:
    return f'<p dir="auto">{inner}</p>'


SHOWN = {
    "**bold** *it* __bold__ _it_ ~~gone~~": paragraph(
        "<strong>bold</strong> <em>it</em> <strong>bold</strong> <em>it</em> <s>gone</s>"
    ),
    "`a < b`": paragraph("<code>a &lt; b</code>"),
    "one\ntwo\n\nthree": paragraph("one<br>two") + paragraph("three"),
    "> said\nanswer": '<blockquote dir="auto"><p>said</p></blockquote>' + paragraph("answer"),
    "- a\n- b\nafter": '<ul dir="auto"><li>a</li><li>b</li></ul>' + paragraph("after"),
    "- a\n  - b": '<ul dir="auto"><li>a<ul><li>b</li></ul></li></ul>',
    "2. a\n3. b": '<ol start="2" dir="auto"><li>a</li><li>b</li></ol>',
    "```\n<b>\n  x\n```": '<pre dir="ltr"><code>&lt;b&gt;\n  x\n</code></pre>',
    "```\na\n```": '<pre dir="ltr"><code>a\n</code></pre>',
    "```text\na\n```": '<pre dir="ltr"><code>a\n</code></pre>',
    "```first here\nb```": '<pre dir="ltr"><code>first here\nb</code></pre>',
    "[words](https://a.org)": paragraph(link("https://a.org", "words")),
    "![words](https://a.org/b.png)": paragraph(link("https://a.org/b.png", "words")),
    "<https://a.org>": paragraph(link("https://a.org")),
    "see https://a.org/__init__/*.py.": paragraph(
        "see " + link("https://a.org/__init__/*.py") + "."
    ),
    "**https://a.org/b**": paragraph(f"<strong>{link('https://a.org/b')}</strong>"),
    "www.a.org, (Www.a.org/b_c?d=1).": paragraph(
        link("https://www.a.org", "www.a.org")
        + ", ("
        + link("https://Www.a.org/b_c?d=1", "Www.a.org/b_c?d=1")
        + ")."
    ),
    "`www.a.org` **www.a.org**": paragraph(
        f"<code>www.a.org</code> <strong>{link('https://www.a.org', 'www.a.org')}</strong>"
    ),
    "很**重要**的": paragraph("很<strong>重要</strong>的"),
    "*a*, (*b*) **c**": paragraph("<em>a</em>, (<em>b</em>) <strong>c</strong>"),
    "ask ann@a.org": paragraph("ask " + link("mailto:ann@a.org", "ann@a.org")),
    "yes :tada: :+1:": paragraph("yes 🎉 👍"),
    "`:tada:` https://a.org/:tada:": paragraph(
        "<code>:tada:</code> " + link("https://a.org/:tada:")
    ),
    ":tada: :+1:": '<span class="emoji">🎉👍</span>',
    "🎉": '<span class="emoji">🎉</span>',
    "👨‍👩‍👧👍🏽1️⃣": '<span class="emoji">👨‍👩‍👧👍🏽1️⃣</span>',
    r"\*not\*": paragraph("*not*"),
}


@pytest.mark.parametrize("text", SHOWN)
def test_markdown(text):
    assert render(text) == SHOWN[text]


# Text that means nothing but itself, with or without the parser.
PLAIN = [
    "hello",
    "2*3*4=24",
    "2**3**4 a*b*c х*у*z",
    "www. www.a wwww.a.org //www.a.org ftp://www.a.org a-www.a.org",
    "2 * 3 * 4, snake_case_name, a~b, 5 > 3",
    "# no heading",
    "---",
    "-",
    "+",
    "1.",
    ">",
    "-5 degrees",
    "+1",
    "2024 was a year",
    "| a | b |",
    "&lt;b&gt; &amp; &#60;",
    "setup.py main.rs a.org //a.org",
    "ftp://a.org javascript:alert(1) at 10:30:15",
    "https://a.org@b.org/ https:// https://a.org:99999/",
    "[a](javascript:alert(1)) [b](/rooms) [c](data:text/html,x) [d][e] [f]",
    "[a]: /b",
    "call[0]() ![]( )",
    "@Ann: :nonsense:",
    "🎉👍🎉👍",
    ">" * 40 + "deep",
    "> " * 40 + "deep",
    "- " * 40 + "deep",
    "{{ 7 * 7 }} {% raw %}",
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_markdown_is_shown_as_it_was_written(text):
    shown = str(render(text))
    assert html.unescape(shown.removeprefix('<p dir="auto">').removesuffix("</p>")) == text


@pytest.mark.parametrize("text", ["@Ann: look at this, @Bob", "So: yes (@Cid)", "x[0] < 5 > 3 & 4"])
def test_talk_does_not_reach_the_parser(text):
    assert not markdown.is_marked_up(text)
    assert html.unescape(str(render(text))) == text


@given(
    st.text(st.characters(exclude_characters="\n*_~`\\:@", exclude_categories=["Cs"]))
    .map(lambda text: f"a{text}")
    .filter(lambda text: "\r" not in text and "ww." not in text)  # of an address
)
def test_plain_text_comes_back_whole_without_the_parser(text):
    assert not markdown.is_marked_up(text)
    assert html.unescape(str(render(text))) == text


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</div></li></ol><hx-partial hx-target=body>x</hx-partial>",
    "<p hx-get=/rooms hx-trigger=load>",
    "<svg><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><b hx-on:click=alert(1)>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src onerror=alert(1)>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](javascript&#58;alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](<javascript:alert(1)>)",
    "[a](vbscript:x) [b](data:text/html;base64,PHN2Zz4=) [c](file:///etc/passwd)",
    "<javascript:alert(1)> <data:text/html,x>",
    '[a](https://a.org/"onmouseover=alert(1)//)',
    "[a](https://a.org 'x\" onmouseover=alert(1) y=\"')",
    '[a"onmouseover=alert(1)](https://a.org)',
    '!["onerror=alert(1)](https://a.org)',
    'https://a.org/"onmouseover=alert(1)',
    "https://a.org/<script>alert(1)</script>",
    "[![a](https://a.org)](https://b.org)",
    "[[a](https://a.org)](https://b.org)",
    "`<script>` ``</code><script>``",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    '```"><script>\nx\n```',
    "```python onmouseover=alert(1)\nx\n```",
    "> </blockquote><script>\n- </ul><script>",
    "<a href='https://a.org' id=live class=button name=body style=x is=y slot=z>",
    "<!--><script>alert(1)</script--> <![CDATA[x]]> <?php x ?>",
    "\u2028[a](https://a.org)\u0000<b>",
]
ALLOWED = {
    "a": {"class", "href", "rel", "target"},
    "ol": {"dir", "start"},
    "span": {"class"},
    **{tag: {"dir"} for tag in ("blockquote", "p", "pre", "ul")},
    **{tag: set() for tag in ("br", "code", "em", "li", "s", "strong")},
}


class Shown(HTMLParser):
    """Checks what a rendering is made of, as a browser that is given it would; keeps its text."""

    def __init__(self, shown: str) -> None:
        super().__init__()
        self.text, self.open = "", []
        self.feed(str(shown))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        assert values.keys() <= ALLOWED[tag]
        assert values.get("dir", "auto") in ("auto", "ltr")
        assert values.get("class", "emoji") in {"emoji", "named", *syntax_highlighting.CLASSES}
        assert values.get("start", "1").isdecimal()
        if tag == "a":
            assert values["href"].lower().startswith(("http://", "https://", "mailto:"))
            assert values["rel"] == "noopener noreferrer nofollow ugc"
            assert "a" not in self.open
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_makes_nothing_but_markdown(text):
    for around in ("{}", "**{}**", "> {}", "- {}", "a\n{}", "[{}](https://a.org)", "`x` {}"):
        Shown(render(around.format(text)))


marks = st.sampled_from(
    [
        *[
            "*",
            "**",
            "_",
            "~~",
            "`",
            "```",
            "```py\n",
            "\n",
            "\n\n",
            "> ",
            "- ",
            "1. ",
            "[",
            "](",
            ")",
        ],
        *["![", "<", ">", "\\", ":tada:", "https://a.org", "javascript:", "&amp;", "a@b.org", "🎉"],
        *["<script>", "</div>", " onclick=x ", '"', "'", " ", "\t", "    ", "<!--", "-->"],
    ]
)
texts = st.lists(marks | st.text(max_size=5), max_size=30).map("".join)


@given(texts)
def test_any_text_makes_nothing_but_markdown(text):
    Shown(render(text))
    assert len(gist(text)) <= 80
    assert type(gist(text)) is str  # to be escaped


@given(st.lists(st.sampled_from(["*", "_", "~~", "`", "> ", "\n", "- ", "a", "b ", "["])))
def test_no_letter_is_lost(parts):
    letters = [part.strip() for part in parts if part.strip().isalpha()]
    assert [c for c in Shown(render("".join(parts))).text if c.isalpha()] == letters


@pytest.mark.parametrize("language", sorted(syntax_highlighting.LANGUAGES))
def test_code_is_highlighted_and_whole(language):
    code = '<a b="c">\n- x: "a&b"\n+ x = 23; // no\n\n.a { color: red; }\nif (x) { f(1); }\n'
    shown = str(render(f"```{language}\n{code}```"))
    assert Shown(shown).text == code
    assert "<span" in shown


def test_code_of_a_language_nobody_knows_is_plain():
    shown = render("```klingon\nif 1: pass\n```")
    assert shown == '<pre dir="ltr"><code>klingon\nif 1: pass</code></pre>'


def test_python():
    assert render('```Python\ndef f(): return "a<b"  # ok\n```') == (
        '<pre dir="ltr"><code><span class="code-keyword">def</span> '
        '<span class="code-name">f</span>(): <span class="code-keyword">return</span> '
        '<span class="code-string">"a&lt;b"</span>  '
        '<span class="code-comment"># ok</span>\n</code></pre>'
    )


def slow_lexer(code: str):
    """What the worst of lexers does: it never ends, and gives nothing away meanwhile."""
    while True:
        yield from ()


def test_code_that_takes_too_long_has_no_colours(monkeypatch):
    lexer = syntax_highlighting.find_lexer("python")
    monkeypatch.setattr(markdown, "MAX_COLOR_SECONDS", 0.01)
    monkeypatch.setattr(lexer, "get_tokens_unprocessed", slow_lexer)
    shown = str(render("**a**\n```python\nreturn '<b>'\n```\n```js\nvar x\n```"))
    assert "<strong>a</strong>" in shown
    assert "return '&lt;b&gt;'" in shown
    assert "var x" in shown
    assert "<span" not in shown


def test_a_limit_of_time_ends_an_expression_that_matches_on_and_on():
    with pytest.raises(OutOfTime):
        within(0.01, lambda: re.match("(a|aa)+$", "a" * 100 + "b"))


def test_code_with_very_many_pieces_is_not_made_many_times_as_long():
    code = "1 " * 1990
    shown = str(render(f"```python\n{code}\n```"))
    assert shown.count("<span") == syntax_highlighting.MAX_SPANS
    assert Shown(shown).text == f"{code}\n"


def test_what_cannot_be_rendered_is_shown_as_it_was_written(monkeypatch, caplog):
    monkeypatch.setattr(markdown, "_clean", None)
    assert render("**<b>**\nunheard of") == "**&lt;b&gt;**<br>unheard of"
    assert "cannot show a text of 18 characters" in caplog.text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain <b> & more", "plain <b> & more"),
        ("**bold**\nsecond", "bold"),
        ("```python\nx < 1\ny\n```", "x < 1"),
        ("> said\nanswer", "said"),
        ("- a\n- b", "a"),
        ("[words](https://a.org) :tada:", "words 🎉"),
        (":tada:", "🎉"),
        ("x" * 90, "x" * 80),
        ("*" + "x" * 90 + "*", "x" * 80),
    ],
)
def test_a_gist_is_the_first_line_without_markup(text, line):
    assert gist(text) == line


HARD = [
    *["[", "*", "_", "(", "<!", "`", "~~", "\\", "@", ":a", "&", "![", "](", "*_", "[a](", "*a_b"],
    *["`a``", "[[](", ":tada:", "🎉", "1️⃣", "https://a.", "https://[", "http://((", "<https://"],
    *["mailto:a@", "![](https://", "a.b@", "".join(f":no{n}:" for n in range(800))],
    *["> ", "- ", "1. ", "\n", "**a ", "`` ` ", "> - ", "* a\n", "- a\n\n", "  - a\n", "```\n"],
    *["www.", "www.a.org/", "www.a.org ", "www.a.", "a*b", "a**"],
    *["https://a.b ", "https://[ ", "a@b.c ", "[a](https://b) "],
]


def filled(piece: str) -> str:
    """A message of nothing else."""
    return (piece * MAX_BODY_CHARS)[:MAX_BODY_CHARS]


@pytest.mark.parametrize("piece", HARD)
def test_work_grows_as_the_text_does(piece, monkeypatch):
    """Four times the text takes about four times the steps, where sixteen would be quadratic."""
    monkeypatch.setattr(markdown_parser, "MAX_STEPS", 10**9)
    render(piece)  # tables and expressions are made once
    short, long = filled(piece)[: MAX_BODY_CHARS // 4], filled(piece)
    assert calls(long) < 6 * calls(short) + 5_000


# Python calls, and calls from Python, for one text: a fifth of a second where each is counted, 20
# ms where not.
MAX_CALLS = 1_000_000


@pytest.mark.parametrize("piece", HARD)
def test_no_text_takes_more_work_than_a_message_may(piece):
    render(piece)
    assert calls(filled(piece)) < MAX_CALLS


@given(st.lists(marks, min_size=1, max_size=6).map("".join))
@settings(max_examples=50)
def test_no_text_at_all_takes_more_work_than_a_message_may(piece):
    render(piece)
    assert calls(filled(piece)) < MAX_CALLS


def test_a_text_over_its_budget_is_shown_as_it_was_typed():
    text = filled("](*[[&")
    assert render(text) == text.replace("&", "&amp;")


@pytest.mark.parametrize(
    "text",
    [
        filled("Some **bold** words with [a link](https://a.org/b), `code` and :tada: in it.\n\n"),
        filled("- one of *many* items, see https://a.org/b\n"),
        filled("> quoted `a` and **b**\nanswered\n\n"),
        f"```python\n{filled('def f(x): return [x, 1] # ok')[:3900]}\n```",
    ],
)
def test_what_people_write_is_within_its_budget(text):
    assert "<" in str(render(text))


def calls(text: str) -> int:
    """Python calls, and calls from Python, that a rendering takes."""
    count = 0

    def step(*_):
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(step)
    try:
        render(text)
    finally:
        sys.setprofile(before)
    return count


def test_where_addresses_crowd_nobody_looks_for_their_ends():
    """linkify-it looks from each to the end of all; how far is not seen in `steps`."""
    assert "<a" in render("https://a.org/?https://b.org")
    assert "<a" in render("https://a.org " * 50)
    assert "<a" not in render("https://a.org/" * 50)


@pytest.mark.parametrize("people", [1, 200, 1000])
@pytest.mark.parametrize("names", [1, 2, 20])
def test_no_text_makes_a_long_message_of_many_mentions(people, names):
    """However often names stand in a text and however many people have them: each is marked once,
    and all of them together make no more HTML than other texts do."""
    uids = [f"{n:022}" for n in range(people)]
    mentions = tuple((f"n{k}", " ".join([str(k), *uids])) for k in range(names))
    some = " ".join(f"@n{k}" for k in range(names))
    shown = render((f"{some} " * MAX_BODY_CHARS)[: MAX_BODY_CHARS // 2].strip(), mentions)
    once = sum(len(uids) for _, uids in mentions)
    assert len(shown) < once + markdown_parser.MAX_MARK_CHARS + 50_000
    assert all(f'data-uid="{uids}"' in shown for _, uids in mentions)
    if people == 1:
        assert shown.count("data-uid") == shown.count("@n") > 400


def test_mentions_are_marked_in_text_and_not_in_code():
    mentions = (("ann <b>", "u1"),)
    mark = '<span class="mention" data-uid="u1">@Ann &lt;b&gt;</span>'
    assert render("@Ann <b>, tea?", mentions) == paragraph(f"{mark}, tea?")
    assert render("**@Ann <b>** `@Ann <b>`", mentions) == paragraph(
        f"<strong>{mark}</strong> <code>@Ann &lt;b&gt;</code>"
    )
    assert render("@Ann <b>, tea?") == "@Ann &lt;b&gt;, tea?"


@pytest.mark.parametrize(
    "address", ["http://[bad", "http://%zz/", "http://a:99999/", "http://xn--a.org"]
)
def test_an_address_that_no_browser_could_open_is_no_link(address):
    """nh3 would leave a link that leads nowhere."""
    assert "<a" not in render(f"[text]({address})\n{address}")
