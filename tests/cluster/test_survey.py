"""Partitions hold every row of a table once, with its number, whatever is in it."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.cluster.ray.storage import locate
from medclf.cluster.ray.survey import Partition, Survey, Wanted, common_type, survey
from medclf.data.tables import Row, Table

CELLS = st.text(st.sampled_from('ab ",;\n\r\té\u2028'), max_size=6)


def looked_at(path: Path, rows: int, *, keep: tuple[str, ...] = (), encoding: str = "utf-8") -> Survey:
    wanted = Wanted(("text", *keep), keep, "", encoding, rows)
    return survey(locate(str(path.parent)), path.name, path.stat().st_size, "part-00000", wanted)


def read(path: Path, partitions: list[Partition], encoding: str = "utf-8") -> list[Row]:
    rows: list[Row] = []
    for partition in partitions:
        with Table(path, encoding=encoding, only=partition.open(locate(str(path.parent)))) as table:
            found = list(table.rows())
        assert partition.n_rows in (None, len(found))
        assert partition.first_row == found[0].number
        rows += found
    return rows


def check(path: Path, partition_rows: int, encoding: str = "utf-8") -> Survey:
    with Table(path, encoding=encoding) as table:
        expected = list(table.rows())
    found = looked_at(path, partition_rows, encoding=encoding)
    assert read(path, found.partitions, encoding) == expected
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.integers(1, 5), st.sampled_from([",", ";"]), st.booleans())
def test_csv(folder: Path, rows: list[tuple[str, str]], step: int, delimiter: str, bom: bool) -> None:
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL  # else a carriage return alone may be a row or not, which is another test
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows([("id", "text"), *rows])
    path = folder / "rows.csv"
    path.write_bytes(text.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    check(path, step)


@settings(deadline=None)
@given(st.lists(st.one_of(st.just(""), st.dictionaries(st.sampled_from(["id", "text"]), CELLS, min_size=2))))
def test_json_lines(folder: Path, rows: list[Any]) -> None:
    path = folder / "rows.jsonl"
    lines = [json.dumps({"text": "first"}), *(json.dumps(row) if row else "" for row in rows)]
    path.write_text("\n".join(lines))
    check(path, 3)


@settings(deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(1, 9))
def test_parquet(folder: Path, groups: list[int], step: int) -> None:
    path = folder / "rows.parquet"
    names = iter(range(100))
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())])) as writer:
        for n in groups:
            writer.write_table(pa.table({"text": pa.array([str(next(names)) for _ in range(n)], pa.string())}))
    found = looked_at(path, step)
    assert [row.values["text"] for row in read(path, found.partitions)] == [str(i) for i in range(sum(groups))]
    assert all((one.n_rows or 0) <= max(step, 7) for one in found.partitions)
    assert sum(one.size_bytes for one in found.partitions) <= path.stat().st_size


def test_a_large_row_group_is_cut_a_few_times_only(folder: Path) -> None:
    path = folder / "one_group.parquet"
    pq.write_table(pa.table({"text": [str(i) for i in range(400)]}), path)
    found = looked_at(path, 2)
    assert [one.n_rows for one in found.partitions] == [25] * 16
    assert [row.number for row in read(path, found.partitions)] == list(range(1, 401))


@pytest.mark.parametrize(
    ("name", "data", "encoding"),
    [
        ("bare.csv", b"text\rone\rtwo\rthree\r", "utf-8"),
        ("open.csv", b'text\none\n"two\nthree\n', "utf-8"),
        ("wide.csv", "text\none\ntwo\n".encode("utf-16"), "utf-16"),
        ("bare.jsonl", b'{"text": "one"}\r{"text": "two"}\n', "utf-8"),
        ("packed.csv.gz", gzip.compress(b"text\none\ntwo\n"), "utf-8"),
    ],
)
def test_what_cannot_be_cut_is_one_partition(folder: Path, name: str, data: bytes, encoding: str) -> None:
    (folder / name).write_bytes(data)
    (only,) = looked_at(folder / name, 1, encoding=encoding).partitions
    assert (only.first_row, only.n_rows, only.size_bytes) == (1, None, len(data))
    if name != "open.csv":
        check(folder / name, 1, encoding)


def test_a_quote_inside_a_cell_is_read_as_the_reader_does(folder: Path) -> None:
    (folder / "inch.csv").write_text('text\n5" tube\n"a\nb"\n7" tube\nlast\n')
    assert len(check(folder / "inch.csv", 1).partitions) == 4


@pytest.mark.parametrize("name", ["none.csv", "none.jsonl", "none.parquet"])
def test_a_table_without_rows(folder: Path, name: str) -> None:
    path = folder / name
    if name.endswith("parquet"):
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    else:
        path.write_text("text\n" if name.endswith("csv") else "")
    assert looked_at(path, 5).partitions == []


def test_the_kinds_of_a_kept_column(folder: Path) -> None:
    values = [1, 2**60, 2**70, 0.5, True, "a", [1], None]
    path = folder / "kinds.jsonl"
    path.write_text("".join(json.dumps({"text": "a", "id": value}) + "\n" for value in values))
    found = looked_at(path, 3, keep=("id",))
    assert found.kinds == {"id": ["bool", "float", "int", "json", "long", "str"]}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"int"}, "int64"),
        ({"int", "long"}, "int64"),
        ({"int", "float"}, "double"),
        ({"long", "float"}, "string"),
        ({"bool"}, "bool"),
        ({"bool", "int"}, "string"),
        ({"json"}, "string"),
        (set(), "string"),
    ],
)
def test_the_type_of_a_kept_column(kinds: set[str], expected: str) -> None:
    assert common_type(kinds) == expected
