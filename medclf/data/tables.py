"""Tables of texts: CSV, TSV, JSON lines and Parquet, read row by row with every fault named by file, row and column.

No message quotes a cell. Stands on the standard library; Parquet needs pyarrow (`medclf[files]`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from medclf.bundle import TextColumns
from medclf.data.readers import SHOWN, CsvReader, JsonlReader, ParquetReader, Row, names_text
from medclf.errors import DataError, OptionError
from medclf.text import text_fault

__all__ = ["SUFFIXES", "LabelledTexts", "Row", "Table", "join_text", "read_labelled"]

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MAX_LABEL = 200  # characters; more is a text, and a label's name is shown in messages


class Table:
    """A table that is open for reading once, row by row; a context manager."""

    def __init__(self, path: Path, *, encoding: str = "utf-8") -> None:
        """Open a table; its format is known by its suffix.

        Args:
            path: A file that ends in one of `SUFFIXES`.
            encoding: Character encoding of CSV, TSV and JSON lines; a byte order mark of UTF-8 is skipped.

        Raises:
            DataError: The file is missing, is a folder, has another suffix, is empty, or its header is wrong.
            OptionError: The encoding is not known.
        """
        self.path = path
        self._reader = _open(path, encoding)
        self.columns: tuple[str, ...] = self._reader.columns

    @property
    def fraction_read(self) -> float:
        """How much of the file was read, 0 to 1."""
        return self._reader.fraction_read

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

    def __iter__(self) -> Iterator[Row]:
        empty = True
        for row in self._reader:
            empty = False
            yield row
        if empty:
            raise DataError(f"{self.path} has columns and no rows: at least one row was expected.")

    def __enter__(self) -> "Table":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()


def _open(path: Path, encoding: str) -> CsvReader | JsonlReader | ParquetReader:
    if path.is_dir():
        raise DataError(f"{path} is a folder, a table was expected: name a file that ends in {', '.join(SUFFIXES)}.")
    if not path.exists():
        raise DataError(f"{path} does not exist. Check the path; it is relative to {Path.cwd()}.")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return CsvReader(path, encoding)
    if suffix in (".jsonl", ".ndjson"):
        return JsonlReader(path, encoding)
    if suffix == ".parquet":
        return ParquetReader(path)
    raise DataError(f"{path}: the format {suffix or '(no suffix)'} is not read. Save it as {', '.join(SUFFIXES)}.")


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
    """Texts with one label each, held in memory.

    Attributes:
        file: The table they came from.
        sha256: Hash of its bytes.
        texts: The texts.
        pairs: The second text of each, or None for single texts.
        labels: The label of each, a string.
        rows: The row number of each in the table, the first data row being 1.
    """

    file: Path
    sha256: str
    texts: list[str]
    pairs: list[str] | None
    labels: list[str]
    rows: list[int]

    def __len__(self) -> int:
        return len(self.texts)

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
        )


def read_labelled(path: Path, *, columns: TextColumns, label_column: str, encoding: str = "utf-8") -> LabelledTexts:
    """Read a whole table of texts with one label each.

    Args:
        path: A table.
        columns: Columns that make the text, and the second text if there is one.
        label_column: Column of the label.
        encoding: Character encoding of the table.

    Returns:
        Every row, in order.

    Raises:
        DataError: The table cannot be read, or rows have no usable text or label; names all of them.
        OptionError: The label column is also a text column, or the encoding is not known.
    """
    if label_column in (*columns.text, *columns.pair):
        raise OptionError(f"column {label_column!r} is named as text and as label: the label would be in the text.")
    data = LabelledTexts(path, _sha256(path), [], [] if columns.pair else None, [], [])
    faults: dict[str, list[tuple[int, str]]] = {}
    with Table(path, encoding=encoding) as table:
        table.check_columns((*columns.text, *columns.pair, label_column))
        for row in table:
            for column, fault in _append(data, row, columns, label_column):
                faults.setdefault(column, []).append((row.number, fault))
    if faults:
        raise DataError(" ".join(_faults_text(path, column, rows) for column, rows in faults.items()))
    return data


def _append(data: LabelledTexts, row: Row, columns: TextColumns, label_column: str) -> list[tuple[str, str]]:
    """Add a row, or give its faults by column."""
    text, text_wrong = join_text(row, columns.text)
    pair, pair_wrong = join_text(row, columns.pair) if columns.pair else ("", None)
    label, label_wrong = _label(row.values.get(label_column))
    if text is not None and pair is not None and label is not None:
        data.texts.append(text)
        data.labels.append(label)
        data.rows.append(row.number)
        if data.pairs is not None:
            data.pairs.append(pair)
    named = (("+".join(columns.text), text_wrong), ("+".join(columns.pair), pair_wrong), (label_column, label_wrong))
    return [(column, wrong) for column, wrong in named if wrong]


def _label(value: object) -> tuple[str | None, str | None]:
    if value is None:
        return None, "is missing"
    if isinstance(value, bool | list | tuple | dict):
        return None, f"is {type(value).__name__}: one label a row is read, several are not supported yet"
    if not isinstance(value, int | str):
        return None, f"is {type(value).__name__}, a string or a whole number was expected"
    label = str(value).strip()
    if len(label) > MAX_LABEL:
        return None, f"has {len(label):,} characters, at most {MAX_LABEL} are a label: is this a column of texts?"
    fault = text_fault(label)
    return (None, fault) if fault else (label, None)


def _faults_text(path: Path, column: str, rows: list[tuple[int, str]]) -> str:
    shown = "; ".join(f"row {number} {fault}" for number, fault in rows[:SHOWN])
    more = "; ..." if len(rows) > SHOWN else ""
    count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    return f"{path}, column {column!r}: {count} cannot be used: {shown}{more}. Correct or remove them."


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    if path.is_file():  # anything else is refused by Table, which says why
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
