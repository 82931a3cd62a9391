"""Websockets whose route has left them to a ConnectionHandler."""

from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed


def test_what_is_handed_over_goes_on_without_its_request(either):
    with either.socket("/detach") as ws:
        for number, message in enumerate(["go", "stay", "stay", "go", "go"], 1):
            ws.send(message)
            assert ws.recv(timeout=5) == f"{number} {message} False"
    either.wait_for("handler closed 5")
    events = [event for event in either.events() if event.startswith(("handler", "request"))]
    assert events[-3:] == ["request ended", "handler opened", "handler closed 5"]


@pytest.mark.parametrize(
    ("messages", "code", "heard"),
    [(["close", "more"], 4000, 1), (["stay", "close", "more"], 4000, 2), (["go", "fail"], 1011, 2)],
)
def test_what_was_handed_over_is_closed(either, messages, code, heard):
    closed = either.events().count(f"handler closed {heard}")
    with either.socket("/detach") as ws:
        with suppress(ConnectionClosed):  # by now, or later
            for message in messages:
                ws.send(message)
            for _ in ws:
                pass  # what was said before
        assert ws.close_code == code
    either.wait_for(f"handler closed {heard}", closed + 1)
