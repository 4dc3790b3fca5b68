"""The answers of a text's windows as one answer; `native/src/pooling.cpp` is the same in C++: change both.

What is pooled are probabilities. The result is given as logits again, by which every step from thresholds to
calibration goes: their softmax, or the sigmoid of each, is the pooled probability. With p(w, k) the probability of
label k in window w:

    one label a text    mean        p(k) = mean over w of p(w, k)                     the linear opinion pool
                        max         p(k) = max over w of p(w, k), divided by their sum over k
    several labels      mean        p(k) = mean over w of p(w, k)
                        max         p(k) = max over w of p(w, k)
                        noisy-or    p(k) = 1 - product over w of (1 - p(w, k))

Stone (1961), The opinion pool; Maron and Lozano-Pérez (1998), A framework for multiple-instance learning, for max and
noisy-or, which hold where one window with the finding is enough.
"""

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from medclf.labels import Floats
from medclf.long_text import Pooling

Wide = npt.NDArray[np.float64]

LARGEST = 700.0  # exp of more is no float64; a probability is 0 or 1 long before


def pool(logits: Floats, n_windows: npt.NDArray[np.int64], pooling: Pooling, *, multi_label: bool) -> Floats:
    """Pool the logits of windows.

    Args:
        logits: float32 [windows, labels], the windows of a text one after the other.
        n_windows: int64 [texts], each at least 1; they sum to the windows.
        pooling: How.
        multi_label: Whether probabilities are a sigmoid of each logit, or their softmax.

    Returns:
        [texts, labels] of the same dtype; those of a text of one window as they are.
    """
    several = n_windows > 1
    if not several.any():
        return logits
    pooled = logits[_starts(n_windows)]  # [texts, labels]
    wide = logits[np.repeat(several, n_windows)].astype(np.float64)
    counts = n_windows[several]
    of_several = _starts(counts)
    if multi_label:
        pooled[several] = _sigmoids(wide, of_several, pooling)
    else:
        pooled[several] = _softmaxes(wide, of_several, counts[:, None], pooling)
    return pooled


def _starts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.cumsum(counts) - counts


def _softmaxes(logits: Wide, starts: Any, counts: Any, pooling: Pooling) -> Wide:
    """Log-probabilities; those of `max` are left for the softmax to divide by their sum."""
    log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    if pooling == "max":
        return cast(Wide, np.maximum.reduceat(log_p, starts))
    return cast(Wide, np.logaddexp.reduceat(log_p, starts) - np.log(counts))


def _sigmoids(logits: Wide, starts: Any, pooling: Pooling) -> Wide:
    """Log-odds, ln p - ln(1 - p)."""
    if pooling == "max":
        return cast(Wide, np.maximum.reduceat(logits, starts))
    if pooling == "mean":
        given, absent = (-np.logaddexp(0, -sign * logits) for sign in (1, -1))  # ln p and ln(1 - p)
        return cast(Wide, np.logaddexp.reduceat(given, starts) - np.logaddexp.reduceat(absent, starts))
    absent = -np.add.reduceat(np.logaddexp(0, np.clip(logits, -LARGEST, LARGEST)), starts)
    return cast(Wide, np.log(-np.expm1(absent)) - absent)
