"""What a row and its faults are, and CSV (also TSV); JSON lines and Parquet are in `json_lines.py` and `parquet.py`.

A reader knows its format and its faults, not what a text or a label is: that is `medclf.data.tables`. A fault that ends
with its row is told by that row; one after which nothing can be trusted is an error.
"""

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medclf.data.formats import TableFormat
from medclf.data.ranges import RowRange
from medclf.data.streams import UNDECODABLE, TextSource
from medclf.errors import DataError

MAX_CELL = 64 * 1024 * 1024  # characters; bounds the memory that a quote left open, or a file of one line, can take
SHOWN = 5  # row numbers in a message


@dataclass(frozen=True)
class Fault:
    """Why a row cannot be used; holds no piece of it.

    Attributes:
        column: Where it is; empty for the row as a whole.
        reason: Fit for the end of a message that names the row.
        length: Characters of the cell or of the row; None where that has no meaning.
    """

    column: str
    reason: str
    length: int | None = None


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        number: The first data row is 1; blank lines are not counted.
        values: Column -> value; a string in CSV and TSV.
        fault: What is wrong with the row as a whole, which then has no values.
    """

    number: int
    values: dict[str, object]
    fault: Fault | None = None


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


def check_names(path: Path, columns: Sequence[str]) -> None:
    """Refuse a table that has two columns of one name.

    Args:
        path: The table.
        columns: The names of its columns; spreadsheets leave nameless ones behind.

    Raises:
        DataError: A name is there more than once.
    """
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        raise DataError(
            f"{path}: the header names {names_text(repeated)} more than once. Rename the columns, each once."
        )


class CsvReader:
    """CSV, with the delimiter that the header uses most among `,` `;` tab `|`; TSV with a tab."""

    def __init__(self, path: Path, form: TableFormat, encoding: str, only: RowRange | None = None) -> None:
        """Open a file and read its header.

        Args:
            path: A file that exists, or `-` for stdin.
            form: Its format.
            encoding: Its character encoding.
            only: Which rows; None for all.

        Raises:
            DataError: There is no header, or it repeats a name.
        """
        csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))  # a long cell is a fault of its row alone
        self._path = path
        self._encoding = encoding
        self._only = only
        self._file = TextSource(path, compression=form.compression, encoding=encoding, file=only.file if only else None)
        try:
            self.columns = self._header(form)
        except BaseException:
            self.close()
            raise

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
            DataError: A fault after which nothing can be trusted, such as a quote left open.
        """
        first = self._only.first_row if self._only else 1
        number = first - 1
        try:
            for number, cells in enumerate(self._records, start=first):
                reason = self._reason(cells)
                if reason:
                    yield Row(number, {}, Fault("", reason, sum(map(len, cells))))
                else:
                    yield Row(number, dict(zip(self.columns, cells, strict=True)))
        except csv.Error as error:
            raise self._broken(number + 1, error) from error
        except UnicodeError as error:
            raise undecodable(self._path, self._encoding) from error

    def _reason(self, cells: list[str]) -> str | None:
        if len(cells) != len(self.columns):
            return f"has {len(cells)} cells, {len(self.columns)} expected (is a {self._delimiter!r} not in quotes?)"
        return encoding_fault(self._encoding) if any(UNDECODABLE in cell for cell in cells) else None

    def _header(self, form: TableFormat) -> tuple[str, ...]:
        try:
            first_line = self._file.text.readline(MAX_CELL)
            self._delimiter = "\t" if form.name == "tsv" else delimiter_of(first_line)
            lines = itertools.chain([first_line], self._file.text)  # a pipe cannot be rewound
            self._records: Iterator[list[str]] = filter(None, csv.reader(lines, delimiter=self._delimiter, strict=True))
            columns = tuple(next(self._records, ()))
        except csv.Error as error:
            raise self._broken(0, error) from error
        except UnicodeError as error:
            raise undecodable(self._path, self._encoding) from error
        if UNDECODABLE in "".join(columns):
            raise undecodable(self._path, self._encoding, "".join(columns))
        if not any(name.strip() for name in columns):
            raise DataError(f"{self._path} is empty: a header and rows were expected.")
        check_names(self._path, columns)
        return columns

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


def delimiter_of(header: str) -> str:
    """Find the delimiter of CSV.

    Args:
        header: Its first line.

    Returns:
        The one that stands most often outside of quotes.
    """
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=bare.count)  # the first of equals: a comma where the header has one column


def encoding_fault(encoding: str) -> str:
    """Say that a row is not in an encoding.

    Args:
        encoding: What it was read as.

    Returns:
        The reason.
    """
    return f"cannot be decoded as {encoding} (--encoding names another)"


def undecodable(path: Path, encoding: str, header: str = "") -> DataError:
    """Say that a file, from its beginning on, is not in an encoding.

    Args:
        path: The file.
        encoding: What it was read as.
        header: Its first characters.

    Returns:
        The error.
    """
    utf16 = header.startswith(2 * UNDECODABLE)  # its byte order mark, which is no UTF-8
    return DataError(
        f"{path}: the header cannot be decoded as {encoding}. Save the file as UTF-8, "
        f"or pass its encoding, such as --encoding {'utf-16' if utf16 else 'latin-1'}."
    )
