"""The short form of `make conformance`, where its tools are installed."""

import subprocess
import sys

import pytest

from ..conformance.__main__ import ROOT, WSTEST, bad


@pytest.mark.skipif(not WSTEST.exists(), reason="make conformance has not installed Autobahn")
def test_autobahn_finds_nothing_wrong():
    command = [sys.executable, "-m", "tests.conformance", "--quick"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(found.stdout)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("case", "behavior", "close", "wrong"),
    [
        ("1.1.1", "OK", "OK", False),
        ("7.1.6", "INFORMATIONAL", "INFORMATIONAL", False),
        ("1.1.1", "NON-STRICT", "OK", True),
        ("13.3.1", "UNIMPLEMENTED", "OK", False),
        ("13.1.1", "UNIMPLEMENTED", "OK", True),
        ("1.1.1", "FAILED", "OK", True),
        ("1.1.1", "OK", "UNCLEAN", True),
    ],
)
def test_what_counts_as_wrong(case, behavior, close, wrong):
    assert bad(case, {"behavior": behavior, "behaviorClose": close}) == wrong
