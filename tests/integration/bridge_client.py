"""Clients of `bridge_app`, and the process it runs in, for the tests of the bridge."""

import base64
import json
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Server:
    """`bridge_app` as a process."""

    def __init__(self, loop, log, *, port=0, drain=0.3, **config):
        options = {"loop": loop, "port": port, "drain": drain, "config": config}
        self.log = log
        self.direct = config.get("direct_writes", True)
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.bridge_app", json.dumps(options)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=ROOT,
            )
        self.port = int(self.process.stdout.readline())
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, verify=False)

    def events(self):
        return self.http.get("/events").json()

    def wait_for(self, event, count=1):
        """Wait until the application has noted `event` `count` times."""
        until(lambda: self.events().count(event) >= count)

    def rss(self):
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def socket(self, path, **options):
        return connect(f"ws://127.0.0.1:{self.port}{path}", proxy=None, **options)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds=15):
        """Wait for the process to end; return its exit code and what it printed last."""
        code = self.process.wait(seconds)
        return code, self.process.stdout.read()

    def close(self):
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Raw:
    """A client that does what it is told, right or wrong."""

    def __init__(self, server, buffer=None):
        self.sock = socket.socket()
        if buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", server.port))
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, path, headers=(), body=b""):
        lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def handshake(self, path, headers=(), version=13):
        key = base64.b64encode(b"0123456789abcdef").decode()
        upgrade = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {key}"]
        self.request("GET", path, [*upgrade, f"Sec-WebSocket-Version: {version}", *headers])
        return self.response()

    def response(self):
        """Return the status and the headers; the body stays to be read."""
        while b"\r\n\r\n" not in self.received:
            assert self.more(), "closed before the response"
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        return int(status.split()[1]), headers

    def more(self):
        data = self.sock.recv(65536)
        self.received += data
        return data

    def take(self, size):
        while len(self.received) < size:
            if not self.more():
                return None
        data, self.received = self.received[:size], self.received[size:]
        return data

    def send_frame(self, opcode, payload=b"", *, fin=True, rsv=0):
        self.send(frame(opcode, payload, fin=fin, rsv=rsv))

    def recv_frame(self):
        """Return opcode and payload of the next frame, or None at the end of the connection."""
        head = self.take(2)
        if head is None:
            return None
        assert head[0] & 0xF0 == 0x80, "a whole, uncompressed frame"
        size = head[1]
        if size == 126:
            (size,) = struct.unpack("!H", self.take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.take(8))
        return head[0] & 15, self.take(size)

    def recv_close(self):
        """Return the code of the Close frame that must come next, pings aside."""
        while (received := self.recv_frame()) and received[0] == PING:
            pass
        assert received is not None, "closed without a Close frame"
        assert received[0] == CLOSE
        return struct.unpack("!H", received[1][:2])[0]

    def at_end(self):
        """Read to the end; whether nothing but pings was left."""
        try:
            while (received := self.recv_frame()) and received[0] == PING:
                pass
        except ConnectionError:
            return True
        return received is None


class H2:
    """One websocket over HTTP/2 by hand (RFC 8441)."""

    def __init__(self, server):
        self.raw = Raw(server)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.forget()
        self.reset = False
        self.flush()
        enabled = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
        self.until(lambda: self.h2.remote_settings.get(enabled) == 1)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.raw.sock.close()

    def forget(self):
        """Start anew for another stream."""
        self.data = bytearray()
        self.status = None
        self.ended = False
        self.stream = self.h2.get_next_available_stream_id()

    def flush(self):
        self.raw.send(self.h2.data_to_send())

    def open(self, path, headers=()):
        pseudo = {"method": "CONNECT", "protocol": "websocket", "scheme": "http"}
        pseudo |= {"path": path, "authority": "test"}
        fields = [(f":{name}", value) for name, value in pseudo.items()]
        self.h2.send_headers(self.stream, [*fields, ("sec-websocket-version", "13"), *headers])
        self.flush()
        self.until(lambda: self.status is not None)
        return self.status

    def until(self, condition):
        while not condition():
            self.pump()

    def pump(self):
        data = self.raw.sock.recv(65536)
        assert data, "the connection ended"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
                self.status = int(self.headers[":status"])
            elif isinstance(event, h2.events.DataReceived):
                if event.stream_id == self.stream:
                    self.data += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended |= event.stream_id == self.stream
            elif isinstance(event, h2.events.StreamReset):
                self.reset = True
        self.flush()

    def send(self, data, end=False):
        self.h2.send_data(self.stream, data, end_stream=end)
        self.flush()

    def get(self, path):
        """A plain request on the same connection."""
        self.request("GET", path, end=True)
        self.until(lambda: self.ended)
        return bytes(self.data)

    def request(self, method, path, end=False):
        self.forget()
        pseudo = {"method": method, "scheme": "http", "path": path, "authority": "test"}
        headers = [(f":{name}", value) for name, value in pseudo.items()]
        self.h2.send_headers(self.stream, headers, end_stream=end)
        self.flush()


def frame(opcode, payload=b"", *, fin=True, rsv=0):
    """A client's frame, masked with zeros."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if len(payload) < 126:
        head = struct.pack("!BB", first, 0x80 | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, len(payload))
    return head + bytes(4) + payload


def close_frame(code, reason=""):
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


def until(condition, seconds=10):
    """Ask until it is so. Each asking is a request or a read, which sets the pace."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"


def assert_calm(server):
    """Nothing went wrong in the server but what the routes did on purpose."""
    log = server.log.read_text()
    assert log.count("Traceback") == log.count("RuntimeError: secret detail")
    assert "never" not in log  # retrieved, awaited
    assert "socket.send() raised" not in log
