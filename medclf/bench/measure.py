"""The parent of the workers: gives each batch to every path in turn, and sums up what they report."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from medclf.bench.texts import TextBatch
from medclf.bench.worker import Memory, PathSpec, Timing, serve
from medclf.errors import MedclfError

BASELINE = "torch, padded to the longest"
MEGABYTE = 1_000_000
LAST_WORDS_S = 2.0


@dataclass(frozen=True)
class Measured:
    """What one path did in the rounds that count.

    Attributes:
        spec: The path.
        timings: One a batch and round, warm-up excluded.
        memory: Its peaks.
    """

    spec: PathSpec
    timings: list[Timing]
    memory: Memory


class _Worker:
    """A worker process, seen from the parent."""

    def __init__(self, spec: PathSpec, process: BaseProcess, connection: Connection) -> None:
        self.spec = spec
        self._process = process
        self._connection = connection

    def ask(self, request: TextBatch | None) -> Any:
        """Send a request and wait for the answer."""
        self._connection.send(request)
        return self.answer()

    def answer(self) -> Any:
        """Wait for an answer; an error of the worker is raised here."""
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            self._process.join()
            raise MedclfError(
                f"{self.spec.name}: the worker process ended with code {self._process.exitcode}. "
                "Was it out of memory? Try a smaller --batch."
            ) from error
        if isinstance(answer, str) and answer:
            raise MedclfError(answer)
        return answer


def measure(
    specs: Sequence[PathSpec],
    batches: Sequence[TextBatch],
    *,
    repeats: int,
    progress: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Time every path on every batch; they take turns, so that a disturbance of the machine strikes all alike.

    Args:
        specs: The paths.
        batches: The texts.
        repeats: Rounds that count; one more goes before, as warm-up.
        progress: Called after each batch of each path.

    Returns:
        What each path did, in the order of `specs`.
    """
    timings: dict[str, list[Timing]] = {spec.name: [] for spec in specs}
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(spec)) for spec in specs]
        for worker in workers:
            worker.answer()  # its model is loaded; all load at the same time
        for repeat in range(repeats + 1):
            for batch in batches:
                for worker in workers:
                    timing = worker.ask(batch)
                    if repeat:
                        timings[worker.spec.name].append(timing)
                    progress()
        return [Measured(worker.spec, timings[worker.spec.name], worker.ask(None)) for worker in workers]


@contextmanager
def _worker(spec: PathSpec) -> Iterator[_Worker]:
    context = multiprocessing.get_context("spawn")  # a fork would carry the parent's threads and memory along
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, spec), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Worker(spec, process, ours)
    finally:
        ours.close()  # an idle worker ends by itself; one that computes is not waited for
        process.join(LAST_WORDS_S)
        process.terminate()
        process.join()


def summaries(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Turn timings into the figures of the report.

    Args:
        measured: The paths; speed-ups are given if one of them is BASELINE.

    Returns:
        One entry a path, in order; None for what is not known.
    """
    rates = {one.spec.name: _rate(one, lambda timing: len(timing.labels)) for one in measured}
    baseline = rates.get(BASELINE)
    return [
        {
            "path": one.spec.name,
            "documents_per_s": rates[one.spec.name],
            "tokens_per_s": _rate(one, lambda timing: timing.n_tokens),
            "padded_per_real_token": sum(t.n_padded for t in one.timings) / sum(t.n_tokens for t in one.timings),
            **_percentiles([timing.seconds for timing in one.timings]),
            "memory_before_load_mb": _megabytes(one.memory.before_load),
            "memory_after_load_mb": _megabytes(one.memory.after_load),
            "memory_peak_mb": _megabytes(one.memory.peak),
            "speedup": rates[one.spec.name] / baseline if baseline else None,
        }
        for one in measured
    ]


def _rate(measured: Measured, amount: Callable[[Timing], int]) -> float:
    return sum(map(amount, measured.timings)) / sum(timing.seconds for timing in measured.timings)


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{percent}_ms": 1000 * float(np.percentile(seconds, percent)) for percent in (50, 95, 99)}


def _megabytes(size: int | None) -> float | None:
    return None if size is None else size / MEGABYTE
