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
