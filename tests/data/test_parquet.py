"""Parquet: what is read of it, how much at a time, and the faults of a row and of a column."""

from pathlib import Path
from typing import Any

import pytest

from medclf.data import parquet as parquet_module
from medclf.data.tables import Fault, Row, Table
from medclf.errors import DataError

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

CANARY = "CANARY-7f3a"


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(arrow.table(columns), path, **options)
    return path


def test_only_the_columns_that_are_needed_are_read(tmp_path: Path) -> None:
    columns = {"unused": arrow.array([1], arrow.duration("ns")), "text": ["a"], "a.b": ["c"]}
    with Table(write(tmp_path / "a.parquet", columns)) as table:
        assert table.columns == ("unused", "text", "a.b")
        assert list(table.rows(("a.b", "text"))) == [Row(1, {"text": "a", "a.b": "c"})]


def test_a_column_that_python_cannot_hold_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"times": arrow.array([[4 * 10**14]], arrow.list_(arrow.timestamp("ms")))})
    with (
        Table(path) as table,
        pytest.raises(DataError, match=r"column 'times': values that Python has none for, after"),
    ):
        list(table)


def test_a_string_that_is_not_utf8_fails_alone(tmp_path: Path) -> None:
    offsets = b"\0\0\0\0\x01\0\0\0\x03\0\0\0"
    strings = arrow.Array.from_buffers(arrow.string(), 2, [None, arrow.py_buffer(offsets), arrow.py_buffer(b"a\xffb")])
    with Table(write(tmp_path / "a.parquet", {"text": strings})) as table:
        reason = "is not UTF-8, as Parquet's strings must be"
        assert list(table.rows()) == [Row(1, {"text": "a"}), Row(2, {}, Fault("text", reason, 2))]


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    twice = arrow.table([["a"], ["b"]], names=["text", "text"])
    parquet.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="names 'text' more than once"):
        Table(tmp_path / "a.parquet")


def test_large_cells_are_read_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    cells = parquet_module.ParquetReader._cells

    def spy(self: Any, column: str, batch: Any, times: str | None) -> list[object]:
        seen.append(len(batch))
        return cells(self, column, batch, times)

    monkeypatch.setattr(parquet_module.ParquetReader, "_cells", spy)
    monkeypatch.setattr(parquet_module, "BATCH_BYTES", 20_000)
    texts = [f"{i}" * 1_000 for i in range(100)]
    for name, columns in {"large": texts, "small": ["a"] * 3_000}.items():
        seen.clear()
        with Table(write(tmp_path / f"{name}.parquet", {"text": columns}, use_dictionary=False)) as table:
            assert [row.values["text"] for row in table] == columns
        assert (max(seen) <= 20) if name == "large" else (seen == [1_024, 1_024, 952])
