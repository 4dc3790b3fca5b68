"""The parent of the workers: gives each turn to every path, one after the other, and sums up what they report."""

import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from medclf.bench.worker import Memory, PathSpec, Timing, Turn, serve
from medclf.bench.workloads import Workload
from medclf.errors import MedclfError

BASELINE = "torch, padded to the longest"
MEGABYTE = 1_000_000
LAST_WORDS_S = 2.0


@dataclass(frozen=True)
class Measured:
    """What one path did of one workload in the rounds that count.

    Attributes:
        spec: The path.
        rounds: One list a round, warm-up excluded, with one timing a turn.
        memory: Its peaks, after all workloads.
    """

    spec: PathSpec
    rounds: list[list[Timing]]
    memory: Memory


class _Worker:
    """A worker process, seen from the parent."""

    def __init__(self, spec: PathSpec, process: BaseProcess, connection: Connection) -> None:
        self.spec = spec
        self._process = process
        self._connection = connection

    def ask(self, request: Turn | None) -> Any:
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
    workloads: Sequence[Workload],
    *,
    repeats: int,
    progress: Callable[[], None] = lambda: None,
) -> list[list[Measured]]:
    """Time every path on every workload; they take turns, so that a disturbance of the machine strikes all alike.

    Args:
        specs: The paths.
        workloads: What they do.
        repeats: Rounds that count; one more goes before, as warm-up.
        progress: Called after each turn of each path.

    Returns:
        Workload by workload, what each path did, in the order of `specs`.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(spec)) for spec in specs]
        for worker in workers:
            worker.answer()  # its model is loaded; all load at the same time
        rounds = [_rounds(workers, workload, repeats, progress) for workload in workloads]
        memory = [worker.ask(None) for worker in workers]
    return [[Measured(*one) for one in zip(specs, of_workload, memory, strict=True)] for of_workload in rounds]


def _rounds(
    workers: Sequence[_Worker], workload: Workload, repeats: int, progress: Callable[[], None]
) -> list[list[list[Timing]]]:
    """Path by path, round by round, the timing of each turn."""
    found: list[list[list[Timing]]] = [[[] for _ in range(repeats + 1)] for _ in workers]
    for repeat in range(repeats + 1):
        for batches in workload.turns:
            for worker, rounds in zip(workers, found, strict=True):
                rounds[repeat].append(worker.ask(Turn(batches, workload.concurrency)))
                progress()
    return [rounds[1:] for rounds in found]


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
        measured: The paths of one workload; speed-ups are given if one of them is BASELINE.

    Returns:
        One entry a path, in order; None for what is not known. Rates are medians of the rounds, and speed-ups medians
        of the ratios within each round.
    """
    seconds = {one.spec.name: [sum(timing.seconds for timing in turns) for turns in one.rounds] for one in measured}
    baseline = seconds.get(BASELINE)
    return [_summary(one, seconds[one.spec.name], baseline) for one in measured]


def _summary(one: Measured, seconds: Sequence[float], baseline: Sequence[float] | None) -> dict[str, Any]:
    turns = one.rounds[0]  # every round does the same work
    n_texts, n_tokens = sum(turn.n_texts for turn in turns), sum(turn.n_tokens for turn in turns)
    latencies = [latency for turns in one.rounds for turn in turns for latency in turn.latencies]
    ratios = [theirs / ours for theirs, ours in zip(baseline or (), seconds, strict=bool(baseline))]
    return {
        "path": one.spec.name,
        "documents_per_s": n_texts / statistics.median(seconds),
        "documents_per_s_min": n_texts / max(seconds),
        "documents_per_s_max": n_texts / min(seconds),
        "tokens_per_s": n_tokens / statistics.median(seconds),
        "padded_per_real_token": sum(turn.n_padded for turn in turns) / n_tokens,
        "outside_model": _outside([turn for turns in one.rounds for turn in turns]),
        **_percentiles(latencies),
        "latencies_ms": [round(1000 * latency, 3) for latency in latencies],
        "memory_before_load_mb": _megabytes(one.memory.before_load),
        "memory_after_load_mb": _megabytes(one.memory.after_load),
        "memory_peak_mb": _megabytes(one.memory.peak),
        "speedup": statistics.median(ratios) if ratios else None,
    }


def _outside(turns: Sequence[Timing]) -> float | None:
    """Of the time of the busy cores, the share in which no model ran; None where that is not known."""
    outside = [turn.outside_s for turn in turns if turn.outside_s is not None]
    return sum(outside) / sum(turn.core_s for turn in turns) if outside else None


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{percent}_ms": 1000 * float(np.percentile(seconds, percent)) for percent in (50, 95, 99)}


def _megabytes(size: int | None) -> float | None:
    return None if size is None else size / MEGABYTE
