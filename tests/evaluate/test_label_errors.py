"""Likely label errors: planted ones come first."""

import numpy as np
import pytest

from medclf.evaluate.label_errors import doubts, suggestion
from medclf.labels import Labels

SINGLE = Labels(("a", "b", "c"))
SEVERAL = Labels(("a", "b", "c"), "multi_label_classification")


def test_margin_and_self_confidence_of_a_worked_example() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0, 0.1, 0.9]], dtype=np.float32)
    found = doubts(SINGLE, probabilities, np.array([0, 1, 1, 2]))
    assert found.self_confidence == pytest.approx([0.9, 0.2, 0.8, 0.9])
    assert found.margin == pytest.approx([0.8, -0.5, 0.7, 0.8])
    assert found.ranked()[0] == 1
    assert not found.likely[1]  # .7 is less than a's own mean, .9: too little to say that it is one


def test_confident_of_another_class_is_likely_wrong() -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.95, 0.05, 0], [0.1, 0.8, 0.1], [0, 0.1, 0.9]], dtype=np.float32)
    found = doubts(SINGLE, probabilities, np.array([0, 1, 1, 2]))
    assert found.likely.tolist() == [False, True, False, False]
    assert suggestion(SINGLE, ("b",), int(found.doubted[1])) == ("a",)


def test_planted_errors_of_classes_come_first() -> None:
    chance = np.random.default_rng(0)
    right = np.arange(300) % 3
    logits = 4 * np.eye(3)[right] + chance.normal(size=(300, 3))
    probabilities = SINGLE.probabilities(logits.astype(np.float32))
    planted = np.arange(0, 300, 20)
    targets = right.copy()
    targets[planted] = (targets[planted] + 1) % 3
    found = doubts(SINGLE, probabilities, targets)
    assert set(found.ranked()[: len(planted)].tolist()) == set(planted.tolist())
    assert found.likely[planted].mean() > 0.8


def test_planted_errors_of_sets_come_first_and_are_named() -> None:
    chance = np.random.default_rng(0)
    right = chance.random((400, 3)) < 0.4
    logits = np.where(right, 3, -3) + chance.normal(size=right.shape)
    planted = np.arange(0, 400, 25)
    targets = right.copy()
    targets[planted, 1] ^= True
    found = doubts(SEVERAL, SEVERAL.probabilities(logits.astype(np.float32)), targets)
    assert set(found.ranked()[: len(planted)].tolist()) == set(planted.tolist())
    assert set(found.doubted[planted].tolist()) == {1}
    assert suggestion(SEVERAL, ("a", "b"), 1) == ("a",)
    assert suggestion(SEVERAL, (), 1) == ("b",)


def test_label_that_no_text_has() -> None:
    found = doubts(SEVERAL, np.full((4, 3), 0.5, dtype=np.float32), np.zeros((4, 3), dtype=bool))
    assert not found.likely.any()
