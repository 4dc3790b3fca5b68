"""Everything that is measured about a model on labelled rows, as one document of numbers and label names.

The pages, the model card and the commands show what is here; none of them measures by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medclf.evaluate.calibration import calibration_error, outcomes, proper_scores, reliability
from medclf.evaluate.intervals import score_intervals
from medclf.evaluate.levels import levels
from medclf.evaluate.metrics import same, scores
from medclf.evaluate.operating import Goal, find
from medclf.evaluate.ranking import ranking
from medclf.evaluate.resampling import Groups
from medclf.evaluate.selective import RiskCoverage, per_label
from medclf.evaluate.slices import slices
from medclf.labels import Floats, Labels, Targets


@dataclass(frozen=True)
class Rows:
    """What is known about the rows that a model is measured on.

    Attributes:
        targets: int64 [rows] or bool [rows, labels]; what is right.
        groups: Which rows belong together, such as those of a patient; None where each stands for itself.
        parts: Name of a column -> the part of each row, to be scored by itself.
    """

    targets: Targets
    groups: Groups = None
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Questions:
    """What is asked beside the scores.

    Attributes:
        goals: Operating points to find.
        separator: Between the parts of labels that are paths; None where they are none.
    """

    goals: tuple[Goal, ...] = ()
    separator: str | None = None


def measure(
    labels: Labels, logits: Floats, rows: Rows, *, temperature: float = 1.0, questions: Questions | None = None
) -> dict[str, Any]:
    """Measure a model.

    Args:
        labels: The label contract.
        logits: float32 [rows, labels]; divided by the temperature already.
        rows: What is right, and what else is known.
        temperature: The divisor, to tell what calibration was without it.
        questions: What else is asked.

    Returns:
        `scores`, as `medclf.evaluate.metrics.scores`; `intervals`, 95 % of the scores over all and, in `per_class`, of
        each label's F1; `ranking`; `calibration`; `selective`; for one label a text `confusion`, rows of what is right;
        and `operating_points`, `levels` and `slices` where they were asked for.

    Raises:
        DataError: A label that is asked for does not occur.
        OptionError: The labels are no paths, and levels were asked for.
    """
    questions = questions or Questions()
    probabilities, targets = labels.probabilities(logits), rows.targets
    predicted = labels.predicted(probabilities)
    found: dict[str, Any] = {
        "scores": scores(targets, predicted, labels.names),
        "intervals": score_intervals(targets, predicted, labels.names, rows.groups),
        "ranking": ranking(targets, probabilities, labels.names),
        "calibration": _calibration(labels, logits, targets, temperature),
        "selective": _selective(labels, probabilities, targets, predicted),
    }
    if not labels.multi_label:
        found["confusion"] = confusion(targets, predicted, len(labels))
    if questions.goals:
        found["operating_points"] = find(
            questions.goals, labels, _answers(labels, probabilities, targets, predicted), groups=rows.groups
        )
    if questions.separator is not None:
        found["levels"] = levels(labels, targets, predicted, separator=questions.separator)
    if rows.parts:
        found["slices"] = slices(labels, targets, probabilities, rows.parts, groups=rows.groups)
    return found


def confusion(targets: Targets, predicted: Targets, n_labels: int) -> list[list[int]]:
    """Count what was said for what is right.

    Args:
        targets: int64 [n]; what is right.
        predicted: int64 [n]; what was said.
        n_labels: How many labels there are.

    Returns:
        [labels, labels]; entry i, j counts the rows of label i that were given label j.
    """
    counts = np.bincount(targets * n_labels + predicted, minlength=n_labels**2)
    matrix: list[list[int]] = counts.reshape(n_labels, n_labels).tolist()
    return matrix


def _calibration(labels: Labels, logits: Floats, targets: Targets, temperature: float) -> dict[str, Any]:
    probabilities = labels.probabilities(logits)
    before = labels.probabilities(logits * np.float32(temperature))
    return {
        "temperature": temperature,
        "ece": calibration_error(labels, probabilities, targets),
        "ece_before": calibration_error(labels, before, targets),
        **proper_scores(labels, probabilities, targets),
        "reliability": reliability(*outcomes(labels, probabilities, targets)),
        "reliability_before": reliability(*outcomes(labels, before, targets)),
    }


def _selective(labels: Labels, probabilities: Floats, targets: Targets, predicted: Targets) -> dict[str, Any]:
    confidence, correct = labels.confidence(probabilities), same(targets, predicted)
    trade = RiskCoverage(confidence, correct)
    found: dict[str, Any] = {"aurc": trade.area, "points": trade.points(), "curve": trade.curve()}
    if labels.abstain_below is not None:
        found["abstain_below"] = trade.at_threshold(labels.abstain_below)
        if not labels.multi_label:
            answered = ~labels.abstains(probabilities)
            found["abstain_below"]["per_label"] = per_label(answered, correct, predicted, labels.names)
    return found


def _answers(labels: Labels, probabilities: Floats, targets: Targets, predicted: Targets) -> dict[str, Any]:
    """What operating points are found on."""
    given = targets.astype(bool) if targets.ndim == 2 else targets[:, None] == np.arange(len(labels))
    return {
        "probabilities": probabilities,
        "given": given,
        "confidence": labels.confidence(probabilities),
        "correct": same(targets, predicted),
    }
