"""Who does what next, and what happens when a worker dies: its partitions are given to others, and it is replaced.

Pure but for the pool, which is Ray's (`pool.py`) or a test's. Memory is bounded: a worker has at most two calls at a
time, so that it never waits for the driver, and the end of one partition overlaps with the beginning of the next.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from medclf.cluster.ray.worker import Opened, Outcome
from medclf.errors import ClusterError

DEPTH = 2  # calls that a worker has at a time
ATTEMPTS = 4  # at one call, of which each cost a worker
WAIT_S = 0.5
PATIENCE_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """A method of `Worker` with its arguments.

    Attributes:
        method: Its name.
        arguments: Fit to be a key; the first one says in words what it is about.
    """

    method: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return str(self.arguments[0])


@dataclass(frozen=True)
class Event:
    """The end of a call.

    Attributes:
        worker: Who had it.
        call: What it was; None for the opening of the worker.
        outcome: What came of it; None if the worker died.
    """

    worker: int
    call: Call | None
    outcome: Outcome | None


class Pool(Protocol):
    """Processes that can be given work."""

    def start(self, cores: int) -> int:
        """Begin a worker, whose opening is its first event; give its number, which no other one had."""

    def submit(self, worker: int, call: Call) -> None:
        """Give a worker something to do."""

    def wait(self, timeout_s: float) -> list[Event]:
        """Wait for events; give none after the timeout."""

    def stop(self, worker: int) -> None:
        """End a worker, which may be dead."""


class Dispatcher:
    """The workers of a run."""

    def __init__(self, pool: Pool, cores: Sequence[int], check: Callable[[Outcome], None]) -> None:
        """Start them.

        Args:
            pool: Where they come from.
            cores: Of each.
            check: Refuses a worker that was opened, or could not be, by raising.
        """
        self._pool = pool
        self._check = check
        self._load: Counter[int] = Counter()  # of the workers that are open
        self._cores = {pool.start(n): n for n in cores}
        self._n_lost = 0  # since something was done
        self.n_deaths = 0

    @property
    def n_open(self) -> int:
        """Workers that are ready."""
        return len(self._load)

    def wait_for_one(self, tick: Callable[[], None]) -> None:
        """Wait until a worker is open.

        Args:
            tick: Called again and again.
        """
        told_at = time.monotonic() + PATIENCE_S
        while not self._load:
            if time.monotonic() > told_at:
                told_at += 10 * PATIENCE_S
                logger.warning("no worker is ready yet: are the cores of the cluster taken by others?")
            for event in self._pool.wait(WAIT_S):
                self._opened(event)
            tick()

    def run(self, calls: Iterable[Call], done: Callable[[Call, Outcome], bool], tick: Callable[[], None]) -> None:
        """Have everything done, by whoever is free.

        Args:
            calls: What to do.
            done: Takes the outcome of a call; says whether more is to be given out.
            tick: Called again and again.

        Raises:
            ClusterError: A call cost one worker after the other, or workers die and nothing is done.
        """
        waiting, lost = deque(calls), Counter[Call]()
        goes_on, n_running = True, 0
        while (waiting and goes_on) or n_running:
            if goes_on:
                n_running += self._give_out(waiting)
            for event in self._pool.wait(WAIT_S):
                if event.call is None:
                    self._opened(event)
                    continue
                n_running -= 1
                if event.outcome is None:
                    lost[event.call] += 1
                    self._replace(event.worker)
                    if lost[event.call] >= ATTEMPTS:
                        raise ClusterError(
                            f"{event.call}: {ATTEMPTS} workers died at it, one after the other. Is there too little "
                            "memory? Ray's logs on that machine say what ended them."
                        )
                    waiting.appendleft(event.call)
                else:
                    self._n_lost = 0
                    if event.worker in self._load:  # else it died after this call
                        self._load[event.worker] -= 1
                    goes_on = done(event.call, event.outcome) and goes_on
            tick()

    def _give_out(self, waiting: deque[Call]) -> int:
        given = 0
        for load in range(DEPTH):  # first one to everybody
            for worker in [worker for worker, n in self._load.items() if n == load]:
                if len(waiting) > load * len(self._load):  # the last ones are for whoever is free first
                    self._pool.submit(worker, waiting.popleft())
                    self._load[worker] += 1
                    given += 1
        return given

    def _opened(self, event: Event) -> None:
        if event.outcome is None:
            self._replace(event.worker)
            return
        self._check(event.outcome)
        self._load[event.worker] = 0

    def _replace(self, worker: int) -> None:
        if worker not in self._cores:  # of several calls that it had, the first told of its death
            return
        self.n_deaths += 1
        self._n_lost += 1
        if self._n_lost > ATTEMPTS * (len(self._cores) + 1):
            raise ClusterError(
                f"{self._n_lost} workers died and nothing was done. Is medclf installed on every machine, with "
                "pip install 'medclf[cpu,ray]', and is there memory for the model? Ray's logs say what ended them."
            )
        cores = self._cores.pop(worker)
        self._load.pop(worker, None)
        self._pool.stop(worker)
        self._cores[self._pool.start(cores)] = cores


def check_opened(outcome: Outcome, expected: dict[str, str]) -> Opened:
    """Refuse a worker that cannot be used.

    Args:
        outcome: Of its opening.
        expected: Versions that the driver has.

    Returns:
        What was opened.

    Raises:
        ClusterError: It could not be opened, or runs other versions.
    """
    if outcome.fault:
        raise ClusterError(f"the worker on {outcome.node} cannot be used: {outcome.fault}")
    opened: Opened = outcome.value
    differ = [f"{name} is {opened.versions.get(name)}, here {of}" for name, of in expected.items()]
    differ = [
        text for text, (name, of) in zip(differ, expected.items(), strict=True) if opened.versions.get(name) != of
    ]
    if differ:
        raise ClusterError(
            f"the worker on {outcome.node} runs other versions: {'; '.join(differ)}. Install the same on every machine."
        )
    return opened
