"""Which texts run together: a pure function of their lengths.

The exported graph removes padding by itself, except in attention, which is padded to the longest text of a batch. So
texts of like length go together, and a batch is bounded by its real tokens. `native/src/schedule.cpp` is the same rule
in C++: change both.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medclf.errors import OptionError

Indices = npt.NDArray[np.intp]

# Real tokens of one run. The matrix products of a CPU are at full speed from 32 to 64 rows on; more rows only spread
# the fixed cost of each node, until activations of 512 tokens x 3072 floats (6 MB) outgrow the caches.
MAX_BATCH_TOKENS = 512


def plan(lengths: Sequence[int], *, max_batch_tokens: int = MAX_BATCH_TOKENS) -> list[Indices]:
    """Group texts into batches.

    Args:
        lengths: Tokens of each text, at least 1.
        max_batch_tokens: Most tokens of one batch, padding not counted; a longer text makes a batch of its own.

    Returns:
        The indices of each batch, longest texts first, so that the last batches to end are short ones. Each index is
        in one batch; texts of equal length keep their order.

    Raises:
        OptionError: The budget is below 1.
    """
    if max_batch_tokens < 1:
        raise OptionError(f"max_batch_tokens is {max_batch_tokens}, expected at least 1.")
    if not len(lengths):
        return []
    by_length = np.asarray(lengths)
    order = np.argsort(-by_length, kind="stable")
    starts, total = [], 0
    for position, length in enumerate(by_length[order].tolist()):
        if total + length > max_batch_tokens and position:
            starts.append(position)
            total = 0
        total += length
    return np.split(order, starts)
