"""Who is mentioned in a message."""

import pytest

from chat.domain.mentions import (
    MAX_ENDS,
    MAX_SIGNS,
    begun,
    candidates,
    completed,
    marks,
    mentioned,
    pack,
    reached,
    unpack,
    without_code,
)


@pytest.mark.parametrize(
    "body",
    [
        "@Robot",
        "@robot",
        "Hey @ROBOT, help",
        "(@Robot)",
        "@Robot's turn",
        "thanks @Robot.",
        "one\n@Robot two",
        "@Robot @Robot",
        "@Robot - please",
    ],
)
def test_a_whole_name_mentions(body):
    assert mentioned(body, ["Robot", "Ann"]) == {"Robot"}


@pytest.mark.parametrize(
    "body", ["Robot", "@ Robot", "@Robots", "@Robot-2", "@Robot_", "me@Robot.example", "@", ""]
)
def test_less_or_more_than_a_name_does_not(body):
    assert mentioned(body, ["Robot", "Ann"]) == set()


def test_the_longer_name_is_meant():
    names = ["Ann", "Ann Lee", "Ann Lee Roy"]
    assert mentioned("@ann  lee and @Ann", names) == {"Ann Lee", "Ann"}
    assert mentioned("@Ann Leeds", names) == {"Ann"}


def test_names_may_hold_anything():
    assert mentioned("@C++ (beta)! and @Straße", ["C++ (beta)", "STRASSE", ".*"]) == {
        "C++ (beta)",
        "STRASSE",
    }
    assert mentioned("@Зина @王", ["ЗИНА", "王"]) == {"ЗИНА", "王"}
    assert mentioned("@Ann", []) == set()


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ("@", ""),
        ("tea, @an", "an"),
        ("@Ann Le", "Ann Le"),
        ("me@an", None),
        ("@Ann\n", None),
        ("@ an", None),
        ("tea", None),
        ("", None),
        ("@" + "x" * 41, None),
    ],
)
def test_a_name_that_is_begun(body, start):
    assert begun(body) == start


def test_a_name_is_completed_where_it_was_begun_or_behind_the_text():
    assert completed("tea, @an", "Ann Lee") == "tea, @Ann Lee "
    assert completed("tea", "Ann") == "tea @Ann "
    assert completed("", "Ann") == "@Ann "


def test_candidates_are_all_that_could_be_names_and_not_more():
    assert candidates("hi @Ann Lee! @") == ["Ann", "Ann Lee", "Ann Lee!", "Ann Lee! @"]
    assert candidates("me@here @ there") == []
    assert len(candidates("@a b c d e f g h i j k " * 300)) <= MAX_SIGNS * MAX_ENDS


def test_code_mentions_nobody():
    said = without_code("@Ann `@Bob`\n```py\n@Cyd\n```\n@Dan")
    assert mentioned(said, ["Ann", "Bob", "Cyd", "Dan"]) == {"Ann", "Dan"}


def test_marks_lose_nothing_and_say_whom_each_reaches():
    mentions = (("ann lee", "u1"), ("room", "*"))
    pieces = list(marks("tea, @Ann  Lee? @rooms @ROOM", mentions))
    assert "".join(text for text, _ in pieces) == "tea, @Ann  Lee? @rooms @ROOM"
    assert [piece for piece in pieces if piece[1]] == [("@Ann  Lee", "u1"), ("@ROOM", "*")]


def test_mentions_are_kept_as_they_were():
    mentions = (("ann", "u1 u2"), ("室", "u2 *"))
    assert unpack(pack(mentions)) == mentions
    assert reached(mentions) == ["u1", "u2", "*"]
