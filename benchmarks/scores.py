"""How good logits are: agreement with a reference, F1, and the expected calibration error."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medclf.evaluate.metrics import agreement, macro_f1
from medclf.labels import Floats, Labels

N_BINS = 15


def scores(labels: Labels, truth: Any, logits: Mapping[str, Floats], *, reference: str) -> dict[str, Any]:
    """Score every way on the same rows.

    Args:
        labels: The label contract.
        truth: int64 [rows], or bool [rows, labels] for multi-label.
        logits: Way -> float32 [rows, labels].
        reference: The way that the others should agree with.

    Returns:
        Way -> `agreement` (share of labels in common), `f1` (macro, or micro for
        multi-label), `ece`, and `max_logit_difference` from the reference.
    """
    found = {}
    expected = labels.decisions(labels.probabilities(logits[reference]))
    for name, values in logits.items():
        probabilities = labels.probabilities(values)
        given = labels.decisions(probabilities)
        found[name] = {
            "agreement": agreement(given, expected),
            "f1": agreement(truth.astype(bool), given) if labels.multi_label else macro_f1(truth, given.argmax(axis=1)),
            "ece": ece(labels, truth, probabilities),
            "max_logit_difference": float(np.abs(values - logits[reference]).max()),
        }
    return found


def ece(labels: Labels, truth: Any, probabilities: Floats) -> float:
    """The expected calibration error (Guo et al. 2017) in 15 bins of equal width.

    With one label a text, of the largest probability; for multi-label, of every probability of every row.
    """
    if labels.multi_label:
        confidence, right = probabilities.ravel(), truth.ravel().astype(bool)
    else:
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    gaps = [abs(float(right[bins == i].mean() - confidence[bins == i].mean())) for i in np.unique(bins)]
    return float(np.average(gaps, weights=np.unique(bins, return_counts=True)[1]))
