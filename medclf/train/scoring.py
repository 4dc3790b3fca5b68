"""What a trained model is worth: its temperature and thresholds, fitted on validation, and its scores with them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medclf.errors import TrainingError
from medclf.evaluate.calibration import calibration_error, fit_temperature, fit_thresholds
from medclf.evaluate.metrics import scores
from medclf.labels import Floats, Labels, Targets
from medclf.train.dataset import EncodedTexts
from medclf.train.trainer import ClassifierTrainer

log = logging.getLogger(__name__)

Outputs = tuple[Floats, Targets]  # logits [texts, labels], and what is right


@dataclass(frozen=True)
class Outcome:
    """A model with all that its decisions need, and its scores.

    Attributes:
        labels: The label contract, with thresholds where a text may have several labels.
        temperature: Divisor of the logits.
        scores: Part -> as `medclf.evaluate.metrics.scores`.
        calibration: `temperature`, and part -> expected calibration error, `ece_before` and `ece_after` it.
    """

    labels: Labels
    temperature: float
    scores: dict[str, dict[str, Any]]
    calibration: dict[str, Any]


def outputs_of(trainer: ClassifierTrainer, dataset: EncodedTexts) -> Outputs:
    """Run the model on a part of the data; every process of `torchrun` must take part.

    Args:
        trainer: Of the run, with the best weights.
        dataset: The part.

    Returns:
        Logits and targets, longest text first.

    Raises:
        TrainingError: A logit is not a finite number.
    """
    result = trainer.predict(dataset.by_length())
    logits, targets = result.predictions, result.label_ids
    if not np.isfinite(logits).all():
        raise TrainingError(
            "the trained model gives logits that are not finite: it has diverged. Lower --learning-rate."
        )
    return logits.astype(np.float32), targets.astype(bool) if targets.ndim == 2 else targets


def judge(parts: Mapping[str, Outputs], labels: Labels) -> Outcome:
    """Fit temperature and thresholds on the validation part, and score all parts with them.

    Args:
        parts: Name -> logits and targets; `validation` is one of them.
        labels: The label contract.

    Returns:
        The outcome. The validation part was fitted to, so its scores are a little too good.
    """
    logits, targets = parts["validation"]
    temperature = fit_temperature(logits, targets)
    if labels.multi_label:
        _warn_of_absent(labels, targets)
        labels = replace(labels, thresholds=fit_thresholds(labels.probabilities(logits / temperature), targets))
    found: dict[str, dict[str, Any]] = {}
    calibration: dict[str, Any] = {"temperature": temperature}
    for name, (logits, targets) in parts.items():
        probabilities = labels.probabilities(logits / temperature)
        found[name] = scores(targets, labels.predicted(probabilities), labels.names)
        calibration[name] = {
            "ece_before": calibration_error(labels, labels.probabilities(logits), targets),
            "ece_after": calibration_error(labels, probabilities, targets),
        }
    return Outcome(labels, temperature, found, calibration)


def _warn_of_absent(labels: Labels, targets: Targets) -> None:
    absent = [name for name, column in zip(labels.names, targets.T, strict=True) if not column.any()]
    if absent:
        log.warning(
            "no validation row has the label %s: the threshold stays 0.5, unproved", ", ".join(map(repr, absent))
        )
