"""The answer to a list of texts."""

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from medclf.errors import OptionError
from medclf.labels import Floats, Label, Labels

Counts = npt.NDArray[np.int64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Truncation:
    """How much of some texts the model did not see; add two for the texts of both, print it for a sentence.

    Attributes:
        n_texts: Texts that were asked about.
        n_truncated: Those of which the model did not see all.
        n_tokens: Tokens of all texts.
        n_tokens_cut: Those that the model did not see.
    """

    n_texts: int = 0
    n_truncated: int = 0
    n_tokens: int = 0
    n_tokens_cut: int = 0

    def __add__(self, other: "Truncation") -> "Truncation":
        return Truncation(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def __str__(self) -> str:
        texts, tokens = 100 * self.n_truncated / max(1, self.n_texts), 100 * self.n_tokens_cut / max(1, self.n_tokens)
        return (
            f"{self.n_truncated:,} of {self.n_texts:,} texts ({texts:.1f} %) were cut: {self.n_tokens_cut:,} of "
            f"{self.n_tokens:,} tokens ({tokens:.1f} %) were not seen"
        )

    def tell(self, limits: str, level: int) -> None:
        """Log it, if texts were cut.

        Args:
            limits: What they were cut by.
            level: Of `logging`.
        """
        if self.n_truncated:
            logger.log(level, "%s (%s)", self, limits)


@dataclass(frozen=True)
class Predictions:
    """The answer to a list of texts, entry i to text i.

    Attributes:
        logits: float32 [texts, labels]; NaN for a text that could not be classified.
        probabilities: float32 [texts, labels]; NaN for a text that could not be classified.
        labels: The label of each text, or with several labels a text the tuple of them; None where there is no answer,
            as the text has a fault or the model abstains.
        n_tokens: int64 [texts], special tokens included, before any was cut off; 0 where there is no answer.
        n_cut: int64 [texts]: how many of them the model did not see.
        n_windows: int64 [texts]: rows of the model; more than 1 for a long text that is cut into windows.
        errors: Index of each text that could not be classified -> why.
        classes: Label names, in the order of the columns.
    """

    logits: Floats
    probabilities: Floats
    labels: list[Label | None]
    n_tokens: Counts
    n_cut: Counts
    n_windows: Counts
    errors: dict[int, str]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, part: slice) -> "Predictions":
        """Give the answers to some of the texts, such as `answers[10:20]`; a step is not taken."""
        start, stop, _ = part.indices(len(self))
        return Predictions(
            self.logits[start:stop],
            self.probabilities[start:stop],
            self.labels[start:stop],
            self.n_tokens[start:stop],
            self.n_cut[start:stop],
            self.n_windows[start:stop],
            {i - start: why for i, why in self.errors.items() if start <= i < stop},
            self.classes,
        )

    @property
    def truncated(self) -> npt.NDArray[np.bool_]:
        """bool [texts]: whether the model did not see all of the text."""
        return self.n_cut > 0

    @property
    def truncation(self) -> "Truncation":
        """How much of the texts the model did not see."""
        counts = (self.truncated.sum(), self.n_tokens.sum(), self.n_cut.sum())
        return Truncation(len(self), *map(int, counts))

    def top(self, k: int) -> list[list[tuple[str, float]]]:
        """Give the likeliest labels of each text.

        Args:
            k: How many; of fewer labels, all.

        Returns:
            For each text, names with their probabilities, the likeliest first; nothing where there is no answer.

        Raises:
            OptionError: `k` is below 1.
        """
        if k < 1:
            raise OptionError(f"k is {k}, expected at least 1.")
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return [
            [] if i in self.errors else [(self.classes[column], float(row[column])) for column in columns]
            for i, (row, columns) in enumerate(zip(self.probabilities, order, strict=True))
        ]

    @property
    def abstained(self) -> npt.NDArray[np.bool_]:
        """bool [texts]: whether the answer is less sure than the bundle's `abstain_below`: a person should look."""
        return np.array([label is None and i not in self.errors for i, label in enumerate(self.labels)], dtype=np.bool_)


def decide(labels: Labels, probabilities: Floats) -> list[Label | None]:
    """Name the labels of each text.

    Args:
        labels: The label contract.
        probabilities: float32 [texts, labels]; NaN in a row without an answer.

    Returns:
        One entry a text: a name, a tuple of names where a text may have several, None without an answer and where the
        answer is less sure than `abstain_below`.
    """
    decisions = labels.decisions(probabilities)
    answered = (np.isfinite(probabilities).all(axis=1) & ~labels.abstains(probabilities)).tolist()
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
        classes=parts[0].classes,
    )
