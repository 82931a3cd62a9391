"""A small process that forks others, made while the server process is still simple.

A server process has threads, an event loop and connections: to fork it later is not safe, and to
start Python anew takes a third of a second. So it forks once, before all that, and the process made
then forks a child whenever one is asked for. A child inherits what was imported, and nothing else:
no open file, no connection, no signal handler.
"""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial

Serve = Callable[[socket.socket], None]


class ForkServer:
    """Make one with `ForkServer.start`. It ends when this process does."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    @classmethod
    def start(cls, serve: Serve) -> "ForkServer":
        """Fork the process whose children run `serve`. Call it before there is any thread."""
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        if os.fork():
            theirs.close()
            return cls(ours)
        _run(partial(_fork_for_each, theirs, serve))
        raise AssertionError("not reached")

    def connect(self) -> socket.socket:
        """A connection to a new child, which ends when the connection is closed. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def fileno(self) -> int:
        """Of the connection to the process that forks: it can be read from when that has ended."""
        return self._control.fileno()

    def close(self) -> None:
        """Fork no more children."""
        self._control.close()


def _fork_for_each(control: socket.socket, serve: Serve) -> None:
    _forget_all_but(control.fileno())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return  # the server process is gone
        for descriptor in descriptors:
            try:
                if os.fork() == 0:
                    _run(partial(_serve, control, descriptor, serve))
            except OSError as error:  # too many processes, or no memory, for the moment
                print(f"chat: cannot fork: {error}", file=sys.stderr, flush=True)
            os.close(descriptor)  # whoever asked sees that there is no child


def _serve(control: socket.socket, descriptor: int, serve: Serve) -> None:
    control.close()
    with socket.socket(fileno=descriptor) as connection, suppress(ConnectionError):
        serve(connection)


def _forget_all_but(kept: int) -> None:
    """Close what was inherited, a listening socket above all, and leave signals that are meant for
    the server process (Ctrl-C in a terminal reaches all of its group) to that process."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets children that have ended


def _run(work: Callable[[], None]) -> None:
    """Do the work of a new process, and end it here: what the server process has to do at its end
    is not this one's business."""
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)
