"""The label contract: names and their order are fixed at training and never derived again.

`config.json` (`id2label`, `problem_type`, `thresholds`) carries them from the trainer to the exporter, `medclf.json`
from the exporter to every runtime. Column i of logits and probabilities is label i, everywhere.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from medclf.errors import CheckpointError, OptionError

Task = Literal["single_label_classification", "multi_label_classification"]
Label = str | tuple[str, ...]  # of one text: a name, or any number of names where a text may have several
Floats = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
SEPARATOR = ";"  # between the labels of one text in a cell of a table


def names_of(label: Label) -> tuple[str, ...]:
    """Give the names in the label of one text.

    Args:
        label: A name, or a tuple of names.

    Returns:
        A tuple of names in either case.
    """
    return (label,) if isinstance(label, str) else label


def sigmoid(logits: Floats) -> Floats:
    """Give 1 / (1 + exp(-x)) by way of tanh, which never overflows.

    Args:
        logits: float32 of any shape.

    Returns:
        float32 of the same shape.
    """
    return cast(Floats, np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits)))


@dataclass(frozen=True)
class Labels:
    """Label names in logit order, and how logits become a decision.

    Attributes:
        names: One name a logit, unique, never empty.
        task: One label a text, or any set of labels.
        thresholds: Multi-label: the probability from which each label is given, 0 to 1; None means 0.5 for all.
        abstain_below: The confidence below which a text gets no answer, and a person should look; None: never.
    """

    names: tuple[str, ...]
    task: Task = "single_label_classification"
    thresholds: tuple[float, ...] | None = None
    abstain_below: float | None = None

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise OptionError(f"task is {self.task!r}, expected one of {', '.join(get_args(Task))}.")
        if self.task == "single_label_classification" and len(self.names) < 2:
            raise OptionError(f"{len(self.names)} label(s): at least 2 different labels are needed.")
        if not self.names:
            raise OptionError("0 labels: at least 1 is needed.")
        if not all(isinstance(name, str) and name.strip() for name in self.names):
            raise OptionError("a label name is empty or not a string: every logit needs a name.")
        if len(set(self.names)) != len(self.names):
            raise OptionError(f"label names repeat: {len(self.names)} names, {len(set(self.names))} different ones.")
        if self.thresholds is not None:
            self._check_thresholds(self.thresholds)
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise OptionError(f"abstain_below is {self.abstain_below}, expected a probability, 0 to 1.")

    def _check_thresholds(self, thresholds: tuple[float, ...]) -> None:
        if not self.multi_label:
            raise OptionError(f"{len(thresholds)} thresholds, but the task is {self.task}: it has none.")
        if len(thresholds) != len(self.names):
            raise OptionError(f"{len(thresholds)} thresholds for {len(self.names)} labels: one each is needed.")
        if not all(0 <= threshold <= 1 for threshold in thresholds):
            raise OptionError("a threshold is not a probability: 0 to 1 was expected.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""
        return self.task == "multi_label_classification"

    @property
    def by_threshold(self) -> dict[str, float]:
        """Name -> the probability from which it is given; empty for one label a text."""
        thresholds = self.thresholds or (0.5,) * len(self)
        return dict(zip(self.names, thresholds, strict=True)) if self.multi_label else {}

    def with_thresholds(self, thresholds: Mapping[str, float]) -> "Labels":
        """Give the same labels with other thresholds.

        Args:
            thresholds: Label -> the probability from which it is given; labels that are not named keep theirs.

        Returns:
            The labels.

        Raises:
            OptionError: A name is not a label, a value is not a probability, or the task has no thresholds.
        """
        unknown = [name for name in thresholds if name not in self.names]
        if unknown:
            raise OptionError(f"thresholds name {', '.join(unknown)}, expected some of {', '.join(self.names)}.")
        return replace(self, thresholds=tuple({**self.by_threshold, **thresholds}.values()))

    @property
    def sha256(self) -> str:
        """Hash of the task and the names in order; equal hashes mean that logits mean the same."""
        return hashlib.sha256(json.dumps([self.task, *self.names]).encode()).hexdigest()

    def probabilities(self, logits: Floats) -> Floats:
        """Turn logits into probabilities: softmax for one label a text, a sigmoid each otherwise.

        Args:
            logits: float32 [texts, labels].

        Returns:
            float32 [texts, labels].
        """
        if self.multi_label:
            return sigmoid(logits)
        exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return cast(Floats, exp / exp.sum(axis=-1, keepdims=True))

    def decisions(self, probabilities: Floats) -> npt.NDArray[np.bool_]:
        """Say which labels each text is given.

        Args:
            probabilities: float32 [texts, labels].

        Returns:
            bool [texts, labels]; with one label a text, exactly one True a row (the first of equal maxima).
        """
        if self.multi_label:
            return np.greater_equal(probabilities, np.array(list(self.by_threshold.values()), dtype=np.float32))
        given: npt.NDArray[np.bool_] = np.arange(len(self)) == probabilities.argmax(axis=-1)[:, None]
        return given

    def predicted(self, probabilities: Floats) -> Targets:
        """Say which labels each text is given, in the form of `targets`.

        Args:
            probabilities: float32 [texts, labels].

        Returns:
            int64 [texts], or bool [texts, labels] where a text may have several.
        """
        return self.decisions(probabilities) if self.multi_label else probabilities.argmax(axis=-1)

    def confidence(self, probabilities: Floats) -> Floats:
        """Say how sure the answer to each text is.

        Args:
            probabilities: float32 [texts, labels].

        Returns:
            float32 [texts]: the probability of the label that is given. Where a text may have several, that of the
            least sure decision: p of a label that is given, 1 - p of one that is not.
        """
        if not self.multi_label:
            return cast(Floats, probabilities.max(axis=-1))
        each = np.where(self.decisions(probabilities), probabilities, 1 - probabilities)
        return cast(Floats, each.min(axis=-1))

    def abstains(self, probabilities: Floats) -> npt.NDArray[np.bool_]:
        """Say which texts get no answer, as it would be less sure than `abstain_below`.

        Args:
            probabilities: float32 [texts, labels].

        Returns:
            bool [texts].
        """
        below: npt.NDArray[np.bool_] = self.confidence(probabilities) < np.float32(self.abstain_below or 0)
        return below

    def targets(self, labels: Sequence[Label]) -> Targets:
        """Turn names into what logits are held against.

        Args:
            labels: One entry a text; every name a member.

        Returns:
            int64 [texts], or bool [texts, labels] where a text may have several.

        Raises:
            KeyError: A name is not a member.
        """
        index = {name: i for i, name in enumerate(self.names)}
        ids = [[index[name] for name in names_of(label)] for label in labels]
        if not self.multi_label:
            return np.array(ids, dtype=np.int64).reshape(len(ids))
        given = np.zeros((len(ids), len(self)), dtype=np.bool_)
        for row, columns in zip(given, ids, strict=True):
            row[columns] = True
        return given

    def config(self) -> dict[str, Any]:
        """Give the fields of a Hugging Face `config.json` that carry this contract."""
        return {
            "id2label": dict(enumerate(self.names)),
            "label2id": {name: index for index, name in enumerate(self.names)},
            "problem_type": self.task,
            "thresholds": None if self.thresholds is None else list(self.thresholds),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, where: str) -> "Labels":
        """Read the contract from the fields of a `config.json`.

        Args:
            config: The parsed file.
            where: Its path, for messages.

        Returns:
            The labels in logit order.

        Raises:
            CheckpointError: Labels are missing, are Hugging Face's placeholders, their ids are not 0 to n - 1, or the
                thresholds do not fit them.
        """
        id2label = config.get("id2label")
        if not isinstance(id2label, Mapping) or not id2label:
            raise CheckpointError(
                f"{where}: no id2label. Add the label names in logit order, or train with medclf-train."
            )
        by_id = {int(index): name for index, name in id2label.items()}
        if sorted(by_id) != list(range(len(by_id))):
            raise CheckpointError(f"{where}: id2label has the ids {sorted(by_id)}, expected 0 to {len(by_id) - 1}.")
        names = tuple(by_id[index] for index in range(len(by_id)))
        if names == tuple(f"LABEL_{index}" for index in range(len(names))):
            raise CheckpointError(
                f"{where}: id2label holds placeholders (LABEL_0, ...). Write the real label names there."
            )
        try:
            thresholds = config.get("thresholds")
            task: Any = config.get("problem_type") or "single_label_classification"
            return cls(names, task, None if thresholds is None else tuple(float(one) for one in thresholds))
        except (OptionError, TypeError, ValueError) as error:
            what = error if isinstance(error, OptionError) else "thresholds is not a list of numbers."
            raise CheckpointError(f"{where}: {what}") from error
