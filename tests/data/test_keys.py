"""Which rows are the same text, and which must stay together."""

from pathlib import Path

import pytest

from medclf.data.keys import fold, text_keys, units
from medclf.data.tables import LabelledTexts


def data(texts: list[str], groups: list[str] | None = None) -> LabelledTexts:
    n = len(texts)
    return LabelledTexts(Path("notes.csv"), "", texts, None, ["a"] * n, list(range(1, n + 1)), groups)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Chest pain.", "chest  PAIN"),
        ('He said: "no fever" (38.1)!', "he said no fever 38 1"),
        ("BMI>30", "BMI > 30 ."),
        ("non\u00a0smoker\u00ad", "non smoker"),
        ("年龄１８（岁）", "年龄18 (岁)。"),
        ("\ufb01brosis", "fibrosis"),
    ],
)
def test_same_text(first: str, second: str) -> None:
    assert fold(first) == fold(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [("HER2+", "HER2-"), ("age < 18", "age > 18"), ("dose 1.5", "dose 15"), ("5 %", "5"), ("a/b", "ab"), ("?!", "...")],
)
def test_another_text(first: str, second: str) -> None:
    assert fold(first) != fold(second)


def test_pairs_are_equal_only_when_both_texts_are() -> None:
    table = LabelledTexts(Path("a.csv"), "", ["A", "a", "a"], ["B", "b", "c"], ["x"] * 3, [1, 2, 3])
    keys = text_keys(table)
    assert keys[0] == keys[1] != keys[2]


def test_rows_are_bound_by_text_and_by_group_and_by_both_in_a_chain() -> None:
    assert units(data(["a", "b", "A.", "c"])).tolist() == [0, 1, 0, 2]
    assert units(data(["a", "b", "c", "d"], ["x", "y", "x", "z"])).tolist() == [0, 1, 0, 2]
    assert units(data(["a", "b", "B", "c", "d"], ["x", "x", "y", "y", "z"])).tolist() == [0, 0, 0, 0, 1]
