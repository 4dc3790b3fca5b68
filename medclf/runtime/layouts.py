"""How rows become the bytes of a file: CSV, TSV and JSON lines here, Parquet in `parquet_layout.py`.

A layout encodes some rows as a part, and joins parts into one file. A part is whole by itself, so that parts can be
made in any order, by any process.
"""

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from medclf.data.formats import TableFormat
from medclf.data.streams import compressed
from medclf.labels import SEPARATOR
from medclf.runtime.parquet_layout import ParquetLayout

RowValues = Mapping[str, object]  # column -> value


class TextLayout:
    """CSV, TSV or JSON lines, in UTF-8. Parts have no header and are not compressed: joined, they are one stream."""

    def __init__(self, form: TableFormat, columns: Sequence[str]) -> None:
        """Choose a layout.

        Args:
            form: The format.
            columns: Columns to write, in order.
        """
        self._form = form
        self._columns = columns

    def head(self) -> bytes:
        """Give what stands before the first row."""
        return b"" if self._form.name == "jsonl" else self._csv([list(self._columns)])

    def encode(self, rows: Sequence[RowValues]) -> bytes:
        """Make a part.

        Args:
            rows: The rows.

        Returns:
            Their lines.
        """
        if self._form.name == "jsonl":
            return _utf8("".join(_json_line({name: row[name] for name in self._columns}) for row in rows))
        return self._csv([[_cell(row[name]) for name in self._columns] for row in rows])

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write one file.

        Args:
            parts: Files of `encode`.
            target: The file.
        """
        with target.open("wb") as file, compressed(file, self._form.compression) as packed:
            packed.write(self.head())
            for part in parts:
                with part.open("rb") as lines:
                    shutil.copyfileobj(lines, packed, 2**20)

    def stream(self, file: IO[bytes]) -> Any:
        """Begin to write without parts, into a pipe.

        Args:
            file: The pipe.

        Returns:
            A context manager that gives the file to write `head` and parts to.
        """
        return compressed(file, self._form.compression)

    def _csv(self, rows: Sequence[Sequence[object]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter="\t" if self._form.name == "tsv" else ",", lineterminator="\n").writerows(rows)
        return _utf8(text.getvalue())


Layout = TextLayout | ParquetLayout


def layout_of(form: TableFormat, columns: Sequence[str], types: Mapping[str, Any]) -> Layout:
    """Choose the layout of a table.

    Args:
        form: Its format.
        columns: Its columns, in order.
        types: Column -> its type in Arrow, where it is known; Parquet infers the others.

    Returns:
        The layout.

    Raises:
        ExtraError: Parquet is wanted and pyarrow is not installed.
    """
    return ParquetLayout(columns, types) if form.name == "parquet" else TextLayout(form, columns)


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return SEPARATOR.join(map(str, value))
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict) else value


def _json_line(row: RowValues) -> str:
    # default=str: dates and decimals, which Parquet has and JSON has not
    return json.dumps(row, ensure_ascii=False, default=str) + "\n"


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # half of a surrogate pair: JSON's own way to write it
