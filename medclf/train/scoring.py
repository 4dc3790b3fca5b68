"""What a trained model is worth: its temperature and thresholds, fitted on validation, and its scores with them."""

import logging
from collections.abc import Callable, Mapping
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


@dataclass(frozen=True)
class Outputs:
    """What a model made of a part of the data.

    Attributes:
        logits: float32 [windows, labels].
        targets: int64 [texts] or bool [texts, labels]; what is right.
        pool: Logits of windows -> logits of texts; of a model whose texts are one row each, the same.
    """

    logits: Floats
    targets: Targets
    pool: Callable[[Floats], Floats]


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
        Logits and targets, in the order of the part.

    Raises:
        TrainingError: A logit is not a finite number.
    """
    trainer.compute_metrics = None  # that of training is for the validation part
    logits = dataset.restore(trainer.predict(dataset.by_length()).predictions)
    if not np.isfinite(logits).all():
        raise TrainingError(
            "the trained model gives logits that are not finite: it has diverged. Lower --learning-rate."
        )
    return Outputs(logits.astype(np.float32), dataset.targets, dataset.pool)


def judge(parts: Mapping[str, Outputs], labels: Labels) -> Outcome:
    """Fit temperature and thresholds on the validation part, and score all parts with them.

    Args:
        parts: Name -> logits and targets; `validation` is one of them.
        labels: The label contract.

    Returns:
        The outcome. The validation part was fitted to, so its scores are a little too good.
    """
    part = parts["validation"]
    temperature = fit_temperature(part.logits, part.targets, part.pool)
    if labels.multi_label:
        _warn_of_absent(labels, part.targets)
        probabilities = labels.probabilities(part.pool(part.logits / temperature))
        labels = replace(labels, thresholds=fit_thresholds(probabilities, part.targets))
    found: dict[str, dict[str, Any]] = {}
    calibration: dict[str, Any] = {"temperature": temperature}
    for name, part in parts.items():
        before, after = (labels.probabilities(part.pool(part.logits / divisor)) for divisor in (1.0, temperature))
        found[name] = scores(part.targets, labels.predicted(after), labels.names)
        calibration[name] = {
            "ece_before": calibration_error(labels, before, part.targets),
            "ece_after": calibration_error(labels, after, part.targets),
        }
    return Outcome(labels, temperature, found, calibration)


def _warn_of_absent(labels: Labels, targets: Targets) -> None:
    absent = [name for name, column in zip(labels.names, targets.T, strict=True) if not column.any()]
    if absent:
        log.warning(
            "no validation row has the label %s: the threshold stays 0.5, unproved", ", ".join(map(repr, absent))
        )
