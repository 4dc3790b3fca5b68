"""Several runs for one output: a search for the best options, and the same options with several seeds.

`<output>.work` holds `run.json`, the trials of the search, and a checkpoint of each seed that is done, so that a
stopped run goes on.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from medclf.errors import OptionError
from medclf.evaluate.metrics import summary
from medclf.labels import Labels
from medclf.train.fit import SCORED, fit
from medclf.train.options import TrainOptions
from medclf.train.output import METRICS, Scores, publish, write_checkpoint
from medclf.train.parts import Parts
from medclf.train.search import search
from medclf.train.work import begin_or_resume, describe_run, last_checkpoint, work_folder

log = logging.getLogger(__name__)


def train_several(
    options: TrainOptions, parts: Parts, labels: Labels, baselines: Scores, *, console: Console | None
) -> None:
    """Search, if that is asked for, then train with each seed and make the best of them the output.

    The split is that of the first seed in all runs, so that they differ in the head, the order and dropout alone. The
    best is that of the highest macro-F1 on the validation part.

    Args:
        options: Of the run.
        parts: Of the data.
        labels: The label contract.
        baselines: What TF-IDF got on the same parts.
        console: Where a progress bar is drawn; None draws none.

    Raises:
        Stopped: A run was saved and stopped; finished ones are kept.
        OptionError: It was started by `torchrun`.
        TrainingError: A run cannot go on, or cannot be resumed.
        OutputError: The output cannot be written.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError("seeds and search run in one process: start them without torchrun.")
    hashes = {name: part.sha256 for name, part in parts.named().items()}
    begin_or_resume(options, describe_run(options, hashes, n_processes=1))
    more: dict[str, Any] = {}
    chosen = options
    if options.search is not None:
        chosen, more["search"] = search(options, parts, labels, console=console)
    found = {}
    for seed in range(options.seed, options.seed + options.seeds):
        folder = work_folder(options.output) / f"seed-{seed}"
        if not (folder / METRICS).is_file():
            resume = last_checkpoint(work_folder(folder)) is not None
            logs = options.log_dir / options.output.name
            one = replace(chosen, seeds=1, search=None, seed=seed)
            own = replace(one, output=folder, log_dir=logs, resume=resume, overwrite=True)
            fitted = fit(parts, labels, own, console=console)
            write_checkpoint(fitted, parts, labels, baselines, given=chosen)
        found[folder] = json.loads((folder / METRICS).read_bytes())
        log.info("seed %d: validation macro-F1 %.3f", seed, _macro_f1(found[folder]))
    best = max(found, key=lambda folder: _macro_f1(found[folder]))
    if options.seeds > 1:
        more["seeds"] = _spread(found, best)
    publish(best, options, more)


def _macro_f1(metrics: Mapping[str, Any]) -> float:
    return float(metrics["validation"]["model"]["macro_f1"])


def _spread(found: Mapping[Path, Mapping[str, Any]], best: Path) -> dict[str, Any]:
    """What the seeds got, with mean and standard deviation."""
    scores = {part: [one[part]["model"] for one in found.values()] for part in SCORED}
    return {
        "seeds": [_seed(folder) for folder in found],
        "best": _seed(best),
        **{part: summary(of_part, each="seeds") for part, of_part in scores.items()},
        "runs": [one["run"] for one in found.values()],
    }


def _seed(folder: Path) -> int:
    return int(folder.name.split("-")[1])
