"""Which shape a batch is padded to, where shapes must be few: a pure function of the lengths of its texts.

A CUDA graph replays the one shape that it was captured with. So texts run in the least of a short list of shapes that
holds them; knows nothing of devices, sessions and token ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from medclf.errors import InputError, OptionError
from medclf.runtime.schedule import MAX_BATCH_TOKENS, Indices

SHORTEST = 16  # columns of the narrowest bucket: below, a run costs its nodes and not its tokens
# Cells of the largest bucket with several rows: a batch of the schedule, of texts of equal length, padded by a half in
# columns and up to the next power of two in rows, mostly fits.
MAX_CELLS = 2 * MAX_BATCH_TOKENS


class Bucket(NamedTuple):
    """A shape that batches are padded to.

    Attributes:
        n_rows: Texts.
        n_columns: Tokens of each.
    """

    n_rows: int
    n_columns: int


@dataclass(frozen=True)
class Buckets:
    """The shapes of one model: columns grow by a half or a third from bucket to bucket, rows by doubling.

    For 512 tokens there are 11 widths (16, 24, 32, 48, 64, ..., 384, 512) and 47 buckets. A part of a batch, as `split`
    makes them, has less than half again as many columns as its longest text has tokens, or 16, and less than twice as
    many rows as texts.

    Attributes:
        max_length: Most tokens of a text.
        max_cells: Most rows times columns of a bucket with several rows.
    """

    max_length: int
    max_cells: int = MAX_CELLS

    def __post_init__(self) -> None:
        for name in ("max_length", "max_cells"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}, expected at least 1.")

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Columns of the buckets, the narrowest first; the last is `max_length`."""
        powers = range(self.max_length.bit_length())
        steps = (step << power for power in powers for step in (SHORTEST, SHORTEST * 3 // 2))
        return (*sorted(step for step in steps if step < self.max_length), self.max_length)

    @cached_property
    def all(self) -> tuple[Bucket, ...]:
        """Every bucket."""
        return tuple(Bucket(1 << power, width) for width in self.widths for power in range(self._n_heights(width)))

    def split(self, lengths: Sequence[int]) -> list[tuple[Indices, Bucket]]:
        """Part a batch, so that each part fits a bucket.

        Args:
            lengths: Tokens of each text, at least 1.

        Returns:
            Indices of the texts of each part, longest first, and the least bucket that holds them; each index is in one
            part.

        Raises:
            InputError: A text is longer than `max_length`.
        """
        by_length = np.asarray(lengths)
        order = np.argsort(-by_length, kind="stable")
        parts, start = [], 0
        while start < len(order):
            width = self._width(int(by_length[order[start]]))
            texts = order[start : start + (1 << self._n_heights(width) - 1)]
            parts.append((texts, Bucket(1 << (len(texts) - 1).bit_length(), width)))
            start += len(texts)
        return parts

    def _width(self, length: int) -> int:
        if length > self.max_length:
            raise InputError(f"a text has {length} tokens, expected at most {self.max_length}, the widest bucket.")
        return self.widths[np.searchsorted(self.widths, length)]

    def _n_heights(self, width: int) -> int:
        """How many powers of two are numbers of rows at this width."""
        return max(1, self.max_cells // width).bit_length()
