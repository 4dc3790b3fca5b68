"""Whether an id was seen before, in 8 bytes a row: ids are compared by their hashes.

Of 37 million different ids, two have the same hash of 64 bits with a probability of n^2 / 2^65, 4 in 100,000.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medclf.data.readers import Row
from medclf.errors import DataError

Ids = npt.NDArray[np.uint64]
NONE = 0  # stands for the id of a row that could not be read


def ids_of(rows: Sequence[Row], column: str) -> Ids:
    """Hash the ids of some rows.

    Args:
        rows: The rows.
        column: Where their ids are.

    Returns:
        uint64 [rows]; 0 for a row that could not be read.

    Raises:
        DataError: A row has no id.
    """
    found = np.zeros(len(rows), dtype=np.uint64)
    for i, row in enumerate(rows):
        value = row.values.get(column)
        if value in (None, "") and not row.fault:
            raise DataError(f"row {row.number:,}, column {column!r} has no id. Give it one, or drop --id-column.")
        if not row.fault:
            digest = hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), digest_size=8).digest()
            found[i] = max(1, int.from_bytes(digest, "little"))
    return found


def repeated(ids: Ids) -> tuple[int, int] | None:
    """Find an id that is there twice.

    Args:
        ids: uint64 [rows].

    Returns:
        The positions of two rows, or None.
    """
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    same = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] != NONE))
    return (int(order[same[0]]), int(order[same[0] + 1])) if len(same) else None


class SeenIds:
    """Ids of many partitions, in sorted runs, each more than twice as long as the next: adding is n log n."""

    def __init__(self) -> None:
        self._runs: list[Ids] = []

    def add(self, ids: Ids) -> int | None:
        """Add those of a partition, unless one was seen before.

        Args:
            ids: uint64 [rows], all different.

        Returns:
            The position of one that was seen before, with nothing added; or None.
        """
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, ids), len(run) - 1)
            seen = np.flatnonzero((run[at] == ids) & (ids != NONE))
            if len(seen):
                return int(seen[0])
        run = np.sort(ids[ids != NONE])
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        if len(run):
            self._runs.append(run)
        return None
