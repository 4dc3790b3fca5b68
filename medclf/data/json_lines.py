"""JSON lines, read row by row: one object a line, the columns being those of the first."""

import json
from collections.abc import Iterator
from pathlib import Path

from medclf.data.formats import TableFormat
from medclf.data.ranges import RowRange
from medclf.data.readers import MAX_CELL, Fault, Row, encoding_fault, undecodable
from medclf.data.streams import UNDECODABLE, TextSource
from medclf.errors import DataError


class JsonlReader:
    """JSON lines: one object a line."""

    def __init__(self, path: Path, form: TableFormat, encoding: str, only: RowRange | None = None) -> None:
        """Open a file and read its first object.

        Args:
            path: A file that exists, or `-` for stdin.
            form: Its format.
            encoding: Its character encoding.
            only: Which rows; None for all.

        Raises:
            DataError: There is no row, or the first one is not a JSON object.
        """
        self._path = path
        self._encoding = encoding
        self._only = only
        self._file = TextSource(path, compression=form.compression, encoding=encoding, file=only.file if only else None)
        self._number = 0
        self._lines = self._numbered()
        try:
            self._first = self._first_row()
        except BaseException:
            self.close()
            raise
        self.columns: tuple[str, ...] = tuple(self._first.values)

    @property
    def fraction_read(self) -> float | None:
        """How much of the file was read, 0 to 1; None where its end is not known."""
        return self._file.fraction_read

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def rows(self) -> Iterator[Row]:
        """Read the rows.

        Yields:
            Every row, also those with a fault.

        Raises:
            DataError: A fault after which nothing can be trusted.
        """
        if self._only and self._only.first_row > 1:  # the first line is there for its names alone
            self._number = self._only.first_row - 1
        else:
            yield self._first
        for number, line in self._lines:
            yield self._row(number, line)

    def _first_row(self) -> Row:
        number, line = next(self._lines, (0, ""))
        if not number:
            raise DataError(f"{self._path} is empty: one JSON object a line was expected.")
        row = self._row(number, line)
        if row.fault:  # it names the columns, so that nothing can be read without it
            raise DataError(f"{self._path}: row 1 {row.fault.reason}.")
        return row

    def _row(self, number: int, line: str) -> Row:
        values = None if UNDECODABLE in line else _json_object(line)
        if values is not None:
            return Row(number, values)
        reason = encoding_fault(self._encoding) if UNDECODABLE in line else "is not a JSON object on a line of its own"
        return Row(number, {}, Fault("", reason, len(line.rstrip("\r\n"))))

    def _numbered(self) -> Iterator[tuple[int, str]]:
        try:
            while line := self._file.text.readline(MAX_CELL):
                if not line.strip():
                    continue
                self._number += 1
                if len(line) == MAX_CELL:
                    raise DataError(f"{self._path}, row {self._number}: a line has over {MAX_CELL:,} characters.")
                yield self._number, line
        except UnicodeError as error:
            raise undecodable(self._path, self._encoding) from error


def _json_object(line: str) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
