"""Probabilities that mean what they say: one temperature, thresholds, and how far off the probabilities are.

All of it is fitted on rows that the model was not trained on.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from medclf.labels import Floats, Labels, Targets

MANY = 10_000_000  # answers; beyond these, every second text, or third, and so on, tells the threshold of all labels
TEMPERATURES = (0.1, 10.0)  # a best one at either end means that the rows do not tell
Bools = npt.NDArray[np.bool_]
log = logging.getLogger(__name__)


def expected_calibration_error(probabilities: Floats, correct: Bools, n_bins: int = 15) -> float:
    """Give the mean distance between probability and frequency, over bins of equal width weighted by their size.

    Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning; with 15 bins
    as in Guo et al. (2017), On calibration of modern neural networks. Such as: of ten answers given with 0.8, six are
    right: 0.2.

    Args:
        probabilities: float [n], n at least 1.
        correct: bool [n]; whether what each probability was given to is so.
        n_bins: Number of bins.

    Returns:
        0 to 1.
    """
    bins = _bins(probabilities, n_bins)
    gaps = np.bincount(bins, weights=probabilities.astype(float) - correct, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(probabilities))


def _bins(probabilities: Floats, n_bins: int) -> npt.NDArray[np.int64]:
    """Bin i holds (i / n, (i + 1) / n], and the first one 0 too."""
    found: npt.NDArray[np.int64] = np.ceil(probabilities.astype(float) * n_bins).astype(np.int64) - 1
    return np.clip(found, 0, n_bins - 1)


def reliability(probabilities: Floats, correct: Bools, n_bins: int = 10) -> list[dict[str, float]]:
    """Hold probabilities against frequencies, bin by bin (DeGroot and Fienberg 1983).

    Args:
        probabilities: float [n].
        correct: bool [n]; whether what each probability was given to is so.
        n_bins: Number of bins of equal width.

    Returns:
        Of each bin that is not empty `low` and `high`, its ends; `n`; `confidence`, its mean probability; `accuracy`,
        the share that is correct.
    """
    bins = _bins(probabilities, n_bins)
    return [
        {
            "low": i / n_bins,
            "high": (i + 1) / n_bins,
            "n": int((bins == i).sum()),
            "confidence": float(probabilities[bins == i].mean()),
            "accuracy": float(correct[bins == i].mean()),
        }
        for i in np.unique(bins).tolist()
    ]


def outcomes(labels: Labels, probabilities: Floats, targets: Targets) -> tuple[Floats, Bools]:
    """Give the probabilities that calibration is about, and whether what each says is so.

    Args:
        labels: The label contract.
        probabilities: float32 [texts, labels].
        targets: int64 [texts] or bool [texts, labels]; what is right.

    Returns:
        Of each text that of the given label; with several labels a text, of every label of every text.
    """
    if labels.multi_label:
        return probabilities.ravel(), targets.astype(bool).ravel()
    return probabilities.max(axis=-1), probabilities.argmax(axis=-1) == targets


def proper_scores(labels: Labels, probabilities: Floats, targets: Targets) -> dict[str, float]:
    """Give the two scores that only true probabilities make best (Gneiting and Raftery 2007); lower is better.

    Args:
        labels: The label contract.
        probabilities: float32 [texts, labels].
        targets: int64 [texts] or bool [texts, labels]; what is right.

    Returns:
        `brier`, the mean squared distance of a text's probabilities to 0 and 1, summed over the labels for one label a
        text and averaged for several; `log_loss`, the mean cross-entropy in nats.
    """
    truth = targets if labels.multi_label else targets[:, None] == np.arange(len(labels))
    squares = (probabilities.astype(float) - truth) ** 2
    likely = np.clip(probabilities.astype(float), 1e-7, 1 - 1e-7)  # float32 rounds to 0 and 1
    if labels.multi_label:
        return {"brier": float(squares.mean()),
                "log_loss": float(-np.log(np.where(truth, likely, 1 - likely)).mean())}  # fmt: skip
    return {"brier": float(squares.sum(axis=1).mean()), "log_loss": float(-np.log(likely[truth]).mean())}


def calibration_error(labels: Labels, probabilities: Floats, targets: Targets) -> float:
    """Give the expected calibration error of a classifier.

    Args:
        labels: The label contract.
        probabilities: float32 [texts, labels].
        targets: int64 [texts] or bool [texts, labels]; what is right.

    Returns:
        That of the given label's probability; with several labels a text, over every label of every text.
    """
    return expected_calibration_error(*outcomes(labels, probabilities, targets))


def fit_temperature(logits: Floats, targets: Targets, pool: Callable[[Any], Any] = lambda logits: logits) -> float:
    """Find the divisor of logits by which probabilities fit best what is right (Guo et al. 2017).

    Args:
        logits: float32 [texts, labels], or [windows, labels].
        targets: int64 [texts] or bool [texts, labels].
        pool: Logits of windows, divided -> logits of texts: it is the answer to a text that is held against what is
            right.

    Returns:
        The temperature that has the least cross-entropy; 1 where the texts do not tell, as when all answers are right.
    """
    low, high = np.log(TEMPERATURES)
    wide = logits.astype(np.float64)

    def error(x: float) -> float:
        return _cross_entropy(pool(wide / np.exp(x)), targets)

    found = minimize_scalar(error, bounds=(low, high), method="bounded")
    if min(found.x - low, high - found.x) > 1e-3:
        return float(np.exp(found.x))
    log.warning("the validation part does not tell a temperature (too few rows, or all are right): 1 is kept")
    return 1.0


def _cross_entropy(logits: npt.NDArray[np.float64], targets: Targets) -> float:
    if targets.ndim == 2:
        return float((np.logaddexp(0, logits) - logits * targets).mean())
    return float((np.logaddexp.reduce(logits, axis=-1) - logits[np.arange(len(targets)), targets]).mean())


def fit_thresholds(probabilities: Floats, targets: Targets) -> tuple[float, ...]:
    """Find the probability from which each label is best given: close to the one of its highest F1.

    A label of one text has its highest F1 at the probability of that text, and where the model does not know the label,
    nearly every text has as much. So each threshold is a mean: of the label's best one, once for each text that has the
    label, and, once, of the one that is best for all labels together.

    Args:
        probabilities: float32 [texts, labels], after the temperature.
        targets: bool [texts, labels].

    Returns:
        One threshold a label; 0.5 for a label that no text has.
    """
    every = targets.astype(np.bool_)
    step = 1 + every.size // MANY
    common = best_threshold(probabilities[::step].ravel(), every[::step].ravel())
    return tuple(
        (n * best_threshold(column, given) + common) / (n + 1) if (n := int(given.sum())) else 0.5
        for column, given in zip(probabilities.T, every.T, strict=True)
    )


def best_threshold(probabilities: Floats, given: Bools) -> float:
    """Find the probability from which a label has the highest F1.

    Args:
        probabilities: float32 [texts].
        given: bool [texts], whether a text has the label.

    Returns:
        The threshold, midway between two texts; 0.5 where no text has the label.
    """
    if not given.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    f1 = 2 * np.cumsum(given[order]) / (np.arange(1, len(ranked) + 1) + given.sum())  # of giving it to the first k
    below = np.append(ranked[1:], np.float32(-1))
    cut = int(np.argmax(np.where(ranked > below, f1, -1)))  # not between equals
    middle = np.float32((ranked[cut] + max(below[cut], 0)) / 2)
    return float(middle if middle > below[cut] else ranked[cut])
