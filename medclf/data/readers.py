"""The four formats of a table, each read row by row: CSV (also TSV), JSON lines, Parquet.

A reader knows its format and its faults, not what a text or a label is: that is `medclf.data.tables`.
"""

import codecs
import contextlib
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medclf.errors import DataError, OptionError
from medclf.extras import require

MAX_CELL = 64 * 1024 * 1024  # characters; bounds the memory that a quote left open can take
SHOWN = 5  # row numbers in a message
_UNDECODABLE = "\udcff"  # stands for bytes that could not be decoded; no decoder gives it for good bytes

codecs.register_error("medclf.mark", lambda error: (_UNDECODABLE, error.end))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        number: The first data row is 1; blank lines are not counted.
        values: Column -> value; a string in CSV and TSV.
    """

    number: int
    values: dict[str, object]


def rows_text(numbers: Sequence[int]) -> str:
    """Name rows in a message: how many, and the first of them.

    Args:
        numbers: Row numbers, at least one.

    Returns:
        Such as `row 7` or `12 rows (1, 2, 3, 4, 5, ...)`.
    """
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    shown = ", ".join(str(number) for number in numbers[:SHOWN])
    return f"{len(numbers):,} rows ({shown}{', ...' if len(numbers) > SHOWN else ''})"


def names_text(names: Iterable[str]) -> str:
    """List column names in a message; a name too long to be one is not quoted, as it may be a text.

    Args:
        names: Names of columns.

    Returns:
        The names in quotes.
    """
    return ", ".join(
        repr(name) if len(name) <= 40 else f"(a name of {len(name):,} characters: is the header missing?)"
        for name in names
    )


class _TextFile:
    """A decoded file that knows how far it was read, and which rows its encoding does not fit."""

    def __init__(self, path: Path, encoding: str, *, errors: str = "strict") -> None:
        try:
            name = codecs.lookup(encoding).name
            self._bytes = path.open("rb")
            self.text = io.TextIOWrapper(
                self._bytes, encoding="utf-8-sig" if name == "utf-8" else name, errors=errors, newline=""
            )
        except LookupError as error:
            raise OptionError(f"encoding {encoding!r} is not known. Such as utf-8, latin-1, cp1252, utf-16.") from error
        self._size = path.stat().st_size

    @property
    def fraction_read(self) -> float:
        return self._bytes.tell() / max(1, self._size)


def _undecodable(path: Path, encoding: str, rows: Iterator[tuple[int, str]]) -> DataError:
    bad = []
    with contextlib.suppress(csv.Error):  # bytes decoded wrongly can break the format too
        bad = [number for number, content in rows if _UNDECODABLE in content]
    where = "the header" if bad[:1] == [0] else rows_text(bad) if bad else "a row"
    with path.open("rb") as file:
        utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return DataError(
        f"{path}: {where} cannot be decoded as {encoding}. Save the file as UTF-8, "
        f"or pass its encoding, such as --encoding {'utf-16' if utf16 else 'latin-1'}."
    )


class CsvReader:
    """CSV, with the delimiter that the header uses most among `,` `;` tab `|`; TSV with a tab."""

    def __init__(self, path: Path, encoding: str) -> None:
        """Open a file and read its header.

        Args:
            path: A file that exists.
            encoding: Its character encoding.

        Raises:
            DataError: There is no header, or it repeats a name.
        """
        csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))  # a long cell is a fault of its row alone
        self._path = path
        self._encoding = encoding
        self._file = _TextFile(path, encoding)
        try:
            self.columns = self._header()
        except BaseException:
            self.close()
            raise

    @property
    def fraction_read(self) -> float:
        """How much of the file was read, 0 to 1."""
        return self._file.fraction_read

    def close(self) -> None:
        """Close the file."""
        self._file.text.close()

    def __iter__(self) -> Iterator[Row]:
        number = 0
        try:
            for number, cells in enumerate(self._records, start=1):
                if len(cells) != len(self.columns):
                    raise self._ragged(number, len(cells))
                yield Row(number, dict(zip(self.columns, cells, strict=True)))
        except UnicodeError as error:
            raise self._undecodable() from error
        except csv.Error as error:
            raise self._broken(number + 1, error) from error

    def _header(self) -> tuple[str, ...]:
        try:
            first_line = self._file.text.readline(MAX_CELL)
            self._file.text.seek(0)
            self._delimiter = "\t" if self._path.suffix.lower() == ".tsv" else _delimiter(first_line)
            records = csv.reader(self._file.text, delimiter=self._delimiter, strict=True)
            self._records: Iterator[list[str]] = filter(None, records)
            columns = tuple(next(self._records, ()))
        except UnicodeError as error:
            raise self._undecodable() from error
        except csv.Error as error:
            raise self._broken(0, error) from error
        if not any(name.strip() for name in columns):
            raise DataError(f"{self._path} is empty: a header and rows were expected.")
        named = [name for name in columns if name]  # spreadsheets leave nameless columns behind
        repeated = sorted({name for name in named if named.count(name) > 1})
        if repeated:
            raise DataError(
                f"{self._path}: the header names {names_text(repeated)} more than once. Rename the columns, each once."
            )
        return columns

    def _ragged(self, number: int, n_cells: int) -> DataError:
        bad = [number]
        with contextlib.suppress(csv.Error, UnicodeError):  # the first fault is told first
            bad += [n for n, cells in enumerate(self._records, start=number + 1) if len(cells) != len(self.columns)]
        return DataError(
            f"{self._path}: {rows_text(bad)} with another number of cells than the header: {n_cells} in row {number}, "
            f"{len(self.columns)} expected. Put cells that hold {self._delimiter!r} in double quotes."
        )

    def _broken(self, number: int, error: csv.Error) -> DataError:
        where = f"row {number}" if number else "the header"
        if "limit" in str(error):
            why = f"a cell has over {MAX_CELL:,} characters"
        elif "end of data" in str(error):
            why = "a double quote is opened and never closed"
        elif "NUL" in str(error):  # Python 3.10 alone; later ones leave it to the check of the text
            why = "it holds a NUL character"
        else:
            why = "a double quote stands inside a quoted cell, or a line ends in a bare carriage return"
        return DataError(
            f"{self._path}, {where}: {why}. Double the quotes inside quoted cells, or save the table as JSON lines."
        )

    def _undecodable(self) -> DataError:
        file = _TextFile(self._path, self._encoding, errors="medclf.mark")
        with file.text:
            delimiter = getattr(self, "_delimiter", ",")
            records = filter(None, csv.reader(file.text, delimiter=delimiter))
            return _undecodable(self._path, self._encoding, ((n, "".join(cells)) for n, cells in enumerate(records)))


def _delimiter(header: str) -> str:
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=bare.count)  # the first of equals: a comma where the header has one column


class JsonlReader:
    """JSON lines: one object a line."""

    def __init__(self, path: Path, encoding: str) -> None:
        """Open a file and read its first object.

        Args:
            path: A file that exists.
            encoding: Its character encoding.

        Raises:
            DataError: There is no row, or the first one is not a JSON object.
        """
        self._path = path
        self._encoding = encoding
        self._file = _TextFile(path, encoding)
        self._lines = _json_lines(self._file)
        try:
            self.columns = self._keys()
        except BaseException:
            self.close()
            raise

    @property
    def fraction_read(self) -> float:
        """How much of the file was read, 0 to 1."""
        return self._file.fraction_read

    def close(self) -> None:
        """Close the file."""
        self._file.text.close()

    def __iter__(self) -> Iterator[Row]:
        line = self._first
        try:
            while line is not None:
                values = _json_object(line[1])
                if values is None:
                    raise self._not_objects(line[0])
                yield Row(line[0], values)
                line = next(self._lines, None)
        except UnicodeError as error:
            raise self._undecodable() from error

    def _keys(self) -> tuple[str, ...]:
        try:
            self._first = next(self._lines, None)
        except UnicodeError as error:
            raise self._undecodable() from error
        if self._first is None:
            raise DataError(f"{self._path} is empty: one JSON object a line was expected.")
        values = _json_object(self._first[1])
        if values is None:
            raise self._not_objects(1)
        return tuple(values)

    def _not_objects(self, number: int) -> DataError:
        bad = [number]
        with contextlib.suppress(UnicodeError):  # the first fault is told first
            bad += [n for n, line in self._lines if _json_object(line) is None]
        return DataError(
            f"{self._path}: {rows_text(bad)} not a JSON object. Each line must be one whole object, "
            'such as {"text": "...", "label": "..."}.'
        )

    def _undecodable(self) -> DataError:
        file = _TextFile(self._path, self._encoding, errors="medclf.mark")
        with file.text:
            return _undecodable(self._path, self._encoding, _json_lines(file))


def _json_lines(file: _TextFile) -> Iterator[tuple[int, str]]:
    return enumerate((line for line in file.text if line.strip()), start=1)


def _json_object(line: str) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class ParquetReader:
    """Parquet, a batch of rows at a time."""

    def __init__(self, path: Path) -> None:
        """Open a file and read its schema.

        Args:
            path: A file that exists.

        Raises:
            DataError: It is not a Parquet file.
            ExtraError: pyarrow is not installed.
        """
        parquet = require("pyarrow.parquet", extra="files")
        arrow = require("pyarrow", extra="files")
        self._faults = (arrow.ArrowException, OSError)
        self._path = path
        try:
            self._file = parquet.ParquetFile(path)
        except self._faults as error:
            raise DataError(
                f"{path} is not a whole Parquet file. Write it again, or give CSV or JSON lines."
            ) from error
        self.columns: tuple[str, ...] = tuple(self._file.schema_arrow.names)
        self._n_rows: int = self._file.metadata.num_rows
        self._number = 0

    @property
    def fraction_read(self) -> float:
        """How much of the file was read, 0 to 1."""
        return self._number / max(1, self._n_rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __iter__(self) -> Iterator[Row]:
        try:
            for batch in self._file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    self._number += 1
                    yield Row(self._number, values)
        except (*self._faults, UnicodeError) as error:
            raise DataError(
                f"{self._path}: the file is damaged after row {self._number}, or a string in it is not UTF-8. "
                "Write it again."
            ) from error
