"""Inputs and outputs on file systems that are not this machine's, and what is found in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster.conftest import read_parts, some_rows, write_parquet

from medclf.cluster.ray.inputs import changes, list_inputs, root_of
from medclf.cluster.ray.storage import locate, shown
from medclf.errors import DataError, OptionError

RunHere = Callable[..., Any]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("notes", ("notes", "")),
        ("notes/*.csv", ("notes", "*.csv")),
        ("*.csv", (".", "*.csv")),
        ("/data/20*/[ab].csv", ("/data", "20*/[ab].csv")),
        ("s3://bucket/notes", ("s3://bucket/notes", "")),
        ("s3://bucket/a/*/b.parquet?region=x&y=*", ("s3://bucket/a?region=x&y=*", "*/b.parquet")),
    ],
)
def test_where_a_pattern_begins(source: str, expected: tuple[str, str]) -> None:
    assert root_of(source) == expected


def names(source: object) -> list[str]:
    return [file.name for file in list_inputs(str(source), "")[1]]


def test_what_is_found(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv.gz", "x/c.csv", "x/_d.csv", ".e.csv", "_temporary/f.csv", "_SUCCESS"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text\nbaba\n")
    assert names(tmp_path) == ["a.csv", "b.csv.gz", "x/c.csv"]
    assert names(tmp_path / "*.csv") == ["a.csv"]
    assert names(tmp_path / "*" / "*.csv") == ["x/c.csv"]
    assert names(tmp_path / "x" / "c.csv") == ["c.csv"]
    assert names(f"file://{tmp_path}/x") == ["c.csv"]
    (tmp_path / "odd[1].csv").write_text("text\n")
    assert names(tmp_path / "odd[1].csv") == ["odd[1].csv"]


def test_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n")
    with pytest.raises(DataError, match=r"nowhere does not exist. Check the path; it is relative to"):
        names(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no file fits the pattern; 1 other files are there"):
        names(tmp_path / "*.parquet")
    (tmp_path / "thesis.doc").write_text("")
    with pytest.raises(DataError, match=r"thesis.doc is no table: .*Choose tables with a pattern"):
        names(tmp_path)
    (tmp_path / "b.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"holds csv and jsonl. Choose one format with a pattern"):
        names(tmp_path / "*[vl]")
    with pytest.raises(OptionError, match=r"floppy://disk/notes: .*nrecognized filesystem"):
        names("floppy://disk/notes?secret=1")


def test_an_address_is_shown_without_keys() -> None:
    assert shown("s3://key:secret@bucket/notes/*.csv?endpoint_override=x") == "s3://bucket/notes/*.csv"
    assert shown("notes@home?.csv") == "notes@home?.csv"
    with pytest.raises(OptionError, match=r"^floppy://disk/notes: [^?]+$"):
        names("floppy://key:secret@disk/notes?secret=1")


def test_changes(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("text\n")
    _, before = list_inputs(str(tmp_path), "")
    (tmp_path / "a.csv").rename(tmp_path / "c.csv")
    (tmp_path / "b.csv").write_text("text\nbaba\n")
    assert changes(before, list_inputs(str(tmp_path), "")[1]) == (["a.csv", "c.csv"], ["b.csv"])


def test_in_memory(run_here: RunHere, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", some_rows(25))
    place = locate("mock:///notes")
    place.write("a.parquet", path.read_bytes())
    result, _ = run_here("mock:///notes", "mock:///notes-labels", keep=("id",), id_column="id", deaths=(2,))
    assert result.n_parts == 3
    run_here(path, tmp_path / "out", keep=("id",), id_column="id")
    there = locate("mock:///notes-labels")
    assert set(there.sizes()) == {"_manifest.json", *(f"part-00000-0000{i}.parquet" for i in range(3))}
    for name in sorted(there.sizes()):
        if name.startswith("part"):
            assert there.read(name) == (tmp_path / "out" / name).read_bytes()


def test_by_uri(run_here: RunHere, many: Path, tmp_path: Path) -> None:
    run_here(f"file://{many}/*.parquet", f"file://{tmp_path}/out")
    assert len(read_parts(tmp_path / "out")) == 45
