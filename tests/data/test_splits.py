"""Splits: sizes, classes in every part, no text on two sides, and what cannot be split."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.data.splits import Split, split, text_keys
from medclf.data.tables import LabelledTexts
from medclf.errors import DataError


def data(labels: list[str], texts: list[str] | None = None) -> LabelledTexts:
    texts = texts or [f"text {i}" for i in range(len(labels))]
    return LabelledTexts(Path("notes.csv"), "", texts, None, labels, list(range(1, len(labels) + 1)))


def parts(table: LabelledTexts, *, seed: int = 0) -> Split:
    return split(table, validation_size=0.1, test_size=0.2, seed=seed)


def test_sizes_and_shares_of_the_classes() -> None:
    table = data(["a"] * 700 + ["b"] * 300)
    made = parts(table)
    assert [len(part) for part in (made.train, made.validation, made.test)] == [700, 100, 200]
    for part in (made.train, made.validation, made.test):
        assert Counter(table.select(part).labels)["b"] == pytest.approx(0.3 * len(part), abs=1)


def test_same_seed_same_split() -> None:
    table = data(["a", "b"] * 50)
    assert np.array_equal(parts(table, seed=1).test, parts(table, seed=1).test)
    assert not np.array_equal(parts(table, seed=1).test, parts(table, seed=2).test)


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(3, 40), min_size=2, max_size=12), seed=st.integers(0, 99))
def test_every_class_is_in_training_and_every_row_in_one_part(counts: list[int], seed: int) -> None:
    table = data([f"class {i}" for i, n in enumerate(counts) for _ in range(n)])
    made = parts(table, seed=seed)
    assert set(table.select(made.train).labels) == set(table.labels)
    assert sorted(np.concatenate([made.train, made.validation, made.test])) == list(range(len(table)))


def test_equal_texts_stay_in_one_part(caplog: pytest.LogCaptureFixture) -> None:
    texts = [f"Text  {i // 4}" if i % 2 else f"text {i // 4} " for i in range(400)]
    table = data(["a", "a", "a", "a", "b", "b", "b", "b"] * 50, texts)
    with caplog.at_level(logging.INFO):
        made = parts(table)
    keys = [set(text_keys(table.select(part))) for part in (made.train, made.validation, made.test)]
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    assert "300 of 400 rows repeat the text of another" in caplog.text


def test_pairs_are_equal_only_when_both_texts_are() -> None:
    table = LabelledTexts(Path("a.csv"), "", ["A", "a", "a"], ["B", "b", "c"], ["x"] * 3, [1, 2, 3])
    keys = text_keys(table)
    assert keys[0] == keys[1] != keys[2]


def test_part_that_is_not_asked_for_is_empty() -> None:
    made = split(data(["a", "b"] * 20), validation_size=0.1, test_size=0, seed=0)
    assert (len(made.train), len(made.validation), len(made.test)) == (36, 4, 0)


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"notes\.csv: all 20 rows have the label 'a'.*--label-column"):
        parts(data(["a"] * 20))


@pytest.mark.parametrize("n", [1, 2])
def test_class_with_too_few_rows_is_refused(n: int) -> None:
    with pytest.raises(DataError, match=rf"1 of 3 classes .* 3 parts: 'rare' \({n}\); at least 3 each.*--eval-data"):
        parts(data(["a"] * 20 + ["b"] * 20 + ["rare"] * n))


def test_class_whose_rows_all_repeat_one_text_is_refused() -> None:
    with pytest.raises(DataError, match=r"'b' \(1\)"):
        parts(data(["a"] * 20 + ["b"] * 5, [f"text {i}" for i in range(20)] + ["same"] * 5))


def test_no_split_needs_no_second_row() -> None:
    made = split(data(["a", "b"]), validation_size=0, test_size=0, seed=0)
    assert made.train.tolist() == [0, 1]
