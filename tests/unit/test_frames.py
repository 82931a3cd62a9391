"""Frames are built as RFC 6455 and RFC 7692 say, whatever the size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage
from wsproto.extensions import PerMessageDeflate

from chat.frames import Packet, deflated_frame, text_frame


def read(wire: bytes, deflate: bool = False) -> list[str]:
    """The messages that a client's own parser finds in the bytes."""
    extension = PerMessageDeflate()
    if deflate:
        extension.finalize("server_no_context_takeover; client_no_context_takeover")
    client = Connection(ConnectionType.CLIENT, [extension] if deflate else [])
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
    assert read(deflated_frame("x" * size), deflate=True) == ["x" * size]


@given(st.lists(st.text(min_size=1, max_size=500), min_size=1))
def test_compressed_frames_are_read_in_any_company(texts):
    """Each is a stream of its own: any of them can be left out, and plain ones come between."""
    texts = ["<" + text for text in texts]
    packets = [Packet(text) for text in texts]
    wire = b"".join(packet.deflated + packet.plain for packet in packets)
    assert read(wire, deflate=True) == [text for text in texts for _ in range(2)]
    assert read(packets[-1].deflated, deflate=True) == [texts[-1]]


def test_fragments_are_one_message():
    assert read(Packet.of(["<a>", "<b>"]).plain) == ["<a><b>"]


def test_what_does_not_shrink_is_sent_as_it_is():
    packet = Packet("<b>short</b>")
    assert packet.deflated == packet.plain
    assert len(Packet("<b>long</b>" * 100).deflated) < 60


def test_what_is_not_markup_is_no_message():
    """hx-ws would take a JSON text for data and drop it."""
    with pytest.raises(AssertionError):
        Packet("123")
