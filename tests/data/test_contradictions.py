"""Texts under more than one label, and the accuracy that no classifier can pass."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.data.contradictions import contradictions
from medclf.data.tables import LabelledTexts
from medclf.labels import Label


def data(texts: Sequence[str], labels: Sequence[Label]) -> LabelledTexts:
    return LabelledTexts(Path("a.csv"), "", list(texts), None, list(labels), list(range(1, len(labels) + 1)))


def test_rows_and_ceiling() -> None:
    found = contradictions(data(["One.", "one", "two", "three"], ["a", "b", "a", "b"]))
    assert (found.n_texts, found.n_all_texts, found.rows, found.ceiling) == (1, 3, (1, 2), 0.75)
    assert found.label_ceiling is None


def test_repeats_under_one_label_are_no_contradiction() -> None:
    found = contradictions(data(["one"] * 3, ["a"] * 3))
    assert (found.n_texts, found.rows, found.ceiling) == (0, (), 1.0)


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("ab")), min_size=1, max_size=9))
def test_ceiling_is_that_of_the_best_of_all_classifiers(rows: list[tuple[str, str]]) -> None:
    texts, labels = zip(*rows, strict=True)
    best = max(
        sum(answers["xyz".index(text)] == label for text, label in rows) for answers in product("ab", repeat=3)
    )  # every classifier of three texts into two classes
    assert contradictions(data(texts, labels)).ceiling == pytest.approx(best / len(rows))


def test_sets_contradict_as_a_whole_and_label_by_label() -> None:
    found = contradictions(data(["one", "one", "one", "two"], [("a", "b"), ("a",), ("b", "a"), ()]))
    assert (found.n_texts, found.rows) == (1, (1, 2, 3))
    assert found.ceiling == 0.75
    assert found.label_ceiling == pytest.approx(1 - 1 / 8)  # of 4 rows and 2 labels, b of row 2 alone
