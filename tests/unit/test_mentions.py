"""Who is mentioned in a message."""

import pytest

from chat.mentions import mentioned


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
