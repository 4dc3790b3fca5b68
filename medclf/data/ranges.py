"""Some consecutive rows of a table, from a file that is open already, on whatever file system it lies.

Rows keep the numbers that they have in the whole table. `medclf.cluster.ray.survey` finds where parts begin.
"""

import io
from dataclasses import dataclass
from typing import Any, BinaryIO


@dataclass(frozen=True)
class RowRange:
    """Where some rows of a table are.

    Attributes:
        file: Of Parquet, the whole file, which can be read from anywhere; of all else, a stream that begins as the
            table does (with the header of CSV, the first line of JSON lines) and goes on with these rows alone. None to
            open the table itself.
        first_row: Number of the first of them in the table, from 1.
        n_rows: How many; None for all that follow.
        groups: Row groups of Parquet that hold them.
        n_before: Rows of these groups that stand before them, where `n_rows` is known.
    """

    file: BinaryIO | None = None
    first_row: int = 1
    n_rows: int | None = None
    groups: tuple[int, ...] | None = None
    n_before: int = 0


class Joined(io.RawIOBase):
    """The beginning of a file, and a range of its bytes right after it."""

    def __init__(self, file: BinaryIO, head: int, start: int, stop: int) -> None:
        """Choose the bytes.

        Args:
            file: A file that can be read from anywhere; it is closed with this one.
            head: Bytes of the beginning.
            start: First byte of the range.
            stop: The byte after its last one.
        """
        self._file = file
        self._ranges = [(0, head), (start, stop)]

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read on."""
        while self._ranges:
            start, stop = self._ranges[0]
            if start < stop:
                self._file.seek(start)
                data = self._file.read(min(len(buffer), stop - start))
                self._ranges[0] = (start + len(data), stop)
                if data:
                    buffer[: len(data)] = data
                    return len(data)
            self._ranges.pop(0)
        return 0

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()
