"""Operating points: what is asked is reached by the best threshold, and what cannot be asked is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.errors import DataError, OptionError
from medclf.evaluate.operating import Goal, abstention_point, label_threshold, operating_points
from medclf.labels import Labels

LABELS = Labels(("oncology", "a: b", "rare"))


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("recall>=0.99", Goal("recall", 0.99)),
        (" oncology : precision ≥ 90 % ", Goal("precision", 0.9, "oncology")),
        ("a: b: recall>=1", Goal("recall", 1.0, "a: b")),
        ("accuracy>=.95", Goal("accuracy", 0.95)),
        ("coverage >= 80%", Goal("coverage", 0.8)),
    ],
)
def test_goals_that_are_understood(text: str, goal: Goal) -> None:
    assert Goal.parse(text, LABELS) == goal
    assert Goal.parse(str(goal), LABELS) == goal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recall>0.9", r"'recall>0.9' is not understood. Write METRIC>=VALUE"),
        ("f1>=0.9", "METRIC is one of recall, precision, accuracy, coverage"),
        ("recall>=high", "is not understood"),
        ("recall>=1.2.3", "the value must be over 0 and at most 1"),
        ("recall>=0", "the value must be over 0 and at most 1"),
        ("recall>=99", "the value must be over 0 and at most 1, or 100 %"),
        ("urology: recall>=0.9", "there is no label 'urology', only oncology, a: b, rare"),
        ("oncology: accuracy>=0.9", "accuracy is of all texts, not of a label. Leave 'oncology' out"),
        ("", "is not understood"),
    ],
)
def test_goals_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Goal.parse(text, LABELS)


SCORED = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.8]), st.booleans()), min_size=1, max_size=25)


@settings(deadline=None)
@given(rows=SCORED, value=st.floats(0.05, 1), metric=st.sampled_from(["recall", "precision"]))
def test_the_best_threshold_is_found(rows: list[tuple[float, bool]], value: float, metric: str) -> None:
    scores = np.array([score for score, _ in rows], dtype=np.float32)
    given_ = np.array([*(right for _, right in rows[1:]), True])
    found = label_threshold(Goal(metric, value), scores, given_)
    reached = {}
    for threshold in set(scores.tolist()):
        passed = scores >= np.float32(threshold)
        hits = (passed & given_).sum()
        reached[threshold] = hits / given_.sum() if metric == "recall" else hits / passed.sum()
    enough = [threshold for threshold, share in reached.items() if share >= value - 1e-9]
    assert found["reached"] == bool(enough)
    if enough:
        assert found["threshold"] == pytest.approx(max(enough) if metric == "recall" else min(enough))
    else:
        assert found["best"] == pytest.approx(max(reached.values()))


def test_work_saved_is_that_of_cohen() -> None:
    scores = np.linspace(1, 0, 100, dtype=np.float32)
    given_ = np.zeros(100, dtype=bool)
    given_[[0, 1, 2, 3, 4, 5, 6, 7, 8, 60]] = True
    probabilities = np.stack([scores, 1 - scores], axis=1)
    labels = Labels(("x", "y"))
    (found,) = operating_points(Goal("recall", 0.9, "x"), labels, probabilities, np.stack([given_, ~given_], axis=1))
    assert (found["recall"], found["n_given"], found["n_missed"], found["precision"]) == (0.9, 9, 1, 1.0)
    assert found["work_saved"] == pytest.approx(0.91 - 0.1)  # (TN + FN) / N - (1 - recall)
    low, high = found["intervals"]["recall"]
    assert low < 0.9 <= high


def test_labels_without_a_text() -> None:
    probabilities = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    given_ = np.zeros((20, 3), dtype=bool)
    given_[:5, 0] = given_[5:, 1] = True
    found = operating_points(Goal("recall", 0.9), LABELS, probabilities, given_)
    assert [one["label"] for one in found] == ["oncology", "a: b"]
    with pytest.raises(DataError, match="no text of the data has the label 'rare', so recall is not known"):
        operating_points(Goal("recall", 0.9, "rare"), LABELS, probabilities, given_)
    with pytest.raises(DataError, match="no text of the data has any label"):
        operating_points(Goal("recall", 0.9), LABELS, probabilities, np.zeros_like(given_))


def test_abstention_that_reaches_an_accuracy() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32)
    correct = np.array([True, True, True, False])
    found = abstention_point(Goal("accuracy", 1.0), confidence, correct)
    assert (found["threshold"], found["coverage"], found["accuracy"]) == (pytest.approx(0.7), 0.75, 1.0)
    found = abstention_point(Goal("coverage", 0.4), confidence, correct)
    assert (found["threshold"], found["coverage"]) == (pytest.approx(0.8), 0.5)
    found = abstention_point(Goal("accuracy", 0.9), confidence, ~correct)
    assert found == {"goal": "accuracy >= 0.9", "reached": False, "best": 0.25}
