"""Batches of a stream: a buffer of rows at a time, shuffled, and sorted by length in part."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from torch.utils.data import Dataset

from medclf.labels import Targets
from medclf.tokenizer import TextEncoder
from medclf.train.dataset import EpochBatches, Example, length_grouped
from medclf.train.streamed_rows import StreamedRow
from medclf.train.streaming import Stream

STAND_INS = 100_000


def stand_ins(counts: Sequence[int], n_rows: int, *, multi_label: bool) -> Targets:
    """Make targets with the frequencies of a table; which labels come together is not kept.

    Args:
        counts: Rows that have each label.
        n_rows: Rows of the table.
        multi_label: Whether a text may have several labels.

    Returns:
        int64 [texts], or bool [texts, labels], each label as often in proportion, and at least once.
    """
    part = min(1.0, STAND_INS / n_rows)
    fewer = [max(1, round(count * part)) for count in counts]
    if not multi_label:
        return np.repeat(np.arange(len(counts)), fewer)
    return np.arange(round(n_rows * part))[:, None] < np.array(fewer)


class StreamedTexts(Dataset[Example]):
    """The training part; its examples are asked for by the rows that `StreamedBatches` gives.

    Attributes:
        targets: Of no more than STAND_INS rows that stand for the table: int64 [texts], or bool [texts, labels], with
            each label as often in proportion, and at least once.
    """

    targets: Targets

    def __init__(self, stream: Stream, encoder: TextEncoder) -> None:
        """Join the table and the tokenizer.

        Args:
            stream: The training table.
            encoder: The tokenizer, whose policy for long texts makes one row of each text.
        """
        self._stream = stream
        self._encoder = encoder
        self.targets = stand_ins(stream.counts, stream.n_rows, multi_label=stream.multi_label)

    def __len__(self) -> int:
        return self._stream.n_rows

    def __getitem__(self, row: StreamedRow) -> Example:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[StreamedRow]) -> list[Example]:
        pairs = [row.pair for row in rows] if rows[0].pair else None
        encoded = self._encoder.encode([row.text for row in rows], pairs)
        targets = self._stream.labels.targets([row.label for row in rows])
        return [Example(one.windows[0], target) for one, target in zip(encoded, targets, strict=True)]

    def batches(self, batch_size: int, *, seed: int) -> "StreamedBatches":
        """Give the batch sampler of training.

        Args:
            batch_size: Texts in a batch.
            seed: Of the run.

        Returns:
            The sampler.
        """
        return StreamedBatches(self._stream, batch_size, seed=seed)


class StreamedBatches(EpochBatches):
    """The batch sampler of a stream: gives rows, not positions, so that nothing has to be found again.

    Row groups come in a random order. Their rows fill a buffer, of which `length_grouped` makes batches of texts of
    like length; what does not fill a batch stays in the buffer. So each row comes once an epoch, and all batches but
    the last are full. Every process reads all rows and encodes its own: which batches these are, accelerate says.
    A resume passes over the batches that were made, which are read and not encoded.
    """

    def __init__(self, stream: Stream, batch_size: int, *, seed: int) -> None:
        """Start at epoch 0.

        Args:
            stream: The training table.
            batch_size: Texts in a batch.
            seed: Of the run.
        """
        super().__init__(stream.n_rows, batch_size, seed=seed)
        self._stream = stream

    def __iter__(self) -> Iterator[list[StreamedRow]]:
        groups = self._stream.table.groups
        order = np.random.default_rng((self._seed, self._epoch)).permutation(len(groups))
        rows = self._stream.rows(groups[i] for i in order)
        size, n_buffers, ended = max(self.batch_size, self._stream.options.shuffle_buffer), 0, False
        buffer: list[StreamedRow] = []
        while not ended:
            buffer += islice(rows, size - len(buffer))
            ended = len(buffer) < size
            lengths = np.array([len(row.text) + len(row.pair) for row in buffer], dtype=np.int64)
            made = length_grouped(lengths, self.batch_size, seed=self._seed, epoch=self._epoch * 2**32 + n_buffers)
            n_buffers += 1
            keeps = not ended and len(made[-1]) < self.batch_size
            short = made.pop().tolist() if keeps else []
            for batch in made:
                yield [buffer[i] for i in batch]
            buffer = [buffer[i] for i in short]
