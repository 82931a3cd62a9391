"""Listening sockets, with the options that a server on the internet needs."""

import socket

MAX_BACKLOG = 4096
"""Connections that the kernel queues. With 100, many clients that reconnect at once are refused."""

USER_TIMEOUT_MS = 20_000
"""Milliseconds that sent data may stay unacknowledged; then the kernel ends the connection."""

SEND_BUFFER_BYTES = 128 * 1024
"""Bytes that the kernel holds for a client that does not read. Its default is megabytes."""


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Return a listening socket.

    host: a name, an IPv4 or an IPv6 address, brackets allowed; port: 0 for any free one;
    reuse_port: let other processes listen on the same address and share the connections.
    Raises OSError.
    """
    host = host.removeprefix("[").removesuffix("]")
    family, kind, proto, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted connections inherit these.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        sock.bind(address)
        sock.listen(MAX_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
