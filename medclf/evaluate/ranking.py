"""How well each label's probability ranks the texts, whatever the threshold: areas under two curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from medclf.labels import Floats, Targets


def ranking(targets: Targets, probabilities: Floats, names: Sequence[str]) -> dict[str, Any]:
    """Measure the ranking of each label against the rest.

    Args:
        targets: int64 [n] or bool [n, labels]; what is right.
        probabilities: float32 [n, labels].
        names: Label names in logit order.

    Returns:
        `per_class`: name -> `auroc` (area under the ROC curve), `auprc` (average precision) and `prevalence`, the share
        of texts with the label, which is the average precision of guessing; `macro_auroc` and `macro_auprc`, their
        means. An area is None for a label that no text has, or that all have.
    """
    given = targets if targets.ndim == 2 else targets[:, None] == np.arange(len(names))
    per_class: dict[str, dict[str, float | None]] = {}
    for name, truth, scores in zip(names, given.T, probabilities.T, strict=True):
        told = bool(truth.any() and not truth.all())
        per_class[name] = {
            "auroc": float(roc_auc_score(truth, scores)) if told else None,
            "auprc": float(average_precision_score(truth, scores)) if told else None,
            "prevalence": float(truth.mean()),
        }
    return {
        "macro_auroc": _mean([one["auroc"] for one in per_class.values()]),
        "macro_auprc": _mean([one["auprc"] for one in per_class.values()]),
        "per_class": per_class,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
