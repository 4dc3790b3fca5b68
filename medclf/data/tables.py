"""Tables of texts: CSV, TSV, JSON lines and Parquet, read row by row with every fault named by file, row and column.

No message quotes a cell. Stands on the standard library; Parquet and zstd need `medclf[files]`.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from medclf.bundle import TextColumns
from medclf.data.formats import SUFFIXES, TableFormat, formats_text, is_stream, table_format
from medclf.data.json_lines import JsonlReader
from medclf.data.label_cells import parse_indicators, parse_labels
from medclf.data.parquet import ParquetReader
from medclf.data.ranges import RowRange
from medclf.data.readers import SHOWN, CsvReader, Fault, Row, names_text
from medclf.errors import DataError, OptionError
from medclf.labels import Label
from medclf.text import text_fault

__all__ = [
    "SUFFIXES",
    "Fault",
    "Faults",
    "LabelledTexts",
    "Row",
    "Table",
    "check_source",
    "join_text",
    "read_labelled",
    "read_usable",
]

Faults = dict[
    str, list[tuple[int, str]]
]  # column, empty for a whole row -> row number, and what is wrong, fit for the end of a message
_T = TypeVar("_T")


class Table:
    """A table that is open for reading once, row by row; a context manager."""

    def __init__(self, path: Path, *, encoding: str = "utf-8", named: str = "", only: RowRange | None = None) -> None:
        """Open a table.

        Args:
            path: A file, a pipe, or `-` for stdin.
            encoding: Character encoding of CSV, TSV and JSON lines; a byte order mark of UTF-8 is skipped.
            named: Its format, such as `csv` or `jsonl.gz`; empty for that of its suffix.
            only: Which of its rows, in a file that is open already; None for all.

        Raises:
            DataError: The file is missing, is a folder, has another suffix, is empty, or its header is wrong.
            OptionError: The encoding is not known.
            ExtraError: The format needs a package that is not installed.
        """
        self.path = path
        self._reader = _open(path, encoding, named, only)
        self.columns: tuple[str, ...] = self._reader.columns

    @property
    def fraction_read(self) -> float | None:
        """How much of the file was read, 0 to 1; None for a pipe."""
        return self._reader.fraction_read

    @property
    def types(self) -> dict[str, Any]:
        """Column -> its type in Arrow; empty for a format that has no types."""
        return self._reader.types if isinstance(self._reader, ParquetReader) else {}

    @property
    def group_rows(self) -> list[int] | None:
        """Rows of each row group of Parquet; None for a format that has none."""
        return self._reader.group_rows if isinstance(self._reader, ParquetReader) else None

    def check_columns(self, names: Iterable[str]) -> None:
        """Refuse columns that the table does not have.

        Args:
            names: Columns that are needed.

        Raises:
            DataError: One or more are not there; lists the columns found.
        """
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            raise DataError(
                f"{self.path} has no column {names_text(unknown)}; it has {names_text(self.columns)}. "
                "Name its columns with --text-column and --label-column."
            )

    def rows(self, columns: Collection[str] | None = None, carried: Mapping[str, str] | None = None) -> Iterator[Row]:
        """Read every row, also those that are broken by themselves: they have a fault and no values.

        Args:
            columns: Columns that are needed; others may be left out. None for all.
            carried: Column that is only written elsewhere -> `string` or `int64`: how times of Parquet are given.

        Yields:
            The rows, in order.

        Raises:
            DataError: There is no row, or a fault after which nothing can be trusted.
        """
        empty = True
        reader = self._reader
        for row in reader.rows(columns, carried) if isinstance(reader, ParquetReader) else reader.rows():
            empty = False
            yield row
        if empty:
            raise DataError(f"{self.path} has columns and no rows: at least one row was expected.")

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows():
            if row.fault:
                raise DataError(f"{self.path}, row {row.number} {row.fault.reason}.")
            yield row

    def __enter__(self) -> "Table":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()


def check_source(path: Path, named: str = "") -> TableFormat:
    """Refuse what is no table, before it is opened.

    Args:
        path: A file, a pipe, or `-` for stdin.
        named: Its format; empty for that of its suffix.

    Returns:
        Its format.

    Raises:
        DataError: It is missing, a folder, of no known format, or Parquet in a pipe.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, a table was expected: name a file that ends in {formats_text()}.")
    if str(path) != "-" and not path.exists():
        raise DataError(f"{path} does not exist. Check the path; it is relative to {Path.cwd()}.")
    form = _format(path, named)
    if form.name == "parquet" and is_stream(path):
        raise DataError(f"{path}: Parquet is read from its end, which a pipe has not. Save it as a file first.")
    return form


def _format(path: Path, named: str) -> TableFormat:
    form = table_format(path, named)
    if form is None:
        got = named or path.suffix or "(no suffix)"
        raise DataError(
            f"{path}: the format {got} is not read. Save it as {formats_text()}; or name it, as in --input-format csv."
        )
    return form


def _open(path: Path, encoding: str, named: str, only: RowRange | None) -> CsvReader | JsonlReader | ParquetReader:
    form = _format(path, named) if only else check_source(path, named)
    if form.name == "parquet":
        return ParquetReader(path, only)
    return JsonlReader(path, form, encoding, only) if form.name == "jsonl" else CsvReader(path, form, encoding, only)


def join_text(row: Row, columns: Sequence[str]) -> tuple[str | None, str | None]:
    """Make the text of a row: its non-empty cells joined with a space.

    Args:
        row: A row of a table.
        columns: Columns in the order in which they are joined.

    Returns:
        The text and None, or None and what is wrong with the cells, fit for the end of a message.
    """
    values = [value for value in (row.values.get(column) for column in columns) if value is not None]
    faulty = [value for value in values if not isinstance(value, str)]
    text = faulty[0] if faulty else " ".join(value for value in values if isinstance(value, str) and value.strip())
    fault = text_fault(text)
    return (None, fault) if fault or not isinstance(text, str) else (text, None)


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels, held in memory.

    Attributes:
        file: The table they came from.
        sha256: Hash of its bytes.
        texts: The texts.
        pairs: The second text of each, or None for single texts.
        labels: The label of each: a string, or a tuple of strings in a table where a text may have several.
        rows: The row number of each in the table, the first data row being 1.
        groups: What each belongs to, such as its patient; None for none. Never shown, as it may name a person.
    """

    file: Path
    sha256: str
    texts: list[str]
    pairs: list[str] | None
    labels: list[Label]
    rows: list[int]
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def multi_label(self) -> bool:
        """Whether a text may have any number of labels."""
        return isinstance(self.labels[0], tuple)

    def select(self, indices: Iterable[int]) -> "LabelledTexts":
        """Give a part of the rows.

        Args:
            indices: Positions from 0, not row numbers, in the order wanted.

        Returns:
            The part.
        """
        chosen = [int(i) for i in indices]
        return LabelledTexts(
            file=self.file,
            sha256=self.sha256,
            texts=[self.texts[i] for i in chosen],
            pairs=None if self.pairs is None else [self.pairs[i] for i in chosen],
            labels=[self.labels[i] for i in chosen],
            rows=[self.rows[i] for i in chosen],
            groups=None if self.groups is None else [self.groups[i] for i in chosen],
        )


def read_labelled(
    path: Path, *, columns: TextColumns, label_column: tuple[str, ...],
    multi_label: bool | None = None, encoding: str = "utf-8", group_column: str | None = None,
) -> LabelledTexts:  # fmt: skip
    """Read a whole table of texts with their labels.

    Args:
        path: A table.
        columns: Columns that make the text, and the second text if there is one.
        label_column: Column of the labels; several are columns of 0 and 1, each named as its label.
        multi_label: Whether a text may have several labels: a list, or a string with `;` between them. None takes
            lists for several and strings for one.
        encoding: Character encoding of the table.
        group_column: Column of what a text belongs to, such as its patient; None for none.

    Returns:
        Every row, in order.

    Raises:
        DataError: The table cannot be read, or rows have no usable text, label or group; names all of them.
        OptionError: A column is named as two things, or the encoding is not known.
    """
    data, faults = read_usable(
        path, columns=columns, label_column=label_column,
        multi_label=multi_label, encoding=encoding, group_column=group_column,
    )  # fmt: skip
    if faults:
        raise DataError(" ".join(_faults_text(path, column, rows) for column, rows in faults.items()))
    return data


def read_usable(
    path: Path, *, columns: TextColumns, label_column: tuple[str, ...],
    multi_label: bool | None = None, encoding: str = "utf-8", group_column: str | None = None,
) -> tuple[LabelledTexts, Faults]:  # fmt: skip
    """Read the rows of a table that can be used, and say what is wrong with the others.

    Args:
        path: As of `read_labelled`.
        columns: As of `read_labelled`.
        label_column: As of `read_labelled`.
        multi_label: As of `read_labelled`.
        encoding: As of `read_labelled`.
        group_column: As of `read_labelled`.

    Returns:
        The rows without a fault, in order, and for each column the row numbers of the others with what is wrong.

    Raises:
        DataError: The table cannot be read.
        OptionError: A column is named as two things, or the encoding is not known.
    """
    _check_roles(columns, label_column, group_column)
    named = {"+".join(columns.text): columns.text, "+".join(columns.pair): columns.pair}
    read: dict[str, list[str | None]] = {name: [] for name, parts in named.items() if parts}
    cells: dict[str, list[object]] = {column: [] for column in label_column}
    groups: list[str | None] = []
    faults: Faults = {}
    numbers: list[int] = []
    with Table(path, encoding=encoding) as table:
        needed = (*columns.text, *columns.pair, *label_column, *filter(None, [group_column]))
        table.check_columns(needed)
        for row in table.rows(needed):
            if row.fault:
                faults.setdefault(row.fault.column, []).append((row.number, row.fault.reason))
                continue
            numbers.append(row.number)
            for name, values in read.items():
                text, fault = join_text(row, named[name])
                values.append(text)
                if fault:
                    faults.setdefault(name, []).append((row.number, fault))
            for column, seen in cells.items():
                seen.append(row.values.get(column))
            if group_column is not None:
                groups.append(_group(row.values.get(group_column)))
                if groups[-1] is None:
                    faults.setdefault(group_column, []).append((row.number, "has no group"))
    labels, wrong = _labels(cells, multi_label=multi_label)
    faults |= {column: [(numbers[position], fault) for position, fault in rows] for column, rows in wrong.items()}
    first, second = (read.get("+".join(names)) for names in (columns.text, columns.pair))
    whole = _Whole(numbers, first or [], second, labels, groups if group_column is not None else None)
    return whole.usable(path), faults


def _check_roles(columns: TextColumns, label_column: Sequence[str], group_column: str | None) -> None:
    texts = (*columns.text, *columns.pair)
    both = next((column for column in label_column if column in texts), None)
    if both is not None:
        raise OptionError(f"column {both!r} is named as text and as label: the label would be in the text.")
    if group_column in (*texts, *label_column):
        raise OptionError(f"column {group_column!r} is named as group and as text or label: they must differ.")


@dataclass(frozen=True)
class _Whole:
    """A table as it was read, with None for what cannot be used."""

    numbers: list[int]
    texts: list[str | None]
    pairs: list[str | None] | None
    labels: list[Label | None]
    groups: list[str | None] | None

    def usable(self, path: Path) -> LabelledTexts:
        columns = [column for column in (self.texts, self.pairs, self.labels, self.groups) if column is not None]
        good = [i for i in range(len(self.numbers)) if all(column[i] is not None for column in columns)]

        def of(column: Sequence[_T | None]) -> list[_T]:
            return [value for value in (column[i] for i in good) if value is not None]

        return LabelledTexts(
            file=path,
            sha256=_sha256(path),
            texts=of(self.texts),
            pairs=None if self.pairs is None else of(self.pairs),
            labels=of(self.labels),
            rows=of(self.numbers),
            groups=None if self.groups is None else of(self.groups),
        )


def _group(cell: object) -> str | None:
    return (str(cell).strip() or None) if isinstance(cell, str | int | float) else None


def _labels(
    cells: dict[str, list[object]], *, multi_label: bool | None
) -> tuple[list[Label | None], dict[str, list[tuple[int, str]]]]:
    """Give the label of each row, None where it has a fault, and the faults by column and position."""
    if len(cells) > 1:
        labels, faults = parse_indicators(cells)
        bad = {position for rows in faults.values() for position, _ in rows}
        return [None if position in bad else label for position, label in enumerate(labels)], faults
    ((column, only),) = cells.items()
    labels, found = parse_labels(only, multi_label=multi_label)
    bad, good = {position for position, _ in found}, iter(labels)
    return [None if position in bad else next(good) for position in range(len(only))], {column: found} if found else {}


def _faults_text(path: Path, column: str, rows: list[tuple[int, str]]) -> str:
    where = f"{path}, column {column!r}" if column else f"{path}"
    shown = "; ".join(f"row {number} {fault}" for number, fault in rows[:SHOWN])
    more = "; ..." if len(rows) > SHOWN else ""
    count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    return f"{where}: {count} cannot be used: {shown}{more}. Correct or remove them."


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    if path.is_file():  # anything else is refused by Table, which says why
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
