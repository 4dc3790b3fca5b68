"""Lets callers in up to a number of cores, first come first served."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """A semaphore whose callers take one slot or several, in the order in which they came.

    `threading.Semaphore` lets a caller that has just left come in again before those that wait: among 16 clients on two
    cores, some would wait for hundreds of milliseconds.
    """

    def __init__(self, n_slots: int) -> None:
        """Open the gate.

        Args:
            n_slots: How many slots can be taken at a time.
        """
        self.n_slots = n_slots
        self._free = n_slots
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()

    @contextmanager
    def slots(self, n: int = 1) -> Iterator[None]:
        """Hold slots; wait for them where they are taken.

        Args:
            n: How many, at most `n_slots`.

        Yields:
            Nothing.
        """
        self._take(n)
        try:
            yield
        finally:
            self._give_back(n)

    def _take(self, n: int) -> None:
        with self._lock:
            if not self._waiting and self._free >= n:
                self._free -= n
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append((n, turn))
        try:
            turn.acquire()  # released by who gives slots back
        except BaseException:  # Ctrl-C while waiting: the slots go to the next one
            self._leave(n, turn)
            raise

    def _give_back(self, n: int) -> None:
        with self._lock:
            self._free += n
            while self._waiting and self._waiting[0][0] <= self._free:
                wanted, turn = self._waiting.popleft()
                self._free -= wanted
                turn.release()

    def _leave(self, n: int, turn: threading.Lock) -> None:
        with self._lock:
            waits = (n, turn) in self._waiting
            if waits:
                self._waiting.remove((n, turn))
        self._give_back(0 if waits else n)
