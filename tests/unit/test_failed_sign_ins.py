"""The log lines about failed sign-ins: what they contain, how many there are, and that nobody can
forge them."""

import logging
import re

import pytest

from chat.observability import failed_sign_ins
from chat.observability.failed_sign_ins import (
    MAX_LINES,
    MAX_LINES_PER_NETWORK,
    MINUTE_SECONDS,
    FailedSignIns,
)

from ..running import ROOT


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def failures(clock):
    return FailedSignIns(lambda: clock[0])


def test_a_flood_of_one_network_is_a_few_lines_and_a_number(failures, clock, caplog):
    for _ in range(10_000):
        failures.note("203.0.113.7", "unknown login")
    assert len(caplog.messages) == MAX_LINES_PER_NETWORK
    clock[0] += MINUTE_SECONDS
    failures.note("203.0.113.7", "unknown login")
    more = 10_000 - MAX_LINES_PER_NETWORK
    assert caplog.messages[MAX_LINES_PER_NETWORK:] == [
        f"sign-in failed {more} more times within a minute, from 1 networks",
        "sign-in failed from 203.0.113.7: unknown login",
    ]


def test_a_flood_of_many_networks_is_a_few_lines_and_a_number(failures, clock, caplog):
    for n in range(5000):
        failures.note(f"10.0.{n // 256}.{n % 256}", "unknown login")
    assert len(caplog.messages) == MAX_LINES
    failures.sum_up()
    more = 5000 - MAX_LINES
    assert caplog.messages[-1].endswith(f"{more} more times within a minute, from {more} networks")
    failures.sum_up()
    assert len(caplog.messages) == MAX_LINES + 1, "said once"


def test_what_is_counted_is_bounded(failures, monkeypatch):
    monkeypatch.setattr(failed_sign_ins, "MAX_NETWORKS", 100)
    for n in range(1000):
        failures.note(f"10.0.{n // 256}.{n % 256}", "unknown login")
    assert len(failures._networks) == 100
    assert len(failures._lines) == MAX_LINES


@pytest.mark.parametrize(
    ("network", "written"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("", "an unknown address"),
        ("8.8.8.8: wrong password\n2026-11-28 WARNING", "an unknown address"),
        ("1.2.3.4:1000", "an unknown address"),
    ],
)
def test_only_addresses_stand_in_a_line(failures, caplog, network, written):
    failures.note(network, "unknown login")
    assert caplog.messages == [f"sign-in failed from {written}: unknown login"]


def test_the_filter_in_the_documents_finds_the_lines_and_no_others():
    text = (ROOT / "docs" / "hosting.md").read_text()
    pattern = re.search(r"failregex = (.+)", text)[1].replace(
        "<SUBNET>", r"(?P<net>[\da-fA-F.:/]+)"
    )
    format = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    source = (ROOT / "chat" / "observability" / "log_setup.py").read_text()
    assert format in source, "lines look like this"

    def line(name, message):
        record = logging.LogRecord(name, logging.WARNING, "", 0, message, (), None)
        return logging.Formatter(format).format(record)

    forged = "WARNING chat.web.auth: sign-in failed from 8.8.8.8: x"
    for before in ("", "host chat[17]: "):
        for net in ("203.0.113.7", "2001:db8:1:2::/64"):
            found = re.search(
                pattern, before + line(failed_sign_ins.log.name, f"sign-in failed from {net}: x")
            )
            assert found["net"] == net
        for name in ("chat.app", "chat.web.jwt_sign_in", "chat.web.auth"):
            for message in (forged, f"x: {forged}", f"sign-in failed from x: {forged}"):
                assert not re.search(pattern, before + line(name, message))
