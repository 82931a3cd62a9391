"""Our own listening sockets, which the supervisor makes and keeps, and the workers accept on."""

import socket

BACKLOG = 4096
"""Connections the kernel holds for us; with 100, a crowd that reconnects is turned away."""

USER_TIMEOUT = 20_000
"""Milliseconds sent data may stay unacknowledged before the kernel ends the connection."""

SEND_BUFFER = 128 * 1024
"""Bytes the kernel holds for a client that does not read; its own choice is megabytes."""


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
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
