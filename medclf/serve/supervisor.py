"""Keeps one server process running: starts it, passes signals on, and starts it again when it dies or hangs.

Holds the listening socket, so that connections wait for the next process instead of being refused. Loads nothing but
the standard library.
"""

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from types import FrameType

SOCKET, PIPE, RESTARTS = "MEDCLF_SERVE_SOCKET", "MEDCLF_SERVE_PIPE", "MEDCLF_SERVE_RESTARTS"
MAX_BACKOFF_S = 30.0
STEADY_S = 60.0  # a process that lived so long may die again without a longer wait
ORDERED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """Open the listening socket.

    Args:
        host: Address or name; IPv6 too.
        port: 0 for one that is free.

    Returns:
        A socket that listens.

    Raises:
        OSError: The address cannot be had.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.create_server(address[:2], family=family, backlog=2048)
    sock.set_inheritable(True)
    return sock


class Supervisor:
    """Runs a command until it is told to end."""

    def __init__(self, command: Sequence[str], sock: socket.socket) -> None:
        """Take a command.

        Args:
            command: Starts the server process; it finds the socket and a pipe by the numbers in its environment.
            sock: Listens.
        """
        self._command, self._sock = list(command), sock
        self._child: subprocess.Popen[bytes] | None = None
        self._told_to_end = False
        self._n_starts = 0

    def run(self) -> int:
        """Run it.

        Returns:
            Exit code: 0 after it was told to end, else that of a process that could not even begin.
        """
        before = {number: signal.signal(number, self._pass_on) for number in ORDERED}
        try:
            return self._run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run(self) -> int:
        backoff_s = 0.5
        while True:
            began = time.monotonic()
            code = self._once()
            lived_s = time.monotonic() - began
            if self._told_to_end:
                return 0
            if self._n_starts == 1 and code in (1, 2):  # it said why: a bundle, an option
                return code
            backoff_s = 0.5 if lived_s > STEADY_S else min(MAX_BACKOFF_S, backoff_s * 2)
            logger.error("the server process ended with code %d after %.0f s; starting it again", code, lived_s)
            if self._wait(backoff_s if lived_s < STEADY_S else 0.0):
                return 0

    def _once(self) -> int:
        ours, theirs = os.pipe()[::-1]
        environment = {**os.environ, SOCKET: str(self._sock.fileno()), PIPE: str(theirs), RESTARTS: str(self._n_starts)}
        try:
            self._child = subprocess.Popen(self._command, env=environment, pass_fds=(self._sock.fileno(), theirs))
            os.close(theirs)
            self._n_starts += 1
            if self._told_to_end:
                self._child.terminate()
            return self._child.wait()
        finally:
            self._child = None
            os.close(ours)  # closes by itself if this process is killed: the server ends then

    def _wait(self, seconds: float) -> bool:
        """Wait, unless told to end meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._told_to_end:
            time.sleep(0.05)
        return self._told_to_end

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGHUP:
            self._told_to_end = True
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM if number == signal.SIGINT else number)
