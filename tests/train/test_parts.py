"""The parts of the data: what must not stand in two of them, and tables that contradict themselves."""

import logging
from pathlib import Path

import pytest
from conftest import labelled_rows, write_csv

from medclf.errors import DataError, OptionError
from medclf.train.options import TrainOptions
from medclf.train.parts import fix_labels, read_parts

CANARY = "CANARY-7f3a"


def rows_of(*, first: int, n: int) -> list[dict[str, str]]:
    rows = [{**row, "text": f"{CANARY} {row['text']}"} for row in labelled_rows(first + n)[first:]]
    return [{**row, "patient": f"{CANARY} {int(row['id']) // 4}"} for row in rows]


@pytest.fixture
def train_table(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "train.csv", rows_of(first=0, n=120))


def fails(match: str, **options: object) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_parts(TrainOptions(**options))  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)


def test_groups_stay_in_one_part(train_table: Path) -> None:
    parts = read_parts(TrainOptions(data=train_table, group_column="patient")).named().values()
    assert sum(len(set(part.groups or ())) for part in parts) == 30
    assert all(len(part) for part in parts)


def test_leaking_tables_are_refused_unless_allowed(
    train_table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    test = write_csv(tmp_path / "test.csv", [*rows_of(first=120, n=20), *rows_of(first=0, n=120)])
    options = {"data": train_table, "test_data": test}
    match = r"train and test must not share anything, but share 108 texts: 108 rows \(.*train\.csv, 108 rows .*leakage"
    fails(match, **options)
    with caplog.at_level(logging.WARNING):
        read_parts(TrainOptions(**options, allow_leakage=True))  # type: ignore[arg-type]
    assert "train and test share 108 texts" in caplog.text
    assert "validation and test share 12 texts" in caplog.text
    assert CANARY not in caplog.text


def test_validation_that_leaks_into_the_test_is_refused(train_table: Path, tmp_path: Path) -> None:
    other = write_csv(tmp_path / "other.csv", rows_of(first=120, n=20))
    fails("validation and test must not share", data=train_table, eval_data=other, test_data=other)


def test_patients_on_both_sides_are_refused(train_table: Path, tmp_path: Path) -> None:
    test = write_csv(tmp_path / "test.csv", rows_of(first=122, n=20))
    options = {"data": train_table, "test_data": test, "group_column": "patient"}
    read_parts(TrainOptions(**options))  # type: ignore[arg-type]
    rows = rows_of(first=122, n=20)
    write_csv(test, [*rows, {**rows[0], "text": "another", "patient": f"{CANARY} 0"}])
    fails(r"share 1 group: [34] rows \(.*\) of .*train\.csv, row 21 of .*test\.csv", **options)


def test_table_that_contradicts_itself_everywhere_is_refused(tmp_path: Path) -> None:
    rows = rows_of(first=0, n=30)
    both = [{**row, "label": label} for row in rows for label in ("a", "b")]
    data = write_csv(tmp_path / "both.csv", both)
    fails(r"every one of its 30 different texts occurs under more than one label.*--multi-label", data=data)


def test_contradictions_are_told_with_the_ceiling(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = rows_of(first=0, n=48)
    data = write_csv(tmp_path / "some.csv", [*rows, {**rows[0], "label": "oncology"}, {**rows[1], "label": "oncology"}])
    with caplog.at_level(logging.WARNING):
        read_parts(TrainOptions(data=data))
    assert "2 texts occur under more than one label (4 rows (1, 2, 49, 50))" in caplog.text
    assert "accuracy 0.960" in caplog.text
    assert CANARY not in caplog.text


def test_class_that_validation_lacks_is_told(
    train_table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = [row for row in rows_of(first=120, n=30) if row["label"] != "oncology"]
    options = TrainOptions(data=train_table, eval_data=write_csv(tmp_path / "other.csv", other))
    with caplog.at_level(logging.WARNING):
        fix_labels(read_parts(options))
    assert "no validation row has 1 of 3 classes ('oncology')" in caplog.text


def test_a_group_column_with_one_group(tmp_path: Path) -> None:
    rows = [{**row, "patient": f"{CANARY}"} for row in labelled_rows(60)]
    data = write_csv(tmp_path / "a.csv", rows)
    fails(
        r"its rows are of 1 group\(s\).*3 parts need at least 3\. Is this the right", data=data, group_column="patient"
    )


def test_unknown_and_repeated_group_columns(train_table: Path) -> None:
    fails("no column 'doctor'; it has 'id', 'text', 'label', 'patient'", data=train_table, group_column="doctor")
    with pytest.raises(OptionError, match=r"column\(s\) 'label' named twice: text, pair, label and group"):
        TrainOptions(data=train_table, group_column="label")
