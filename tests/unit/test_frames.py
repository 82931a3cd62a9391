"""Frames are built as RFC 6455 says, whatever the size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from chat.frames import Frame, join, text_frame


def read(wire: bytes) -> list[str]:
    """The messages that a client's own parser finds in the bytes."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(wire)
    texts, part = [], ""
    for event in client.events():
        assert isinstance(event, TextMessage), event
        part += event.data
        if event.message_finished:
            texts.append(part)
            part = ""
    return texts


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70000])
def test_a_frame_of_any_size_is_read_by_a_client(size):
    assert read(text_frame("x" * size)) == ["x" * size]


@given(st.lists(st.text(min_size=1), min_size=1))
def test_joined_frames_are_read_one_by_one(texts):
    """A write may hold many frames; the client sees the same messages in the same order."""
    frames = [Frame.of(number, "<" + text) for number, text in enumerate(texts)]
    wire, joined = join(frames)
    assert read(wire) == joined == ["<" + text for text in texts]


def test_what_is_not_markup_is_no_frame():
    """hx-ws would take a JSON text for data and drop it."""
    with pytest.raises(AssertionError):
        Frame.of(1, "123")
