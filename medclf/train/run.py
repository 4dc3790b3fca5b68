"""One training run, from a table to a checkpoint folder: read, split, fit the baseline, fine-tune, score, write.

The folder holds what `medclf_export` needs and nothing of the data: weights, configuration with the label contract,
tokenizer, `training.json`, `metrics.json` and the picture of the learning curve.
"""

import logging
import os
from pathlib import Path

from rich.console import Console

from medclf.evaluate.baseline import BASELINES, Baseline
from medclf.labels import Labels
from medclf.train.fine_tune import Stopped
from medclf.train.fit import SCORED, fit
from medclf.train.options import TrainOptions
from medclf.train.output import Scores, write_checkpoint
from medclf.train.parts import Parts, fix_labels, read_parts
from medclf.train.several import train_several
from medclf.train.work import check_run

__all__ = ["Stopped", "train"]

log = logging.getLogger(__name__)


def train(options: TrainOptions, *, console: Console | None = None) -> Path:
    """Train a classifier and write its checkpoint.

    Args:
        options: Of the run.
        console: Where a progress bar is drawn; None draws none.

    Returns:
        The checkpoint folder.

    Raises:
        Stopped: The run was saved and stopped before its end.
        DataError: A table cannot be used.
        OptionError: An option does not fit the model or the machine.
        CheckpointError: The model to begin from cannot be used.
        TrainingError: The run cannot go on, or cannot be resumed.
        OutputError: The output cannot be written.
    """
    check_run(options)
    parts = read_parts(options)
    labels = fix_labels(parts)
    main = int(os.environ.get("RANK", "0")) == 0  # of torchrun's processes, the one that fits the baseline and writes
    baselines = _baseline_scores(parts, labels, options) if main else {}
    if options.several:
        train_several(options, parts, labels, baselines, console=console)
        return options.output
    fitted = fit(parts, labels, options, console=console)
    if main:
        write_checkpoint(fitted, parts, labels, baselines, given=options)
    return options.output


def _baseline_scores(parts: Parts, labels: Labels, options: TrainOptions) -> Scores:
    """Part -> baseline -> its scores."""
    found: Scores = {part: {} for part in SCORED}
    for name, class_weight in BASELINES.items():
        baseline = Baseline(parts.train, labels, seed=options.seed, class_weight=class_weight)
        baseline.fit_thresholds(parts.validation)
        for part in SCORED:
            found[part][name] = baseline.score(parts.named()[part])
        log.info("TF-IDF %s: validation macro-F1 %.3f", name, found["validation"][name]["macro_f1"])
    return found
