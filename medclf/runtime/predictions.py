"""The answer to a list of texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medclf.labels import Floats, Label, Labels

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """The answer to a list of texts, entry i to text i.

    Attributes:
        logits: float32 [texts, labels]; NaN for a text that could not be classified.
        probabilities: float32 [texts, labels]; NaN for a text that could not be classified.
        labels: The label of each text, or with several labels a text the tuple of them; None where there is no answer.
        n_tokens: int64 [texts], special tokens included, before any was cut off; 0 where there is no answer.
        n_cut: int64 [texts]: how many of them the model did not see.
        n_windows: int64 [texts]: rows of the model; more than 1 for a long text with the policy `windows`.
        errors: Index of each text that could not be classified -> why.
    """

    logits: Floats
    probabilities: Floats
    labels: list[Label | None]
    n_tokens: Ints
    n_cut: Ints
    n_windows: Ints
    errors: dict[int, str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def truncated(self) -> npt.NDArray[np.bool_]:
        """bool [texts]: whether the model did not see all of the text."""
        return self.n_cut > 0


def decide(labels: Labels, probabilities: Floats) -> list[Label | None]:
    """Name the labels of each text.

    Args:
        labels: The label contract.
        probabilities: float32 [texts, labels]; NaN in a row without an answer.

    Returns:
        One entry a text: a name, a tuple of names where a text may have several, None without an answer.
    """
    decisions = labels.decisions(probabilities)
    answered = [bool(np.isfinite(row).all()) for row in probabilities]
    if not labels.multi_label:
        best = decisions.argmax(axis=1)
        return [labels.names[i] if ok else None for i, ok in zip(best, answered, strict=True)]
    return [
        tuple(name for name, given in zip(labels.names, row, strict=True) if given) if ok else None
        for row, ok in zip(decisions, answered, strict=True)
    ]


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Join the answers to consecutive windows.

    Args:
        parts: At least one.

    Returns:
        One answer, its indices counted from the first part on.
    """
    starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    return Predictions(
        logits=np.concatenate([part.logits for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        labels=[label for part in parts for label in part.labels],
        n_tokens=np.concatenate([part.n_tokens for part in parts]),
        n_cut=np.concatenate([part.n_cut for part in parts]),
        n_windows=np.concatenate([part.n_windows for part in parts]),
        errors={start + i: why for start, part in zip(starts, parts, strict=False) for i, why in part.errors.items()},
    )
