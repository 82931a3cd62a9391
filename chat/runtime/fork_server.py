"""A small process that forks others, made while the server process is still simple.

A server process has threads, an event loop and connections: to fork it later is not safe, and to
start Python anew takes a third of a second. So it forks once, before all that, and the process made
then forks a child whenever one is asked for. A child inherits what was imported, and nothing else:
no open file, no connection, no signal handler.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

log = logging.getLogger(__name__)

Serve = Callable[[socket.socket], None]

FORK, PING, PONG = b"+", b"?", b"!"  # what is said on the control connection
PING_SECONDS = 2.0
LATE_PINGS = 2  # without an answer, after which it is late, ...
MAX_PINGS = 5  # ... and after which it hangs, and is killed


class ForkServer:
    """Make one with `ForkServer.start`. It ends when this process does."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self._pid = pid
        self._unanswered = 0  # pings

    @classmethod
    def start(cls, serve: Serve) -> "ForkServer":
        """Fork the process whose children run `serve`. Call it before there is any thread."""
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        if pid := os.fork():
            theirs.close()
            ours.setblocking(False)  # the event loop waits for nobody
            return cls(ours, pid)
        _run(partial(_fork_for_each, theirs, serve))
        raise AssertionError("not reached")

    def connect(self) -> socket.socket:
        """A connection to a new child, which ends when the connection is closed. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [FORK], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    @property
    def is_late(self) -> bool:
        """True while it does not answer."""
        return self._unanswered > LATE_PINGS

    async def watch(self, ended: Callable[[], None]) -> None:
        """Ask it every PING_SECONDS whether it is alive, until it has ended: then `ended` is
        called. When it hangs it is killed. Pings are counted and not seconds, for those in which
        the whole machine was suspended are no silence."""
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.add_reader(self._control.fileno(), self._hear, over)
        try:
            while not over.done():
                with suppress(OSError):  # what has ended, or takes nothing in
                    self._control.send(PING)
                self._unanswered += 1
                await asyncio.wait({over}, timeout=PING_SECONDS)
                if self._unanswered >= MAX_PINGS and not over.done():
                    log.error("the process that forks does not answer and is killed")
                    os.kill(self._pid, signal.SIGKILL)
        finally:
            loop.remove_reader(self._control.fileno())
        ended()

    def _hear(self, over: asyncio.Future[None]) -> None:
        try:
            answer = self._control.recv(64)
        except BlockingIOError:
            return
        except OSError:  # it has ended without reading all
            answer = b""
        if answer:
            self._unanswered = 0
        elif not over.done():
            over.set_result(None)

    def close(self) -> None:
        """Fork no more children."""
        self._control.close()


def _fork_for_each(control: socket.socket, serve: Serve) -> None:
    _forget_all_but(control.fileno())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return  # the server process is gone
        if message == PING:
            control.sendall(PONG)
        for descriptor in descriptors:
            try:
                if os.fork() == 0:
                    _run(partial(_serve, control, descriptor, serve))
            except OSError as error:  # too many processes, or no memory, for the moment
                log.error("cannot fork: %s", error)
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
        log.exception("a forked process failed")
    finally:
        sys.stderr.flush()
        os._exit(status)
