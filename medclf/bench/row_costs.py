"""What a row costs here: in batches of the model, in reading and writing, and what a process takes to start."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medclf.bench.measure import Measured, measure
from medclf.bench.sample import Window, spread
from medclf.bench.worker import PathSpec, load_bundle
from medclf.bench.workloads import Workload
from medclf.data.formats import TableFormat
from medclf.labels import Labels
from medclf.runtime.layouts import TextLayout
from medclf.runtime.predictions import Predictions, decide
from medclf.runtime.rows import answer_row, output_columns

ROUNDS = 4  # that count; one more is warm-up
PILOT_CALLS = 2  # batches of each caller, to learn how long one takes
SMT = Path("/sys/devices/system/cpu/smt/active")


def measure_rows(
    specs: Sequence[PathSpec], window: Window, seconds: float, progress: Callable[[str], None]
) -> list[Measured]:
    """Time some batches of a window on all cores; the ways take turns.

    Args:
        specs: The ways.
        window: The batches.
        seconds: About how long the slowest of them should take.
        progress: Told what begins.

    Returns:
        What each way did.
    """
    callers = specs[0].threads
    progress("first batches")
    few = spread(window.batches, PILOT_CALLS * callers)
    (pilot,) = measure(specs, [Workload(1, None, callers, few, PILOT_CALLS)], repeats=1)
    slowest = max(statistics.mean(_latencies(one.rounds[0])) for one in pilot)
    calls = max(PILOT_CALLS, round(seconds / (ROUNDS + 1) / slowest))
    batches = spread(window.batches, calls * callers)
    progress(f"{len(batches)} of {len(window.batches)} batches")
    (measured,) = measure(specs, [Workload(1, None, callers, batches, calls)], repeats=ROUNDS)
    return measured


def _latencies(turns: Sequence[Any]) -> list[float]:
    return [latency for turn in turns for latency in turn.latencies]


def core_seconds(measured: Measured, row_tokens: float) -> tuple[float, ...]:
    """Give the seconds of a core for each row, round by round.

    Processor time counts. Time by the clock would also hold what other programs took of the cores, and the waiting of
    callers at the end of a turn; at the end of a window of 2,048 texts they hardly wait.

    Args:
        measured: One path, on batches of a window.
        row_tokens: Tokens that the model is given of a text of the whole window, on average.

    Returns:
        One entry a round.
    """
    return tuple(
        sum(turn.cpu_s for turn in turns) / sum(turn.n_tokens for turn in turns) * row_tokens
        for turns in measured.rounds
    )


def taken_by_others(measured: Sequence[Measured]) -> float:
    """Give the share of the callers' time in which they had no core.

    Args:
        measured: The paths.

    Returns:
        0 to 1.
    """
    turns = [turn for one in measured for turns in one.rounds for turn in turns]
    return max(0.0, 1 - sum(turn.cpu_s for turn in turns) / sum(_latencies(turns)))


def written_s(labels: Labels) -> float:
    """Time the rows of `medclf-predict` on their way to a CSV file, but for the disk.

    Args:
        labels: The label contract.

    Returns:
        Seconds a row.
    """
    n_rows = 2_000
    logits = np.random.default_rng(0).standard_normal((n_rows, len(labels))).astype(np.float32)
    begun = time.perf_counter()
    probabilities = labels.probabilities(logits)
    counts = np.ones(n_rows, dtype=np.int64)
    answers = Predictions(
        logits, probabilities, decide(labels, probabilities), counts, 0 * counts, counts, {}, labels.names
    )
    rows = [{"row": i, **answer_row(labels, answers, i)} for i in range(n_rows)]
    TextLayout(TableFormat("csv"), output_columns(labels, probabilities=False, errors=False)).encode(rows)
    return (time.perf_counter() - begun) / n_rows


def started_s(spec: PathSpec) -> float:
    """Time a process from its start to the first row that it could take.

    Args:
        spec: What it opens.

    Returns:
        Seconds.
    """
    process = multiprocessing.get_context("spawn").Process(target=load_bundle, args=(spec,))
    begun = time.perf_counter()
    process.start()
    process.join()
    return time.perf_counter() - begun


def hyper_threads() -> bool | None:
    """Say whether two cores as the system counts them may be one; None where it does not tell."""
    try:
        return SMT.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return None
