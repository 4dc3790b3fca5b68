"""Scores equal scikit-learn's, and the baseline learns."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from medclf.data.tables import LabelledTexts
from medclf.errors import DataError
from medclf.evaluate.baseline import Baseline
from medclf.evaluate.compare import compare
from medclf.evaluate.metrics import agreement, macro_f1, scores
from medclf.labels import Label, Labels

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


SETS = st.lists(st.tuples(*[st.booleans()] * 6), min_size=1, max_size=40)


@settings(deadline=None)
@given(rows=SETS)
def test_scores_of_sets_equal_those_of_scikit_learn(rows: list[tuple[bool, ...]]) -> None:
    table = np.array(rows)
    targets, predicted = table[:, :3], table[:, 3:]
    found = scores(targets, predicted, NAMES[:3])
    assert found["exact_match"] == pytest.approx(sklearn_metrics.accuracy_score(targets, predicted))

    def f1(average: str, zero_division: float = 0.0, **options: object) -> float:
        return sklearn_metrics.f1_score(targets, predicted, average=average, zero_division=zero_division, **options)

    assert found["micro_f1"] == pytest.approx(f1("micro"))
    assert found["samples_f1"] == pytest.approx(f1("samples", 1.0))
    present = np.flatnonzero(targets.any(axis=0))
    macro = f1("macro", labels=present) if len(present) else 0.0
    assert found["macro_f1"] == macro_f1(targets, predicted) == pytest.approx(macro)
    rows_of = sklearn_metrics.precision_recall_fscore_support(targets, predicted, zero_division=0)
    for i, name in enumerate(NAMES[:3]):
        assert list(found["per_class"][name].values()) == pytest.approx([column[i] for column in rows_of])


def test_sets_are_compared_as_a_whole() -> None:
    truth = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], dtype=bool)
    half = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    found = compare(truth, truth, half, n_resamples=20)
    assert (found.identical, found.worse, found.better) == (0.5, 2, 0)
    assert found.agreement == 2 * 3 / (4 + 4)  # of labels that are given
    assert found.reference_f1 == 1.0
    assert found.candidate_f1 == pytest.approx((1 + 0.5) / 2)


def texts(rows: list[str], labels: Sequence[Label], pairs: list[str] | None = None) -> LabelledTexts:
    return LabelledTexts(Path("notes.csv"), "", rows, pairs, list(labels), list(range(1, len(rows) + 1)))


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


@pytest.mark.parametrize("names", [("brain", "heart"), ("heart",)], ids=["two labels", "one label"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_baseline_of_several_labels_a_text(names: tuple[str, ...], class_weight: str | None) -> None:
    labels = Labels(names, "multi_label_classification")
    rows = ["heart failure", "brain stroke", "lung cancer", "heart and brain"] * 10
    table = texts(rows, [tuple(name for name in names if name in row) for row in rows])
    baseline = Baseline(table, labels, seed=0, class_weight=class_weight)
    baseline.fit_thresholds(table)
    assert baseline.score(table)["exact_match"] == 1.0


def test_baseline_fits_a_threshold_for_a_rare_label() -> None:
    labels = Labels(("rare", "usual"), "multi_label_classification")
    rows = ["odd word"] * 7 + ["usual word"] * 53  # 3 of the 7 are rare: a probability under 0.5
    table = texts(rows, [("rare",)] * 3 + [("usual",)] * 57)
    baseline = Baseline(table, labels, seed=0)
    assert baseline.score(table)["per_class"]["rare"]["f1"] == 0
    baseline.fit_thresholds(table)
    assert baseline.score(table)["per_class"]["rare"]["f1"] == pytest.approx(2 * 3 / (7 + 3))


def test_baseline_of_a_label_that_all_texts_have() -> None:
    labels = Labels(("all", "heart"), "multi_label_classification")
    table = texts(["heart failure", "brain stroke"] * 5, [("all", "heart"), ("all",)] * 5)
    assert Baseline(table, labels, seed=0).score(table)["exact_match"] == 1.0


def test_labels_in_common() -> None:
    one = np.array([0, 1, 2, 2])
    assert agreement(one, np.array([0, 1, 2, 1])) == 0.75
    sets = np.eye(3, dtype=bool)
    assert agreement(sets[one], sets[[0, 1, 2, 1]]) == 0.75  # one label a text is the same either way
    assert agreement(np.zeros((4, 3), dtype=bool), np.zeros((4, 3), dtype=bool)) == 1.0
    assert agreement(np.zeros((4, 3), dtype=bool), sets[one]) == 0.0
