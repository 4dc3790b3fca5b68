"""Parquet, read some rows at a time, whatever the size of its row groups. pyarrow is in `medclf[files]`."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from medclf.data.ranges import RowRange
from medclf.data.readers import Fault, Row, check_names
from medclf.data.streams import UNDECODABLE
from medclf.errors import DataError
from medclf.extras import require

BATCH_ROWS = 1_024
BATCH_BYTES = 16 * 2**20  # of a batch in memory, by the average row: cells of megabytes come few at a time


class ParquetReader:
    """A Parquet file."""

    def __init__(self, path: Path, only: RowRange | None = None) -> None:
        """Open a file and read its schema.

        Args:
            path: A file that exists.
            only: Which rows; None for all.

        Raises:
            DataError: It is not a Parquet file.
            ExtraError: pyarrow is not installed.
        """
        self._arrow = require("pyarrow", extra="files")
        self._faults = (self._arrow.ArrowException, OSError)
        self._path = path
        try:
            # pages are read as they are needed, not whole columns of a row group
            parquet = require("pyarrow.parquet", extra="files")
            self._file = parquet.ParquetFile(
                only.file if only and only.file else path, buffer_size=2**20, pre_buffer=False
            )
        except self._faults as error:
            raise DataError(
                f"{path} is not a whole Parquet file. Write it again, or give CSV or JSON lines."
            ) from error
        self.columns: tuple[str, ...] = tuple(self._file.schema_arrow.names)
        self._n_rows: int = self._file.metadata.num_rows
        self._only = only
        self._number = only.first_row - 1 if only else 0
        check_names(path, self.columns)

    @property
    def fraction_read(self) -> float | None:
        """How much of the file was read, 0 to 1."""
        return self._number / max(1, self._n_rows)

    @property
    def types(self) -> dict[str, Any]:
        """Column -> its type in Arrow."""
        return {field.name: field.type for field in self._file.schema_arrow}

    @property
    def group_rows(self) -> list[int]:
        """Rows of each row group."""
        return [self._file.metadata.row_group(i).num_rows for i in range(self._file.metadata.num_row_groups)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def rows(self, columns: Collection[str] | None = None, carried: Mapping[str, str] | None = None) -> Iterator[Row]:
        """Read the rows.

        Args:
            columns: Columns to read, the others being passed over; None for all.
            carried: Column that is only written elsewhere -> `string` or `int64`: how its times are given, as those of
                Python hold neither nanoseconds nor years over 9999.

        Yields:
            Every row, also those with a fault.

        Raises:
            DataError: The file is damaged, or holds what Python has no value for.
        """
        wanted = None if columns is None else [name for name in self.columns if name in columns]
        try:
            for batch in self._batches(wanted):
                names = batch.schema.names
                cells = [self._cells(name, batch.column(name), (carried or {}).get(name)) for name in names]
                for values in zip(*cells, strict=True):
                    self._number += 1
                    yield self._row(dict(zip(names, values, strict=True)))
        except self._faults as error:
            raise DataError(f"{self._path}: the file is damaged after row {self._number}. Write it again.") from error

    def _batches(self, columns: list[str] | None) -> Iterator[Any]:
        only = self._only or RowRange()
        batches = self._file.iter_batches(
            self._batch_rows(), row_groups=only.groups, columns=columns, use_threads=False
        )
        if only.n_rows is None:
            yield from batches
            return
        start, stop = only.n_before, only.n_before + only.n_rows
        seen = 0
        for batch in batches:
            before, seen = seen, seen + batch.num_rows
            if seen > start:
                yield batch.slice(max(0, start - before), min(seen, stop) - max(before, start))
            if seen >= stop:
                return

    def _row(self, values: dict[str, object]) -> Row:
        for column, value in values.items():
            if isinstance(value, str) and UNDECODABLE in value:
                return Row(self._number, {}, Fault(column, "is not UTF-8, as Parquet's strings must be", len(value)))
        return Row(self._number, values)

    def _cells(self, column: str, cells: Any, times: str | None) -> list[object]:
        types = self._arrow.types
        if times and holds_times(cells.type):
            cells = cells.cast(times)
        try:
            return list(cells.to_pylist())
        except UnicodeDecodeError:
            if types.is_string(cells.type) or types.is_large_string(cells.type):
                return [_decoded(cell) for cell in cells]
            reason = "strings that are not UTF-8"
        except (ValueError, OverflowError):
            reason = "values that Python has none for"
        raise DataError(
            f"{self._path}, column {column!r}: {reason}, after row {self._number}, in the type {cells.type}. "
            "Leave the column out, or write it again as text."
        )

    def _batch_rows(self) -> int:
        groups = [self._file.metadata.row_group(i) for i in range(self._file.metadata.num_row_groups)]
        largest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=0)
        return max(1, min(BATCH_ROWS, int(BATCH_BYTES // max(1.0, largest))))


def holds_times(of: Any) -> bool:
    """Tell whether a type in Arrow may hold times that Python's types do not.

    Args:
        of: The type.

    Returns:
        Whether it does.
    """
    types = require("pyarrow", extra="files").types
    return bool(types.is_timestamp(of) or types.is_time64(of))


def _decoded(cell: Any) -> str | None:
    return bytes(cell.as_buffer()).decode(errors="medclf.mark") if cell.is_valid else None
