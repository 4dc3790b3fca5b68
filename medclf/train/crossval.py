"""Cross-validation: every row is answered by a model that has not seen it, or its text, or its group.

With TF-IDF alone it needs no torch; with a model, it is fine-tuned once a fold. The output folder
holds scores, the out-of-fold probabilities by row number, and the labels that are likely wrong; no text.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from medclf.atomic import check_output
from medclf.data.keys import Indices
from medclf.data.splits import folds, split
from medclf.data.tables import LabelledTexts, read_labelled
from medclf.errors import DataError, OptionError
from medclf.evaluate.baseline import Baseline
from medclf.labels import Labels, names_of
from medclf.train.crossval_output import Answers, write_output
from medclf.train.options import VALIDATION_SIZE, TrainOptions
from medclf.train.parts import Parts, check_contradictions, labels_of

MAX_FOLDS = 100
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossvalOptions:
    """Options of a cross-validation.

    Attributes:
        run: The table and how a model is fine-tuned in each fold; of its data, `data` alone is read.
        n_folds: How many parts the table is divided into.
        baseline_only: TF-IDF alone; no model is fine-tuned.
    """

    run: TrainOptions
    n_folds: int = 5
    baseline_only: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.n_folds <= MAX_FOLDS:
            raise OptionError(f"folds is {self.n_folds}, expected 2 to {MAX_FOLDS}.")
        if self.baseline_only and self.run.resume:
            raise OptionError("resume needs a model: TF-IDF alone is fitted in one go.")


def cross_validate(options: CrossvalOptions, *, console: Console | None = None) -> Path:
    """Train and test on every fold in turn, and write the output folder.

    Args:
        options: Of the cross-validation.
        console: Where the progress of a model is drawn; None draws none.

    Returns:
        The output folder.

    Raises:
        Stopped: A model was saved and stopped; finished folds are kept too.
        DataError: The table cannot be used or divided.
        OptionError: An option does not fit the model or the machine.
        CheckpointError: The model to begin from cannot be used.
        TrainingError: A run cannot go on, or cannot be resumed.
        OutputError: The output cannot be written.
    """
    run = options.run
    check_output(run.output, overwrite=run.overwrite)
    data = read_labelled(
        run.data, columns=run.columns, label_column=run.label_column,
        multi_label=run.multi_label or None, encoding=run.encoding, group_column=run.group_column,
    )  # fmt: skip
    check_contradictions(data)
    labels = labels_of(data)
    held_out = folds(data, options.n_folds, seed=run.seed)
    parts = [_parts(data, labels, rows, number, run.seed) for number, rows in enumerate(held_out, start=1)]
    answers = {"baseline": _baseline(parts, held_out, labels, run.seed)}
    if not options.baseline_only:
        from medclf.train.fold_models import model_answers  # torch

        answers["model"] = model_answers(run, parts, held_out, labels, console=console)
    write_output(run, data, labels, held_out, answers)
    return run.output


def _parts(data: LabelledTexts, labels: Labels, held_out: Indices, number: int, seed: int) -> Parts:
    """Divide the rows that are not held out into training and validation, as a run does."""
    rest = data.select(np.setdiff1d(np.arange(len(data)), held_out))
    divided = split(rest, validation_size=VALIDATION_SIZE, test_size=0, seed=seed)
    train = rest.select(divided.train)
    absent = sorted(set(labels.names) - {name for label in train.labels for name in names_of(label)})
    if absent and not labels.multi_label:
        raise DataError(
            f"{data.file}: fold {number} has all rows of {', '.join(map(repr, absent))}, so that nothing is left to "
            "learn "
            "it from. Add rows, or merge or remove the label."
        )
    return Parts(train, rest.select(divided.validation), data.select(held_out))


def _baseline(parts: Sequence[Parts], held_out: Sequence[Indices], labels: Labels, seed: int) -> Answers:
    answers = Answers.empty(sum(map(len, held_out)), labels)
    for number, (one, rows) in enumerate(zip(parts, held_out, strict=True), start=1):
        baseline = Baseline(one.train, labels, seed=seed)
        baseline.fit_thresholds(one.validation)
        answers.probabilities[rows] = baseline.probabilities(one.test)
        answers.scores.append(baseline.score(one.test))
        log.info("TF-IDF: macro-F1 %.3f on fold %d of %d", answers.scores[-1]["macro_f1"], number, len(parts))
    return answers
