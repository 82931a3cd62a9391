"""Invalid values, and a client that sends them unchanged. Each value has broken some program: texts
that UTF-8 cannot represent, bytes that are not text, endless numbers, and values that are empty,
too long or of the wrong type.
"""

import json
import socket
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote_from_bytes

from .running import opened

LONG = "x" * 20_000  # longer than anything that is taken, and within the limit of a request
MILLION = "x" * 1_000_000

TEXTS = {
    "empty": "",
    "blank": " \t\n",
    "NUL": "a\0b",
    "controls": "\x01\x1b[31m\x7f\x85",
    "line ends": "a\r\nX-Y: z\r\n\r\n",
    "surrogate first": "\ud800a",
    "surrogate inside": "a\udfffb",
    "surrogate last": "a\udbff",
    "surrogate mentioned": "@\ud800",
    "pair the wrong way round": "\ude00\ud83d",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "bidi": "\u202e\u2066a\u200f",
    "marks": "a" + "\u0301\u0316" * 2000,
    "markup": "<script>'\"&{{7*7}}{% x %}</script>",
    "huge number": str(10**400),
    "5,000 digits": "9" * 5000,
    "minus one": "-1",
    "2**64": str(2**64),
    "other digits": "٣",
    "infinity": "1e999",
    "not a number": "NaN",
    "true": "true",
    "first day": "0001-01-01",
    "last day": "9999-12-31",
    "days to look in": 'before:0001-01-01 after:9999-12-31 on:9999 in:* from:@ "',
    "way up": "../../etc/passwd",
    "pattern": "*[?{}]:%(x)s",
    "malformed name": "https://xn--/",
    "malformed port": "https://a:99999999999999999999/",
    "cursor": "-1--1-\ufffe",
    "long": LONG,
}
# What costs most and breaks most, for where there are many places.
WORST = [
    *("NUL", "surrogate inside", "noncharacters", "marks", "5,000 digits", "minus one"),
    *("first day", "last day", "days to look in", "malformed name", "long"),
]

RAW = {  # what a form or an address can have where percent signs should be followed by digits
    "byte FF": b"%ff",
    "raw FF": b"\xff\xfe",
    "raw surrogate": b"\xed\xa0\x80",
    "overlong": b"%c0%80",
    "percent": b"%",
    "no hex": b"%zz%u0041",
    "NUL": b"%00",
}

NOT_TEXTS: dict[str, Any] = {
    "null": None,
    "true": True,
    "minus one": -1,
    "2**64": 2**64,
    "huge": 10**400,
    "fraction": 1.5,
    "infinity": float("inf"),
    "not a number": float("nan"),
    "list": [],
    "texts": ["a", "b"],
    "list of lists": [["a"], [None]],
    "object": {"a": "b"},
    "surrogate in a list": ["a", "\ud800"],
    "surrogate in an object": {"a": {"\ud800": ["\udfff"]}},
}

# Bodies and frames that are no JSON, or not what is due.
NOT_OBJECTS = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"name": "\xff", "body": "\xff"}',
    "surrogate in bytes": b'{"name": "\xed\xa0\x80", "body": "\xed\xa0\x80"}',
    "UTF-16": '{"name": "\ud800"}'.encode("utf-16", "surrogatepass"),
    "NUL": b"\0",
    "list": b"[]",
    "text": b'"a"',
    "number": b"1" + b"0" * 5000,
    "infinity": b"1e999",
    "not a number": b"NaN",
    "deep list": b"[" * 30_000,
    "deep object": b'{"a":' * 8000,
    "deep value": b'{"name": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "name that is none": b'{"\\ud800": 1}',
    "names twice": b'{"name": "a", "name": 1, "body": "a", "body": null}',
}


def as_bytes(text: str) -> bytes:
    """The text as UTF-8, lone surrogates as the bytes that UTF-8 forbids."""
    return text.encode("utf-8", "surrogatepass")


def escaped(text: str, most: int = 1 << 20) -> bytes:
    """The text for a form or an address, cut to `most` bytes before it is escaped."""
    return quote_from_bytes(as_bytes(text)[:most], safe="").encode()


def as_json(value: Any) -> bytes:
    """With lone surrogates as `\\ud800`, and Infinity and NaN as JavaScript has them."""
    return json.dumps(value).encode()


class Wire:
    """One connection that stays open, over which requests go as they are written."""

    def __init__(self, host: str, port: int) -> None:
        self.place = host, port
        self.sock: socket.socket | None = None
        opened.callback(self.close)

    def ask(
        self, method: str, target: bytes, headers: list[bytes], body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Of one that does not end there is no body."""
        host = [] if any(line.lower().startswith(b"host:") for line in headers) else [b"Host: chat"]
        length = [] if body is None else [b"Content-Length: %d" % len(body)]
        lines = [b"%b %b HTTP/1.1" % (method.encode(), target), *host, *headers, *length]
        request = b"\r\n".join([*lines, b"", b""]) + (body or b"")
        answer = self._begin(method, request)
        endless = answer.chunked and b"/stream" in target
        found = answer.status, b"" if endless else answer.read()
        if endless or answer.will_close or answer.getheader("connection") == "close":
            self.close()
        return found

    def _begin(self, method: str, request: bytes) -> HTTPResponse:
        """The head of the answer. A connection that was idle may have been closed: then there is
        another one."""
        for is_kept in (self.sock is not None, False):
            if self.sock is None:
                self.sock = socket.create_connection(self.place, timeout=30)
            try:
                self.sock.sendall(request)
                answer = HTTPResponse(self.sock, method=method)
                answer.begin()
                return answer
            except ConnectionError:
                self.close()
                if not is_kept:
                    raise
        raise AssertionError("not reached")

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = None
