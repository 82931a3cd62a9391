"""How passwords are kept."""

import pytest
from argon2 import extract_parameters

from chat import passwords


@pytest.mark.parametrize("is_there", [True, False])
def test_only_the_password_of_a_hash_is_right(is_there):
    kept = passwords.kept("correct horse battery staple") if is_there else ""
    assert passwords.is_right(kept, "correct horse battery staple") is is_there
    assert not passwords.is_right(kept, "nobody's password")


def test_an_account_that_is_not_there_takes_as_long_as_one_that_is():
    """The hash that is looked at instead costs what a new one costs."""
    assert extract_parameters(passwords._nobody) == extract_parameters(passwords.kept("any"))
