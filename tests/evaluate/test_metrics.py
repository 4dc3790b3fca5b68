"""Scores equal scikit-learn's, and the baseline learns."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from medclf.data.tables import LabelledTexts
from medclf.errors import DataError
from medclf.evaluate.baseline import Baseline
from medclf.evaluate.metrics import macro_f1, scores
from medclf.labels import Labels

NAMES = ("a", "b", "c", "d")
PREDICTIONS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(rows=PREDICTIONS)
def test_scores_equal_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(rows).T
    found = scores(labels, predicted, NAMES)
    present = sorted(set(labels))
    expected = sklearn_metrics.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected)
    assert macro_f1(labels, predicted) == pytest.approx(expected)
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, predicted))
    assert found["n"] == len(rows)
    rows_of = sklearn_metrics.precision_recall_fscore_support(labels, predicted, labels=range(4), zero_division=0)
    for i, name in enumerate(NAMES):
        assert list(found["per_class"][name].values()) == pytest.approx([column[i] for column in rows_of])


def texts(rows: list[str], labels: list[str], pairs: list[str] | None = None) -> LabelledTexts:
    return LabelledTexts(Path("notes.csv"), "", rows, pairs, labels, list(range(1, len(rows) + 1)))


def test_baseline_learns_words_pairs_and_chinese() -> None:
    labels = Labels(("x", "y"))
    english = texts(["heart failure now", "brain stroke now"] * 10, ["x", "y"] * 10)
    assert Baseline(english, labels, seed=0).score(english)["accuracy"] == 1.0
    chinese = texts(["心脏病患者", "脑卒中患者"] * 10, ["x", "y"] * 10)
    held_out = texts(["有心脏病史", "曾脑卒中"], ["x", "y"])
    assert Baseline(chinese, labels, seed=0).score(held_out)["accuracy"] == 1.0
    paired = texts(["same words"] * 20, ["x", "y"] * 10, ["heart failure", "brain stroke"] * 10)
    assert Baseline(paired, labels, seed=0).score(paired)["accuracy"] == 1.0


def test_baseline_of_a_table_where_no_word_repeats() -> None:
    tiny = texts(["alpha", "beta"], ["x", "y"])
    assert Baseline(tiny, Labels(("x", "y")), seed=0).score(tiny)["accuracy"] == 1.0


def test_baseline_without_words_is_refused() -> None:
    with pytest.raises(DataError, match=r"notes\.csv: no training text holds a word"):
        Baseline(texts(["?", "!"], ["x", "y"]), Labels(("x", "y")), seed=0)
