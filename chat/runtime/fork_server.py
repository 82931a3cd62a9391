"""A small process that forks child processes for the server process.

A server process has threads, an event loop and connections, so forking it is not safe, and starting
a new Python takes a third of a second. So it forks once, before it has any of them. The new process
then forks a child whenever one is needed. A child inherits imported modules and nothing else: no
open files, connections or signal handlers.
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
from typing import NoReturn

log = logging.getLogger(__name__)

Serve = Callable[[socket.socket], None]

FORK, PING, PONG = b"+", b"?", b"!"  # the messages on the control connection
PING_SECONDS = 2.0  # between two pings
LATE_PINGS = 2  # with more pings without an answer, the process is late, ...
MAX_PINGS = 5  # ... and with so many it hangs, and is killed


class ForkServer:
    """The fork server, made by `ForkServer.start`. It ends when this process ends."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self._pid = pid
        self._unanswered = 0  # pings

    @classmethod
    def start(cls, serve: Serve) -> "ForkServer":
        """Start the fork server, whose children run `serve`. Must be called before this process has
        any other threads."""
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        if pid := os.fork():
            theirs.close()
            ours.setblocking(False)  # the event loop must not block
            return cls(ours, pid)
        _run(partial(_fork_for_each, theirs, serve))

    def connect(self) -> socket.socket:
        """Return a connection to a new child, which ends when the connection is closed. Raises
        OSError."""
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
        """True while the fork server does not answer."""
        return self._unanswered > LATE_PINGS

    async def watch(self, ended: Callable[[], None]) -> None:
        """Ping the fork server until it has ended, then call `ended`. It is killed if it hangs.
        Pings are counted instead of seconds, because time during which the machine was suspended
        does not count."""
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.add_reader(self._control.fileno(), self._hear, over)
        try:
            while not over.done():
                with suppress(OSError):  # it has ended, or its buffer is full
                    self._control.send(PING)
                self._unanswered += 1
                await asyncio.wait({over}, timeout=PING_SECONDS)
                if self._unanswered >= MAX_PINGS and not over.done():
                    log.error("the fork server does not answer and is killed")
                    os.kill(self._pid, signal.SIGKILL)
        finally:
            loop.remove_reader(self._control.fileno())
        ended()

    def _hear(self, over: asyncio.Future[None]) -> None:
        try:
            answer = self._control.recv(64)
        except BlockingIOError:
            return
        except OSError:  # it has ended without reading everything
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
            return  # the server process has ended
        if message == PING:
            control.sendall(PONG)
        for descriptor in descriptors:
            try:
                if os.fork() == 0:
                    _run(partial(_serve, control, descriptor, serve))
            except OSError as error:  # too many processes or too little memory at the moment
                log.error("cannot fork: %s", error)
            os.close(descriptor)  # so a caller without a child sees a closed connection


def _serve(control: socket.socket, descriptor: int, serve: Serve) -> None:
    control.close()
    with socket.socket(fileno=descriptor) as connection, suppress(ConnectionError):
        serve(connection)


def _forget_all_but(kept: int) -> None:
    """Close inherited files, above all the listening socket, and ignore signals that are meant for
    the server process: Ctrl-C in a terminal reaches the whole process group."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets children that have ended


def _run(work: Callable[[], None]) -> NoReturn:
    """Do the work of a new process, and end the process here, without the exit handlers of the
    server process."""
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        log.exception("a forked process failed")
    finally:
        sys.stderr.flush()
        os._exit(status)
