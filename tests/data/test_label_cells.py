"""The forms that labels take in a table, and how each fault is told."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.bundle import TextColumns
from medclf.data.label_cells import parse_indicators, parse_labels
from medclf.data.tables import LabelledTexts, read_labelled
from medclf.errors import DataError

CANARY = "CANARY-7f3a"


def read(path: Path, *, label_column: tuple[str, ...] = ("label",), multi_label: bool | None = None) -> LabelledTexts:
    return read_labelled(path, columns=TextColumns(), label_column=label_column, multi_label=multi_label)


def jsonl(folder: Path, labels: list[object]) -> Path:
    path = folder / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": CANARY, "label": label}) for label in labels), encoding="utf-8")
    return path


def test_lists_mean_several_labels(tmp_path: Path) -> None:
    data = read(jsonl(tmp_path, [["x", " y "], [], ["y", 3, "y"]]))
    assert data.labels == [("x", "y"), (), ("y", "3")]
    assert data.multi_label
    assert data.select([1]).multi_label


def test_strings_are_split_where_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,x; y\nb,\nc,y\n")
    assert read(path, multi_label=True).labels == [("x", "y"), (), ("y",)]
    path.write_text("text,label\na,x; y\nc,y\n")
    single = read(path)
    assert single.labels == ["x; y", "y"]
    assert not single.multi_label
    assert read(jsonl(tmp_path, ["x;y", "", 3]), multi_label=True).labels == [("x", "y"), (), ("3",)]


def test_lists_of_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"text": ["a", "b"], "label": [["x", "y"], []]}), path)
    assert read(path).labels == [("x", "y"), ()]
    parquet.write_table(arrow.table({"text": ["a", "b"], "x": [True, False], "y": [1.0, 0.0]}), path)
    assert read(path, label_column=("x", "y")).labels == [("x", "y"), ()]


@pytest.mark.parametrize(
    ("labels", "multi_label", "match"),
    [
        ([["x"], CANARY], None, r"column 'label': 1 row cannot be used: row 2 is str, a list was expected"),
        ([["x"], None, ["y"]], None, "row 2 is missing, an empty list was expected where a text has no label"),
        ([["x"], [CANARY, ""]], None, "row 2 holds a label that is empty"),
        ([["x"], [CANARY, {}]], None, "row 2 holds a label that is dict, a string or a whole number"),
        ([["x"], [CANARY, True]], None, "row 2 holds a label that is bool"),
        ([["x"], [CANARY * 20]], None, "row 2 holds a label that has 220 characters, at most 200"),
        ([["x"], ["a\0"]], None, "row 2 holds a label that holds a NUL"),
        (["x", [CANARY]], None, "row 2 is list, a single label was expected: either all rows have a list or none"),
        ([[CANARY], ["x"]], False, r"2 rows cannot be used: row 1 is list, a single label .*; row 2 is list"),
        (["x;y", [CANARY]], True, "row 2 is list, a string was expected, such as 'a;b'"),
        (["x", f"{CANARY};"], True, "row 2 holds a label that is empty"),
        (["x", None], True, "row 2 is missing, an empty string was expected"),
        (["x", 0.5], True, "row 2 holds a label that is float"),
    ],
)
def test_faults_of_labels(tmp_path: Path, labels: list[object], multi_label: bool | None, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read(jsonl(tmp_path, labels), multi_label=multi_label)
    assert CANARY not in str(caught.value)


def test_columns_of_0_and_1(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "x", "y"), ("a", "1", "0"), ("b", "True", "1.0"), ("c", "0", " false ")])
    assert read(path, label_column=("x", "y")).labels == [("x",), ("x", "y"), ()]


def test_faults_of_columns_of_0_and_1(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"text,x,y\na,1,0\nb,{CANARY},2\nc,,1\n")
    with pytest.raises(DataError, match=r"'x': 2 rows .* row 2 is not 0 or 1.*; row 3 .*'y': 1 row .* row 2") as caught:
        read(path, label_column=("x", "y"))
    assert CANARY not in str(caught.value)
    assert parse_indicators({"x": [1, None]})[1] == {"x": [(1, "is missing")]}


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=";"), min_size=1, max_size=9)
SETS = st.lists(st.lists(NAMES.map(str.strip).filter(bool), unique=True), min_size=1)


@given(sets=SETS)
def test_a_list_and_a_joined_string_read_alike(sets: list[list[str]]) -> None:
    expected = ([tuple(names) for names in sets], [])
    assert parse_labels([list(names) for names in sets], multi_label=None) == expected
    assert parse_labels([";".join(names) for names in sets], multi_label=True) == expected
