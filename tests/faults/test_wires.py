"""A cut wire loses everything silently, and works again afterwards."""

import socket
import subprocess
import sys

import pytest

from .wires import several

ECHO = """
import socket, sys
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 7))
print("ready", flush=True)
while True:
    sock.sendto(*sock.recvfrom(9))
"""


@pytest.fixture
def space():
    spaces = several(1)
    if not spaces:
        pytest.skip("network namespaces take root (CAP_NET_ADMIN) and iproute2")
    yield spaces[0]
    spaces[0].close()


@pytest.fixture
def ask(space):
    """Send a word into the namespace over the wire to the browsers. Returns True if it came
    back."""
    command = [*space.inside, sys.executable, "-c", ECHO, space.front.far]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as echo:
        echo.stdout.readline()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:

            def ask(word):
                sock.settimeout(0.2)
                sock.sendto(word, (space.front.far, 7))
                try:
                    return sock.recv(9) == word
                except TimeoutError:
                    return False

            yield ask
        echo.kill()


@pytest.mark.parametrize("directions", [(True, True), (True, False), (False, True)])
def test_packets_are_lost_silently(space, ask, directions):
    while not ask(b"hello"):
        pass
    space.front.lose(*directions)
    assert not ask(b"lost")
    space.back.heal()
    assert not ask(b"also lost"), "another wire"
    space.front.heal()
    while not ask(b"again"):
        pass
