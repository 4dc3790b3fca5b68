"""Texts alone, of a table that may have labels."""

from pathlib import Path

import pytest

from medclf.bundle import TextColumns
from medclf.data.unlabelled import read_texts
from medclf.errors import DataError


def test_the_first_texts_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\none,1\ntwo,2\nthree,3\n")
    assert read_texts(path, TextColumns(("a",)), 2) == (["one", "two"], None)
    assert read_texts(path, TextColumns(("a",), ("b",)), 9) == (["one", "two", "three"], ["1", "2", "3"])
    assert read_texts(path, TextColumns(("a",)))[0] == ["one", "two", "three"]


def test_a_row_without_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\nCANARY-7f3a,1\n,2\n")
    with pytest.raises(DataError, match="row 2, column 'a': is empty") as caught:
        read_texts(path, TextColumns(("a",)), 9)
    assert "CANARY" not in str(caught.value)
