"""Encoded texts, and which of them make a batch: a pure function, so that a resumed run sees the same batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Subset

from medclf.labels import Floats, Targets
from medclf.long_text import Pooling
from medclf.pooling import pool
from medclf.tokenizer import Encoded, TextEncoder

MEGABATCH = 50  # batches that are sorted by length together: little padding, and still a random order
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """One row of the model and its target.

    Attributes:
        encoded: The token ids of a text, or of a window of it.
        target: Position of the text's label in logit order, or [labels] where it may have several; -1 or NaN where
            there is no label and a teacher alone answers.
        teacher_logits: What a teacher answers; None without one.
    """

    encoded: Encoded
    target: np.int64 | npt.NDArray[np.bool_ | np.float32]
    teacher_logits: Floats | None = None


class EncodedTexts(Dataset[Example]):
    """A part of the data, encoded: an example for each text, or for each window of each text.

    Attributes:
        targets: int64 [texts], or bool [texts, labels], of the texts that have labels, which are the first.
        lengths: int64 [examples], tokens of each.
        teacher_logits: float32 [examples, labels], what a teacher answers; None without one.
    """

    targets: Targets
    lengths: Ints
    teacher_logits: Floats | None

    def __init__(self, encoded: Sequence[Encoded], targets: Targets, *, pooling: Pooling = "mean") -> None:
        """Keep the texts in the order given.

        Args:
            encoded: One entry a text.
            targets: int64 [texts], or bool [texts, labels]; fewer where the last texts have a teacher's answer alone.
            pooling: How the answers of windows become that of a text.
        """
        self._encoded = encoded
        self._windows = [window for one in encoded for window in one.windows]
        self._n_windows = np.array([one.n_windows for one in encoded], dtype=np.int64)
        self._text = np.repeat(np.arange(len(encoded)), self._n_windows)  # of each window
        self._pooling = pooling
        self.targets = targets
        self.teacher_logits = None
        several = targets.ndim == 2
        self._no_target = np.full(targets.shape[1], np.nan, np.float32) if several else np.int64(-1)
        self.lengths = np.array([len(one) for one in self._windows], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Example:
        taught = None if self.teacher_logits is None else self.teacher_logits[index]
        text = self._text[index]
        target = self.targets[text] if text < len(self.targets) else self._no_target
        return Example(self._windows[index], target, taught)

    def followed_by(self, encoded: Sequence[Encoded]) -> "EncodedTexts":
        """Give the same texts and, after them, others that have no labels.

        Args:
            encoded: One entry a text.

        Returns:
            All of them.
        """
        return EncodedTexts([*self._encoded, *encoded], self.targets, pooling=self._pooling)

    def by_length(self) -> "Subset[Example]":
        """Give the same examples, the longest first, so that consecutive ones make batches with little padding."""
        return Subset(self, self._longest_first().tolist())

    def restore(self, logits: Floats) -> Floats:
        """Put what a model made of `by_length` back into the order of the examples.

        Args:
            logits: float32 [examples, labels], of the longest first.

        Returns:
            float32 [examples, labels].
        """
        restored = np.empty_like(logits)
        restored[self._longest_first()] = logits
        return restored

    def pool(self, logits: Floats) -> Floats:
        """Pool the logits of windows, as the runtime does.

        Args:
            logits: [examples, labels] of any float.

        Returns:
            [texts, labels].
        """
        return pool(logits, self._n_windows, self._pooling, multi_label=self.targets.ndim == 2)

    def batches(self, batch_size: int, *, seed: int) -> "LengthGroupedBatches":
        """Give the batch sampler of training.

        Args:
            batch_size: Texts in a batch.
            seed: Of the run.

        Returns:
            The sampler.
        """
        return LengthGroupedBatches(self.lengths, batch_size, seed=seed)

    def _longest_first(self) -> npt.NDArray[np.intp]:
        return np.argsort(-self.lengths, kind="stable")


@dataclass(frozen=True)
class Collate:
    """Makes a batch of examples, padded to its longest text and no further.

    Attributes:
        encoder: The tokenizer, which pads as the runtime does.
    """

    encoder: TextEncoder

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Stack examples into the inputs of the model.

        Args:
            examples: At least one.

        Returns:
            int64 tensors: `input_ids`, `attention_mask`, `token_type_ids` [batch, sequence], and `labels` [batch], or
            float32 [batch, labels] where a text may have several; with a teacher, its `teacher_logits` [batch, labels].
        """
        feed = self.encoder.pad([example.encoded for example in examples]).feed()
        tensors = {name: torch.from_numpy(array) for name, array in feed.items()}
        targets = torch.from_numpy(np.stack([example.target for example in examples]))
        taught = [example.teacher_logits for example in examples if example.teacher_logits is not None]
        if taught:
            tensors["teacher_logits"] = torch.from_numpy(np.stack(taught))
        return {**tensors, "labels": targets.float() if targets.ndim == 2 else targets}


def length_grouped(lengths: Ints, batch_size: int, *, seed: int, epoch: int) -> list[Ints]:
    """Group texts of about equal length into batches, in a random order.

    The longest full batch comes first, so that memory runs out at once or never. The last one alone may be short:
    accelerate, which deals the batches out to several processes, would drop texts otherwise.

    Args:
        lengths: int64 [texts].
        batch_size: Texts in a batch.
        seed: Of the run.
        epoch: Of the pass over the data, from 0; each has its own order.

    Returns:
        Positions of the texts of each batch; every text once.
    """
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(lengths))
    n_full = len(order) // batch_size * batch_size
    size = MEGABATCH * batch_size
    batches: list[Ints] = []
    for start in range(0, n_full, size):
        chunk = order[start : min(start + size, n_full)]
        chunk = chunk[np.argsort(-lengths[chunk], kind="stable")]
        batches += np.split(chunk, len(chunk) // batch_size)
    batches = [batches[i] for i in random.permutation(len(batches))]
    if batches:
        longest = int(np.argmax([lengths[batch].max() for batch in batches]))
        batches[0], batches[longest] = batches[longest], batches[0]
    return batches if n_full == len(order) else [*batches, order[n_full:]]


class EpochBatches:
    """What batch samplers of training share: every row once an epoch, in an order of the epoch that is set."""

    drop_last = False  # read by accelerate

    def __init__(self, n_rows: int, batch_size: int, *, seed: int) -> None:
        """Start at epoch 0.

        Args:
            n_rows: Of an epoch.
            batch_size: Texts in a batch.
            seed: Of the run.
        """
        self.batch_size = batch_size
        self._n_rows = n_rows
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of a pass over the data.

        Args:
            epoch: From 0.
        """
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._n_rows // self.batch_size)


class LengthGroupedBatches(EpochBatches):
    """Of rows in memory: `length_grouped`."""

    def __init__(self, lengths: Ints, batch_size: int, *, seed: int) -> None:
        """Start at epoch 0.

        Args:
            lengths: int64 [texts].
            batch_size: Texts in a batch.
            seed: Of the run.
        """
        super().__init__(len(lengths), batch_size, seed=seed)
        self._lengths = lengths

    def __iter__(self) -> Iterator[list[int]]:
        for batch in length_grouped(self._lengths, self.batch_size, seed=self._seed, epoch=self._epoch):
            yield batch.tolist()
