"""The label contract: names to targets, probabilities to answers, and what config.json carries."""

from dataclasses import replace

import numpy as np
import pytest

from medclf.errors import CheckpointError, OptionError
from medclf.labels import Labels

ONE = Labels(("a", "b", "c"))
SEVERAL = Labels(("a", "b", "c"), "multi_label_classification")


def test_targets_and_predictions_have_one_form() -> None:
    assert ONE.targets(["c", "a"]).tolist() == [2, 0]
    assert SEVERAL.targets([("c", "a"), ()]).tolist() == [[True, False, True], [False, False, False]]
    probabilities = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.1]], dtype=np.float32)
    assert ONE.predicted(probabilities).tolist() == [2, 0]
    assert SEVERAL.predicted(probabilities).tolist() == [[False, False, True], [True, False, False]]
    lower = replace(SEVERAL, thresholds=(0.2, 0.3, 0.9))
    assert lower.predicted(probabilities).tolist() == [[True, True, False], [True, False, False]]
    with pytest.raises(KeyError, match="d"):
        SEVERAL.targets([("a", "d")])


@pytest.mark.parametrize("labels", [ONE, SEVERAL, replace(SEVERAL, thresholds=(0.1, 0.5, 1.0))])
def test_config_carries_the_contract(labels: Labels) -> None:
    assert Labels.from_config(labels.config(), where="config.json") == labels


@pytest.mark.parametrize(
    ("thresholds", "match"),
    [
        ([0.5], "1 thresholds for 3 labels"),
        ([0.5, 0.5, 1.5], "not a probability"),
        ([0.5, 0.5, float("nan")], "not a probability"),
        ("high", "thresholds is not a list of numbers"),
        (0.5, "thresholds is not a list of numbers"),
    ],
)
def test_thresholds_that_do_not_fit(thresholds: object, match: str) -> None:
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{match}"):
        Labels.from_config({**SEVERAL.config(), "thresholds": thresholds}, where="config.json")


def test_one_label_a_text_has_no_thresholds() -> None:
    with pytest.raises(OptionError, match="3 thresholds, but the task is single_label_classification"):
        replace(ONE, thresholds=(0.5, 0.5, 0.5))


def test_no_label_at_all() -> None:
    with pytest.raises(OptionError, match="0 labels: at least 1"):
        Labels((), "multi_label_classification")


def test_an_unsure_answer_is_not_given() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.25, 0.35]], dtype=np.float32)
    assert ONE.confidence(probabilities).tolist() == [0.5, np.float32(0.4)]
    assert replace(ONE, abstain_below=0.5).abstains(probabilities).tolist() == [False, True]
    assert ONE.abstains(probabilities).tolist() == [False, False]
    several = replace(SEVERAL, thresholds=(0.3, 0.5, 0.5), abstain_below=0.6)
    probabilities = np.array([[0.9, 0.25, 0.375], [0.4, 0.1, 0.1]], dtype=np.float32)
    assert several.confidence(probabilities) == pytest.approx([0.625, 0.4])  # 1 - 0.375, and 0.4, which is given
    assert several.abstains(probabilities).tolist() == [False, True]


@pytest.mark.parametrize("below", [-0.1, 1.1, float("nan")])
def test_abstention_below_what_is_no_probability(below: float) -> None:
    with pytest.raises(OptionError, match="expected a probability, 0 to 1"):
        replace(ONE, abstain_below=below)
