"""The lower bound for one Python process: does what floor.c does, on uvloop, with one
`transport.write` for each connection. Everything that the chat costs beyond this is its own.
Started by make bench:

    python uvloop_floor.py PORT
"""

import asyncio
import base64
import hashlib
import sys

import uvloop

from chat.bridge.frames import text_frame, whole_text

PONG, PONG_BYTES = b"\x8a\x80", 6  # masked, without a payload
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
viewers = {}


class Viewer(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport):
        self.transport = transport
        self.request = b""

    def connection_lost(self, error):
        viewers.pop(self, None)

    def data_received(self, data):
        if self in viewers:
            self.message(data)
            return
        self.request += data
        if b"\r\n\r\n" in self.request:
            self.accept()

    def accept(self):
        lines = self.request.lower().split(b"\r\n")
        place = next(n for n, line in enumerate(lines) if line.startswith(b"sec-websocket-key:"))
        key = self.request.split(b"\r\n")[place].partition(b":")[2].strip()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        viewers[self] = self.transport

    def message(self, data):
        """Handle data: the load generator sends one text at a time, and now and then an empty
        pong."""
        while data.startswith(PONG):
            data = data[PONG_BYTES:]
        if data[-PONG_BYTES:].startswith(PONG):
            data = data[:-PONG_BYTES]
        if not data:
            return
        text, _ = whole_text(data) or (b"", False)
        if text.startswith(b"<"):
            frame = text_frame(text.decode())
            for transport in viewers.values():
                transport.write(frame)
        else:
            self.transport.write(text_frame("<p>watching</p>"))


async def main(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Viewer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
