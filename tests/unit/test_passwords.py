"""How passwords are rated and hashed."""

import random
import sys

import pytest
from argon2 import extract_parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

from chat.auth import passwords
from chat.domain.errors import Invalid

MOST_CALLS = 60_000  # of Python's functions, for one password: some 60 ms of CPU
SIGNS = "".join(sorted({sign for signs in L33T_TABLE.values() for sign in signs}))


@pytest.mark.parametrize("is_there", [True, False])
def test_only_the_password_of_a_hash_is_right(is_there):
    kept = passwords.hashed("correct horse battery staple") if is_there else ""
    assert passwords.is_correct(kept, "correct horse battery staple") is is_there
    assert not passwords.is_correct(kept, "nobody's password")


def test_an_account_that_is_not_there_takes_as_long_as_one_that_is():
    """The hash that is looked at instead costs what a new one costs."""
    assert extract_parameters(passwords._HASH_OF_NOBODY) == extract_parameters(
        passwords.hashed("any")
    )


def judge(password, about=()):
    """Whether a password is taken, and how many calls of functions it took to say so."""
    calls = 0

    def count(_frame, event, _arg):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        passwords.check_strength(password, about)
        taken = True
    except Invalid:
        taken = False
    finally:
        sys.setprofile(before)
    return taken, calls


# What repeats, walks over the keyboard, counts, reads as dates or may be read in many ways.
KINDS = [
    *(SIGNS, SIGNS[::-1], "4@8({[<3691!|7$05+%2", "1!|7([{<", "4a@8b({[<c3e6g9", "1l!i|7tL1"),
    *("qwertyuiop[]asdfghjkl;'zxcvbnm,./", "1qaz2wsx3edc4rfv", "19901231 31.12.1990 ", "19911992"),
    *("1234567890", "11112222", "a", "ab", "aA1!", "abcdefghijklmnopqrstuvwxyz", "P4$$w0rD!1"),
    *(
        "пароль密码é",
        "\u0301\u0300",
        "🦄🐙",
        "correct horse battery staple ",
        "password1",
        "((((",
        "4",
    ),
]


@pytest.mark.parametrize("kind", KINDS)
def test_no_password_is_dear_to_judge(kind):
    for length in (10, 12, 16, 20, 24, 32, 48, 72, 256):
        calls = judge((kind * length)[:length], ("annette", "Annette Ohm"))[1]
        assert calls < MOST_CALLS, f"{length} characters"


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([*SIGNS, *L33T_TABLE, "x", " ", "é"]), min_size=10, max_size=72)
    | st.lists(st.sampled_from(SIGNS), min_size=10, max_size=72, unique=False)
    | st.text(min_size=10, max_size=256),
    st.integers(1, 8),
)
def test_nor_is_any_other(signs, times):
    assert judge(("".join(signs) * times)[:256])[1] < MOST_CALLS


def test_nor_is_a_random_one_of_signs_that_stand_for_letters():
    chance = random.Random(7)
    for _ in range(60):
        alphabet = chance.sample(SIGNS + "".join(L33T_TABLE), chance.randrange(4, 24))
        text = "".join(chance.choice(alphabet) for _ in range(72))
        assert judge(text)[1] < MOST_CALLS, text


@pytest.mark.parametrize(
    "good",
    [
        "seven wet umbrellas",
        "correct horse battery staple",
        "Tr0ub4dour&3 and a zebra",
        "xK9#mP2$vL5@",
        "j8!Qz@4w(L0{e",
        "4@8({[<3691!|7$05+%2",  # whatever it is, nobody guesses it
        "ünsere Käse kühlt über Nacht",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaa but seven wet umbrellas",
    ],
)
def test_a_good_password_is_taken(good):
    assert judge(good)[0]


@pytest.mark.parametrize(
    "bad",
    [
        *(
            "password123",
            "qwertyuiop",
            "1234567890123",
            "iloveyou2020",
            "P4ssw0rd!!",
            "aaaaaaaaaaaa",
        ),
        *(
            "abcabcabcabcabcabc",
            "annette1990",
            "01011990" * 2,
            "p@$$w0rdp@$$w0rd",
            "letmeinletmein",
        ),
        *(
            "qwerty" * 12,
            "x" + "qwerty" * 11,
            "qwertyuiop" * 7,
            "1q2w3e4r5t",
            "abcdefghijklmnop",
            "4" * 72,
            "$$$$$$$$$$$$$",
        ),
    ],
)
def test_one_that_is_easy_to_guess_is_not(bad):
    assert not judge(bad, ("annette",))[0]


@settings(max_examples=100)
@given(st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz ABC123!$@"), min_size=10, max_size=24))
def test_what_is_taken_is_as_good_as_zxcvbn_says_of_the_whole(text):
    """The pieces are no way round: a password that has a good piece is good."""
    if judge(text)[0]:
        assert zxcvbn(text)["score"] >= passwords.MIN_SCORE


def test_ordinary_passwords_are_looked_at_as_a_whole():
    for text in ("seven wet umbrellas", "P4ssw0rd for Annette!", "Tr0ub4dour&3 and a zebra"):
        assert list(passwords.pieces(text)) == [text]
    assert "".join(passwords.pieces(SIGNS * 3)) == SIGNS * 3
