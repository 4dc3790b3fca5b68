"""Finds an inference or an event loop that hangs, and ends the process so that its supervisor starts a new one.

A call into a model cannot be stopped from outside. So what hangs is answered for (readiness false, every waiting
request told 503), and then the whole process goes.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from medclf.serve.service import Service

HUNG = 75  # exit code; the supervisor starts again after any but those of a server that was told to end
GRACE_S = 1.0  # for the answers to leave

logger = logging.getLogger(__name__)


def _exit() -> NoReturn:
    os._exit(HUNG)  # the thread that hangs would keep sys.exit from ending


class Watchdog:
    """A thread that looks at the callers and at the event loop."""

    def __init__(
        self,
        service: Service,
        loop: asyncio.AbstractEventLoop,
        *,
        hang_s: float,
        end: Callable[[], object] = _exit,
    ) -> None:
        """Start to look.

        Args:
            service: Whose batches are watched.
            loop: The event loop, which has to answer too.
            hang_s: What takes longer hangs.
            end: Ends the process.
        """
        self._service, self._loop, self._hang_s, self._end = service, loop, hang_s, end
        self._heard_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="medclf-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._hang_s / 4)):
            self._call(self._hear)
            if time.monotonic() - self._heard_s > self._hang_s:
                logger.critical("the event loop hangs since %.0f s: ending the process", self._hang_s)
            elif self._service.running_s > self._hang_s:
                logger.critical("a batch runs since %.0f s: ending the process", self._service.running_s)
                self._call(self._service.stop, "the model hangs; the server starts again.")
                self._stop.wait(GRACE_S)
            else:
                continue
            self._end()
            return

    def _hear(self) -> None:
        self._heard_s = time.monotonic()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)
