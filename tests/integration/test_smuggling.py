"""Requests that two parsers could understand differently are refused, and the connection ends.

RFC 9112, sections 2.2 (line ends), 3.2 (target and Host), 5 (fields), 6 (length of the body) and 7
(chunks).
"""

import pytest

from .bridge_client import Raw, Server, assert_calm

HOST = b"Host: test\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def post(*fields, body=b"", line=b"POST /note/refused HTTP/1.1\r\n", host=HOST):
    return line + host + b"".join(fields) + b"\r\n" + body


def get(*fields, line=b"GET /note/refused HTTP/1.1\r\n", host=HOST):
    return post(*fields, line=line, host=host)


def chunked(body, *fields):
    return post(CHUNKED, *fields, body=body)


def handshake(*fields, body=b""):
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
    return get(upgrade, key, *fields, line=b"GET /echo HTTP/1.1\r\n") + body


LENGTHS = [
    *(b"5, 5", b"5,5", b"5,", b",5", b"5 5", b"+5", b"-5", b"0x5", b"5_0", b"5.0", b"5e0", b"'5'"),
    *(b"", b" ", b"\t", b"five", b"\xb2", b"\xef\xbc\x95", b"5;a", b"9" * 19, b"0" * 5000 + b"5"),
    *(b"0, 5", b"5\x0b", b"\x0c5", b"5\x00", b"5\x7f", b"NaN", b"5\x1f"),
]
CODINGS = [
    *(b"xchunked", b"chunkedx", b"chunked, identity", b"identity, chunked", b"identity", b"gzip"),
    *(b"gzip, chunked", b"chunked, chunked", b"chunked,", b",chunked", b"chunked;q=1", b""),
    *(b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"\x00chunked", b"chunked\x00"),
    *(
        b'"chunked"',
        b"'chunked'",
        b"chunk\xe9d",
        b"chunked\xa0",
        b"\xc2\xa0chunked",
        b"chunked\x7f",
    ),
    *(
        b"CHUNKED, chunked",
        b"chu nked",
        b"chunked\x1f",
        b"true",
        b"deflate",
        b"\xef\xbb\xbfchunked",
    ),
]
NAMES = [
    *(b"Content-Length ", b"Content-Length\t", b" Content-Length", b"\tContent-Length"),
    *(b"Content-Length\x00", b"\x00Content-Length", b"Content-Length\x0b", b"Content\x00-Length"),
    *(b"Content-Length\xa0", b"\xc2\xa0Content-Length", b"Content Length", b"Content-Length\x7f"),
    *(b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"Transfer Encoding"),
    *(b"Transfer-Encoding\x0c", b"Transfer-Encoding\x85", b"Transf\xc3\xa9r-Encoding", b'"Host"'),
    *(b"", b"(Host)", b"Host,", b"a=b;", b"{a}", b"a/b", b"a@b", b"[a]", b"a?b", b"a\\b", b"<a>"),
]
LINES = [
    *(b"GET /note/refused\r\n", b"/note/refused\r\n", b"GET\r\n", b"GET  HTTP/1.1\r\n"),
    *(b"GET /note/refused HTTP/0.9\r\n", b"GET /note/refused HTTP/1.2\r\n", b"GET / HTTP/2\r\n"),
    *(b"GET /note/refused HTTP/2.0\r\n", b"GET /note/refused HTTP/3.0\r\n", b"GET / HTTP/11\r\n"),
    *(b"GET /note/refused HTTP/1.10\r\n", b"GET /note/refused HTTP/01.1\r\n", b"GET / HTTP/1\r\n"),
    *(
        b"GET /note/refused http/1.1\r\n",
        b"GET /note/refused HTTP /1.1\r\n",
        b"GET / HTTP/+1.1\r\n",
    ),
    *(
        b"GET /note/refused  HTTP/1.1\r\n",
        b"GET  /note/refused HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
    ),
    *(
        b"GET\t/note/refused HTTP/1.1\r\n",
        b"GET /note/refused\tHTTP/1.1\r\n",
        b"\tGET / HTTP/1.1\r\n",
    ),
    *(
        b"GET /note/refused HTTP/1.1 \r\n",
        b"GET /note/refused HTTP/1.1\t\r\n",
        b"GET / HTTPS/1.1\r\n",
    ),
    *(
        b"GET /note/ref used HTTP/1.1\r\n",
        b"GET /note\x0b/x HTTP/1.1\r\n",
        b"GET /\x00 HTTP/1.1\r\n",
    ),
    *(b"GET /note/refused\xe9 HTTP/1.1\r\n", b"GET /note/\xed\xa0\x80 HTTP/1.1\r\n"),
    *(
        b"GET note/refused HTTP/1.1\r\n",
        b"GET ?a HTTP/1.1\r\n",
        b"GET /note/refused#a HTTP/1.1\r\n",
    ),
    *(
        b"get /note/refused HTTP/1.1\r\n",
        b"Get /note/refused HTTP/1.1\r\n",
        b"\xc7ET / HTTP/1.1\r\n",
    ),
    *(
        b"G\x00ET /note/refused HTTP/1.1\r\n",
        b"GET, /note/refused HTTP/1.1\r\n",
        b"(G) / HTTP/1.1\r\n",
    ),
    *(
        b"GET test HTTP/1.1\r\n",
        b"GET * HTTP/1.1\r\n",
        b"OPTIONS ** HTTP/1.1\r\n",
        b"PRI * HTTP/1.1\r\n",
    ),
    *(
        b"CONNECT test:80 HTTP/1.1\r\n",
        b"CONNECT /note/refused HTTP/1.1\r\n",
        b"\x00\r\n",
        b"\xff\r\n",
    ),
    *(
        b"GET http://other/note/refused HTTP/1.1\r\n",
        b"GET http://test:80/note/refused HTTP/1.1\r\n",
    ),
    *(b"GET http://test@other/note/refused HTTP/1.1\r\n", b"GET http:///note/refused HTTP/1.1\r\n"),
    *(b"GET http://me@test/note/refused HTTP/1.1\r\n", b"GET //test/note HTTP/2.0\r\n"),
    *(b"GET ftp://test/note/refused HTTP/1.1\r\n", b"GET http:/note/refused HTTP/1.1\r\n"),
    *(b"GET http:\\\\test/note/refused HTTP/1.1\r\n", b"GET http://test\\@x/ HTTP/1.1\r\n"),
    *(b"HTTP/1.1 200 OK\r\n", b"\x16\x03\x01\x02\x00\r\n", b"PRI * HTTP/2.0\r\n"),
]
BODIES = [
    *(
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n0\n\n",
    ),
    *(
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello\n\r0\r\n\r\n",
        b"\n0\r\n\r\n",
    ),
    *(b"5 \r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n"),
    *(b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"),
    *(b"5_0\r\nhello\r\n0\r\n\r\n", b"5h\r\nhello\r\n0\r\n\r\n", b"\r\n5\r\nhello\r\n0\r\n\r\n"),
    *(
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    ),
    *(b"5 ;a\r\nhello\r\n0\r\n\r\n", b"5;" + b"a" * 257 + b"\r\nhello\r\n0\r\n\r\n", b"5" * 20),
    *(b"0" * 16 + b"5\r\nhello\r\n0\r\n\r\n", b"f" * 16 + b"\r\nhello", b"5;" + b"a" * 5000),
    *(
        b"5\r\nhello\r\n0\r\na\r\n\r\n",
        b"5\r\nhello\r\n0\r\na: b\n\r\n",
        b"5\r\nhello\r\n0\r\na : b\r\n\r\n",
    ),
    *(b"5\r\nhello\r\n0\r\na: b\r\n c\r\n\r\n", b"5\r\nhello\r\n0\r\na: b\nc: d\r\n\r\n"),
    *(b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", b"5\r\nhello\r\n0\r\nHost: other\r\n\r\n"),
    *(
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\na: \x00\r\n\r\n",
    ),
    *(b"G\r\n", b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n", b"5\x0b\r\nhello\r\n0\r\n\r\n", b"\x00\r\n"),
]
REFUSED = {
    **{
        f"length {value!r}": post(b"Content-Length: %b\r\n" % value, body=b"hello")
        for value in LENGTHS
    },
    **{
        f"coding {value!r}": post(
            b"Transfer-Encoding: %b\r\n" % value, body=b"5\r\nhello\r\n0\r\n\r\n"
        )
        for value in CODINGS
    },
    **{f"name {name!r}": post(b"%b: 5\r\n" % name, body=b"hello") for name in NAMES},
    **{f"line {line!r}": get(line=line) for line in LINES},
    **{f"chunks {body[:60]!r}": chunked(body) for body in BODIES},
    "length and coding": post(b"Content-Length: 5\r\n", CHUNKED, body=b"0\r\n\r\n"),
    "coding and length": post(CHUNKED, b"Content-Length: 5\r\n", body=b"0\r\n\r\n"),
    "coding and length 0": post(CHUNKED, b"content-length: 0\r\n", body=b"0\r\n\r\n"),
    "the same length twice": post(b"Content-Length: 5\r\n" * 2, body=b"hello"),
    "length 0 twice": get(b"Content-Length: 0\r\n" * 2),
    "two lengths": post(b"Content-Length: 5\r\ncontent-length: 6\r\n", body=b"hello"),
    "the same coding twice": post(CHUNKED * 2, body=b"0\r\n\r\n"),
    "two codings": post(CHUNKED, b"Transfer-Encoding: identity\r\n", body=b"0\r\n\r\n"),
    "coding in HTTP/1.0": post(CHUNKED, body=b"0\r\n\r\n", line=b"POST /note/refused HTTP/1.0\r\n"),
    "bare LF after the request line": get(line=b"GET /note/refused HTTP/1.1\n"),
    "bare LF after a field": get(b"a: b\n"),
    "bare LF at the end": get()[:-2] + b"\n",
    "bare LF only": get().replace(b"\r\n", b"\n"),
    "bare LF in a value": get(b"a: b\nc: d\r\n"),
    "bare CR in a value": get(b"a: b\rc: d\r\n"),
    "bare CR as line end": get(b"a: b\r"),
    "CR CR LF": get(b"a: b\r\r\n"),
    "LF CR": get(b"a: b\n\r"),
    "bare LF before the request": b"\n" + get(),
    "bare CR before the request": b"\r" + get(),
    "NUL before the request": b"\0" + get(),
    "fold": get(b"a: b\r\n c\r\n"),
    "fold by a tab": get(b"a: b\r\n\tc\r\n"),
    "fold of the host": get(b" x\r\n"),
    "fold of a length": post(b"Content-Length:\r\n 5\r\n", body=b"hello"),
    "fold of a coding": post(b"Transfer-Encoding:\r\n chunked\r\n", body=b"0\r\n\r\n"),
    "fold at the start": get(host=b" a: b\r\n" + HOST),
    "empty fold": get(b"a: b\r\n \r\n"),
    "no colon": get(b"a\r\n"),
    "no host": get(host=b""),
    "two hosts": get(host=HOST * 2),
    "two different hosts": get(host=HOST + b"HOST: other\r\n"),
    "host and target without it": get(line=b"GET http://test/ HTTP/1.0\r\n", host=b""),
    "NUL in a value": get(b"a: b\0c\r\n"),
    "a control byte in a value": get(b"a: b\x01c\r\n"),
    "DEL in a value": get(b"a: b\x7fc\r\n"),
    "a handshake with a length": handshake(b"Content-Length: 4\r\n", body=b"\x81\x80\0\0"),
    "a handshake with chunks": handshake(CHUNKED, body=b"0\r\n\r\n"),
}
BEFORE = b"POST /note/before HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi"
AFTER = b"GET /note/after HTTP/1.1\r\nHost: test\r\n\r\n"
"""What must not be served: it is part of the request before it, or nothing."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server("uvloop", tmp_path_factory.mktemp("logs") / "log")
    yield server
    server.close()
    assert_calm(server)


def read_to_end(client):
    try:
        while client.more():
            pass
    except ConnectionError:
        pass
    return client.received


def statuses(received):
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("way", ["first", "pipelined", "after keep-alive"])
def test_no_request_with_a_second_meaning_is_served(server, way):
    """Nor anything behind it, wherever on its connection it stands."""
    wrong = {}
    for name, data in REFUSED.items():
        before = server.events()
        with Raw(server) as client:
            if way == "after keep-alive":
                client.send(BEFORE)
                assert client.response()[0] == 200
                assert client.take(6) == b"before"
            client.send((BEFORE if way == "pipelined" else b"") + data + AFTER)
            received = read_to_end(client)
        served = server.events()[len(before) :]
        first = [] if way == "first" else ["before hi"]
        expected = [200, 400] if way == "pipelined" else [400]
        if statuses(received) != expected or served != first:
            wrong[name] = statuses(received), served
    assert not wrong


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (post(b"Content-Length: 5\r\n", body=b"hello"), "hello"),
        (post(b"content-length:5 \t\r\n", body=b"hello"), "hello"),
        (post(b"Content-Length: 005\r\n", body=b"hello"), "hello"),
        (post(b"Content-Length: 0\r\n"), ""),
        (chunked(b"5\r\nhello\r\n0\r\n\r\n"), "hello"),
        (chunked(b"005;a=b;c\r\nhello\r\n0;x\r\na: b\r\nc:\r\n\r\n"), "hello"),
        (post(b"TRANSFER-ENCODING:ChunKed\r\n", body=b"1\r\nx\r\n0\r\n\r\n"), "x"),
        (get(b"Content_Length: 5\r\nTransfer_Encoding: chunked\r\n"), ""),
        (get(b"a: caf\xe9 \xed\xa0\x80\r\n"), ""),
        (get(line=b"GET http://TEST/note/refused?a HTTP/1.1\r\n"), ""),
        (get(line=b"HEAD /note/refused HTTP/1.1\r\n"), ""),
    ],
)
def test_what_has_one_meaning_is_served_and_the_connection_goes_on(server, data, body):
    before = server.events()
    with Raw(server) as client:
        client.send(data + AFTER)
        client.request("GET", "/", ["Connection: close"])
        assert statuses(read_to_end(client)) == [200, 200, 200]
    assert server.events()[len(before) :] == [f"refused {body}".strip(), "after"]


def test_a_request_without_its_blank_line_is_refused_at_once(server):
    """Not after a timeout: what is wrong cannot become right."""
    for data in (
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: x\n",
        b"GET /\rHost",
        b"\x16\x03\x01\n",
    ):
        with Raw(server) as client:
            client.send(data)
            assert statuses(read_to_end(client)) == [400]


def test_an_upgrade_to_another_protocol_is_not_begun(server):
    """The preface of HTTP/2, and `Upgrade: h2c`, whatever the method says."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
    with Raw(server) as client:
        client.send(preface)
        assert statuses(read_to_end(client)) == [400]
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    for method in (b"GET", b"OPTIONS", b"PRI"):
        with Raw(server) as client:
            client.send(get(upgrade, line=method + b" / HTTP/1.1\r\n") + preface)
            assert 101 not in statuses(read_to_end(client))
