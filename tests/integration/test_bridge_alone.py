"""The bridge without the chat: a copy of its folder serves the program from its README."""

import asyncio
import http.client
import re
import shutil
import socket
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask_compress.compat import compression

from ..http2 import H2Line
from ..running import free_port
from .bridge_client import TEXT, Raw, frame, until

FOLDER = Path(__file__).parents[2] / "chat" / "bridge"
NUMBERS = "".join(f"{n}\n" for n in range(100_000)).encode()
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
COMPRESSED = 4  # RSV1, in the bits that follow FIN (RFC 7692, section 6)


def inflated(data):
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data + b"\x00\x00\xff\xff")


def deflated(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(
        b"\x00\x00\xff\xff"
    )


DECODERS = {"zstd": compression.zstd.decompress, "deflate": zlib.decompress}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The program from the README, run as it is, next to a copy of the bridge and nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(FOLDER, folder / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    readme = (folder / "bridge" / "README.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    (folder / "serve.py").write_text(program)
    port = free_port()
    # The virtual environment has the chat on its path: leave that out, and take its libraries.
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    start = (
        f"import runpy, sys; sys.path[:0] = [{str(folder)!r}, {libraries!r}]; "
        f"sys.argv = ['serve.py', '{port}']; runpy.run_path('serve.py', run_name='__main__')"
    )
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", start], cwd=folder)
    until(lambda: process.poll() is not None or accepts(port))
    yield SimpleNamespace(port=port, process=process, folder=folder)
    process.terminate()
    assert process.wait(15) == 0


def accepts(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_nothing_of_the_chat_can_be_imported(server):
    """What the copy runs with has no chat in it: the fixture means what it says."""
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    code = f"import sys; sys.path[:0] = ['.', {libraries!r}]; import bridge, flask; import chat.app"
    command = [sys.executable, "-I", "-S", "-c", code]
    result = subprocess.run(command, cwd=server.folder, capture_output=True, text=True)
    assert "No module named 'chat" in result.stderr


@pytest.mark.parametrize("message", ["hello", "grüße 😀", "x" * 100_000])
def test_echo_over_http1_understands_compressed_messages(server, message):
    with Raw(server) as client:
        status, headers = client.handshake("/echo", [OFFER])
        assert status == 101
        assert headers["sec-websocket-extensions"].startswith("permessage-deflate; ")
        client.send(frame(TEXT, deflated(message.encode()), rsv=COMPRESSED))
        assert client.recv_frame() == (TEXT, message.encode())


def test_broadcast_over_http1_is_compressed(server):
    text = b"hello again and again " * 100
    with Raw(server) as one, Raw(server) as other:
        for client in one, other:
            assert client.handshake("/broadcast", [OFFER])[0] == 101
            client.send_frame(TEXT, b"I am here")  # a route adds its socket before it receives
            assert client.recv_frame() == (TEXT, b"I am here")
        assert one.recv_frame() == (TEXT, b"I am here")
        one.send_frame(TEXT, text)
        for client in one, other:
            head = client.take(2)
            assert head[0] == 0x80 | COMPRESSED << 4 | TEXT
            assert head[1] < 126
            assert inflated(client.take(head[1])) == text


def test_echo_and_broadcast_over_http2(server):
    async def exchange():
        line = await H2Line.open(server.port)
        for path in "/echo", "/broadcast":
            ws = await line.socket(path)
            for message in ("hello", "grüße 😀", "x" * 100_000):
                await ws.send(message)
                assert await ws.recv() == message
        line.cut()

    asyncio.run(exchange())


@pytest.mark.parametrize("encoding", DECODERS)
def test_compressed_stream_over_http1(server, encoding):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/numbers", headers={"Accept-Encoding": encoding})
    response = connection.getresponse()
    assert response.headers["content-encoding"] == encoding
    assert response.headers["transfer-encoding"] == "chunked"
    body = response.read()
    connection.close()
    assert len(body) < len(NUMBERS)
    assert DECODERS[encoding](body) == NUMBERS


@pytest.mark.parametrize("encoding", DECODERS)
def test_compressed_stream_over_http2(server, encoding):
    async def request():
        line = await H2Line.open(server.port)
        try:
            return await line.request("GET", "/numbers", **{"accept-encoding": encoding})
        finally:
            line.cut()

    status, headers, body = asyncio.run(request())
    assert (status, headers["content-encoding"]) == (200, encoding)
    assert len(body) < len(NUMBERS)
    assert DECODERS[encoding](body) == NUMBERS
