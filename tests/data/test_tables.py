"""Tables: what is read, and how each fault is told."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.bundle import TextColumns
from medclf.data.tables import LabelledTexts, Row, Table, join_text, read_labelled, read_usable
from medclf.errors import DataError, OptionError

CANARY = "CANARY-7f3a"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **options: str) -> LabelledTexts:
    return read_labelled(path, columns=TextColumns(), label_column=("label",), **options)


def fails(path: Path, match: str, **options: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read(path, **options)
    assert CANARY not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_takes_the_delimiter_of_its_header(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "a.csv", delimiter.join(("text", "label")) + "\n" + delimiter.join(("a b", "x")) + "\n")
    assert read(path).texts == ["a b"]


def test_csv_delimiter_ignores_quoted_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text;"label, of, a, row"\na,b;x\n')
    with Table(path) as table:
        assert table.columns == ("text", "label, of, a, row")
        assert list(table) == [Row(1, {"text": "a,b", "label, of, a, row": "x"})]


def test_byte_order_mark_crlf_blank_lines_and_nameless_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"\xef\xbb\xbf,text,label,,\r\n0,a,x,,\r\n\r\n1,b,y,,\r\n")
    data = read(path)
    assert (data.texts, data.labels, data.rows) == (["a", "b"], ["x", "y"], [1, 2])


def test_other_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\nnaïve,x\n".encode("latin-1"))
    assert read(path, encoding="latin-1").texts == ["naïve"]
    with pytest.raises(OptionError, match="encoding 'latin-99' is not known"):
        read(path, encoding="latin-99")


def test_long_cells_are_read_up_to_the_limit_of_a_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\n" + "a" * 900_000 + ",x\n")
    assert len(read(path).texts[0]) == 900_000


def test_columns_are_joined_and_pairs_kept_apart(tmp_path: Path) -> None:
    rows = [{"title": "t", "body": "b", "answer": "c", "label": "x"}, {"body": "b", "answer": "c", "label": "y"}]
    path = write(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    data = read_labelled(path, columns=TextColumns(("title", "body"), ("answer",)), label_column=("label",))
    assert (data.texts, data.pairs) == (["t b", "b"], ["c", "c"])
    assert data.select([1]) == LabelledTexts(path, data.sha256, ["b"], ["c"], ["y"], [2])


def test_whole_numbers_are_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": " 2 "}\n')
    assert read(path).labels == ["1", "2"]


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"text": ["a", "b", "c"], "label": [0, 1, 1]}), path)
    assert read(path).labels == ["0", "1", "1"]
    with Table(path) as table:
        assert [row.number for row in table] == [1, 2, 3]
        assert table.fraction_read == 1.0
    fails(write(tmp_path / "b.parquet", path.read_bytes()[:-9]), "not a whole Parquet file")


def test_progress_goes_from_zero_to_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\n" + "a b c d,x\n" * 10_000)
    with Table(path) as table:
        seen = [table.fraction_read for _ in table]
    assert 0 < seen[0] < 0.5
    assert seen[-1] == 1.0
    assert seen == sorted(seen)


# Faults of the file


def test_missing_file_folder_and_suffix(tmp_path: Path) -> None:
    fails(tmp_path / "none.csv", "does not exist")
    fails(tmp_path, "is a folder, a table was expected")
    fails(write(tmp_path / "a.xlsx", CANARY), r"format \.xlsx is not read.*\.csv")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "\n\n", "is empty"),
        ("a.jsonl", " \n", "is empty"),
        ("a.csv", "text,label\n", "columns and no rows"),
        ("a.csv", f"note,label\n{CANARY},x\n", "no column 'text'; it has 'note', 'label'"),
        ("a.jsonl", f'{{"note": "{CANARY}", "label": "x"}}', "no column 'text'; it has 'note', 'label'"),
        ("a.csv", f"text,label,text\n{CANARY},x,\n", "names 'text' more than once"),
        ("a.csv", f"{CANARY * 9},x\n{CANARY},x\n", "a name of 99 characters: is the header missing"),
        (
            "a.csv",
            f"text,label\na,x\n{CANARY},x,3\n{CANARY}\n",
            "2 rows cannot be used: row 2 has 3 cells, 2 expected .*; row 3 has 1 cells",
        ),
        ("a.tsv", f"text\tlabel\n{CANARY},x\n", "row 1 has 1 cells, 2 expected"),
        ("a.csv", f'text,label\na,x\n"{CANARY},x\nb,y\n', "row 2: a double quote is opened and never closed"),
        ("a.csv", f'text,label\n"{CANARY}"{CANARY},x\n', "row 1: a double quote stands inside"),
        (
            "a.jsonl",
            f'{{"text": "a", "label": "x"}}\n{{"text": {CANARY}\n[1]\n',
            "2 rows cannot be used: row 2 is not a JSON object .*; row 3",
        ),
        ("a.jsonl", f"{CANARY}\n", "row 1 is not a JSON object"),
    ],
)
def test_faults_of_the_format(tmp_path: Path, name: str, content: str, match: str) -> None:
    fails(write(tmp_path / name, content), match)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        (
            "a.csv",
            b"text,label\nok,x\nCANARY-7f3a \xe9,y\nok,x\n\xff,y\n",
            "2 rows .*row 2 cannot be decoded as utf-8 .*; row 4",
        ),
        ("a.csv", b"text\xe9,label\nok,x\n", "the header cannot be decoded"),
        ("a.jsonl", b'{"text": "ok", "label": "x"}\n{"text": "\xe9CANARY-7f3a", "label": "x"}\n', "row 2 cannot be"),
        ("a.jsonl", b'{"text": "\xe9CANARY-7f3a", "label": "x"}\n', "row 1 cannot be decoded.*--encoding"),
        ("a.csv", "text,label\nCANARY-7f3a,x\n".encode("utf-16"), "decoded as utf-8.*--encoding utf-16"),
    ],
)
def test_bytes_that_are_not_utf8(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    fails(write(tmp_path / name, content), match)


# Faults of rows


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"text": " ", "label": CANARY}, "column 'text': 1 row cannot be used: row 1 is empty"),
        ({"label": CANARY}, "row 1 is empty"),
        ({"text": 5, "label": CANARY}, "row 1 is int, not a string"),
        ({"text": CANARY + "\0", "label": "x"}, "row 1 holds a NUL character"),
        ({"text": CANARY + "\ud800", "label": "x"}, "row 1 holds half of a surrogate pair"),
        ({"text": CANARY * 500_000, "label": "x"}, "row 1 has 5,500,000 characters"),
        ({"text": CANARY, "label": ""}, "column 'label': 1 row cannot be used: row 1 is empty"),
        ({"text": CANARY, "label": None}, "row 1 is missing"),
        ({"text": CANARY, "label": ["x", " "]}, "row 1 holds a label that is empty"),
        ({"text": CANARY, "label": True}, "row 1 is bool"),
        ({"text": CANARY, "label": 0.5}, "row 1 is float, a string or a whole number"),
        ({"text": "a", "label": CANARY * 20}, "row 1 has 220 characters, at most 200 are a label"),
    ],
)
def test_faults_of_a_row(tmp_path: Path, row: dict[str, object], match: str) -> None:
    rows = [{**{"text": "ok", "label": "x"}, **row}] if "text" in row else [row, {"text": "ok", "label": "x"}]
    content = "\n".join(json.dumps({"text": None, **one}) for one in rows)
    fails(write(tmp_path / "a.jsonl", content), match)


def test_faults_of_rows_are_told_together(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\n" + f",{CANARY}\n" * 7 + f"{CANARY},\n")
    fails(path, r"column 'text': 7 rows .*row 5 is empty; \.\.\.\. .*column 'label': 1 row cannot be used: row 8 is")


def test_five_megabyte_cell_and_nul_in_csv(tmp_path: Path) -> None:
    fails(write(tmp_path / "a.csv", "text,label\nok,x\n" + "a" * 5_000_000 + ",x\n"), "row 2 has 5,000,000 characters")
    fails(write(tmp_path / "b.csv", f"text,label\n{CANARY}\0,x\n"), "NUL")


def test_cell_over_the_limit_of_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medclf.data.readers.MAX_CELL", 1_000)
    before = csv.field_size_limit(1_000)
    try:
        fails(write(tmp_path / "a.csv", "text,label\nok,x\n" + "a" * 1_500 + ",x\n"), "row 2: a cell has over 1,000")
    finally:
        csv.field_size_limit(before)


def test_label_column_that_is_a_text_column(table: Path) -> None:
    with pytest.raises(OptionError, match="'text' is named as text and as label"):
        read_labelled(table, columns=TextColumns(), label_column=("text",))


def test_join_text_tells_what_is_wrong() -> None:
    assert join_text(Row(1, {"a": "x", "b": "", "c": "y"}), ("a", "b", "c")) == ("x y", None)
    assert join_text(Row(1, {"a": "x", "b": 5}), ("a", "b")) == (None, "is int, not a string")
    assert join_text(Row(1, {}), ("a",)) == (None, "is empty")


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).filter(str.strip)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(CELLS, CELLS.map(lambda s: s[:50]).filter(str.strip)), min_size=1, max_size=5))
def test_what_csv_and_json_write_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    folder = tmp_path_factory.mktemp("round")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows]
    (folder / "a.jsonl").write_text("\n".join(lines), encoding="utf-8", newline="")
    for name in ("a.csv", "a.jsonl"):
        data = read(folder / name)
        assert list(zip(data.texts, data.labels, strict=True)) == [(text, label.strip()) for text, label in rows]


# Groups, and rows that can be used


def grouped(tmp_path: Path, patients: list[str]) -> Path:
    path = tmp_path / "notes.csv"
    rows = [f"note {i},{'ab'[i % 2]},{patient}" for i, patient in enumerate(patients)]
    path.write_text("\n".join(["text,label,patient", *rows]) + "\n")
    return path


def test_groups_are_read_and_go_with_their_rows(tmp_path: Path) -> None:
    path = grouped(tmp_path, ["7", " p2 ", "7"])
    data = read_labelled(path, columns=TextColumns(), label_column=("label",), group_column="patient")
    assert data.groups == ["7", "p2", "7"]
    assert data.select([2, 1]).groups == ["7", "p2"]
    assert read_labelled(path, columns=TextColumns(), label_column=("label",)).groups is None


def test_rows_without_a_group_are_named(tmp_path: Path) -> None:
    path = grouped(tmp_path, ["CANARY-7f3a", "", "  "])
    with pytest.raises(DataError, match=r"column 'patient': 2 rows .*row 2 has no group; row 3 has no") as caught:
        read_labelled(path, columns=TextColumns(), label_column=("label",), group_column="patient")
    assert "CANARY" not in str(caught.value)


def test_group_column_must_be_there_and_be_another(tmp_path: Path) -> None:
    path = grouped(tmp_path, ["1", "2"])
    with pytest.raises(DataError, match="no column 'doctor'; it has 'text', 'label', 'patient'"):
        read_labelled(path, columns=TextColumns(), label_column=("label",), group_column="doctor")
    with pytest.raises(OptionError, match="column 'label' is named as group and as text or label"):
        read_labelled(path, columns=TextColumns(), label_column=("label",), group_column="label")


def test_usable_rows_and_what_is_wrong_with_the_others(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("text,label\none,a\n,b\ntwo,\nthree,b\n")
    data, faults = read_usable(path, columns=TextColumns(), label_column=("label",))
    assert (data.texts, data.labels, data.rows) == (["one", "three"], ["a", "b"], [1, 4])
    assert faults == {"text": [(2, "is empty")], "label": [(3, "is empty")]}
    path.write_text("text,x,y\none,1,0\n,1,2\nthree,0,\nfour,0,1\n")
    data, faults = read_usable(path, columns=TextColumns(), label_column=("x", "y"))
    assert (data.labels, data.rows) == ([("x",), ("y",)], [1, 4])
    assert {column: [row for row, _ in rows] for column, rows in faults.items()} == {"text": [2], "y": [2, 3]}
