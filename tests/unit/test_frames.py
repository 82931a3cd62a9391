"""Frames are built as RFC 6455 and RFC 7692 say, whatever the size."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import Opcode, RsvBits

from chat.bridge.frames import deflated_frame, text_frame, whole_text
from chat.bridge.permessage_deflate import Deflate
from chat.realtime.packet import Packet


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


def client_frame(text: str, deflate: bool = False) -> bytes:
    """Return the frame that a client library makes of a text."""
    extension = PerMessageDeflate()
    if deflate:
        extension.finalize("server_no_context_takeover; client_no_context_takeover")
    client = Connection(ConnectionType.CLIENT, [extension] if deflate else [])
    return client.send(TextMessage(text))


@given(st.text(max_size=400), st.booleans())
def test_a_whole_text_of_a_client_is_read(text, deflate):
    payload, compressed = whole_text(client_frame(text, deflate))
    assert compressed is deflate
    if deflate:
        payload = Deflate(10_000).whole(payload)
    assert payload.decode() == text


@given(st.binary(max_size=40))
def test_what_is_read_is_what_a_real_parser_reads(data):
    """For bytes of any kind: nothing, or the same."""
    found = whole_text(b"\x81" + data)
    if found is not None:
        server = Connection(ConnectionType.SERVER)
        server.receive_data(b"\x81" + data)
        [event] = server.events()
        if isinstance(event, TextMessage):  # else it is no UTF-8, which is looked at later
            assert event.message_finished
            assert event.data.encode() == found[0]


@pytest.mark.parametrize("wrong", [b"", b"\x81", b"\x01\x80abcd", b"\x82\x80abcd", b"\x81\x00"])
def test_what_is_no_whole_text_is_left_to_the_parser(wrong):
    assert whole_text(wrong) is None
    frame = client_frame("hello")
    assert whole_text(frame) is not None
    assert whole_text(frame[:-1]) is None
    assert whole_text(frame + b"x") is None
    assert whole_text(frame + frame) is None


LIMIT = 1000


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 4, LIMIT + 5, 100 * LIMIT])
@pytest.mark.parametrize("text", [b"x", b"<b>long</b>", None])
@pytest.mark.parametrize("pieces", [0, 1, 7])
def test_a_message_inflates_to_its_limit_and_no_further(size, text, pieces):
    """A byte too many ends it: no message is cut off at the limit and taken for a whole one. `None`
    is text that does not shrink; 0 pieces are a message that came whole."""
    message = (text * size)[:size] if text else random.Random(size).randbytes(size)
    packed = zlib.compressobj(wbits=-15)
    sent = packed.compress(message) + packed.flush(zlib.Z_SYNC_FLUSH)
    sent = sent.removesuffix(b"\x00\x00\xff\xff")
    found = Deflate(LIMIT).whole(sent) if not pieces else in_pieces(Deflate(LIMIT), sent, pieces)
    assert found == (message if size <= LIMIT and len(sent) <= LIMIT else None)


def in_pieces(deflate, sent, pieces):
    """What wsproto makes of a message that comes in pieces; None where it is refused."""
    deflate.frame_inbound_header(None, Opcode.TEXT, RsvBits(True, False, False), len(sent))
    found, step = b"", max(1, len(sent) // pieces)
    for start in range(0, len(sent), step):
        part = deflate.frame_inbound_payload_data(None, sent[start : start + step])
        if not isinstance(part, bytes):
            return None
        found += part
    part = deflate.frame_inbound_complete(None, True)
    return found + part if isinstance(part, bytes) else None
