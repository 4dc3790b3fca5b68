"""Scores of predicted classes; macro-F1 is over the classes that occur in the truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def macro_f1(labels: Ints, predicted: Ints) -> float:
    """Give the mean F1 of the classes present in `labels`, each counting the same.

    Args:
        labels: int [n], n at least 1.
        predicted: int [n].

    Returns:
        0 to 1.
    """
    _, _, f1, support = _per_class(labels, predicted, int(max(labels.max(), predicted.max())) + 1)
    return float(f1[support > 0].mean())


def scores(labels: Ints, predicted: Ints, names: Sequence[str]) -> dict[str, Any]:
    """Score predictions, over all and class by class.

    Args:
        labels: int [n], n at least 1, positions in `names`.
        predicted: int [n], positions in `names`.
        names: Label names in logit order.

    Returns:
        `accuracy`, `macro_f1`, `n`, and `per_class`: name -> `precision`, `recall`, `f1`, `support`.
    """
    precision, recall, f1, support = _per_class(labels, predicted, len(names))
    return {
        "accuracy": float(np.mean(labels == predicted)),
        "macro_f1": float(f1[support > 0].mean()),
        "n": len(labels),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(names)
        },
    }


def _per_class(labels: Ints, predicted: Ints, n: int) -> tuple[Floats, Floats, Floats, Ints]:
    hits = np.bincount(labels[labels == predicted], minlength=n)
    support = np.bincount(labels, minlength=n)
    given = np.bincount(predicted, minlength=n)
    # 0 where a class never occurs or is never predicted, as scikit-learn's zero_division=0
    precision = hits / np.maximum(given, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + given, 1)
    return precision, recall, f1, support
