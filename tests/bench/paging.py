"""Requests one page over and over on keep-alive HTTP connections."""

import select
import socket
from time import perf_counter

from tests.bench.load import LoadError

ENCODINGS = "Accept-Encoding: gzip, deflate, br, zstd"  # as Chromium sends it
CONNECTIONS = 16  # enough for each of two workers to get some


class Readers:
    """path: the page; headers: the header lines of the person who reads it."""

    def __init__(self, port, path, headers):
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", ENCODINGS, *headers]
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.epoll = select.epoll()
        self.shown = self.bytes = 0
        self.pending = {}
        for _ in range(CONNECTIONS):
            sock = socket.create_connection(("127.0.0.1", port), timeout=5)
            self.epoll.register(sock.fileno(), select.EPOLLIN)
            self.pending[sock.fileno()] = [sock, b""]
            sock.sendall(self.request)

    def read(self, seconds):
        """Request the page again whenever it is complete, for this many seconds."""
        end = perf_counter() + seconds
        while perf_counter() < end:
            for fileno, _ in self.epoll.poll(0.1):
                state = self.pending[fileno]
                data = state[0].recv(1 << 20)
                if not data:
                    raise LoadError("the server closed a page's connection")
                state[1] += data
                if size := page_length(state[1]):
                    self.shown += 1
                    self.bytes += size
                    state[1] = b""
                    state[0].sendall(self.request)


def page_length(data):
    """Return the size of a complete 200 response in bytes, 0 while it is incomplete."""
    head, end, content = data.partition(b"\r\n\r\n")
    if not end:
        return 0
    status, *lines = head.lower().split(b"\r\n")
    if b" 200" not in status:
        raise LoadError(f"the room's page answered {status.decode(errors='replace')}")
    headers = dict(line.split(b":", 1) for line in lines)
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        return len(data) if content.endswith(b"0\r\n\r\n") else 0
    return len(data) if len(content) >= int(headers[b"content-length"]) else 0
