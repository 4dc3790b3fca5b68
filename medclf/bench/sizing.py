"""How many cores, hours and how much money a table takes: a short measurement here, and arithmetic.

Measured is the processor time of the batches that the runtime's schedule makes of a window of texts, a sample of them
from the longest to the shortest, on all cores at the same time, by `medclf.bench.measure`: from strings to labels, each
way in a process of its own, in turns. Reading, writing and starting are timed beside it; `Speed` puts them together.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medclf.bench.bench import BenchOptions, paths_of
from medclf.bench.environment import environment
from medclf.bench.row_costs import (
    ROUNDS,
    core_seconds,
    hyper_threads,
    measure_rows,
    started_s,
    taken_by_others,
    written_s,
)
from medclf.bench.sample import Sample, Window, make_sample, read_sample, window_of
from medclf.bench.speed import HOUR_S, Speed
from medclf.bench.texts import SHORTEST
from medclf.bundle import Manifest, TextColumns, read_manifest
from medclf.errors import OptionError
from medclf.runtime.cores import usable_cores


@dataclass(frozen=True)
class SizingOptions:
    """What has to be classified, and with what.

    Attributes:
        rows: How many.
        tokens: Of a text on average, special tokens included; None for those of `data`, or of the training texts.
        bundle: The bundle.
        data: A table of texts like those to come; None for random words.
        text: Its columns that make the text; empty for those of training.
        pair: Its columns that make the second text; empty for those of training.
        compare: Other bundles, such as of students.
        target_hours: In which all of it should be done.
        price_per_core_hour: In any currency.
        threads: Cores to measure with; None for all that this process may use.
        seconds: About how long the slowest model is measured.
    """

    rows: float
    tokens: float | None = None
    bundle: Path = Path("bundle")
    data: Path | None = None
    text: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    compare: tuple[Path, ...] = ()
    target_hours: float = 24.0
    price_per_core_hour: float = 0.04
    threads: int | None = None
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rows) and self.rows >= 1 and self.rows == int(self.rows)):
            raise OptionError(f"rows is {self.rows:g}, expected a whole number from 1 on, such as 37e6.")
        for name in ("target_hours", "seconds"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise OptionError(f"{name} is {getattr(self, name):g}, expected more than 0.")
        if not (math.isfinite(self.price_per_core_hour) and self.price_per_core_hour >= 0):
            raise OptionError(f"price_per_core_hour is {self.price_per_core_hour:g}, expected 0 or more.")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads is {self.threads}, expected at least 1.")
        if self.tokens is not None and self.data is not None:
            raise OptionError("tokens makes texts of a length, and data names texts of their own: give one of them.")
        if self.tokens is not None and not (math.isfinite(self.tokens) and self.tokens >= SHORTEST):
            raise OptionError(f"tokens is {self.tokens:g}, expected at least {SHORTEST}: [CLS], a word, [SEP].")


def plan_run(options: SizingOptions, *, progress: Callable[[str], None] = lambda what: None) -> dict[str, Any]:
    """Measure and count.

    Args:
        options: What has to be classified.
        progress: Told what begins.

    Returns:
        The report, ready for JSON.

    Raises:
        MedclfError: The bundle or the texts cannot be used, or the time cannot be met.
    """
    before, manifest = environment(), read_manifest(options.bundle)
    threads = options.threads or usable_cores()
    specs, _ = paths_of(BenchOptions(options.bundle, compare=options.compare), manifest, threads)
    progress("texts")
    sample = _sample(options, manifest)
    window = window_of(sample, options.bundle, manifest)
    measured = measure_rows(specs, window, options.seconds, progress)
    progress("start")
    write_s = written_s(manifest.labels)
    speeds = [
        Speed(one.spec.name, core_seconds(one, window.row_tokens), sample.read_s, write_s, started_s(one.spec), threads)
        for one in measured
    ]
    return {
        "rows": int(options.rows),
        "target_hours": options.target_hours,
        "price_per_core_hour": options.price_per_core_hour,
        "threads": threads,
        "texts": _texts(sample, window, manifest),
        "paths": [path_report(speed, options) for speed in speeds],
        "rounds": ROUNDS,
        "taken_by_others": taken_by_others(measured),
        "hyper_threads": hyper_threads(),
        "environment": before,
    }


def _sample(options: SizingOptions, manifest: Manifest) -> Sample:
    if options.data is not None:
        own = manifest.columns
        return read_sample(options.data, TextColumns(options.text or own.text, options.pair or own.pair))
    return make_sample(options.bundle, manifest, options.tokens)


def path_report(speed: Speed, options: SizingOptions) -> dict[str, Any]:
    """Count cores, hours and cost.

    Args:
        speed: What was measured.
        options: What has to be classified.

    Returns:
        One entry of the report.

    Raises:
        OptionError: The time cannot be met.
    """
    rows, n = options.rows, speed.n_cores
    here = speed.seconds_of(rows)
    cores = speed.cores_for(rows, options.target_hours * HOUR_S)
    starts = cores * speed.start_s
    core_hours = [((seconds - speed.start_s) * n + starts) / HOUR_S for seconds in here]
    return {
        "path": speed.name,
        "rows_per_s": 1 / speed.row_s(statistics.median(speed.batch_core_s)),
        "rows_per_s_range": [1 / speed.row_s(edge(speed.batch_core_s)) for edge in (max, min)],
        "start_s": speed.start_s,
        "read_row_s": speed.read_s,
        "write_row_s": speed.write_s,
        "hours_here": here[0] / HOUR_S,
        "hours_here_range": [one / HOUR_S for one in here[1:]],
        "cores": cores,
        "hours": core_hours[0] / cores,
        "hours_range": [one / cores for one in core_hours[1:]],
        "core_hours": core_hours[0],
        "cost": core_hours[0] * options.price_per_core_hour,
        "cost_range": [one * options.price_per_core_hour for one in core_hours[1:]],
    }


def _texts(sample: Sample, window: Window, manifest: Manifest) -> dict[str, Any]:
    return {
        "source": sample.source,
        "n_texts": len(sample.texts),
        "tokens_mean": float(window.n_tokens.mean()),
        **{f"tokens_p{percent}": float(np.percentile(window.n_tokens, percent)) for percent in (5, 50, 95)},
        "model_tokens_mean": window.row_tokens,
        "n_truncated": window.n_truncated,
        "limits": manifest.limits,
        "bytes_mean": sample.n_bytes,
    }
