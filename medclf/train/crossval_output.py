"""What a cross-validation writes: scores, out-of-fold probabilities by row number, and likely label errors. No text."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medclf.atomic import atomic_folder
from medclf.data.keys import Indices
from medclf.data.tables import LabelledTexts
from medclf.evaluate.label_errors import Doubts, doubts, suggestion
from medclf.evaluate.metrics import summary
from medclf.labels import SEPARATOR, Floats, Label, Labels, names_of
from medclf.train.options import TrainOptions

PREDICTIONS = "predictions.jsonl"
LABEL_ERRORS = "label_errors.csv"
METRICS = "metrics.json"


@dataclass(frozen=True)
class Answers:
    """What one kind of model said of every row, out of fold; filled fold by fold.

    Attributes:
        probabilities: float32 [rows, labels].
        scores: Of each fold, as `medclf.evaluate.metrics.scores`.
    """

    probabilities: Floats
    scores: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def empty(cls, n_rows: int, labels: Labels) -> "Answers":
        """Make room for the answers."""
        return cls(np.full((n_rows, len(labels)), np.nan, dtype=np.float32))


def write_output(
    run: TrainOptions, data: LabelledTexts, labels: Labels, held_out: Sequence[Indices], answers: Mapping[str, Answers]
) -> None:
    """Write the output folder, whole or not at all.

    Args:
        run: Of the cross-validation.
        data: The table.
        labels: The label contract.
        held_out: Positions of the rows of each fold.
        answers: `baseline`, and `model` where there is one, whose probabilities are then those that are written.

    Raises:
        OutputError: The folder exists or cannot be written.
    """
    best = "model" if "model" in answers else "baseline"
    probabilities = answers[best].probabilities
    found = doubts(labels, probabilities, labels.targets(data.labels))
    fold_of = np.zeros(len(data), dtype=np.int64)
    for number, rows in enumerate(held_out, start=1):
        fold_of[rows] = number
    metrics = {
        "file": str(data.file),
        "sha256": data.sha256,
        "rows": len(data),
        "labels": list(labels.names),
        "folds": len(held_out),
        "seed": run.seed,
        "scores": {name: summary(one.scores) for name, one in answers.items()},
        "probabilities_of": best,
        "likely_label_errors": int(found.likely.sum()),
    }
    with atomic_folder(run.output, overwrite=run.overwrite) as folder:
        (folder / METRICS).write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        _write_predictions(folder / PREDICTIONS, data, labels, fold_of, probabilities)
        _write_label_errors(folder / LABEL_ERRORS, data, labels, found)


def _write_predictions(
    path: Path, data: LabelledTexts, labels: Labels, fold_of: Indices, probabilities: Floats
) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row, label, fold, values in zip(data.rows, data.labels, fold_of.tolist(), probabilities, strict=True):
            by_name = {name: round(float(value), 6) for name, value in zip(labels.names, values, strict=True)}
            given = label if isinstance(label, str) else list(label)
            line = {"row": row, "fold": fold, "label": given, "probabilities": by_name}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _write_label_errors(path: Path, data: LabelledTexts, labels: Labels, found: Doubts) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("rank", "row", "label", "suggested", "self_confidence", "margin", "likely_error"))
        for rank, i in enumerate(found.ranked().tolist(), start=1):
            given = names_of(data.labels[i])
            other = suggestion(labels, given, int(found.doubted[i]))
            confidence, margin = f"{found.self_confidence[i]:.6f}", f"{found.margin[i]:.6f}"
            writer.writerow((rank, data.rows[i], _cell(given), _cell(other), confidence, margin, int(found.likely[i])))


def _cell(names: Label) -> str:
    return SEPARATOR.join(names_of(names))
