from pathlib import Path

import pytest

from medclf.data.formats import TableFormat, is_stream, table_format


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", ("csv", "", ".csv")),
        ("A.CSV", ("csv", "", ".csv")),
        ("notes.2024.tsv.gz", ("tsv", "gzip", ".tsv.gz")),
        ("a.ndjson.zst", ("jsonl", "zstd", ".ndjson.zst")),
        ("a.csv.parquet", ("parquet", "", ".parquet")),
        ("a.gz.csv", ("csv", "", ".csv")),
        ("a.parquet.gz", None),
        ("a.gz", None),
        ("csv", None),
        (".csv", None),
        ("-", None),
    ],
)
def test_a_name_tells_its_format(name: str, expected: tuple[str, str, str] | None) -> None:
    assert table_format(Path(name)) == (TableFormat(*expected) if expected else None)


def test_a_format_that_is_named_counts_for_more() -> None:
    assert table_format(Path("a.csv"), "jsonl.gz") == TableFormat("jsonl", "gzip", ".jsonl.gz")
    assert table_format(Path("a.csv"), "xlsx") is None


def test_what_can_be_read_once_only(tmp_path: Path) -> None:
    assert [is_stream(Path(name)) for name in ("-", "/dev/null")] == [True, True]
    assert [is_stream(path) for path in (tmp_path, tmp_path / "absent.csv", Path(__file__))] == [False] * 3
