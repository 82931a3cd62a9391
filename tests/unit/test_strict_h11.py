"""The server reads the same requests in some bytes as every other parser.

Requests are generated from pieces that are likely to be invalid. Whatever the server accepts is
read again by a parser written from RFC 9112 alone, byte by byte, and by llhttp (Node's): each must
find the same requests at the same places.
"""

import h11
import httptools
import pytest
from h11 import (
    NEED_DATA,
    PAUSED,
    ConnectionClosed,
    Data,
    EndOfMessage,
    RemoteProtocolError,
    Request,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.bridge.fast_path import read_get
from chat.bridge.strict_h11 import StrictConnection

TCHAR = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
TEXT = {9, *range(0x20, 0x7F), *range(0x80, 0x100)}
KNOWN = {b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"PATCH"}  # to llhttp


class Wrong(Exception):
    """Not a request by RFC 9112, or one that is not complete."""


class Strict:
    """Reads one request after the other. No regular expression, no split, nothing forgiven."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def line(self):
        """Up to CRLF; CR and LF stand nowhere else."""
        start = self.at
        while self.at < len(self.data):
            byte = self.data[self.at]
            self.at += 1
            if byte == 10:
                raise Wrong
            if byte == 13:
                if self.data[self.at : self.at + 1] != b"\n":
                    raise Wrong
                self.at += 1
                return self.data[start : self.at - 2]
        raise Wrong

    def take(self, size):
        if len(self.data) - self.at < size:
            raise Wrong
        self.at += size
        return self.data[self.at - size : self.at]

    def fields(self):
        found = []
        while line := self.line():
            name, colon, value = line.partition(b":")
            if not colon or not name or not set(name) <= TCHAR or not set(value) <= TEXT:
                raise Wrong
            found.append((name.lower(), value.strip(b" \t")))
        return found

    def request(self):
        """Method, target, fields and body."""
        method, target, version = (self.line().split(b" ") + [b""] * 3)[:3]
        if version not in (b"HTTP/1.0", b"HTTP/1.1") or not set(method) <= TCHAR or not method:
            raise Wrong
        fields = self.fields()
        return method, target, fields, self.body(fields)

    def body(self, fields):
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        if len(lengths) + len(codings) > 1:
            raise Wrong
        if codings:
            if codings[0].lower() != b"chunked":
                raise Wrong
            return self.chunks()
        if not lengths:
            return b""
        if not lengths[0] or not set(lengths[0]) <= set(b"0123456789"):
            raise Wrong
        return self.take(int(lengths[0]))

    def chunks(self):
        body = b""
        while True:
            size = self.line().partition(b";")[0]
            if not size or not set(size) <= set(b"0123456789abcdefABCDEF"):
                raise Wrong
            if not int(size, 16):
                self.fields()
                return body
            body += self.take(int(size, 16))
            if self.take(2) != b"\r\n":
                raise Wrong


class Node:
    """The same by llhttp, which holds on to nothing but what it is told to keep."""

    def __init__(self, data):
        self.found = []
        self.fields = []
        self.head = ()
        self.target = self.content = b""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_url(self, url):
        self.target += url

    def on_header(self, name, value):
        if not self.head:  # a trailer is no header
            self.fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self):
        self.head = self.parser.get_method(), self.target, self.fields

    def on_body(self, body):
        self.content += body

    def on_message_complete(self):
        self.found.append((*self.head, self.content))
        self.head, self.target, self.fields, self.content = (), b"", [], b""


def ours(data, cuts=()):
    """The requests that the server reads, their ends, and whether it refused what followed."""
    connection, found, fed, edges = StrictConnection(16384), [], 0, [*sorted(cuts), len(data)]
    head, body = None, b""
    for edge in edges:
        if edge > fed:
            connection.receive_data(data[fed:edge])
            fed = edge
        while True:
            try:
                event = connection.next_event()
            except RemoteProtocolError:
                return found, True
            if isinstance(event, Request):
                head, body = event, b""
            elif isinstance(event, Data):
                body += event.data
            elif isinstance(event, EndOfMessage):
                end = fed - len(connection.trailing_data[0])
                fields = list(head.headers)
                found.append((head.method, head.target, fields, bytes(body), end))
                if not go_on(connection):
                    return found, False
            elif event in (NEED_DATA, PAUSED) or isinstance(event, ConnectionClosed):
                break
    return found, False


def go_on(connection):
    """Answer, and be ready for the next request, unless this was the last."""
    if connection.our_state is h11.SEND_RESPONSE:
        connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
        connection.send(h11.EndOfMessage())
    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
        return False
    connection.start_next_cycle()
    return True


HEAD = b"POST /f HTTP/1.1\r\nHost: x\r\n"
WITH_LENGTH = HEAD + b"Content-Length: 5\r\n\r\nhello"
WITH_CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
PIECES = [
    *(b"GET /a HTTP/1.1\r\n", b"POST /b?c HTTP/1.1\r\n", b"HEAD /a HTTP/1.0\r\n", b"get"),
    *(b"GET http://x/ HTTP/1.1\r\n", b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"Host: x\r\n"),
    *(b"Content-Length: 5\r\n", b"content-length:5\r\n", b"Content-Length: 5, 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:CHUNKED\r\n", b"chunked"),
    *(b"Transfer-Encoding: identity\r\n", b"Content-Length: 0\r\n", b"Connection: close\r\n"),
    *(b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"A: \xe9\r\n", b"a: b\r\n"),
    *(b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"5;a=b\r\n", b"hello", b"5\r\n", b"0\r\n"),
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"+", b"_", b"0", b"5", b"x"),
    *(b"\0", b"\x0b", b"\x7f", b"\xa0", WITH_LENGTH, WITH_CHUNKS),
]


@st.composite
def streams(draw):
    """Bytes that are nearly requests: whole ones, some of whose places are put out of order."""
    pieces = st.sampled_from(PIECES)
    begins = [b"", HEAD, WITH_LENGTH, WITH_CHUNKS]
    data = draw(st.sampled_from(begins)) + b"".join(draw(st.lists(pieces, max_size=8)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 2)))
        data = data[:at] + draw(st.one_of(pieces, st.binary(max_size=2))) + data[end:]
    return data, draw(st.lists(st.integers(0, len(data)), max_size=3))


def assert_one_meaning(data, cuts):
    found, _ = ours(data, cuts)
    strict, at = Strict(data), 0
    for method, target, fields, body, end in found:
        assert strict.request() == (method, target, fields, body)
        assert strict.at == end
        if method in KNOWN:
            [request] = Node(data[at:end]).found
            assert request == (method, target, fields, body)
        at = end
    assert ours(data)[0] == found, "however it is cut"


@settings(max_examples=400, deadline=None, derandomize=True)
@example((HEAD + b"Content-Length: 5, 5\r\n\r\nhello", []))
@example((WITH_CHUNKS + WITH_LENGTH, []))
@example((WITH_CHUNKS.replace(b"\n5\r", b"\n5;a\rb\r"), []))
@example((WITH_CHUNKS.replace(b"hello\r\n", b"hello\r\n" + HEAD), []))
@example((WITH_CHUNKS[:-2] + b"Connection: close\r\n c: d\n\r\n", []))
@given(streams())
def test_what_is_read_has_one_meaning(stream):
    assert_one_meaning(*stream)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(streams())
def test_what_the_fast_path_takes_has_one_meaning(stream):
    data, _ = stream
    for text in (data, b"GET /a HTTP/1.1\r\nHost: x\r\n" + data):
        if whole := read_get(text):
            assert ours(text) == ([(b"GET", *whole, b"", len(text))], False)
            assert_one_meaning(text, [])


@pytest.mark.parametrize("size", range(1, 40))
def test_chunks_of_the_network_make_no_difference(size):
    data = WITH_CHUNKS + WITH_LENGTH + HEAD + b"Content-Length: 5\r\n" * 2 + b"\r\nhello"
    found, refused = ours(data, range(0, len(data), size))
    assert [body for *_, body, _ in found] == [b"hello", b"hello"]
    assert refused
