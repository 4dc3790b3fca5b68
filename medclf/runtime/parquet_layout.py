"""Rows as Parquet. Types that are known are kept; columns of JSON lines get theirs from what they hold."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medclf.data.parquet import holds_times
from medclf.extras import require

GROUP_ROWS = 65_536  # of a row group, or fewer where they reach GROUP_BYTES
GROUP_BYTES = 16 * 2**20


class ParquetLayout:
    """Parquet; a part is a small Parquet file."""

    def __init__(self, columns: Sequence[str], types: Mapping[str, Any]) -> None:
        """Choose the columns.

        Args:
            columns: Columns to write, in order.
            types: Column -> its type in Arrow; columns that are not named hold strings, numbers and booleans as they
                come, all else as JSON text.

        Raises:
            ExtraError: pyarrow is not installed.
        """
        self._arrow = require("pyarrow", extra="files")
        self._parquet = require("pyarrow.parquet", extra="files")
        self._columns = columns
        self._types = types

    def encode(self, rows: Sequence[Mapping[str, object]]) -> bytes:
        """Make a part.

        Args:
            rows: The rows.

        Returns:
            A Parquet file.
        """
        cells = {name: self._array(name, [row[name] for row in rows]) for name in self._columns}
        file = io.BytesIO()
        self._parquet.write_table(self._arrow.table(cells), file)
        return file.getvalue()

    def join(self, parts: Sequence[Path], target: Path, *, common: Mapping[str, Any] | None = None) -> None:
        """Write one file, of row groups larger than the parts.

        Args:
            parts: Files of `encode`.
            target: The file.
            common: Column -> its type, for those that would get it from what they hold: where other files must have the
                same. None to look at these parts.
        """
        schema = self._joined_schema(parts, common or {})
        waiting: list[Any] = []
        with self._parquet.ParquetWriter(target, schema) as writer:
            for part in parts:
                waiting.append(self._read(part).cast(schema))
                if sum(len(t) for t in waiting) >= GROUP_ROWS or sum(t.nbytes for t in waiting) >= GROUP_BYTES:
                    writer.write_table(self._arrow.concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(self._arrow.concat_tables(waiting))

    def _array(self, name: str, values: list[object]) -> Any:
        wanted = self._types.get(name)
        if wanted is not None and holds_times(wanted):
            return self._arrow.array(values, self._arrow.int64()).cast(wanted)  # as predict_file asks for them
        if wanted is not None:
            return self._arrow.array(values, wanted)
        plain = [json.dumps(one, ensure_ascii=False) if isinstance(one, (list, dict)) else one for one in values]
        plain = [_whole(one) if isinstance(one, str) else one for one in plain]
        try:
            return self._arrow.array(plain)
        except (self._arrow.ArrowException, OverflowError):  # numbers beside strings, or too large for 64 bits
            return self._arrow.array([one if one is None else _text(one) for one in plain], self._arrow.string())

    def _joined_schema(self, parts: Sequence[Path], common: Mapping[str, Any]) -> Any:
        known = {**common, **self._types}
        found: dict[str, set[Any]] = {name: set() for name in self._columns if name not in known}
        for part in parts if found else ():
            schema = self._parquet.read_schema(part)
            for name, types in found.items():
                types.add(schema.field(name).type)
        inferred = {name: self._common_type(name, types, parts) for name, types in found.items()}
        return self._arrow.schema([(name, {**known, **inferred}[name]) for name in self._columns])

    def _common_type(self, name: str, types: set[Any], parts: Sequence[Path]) -> Any:
        types = types - {self._arrow.null()}
        if len(types) == 1:
            return types.pop()
        numbers = types == {self._arrow.int64(), self._arrow.float64()}
        fit = numbers and all(self._fits(name, part) for part in parts)
        return self._arrow.float64() if fit else self._arrow.string()

    def _read(self, part: Path, columns: list[str] | None = None) -> Any:
        with self._parquet.ParquetFile(part) as file:  # read_table would load pyarrow.dataset, 40 MB of code
            return file.read(columns, use_threads=False)

    def _fits(self, name: str, part: Path) -> bool:
        """Tell whether the whole numbers of a part are the same as floats: those above 2^53 may not be."""
        try:
            self._read(part, [name]).column(name).cast(self._arrow.float64())
        except self._arrow.ArrowInvalid:
            return False
        return True


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _whole(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair is no UTF-8
