"""Temperature, thresholds and calibration error: known cases, and against brute force."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.evaluate.calibration import (
    best_threshold,
    calibration_error,
    expected_calibration_error,
    fit_temperature,
    fit_thresholds,
)
from medclf.evaluate.metrics import scores
from medclf.labels import Labels
from medclf.pooling import pool


def drawn(n: int, *, several: bool, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and answers drawn with the probabilities that the logits have at a temperature."""
    chance = np.random.default_rng(seed)
    logits = chance.normal(0, 3, (n, 4)).astype(np.float32)
    if several:
        return logits, chance.random((n, 4)) < 1 / (1 + np.exp(-logits / temperature))
    return logits, (logits / temperature + chance.gumbel(size=(n, 4))).argmax(axis=1)


def test_calibration_error_of_a_known_case() -> None:
    sure, right = np.full(10, 0.8), np.arange(10) < 6
    assert expected_calibration_error(sure, right) == pytest.approx(0.2)
    both = np.concatenate([sure, np.full(30, 0.05)]), np.concatenate([right, np.zeros(30, dtype=bool)])
    assert expected_calibration_error(*both) == pytest.approx(0.25 * 0.2 + 0.75 * 0.05)
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0
    assert expected_calibration_error(np.array([0.4, 0.6]), np.array([False, True]), n_bins=1) == pytest.approx(0)


@given(rows=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), n_bins=st.integers(1, 20))
def test_calibration_error_is_that_of_its_definition(rows: list[tuple[float, bool]], n_bins: int) -> None:
    probabilities, correct = np.array([p for p, _ in rows]), np.array([c for _, c in rows])
    expected = 0.0
    for i in range(n_bins):
        low = -1 if i == 0 else i
        held = (np.ceil(probabilities * n_bins) > low) & (np.ceil(probabilities * n_bins) <= i + 1)
        if held.any():
            expected += held.mean() * abs(probabilities[held].mean() - correct[held].mean())
    assert expected_calibration_error(probabilities, correct, n_bins) == pytest.approx(expected, abs=1e-9)


def test_the_temperature_is_that_of_pooled_answers() -> None:
    chance = np.random.default_rng(0)
    windows, n_windows = chance.normal(0, 3, (12_000, 4)).astype(np.float32), np.full(4_000, 3)

    def pooled(logits: np.ndarray) -> np.ndarray:
        return pool(logits, n_windows, "mean", multi_label=False)

    targets = (pooled(windows / np.float32(2)) + chance.gumbel(size=(4_000, 4))).argmax(axis=1)
    assert fit_temperature(windows, targets, pooled) == pytest.approx(2, rel=0.1)
    assert fit_temperature(pooled(windows), targets) != pytest.approx(2, rel=0.1)  # what is pooled first is not divided


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_drawn_answers_is_found(several: bool, temperature: float) -> None:
    logits, targets = drawn(6_000, several=several, temperature=temperature)
    found = fit_temperature(logits, targets)
    assert found == pytest.approx(temperature, rel=0.06)
    task = "multi_label_classification" if several else "single_label_classification"
    labels = Labels(("a", "b", "c", "d"), task)
    after = calibration_error(labels, labels.probabilities(logits / found), targets)
    assert after < 0.025
    if temperature != 1.0:
        assert calibration_error(labels, labels.probabilities(logits), targets) > 2 * after


def test_temperature_of_answers_that_are_all_right_stays_1(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert fit_temperature(np.array([[3, 0], [0, 2]], dtype=np.float32), np.array([0, 1])) == 1.0
    assert "does not tell a temperature" in caplog.text


@given(
    probabilities=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
def test_a_threshold_gives_the_best_f1_there_is(probabilities: list[float], seed: int) -> None:
    column = np.array(probabilities, dtype=np.float32)
    given_ = np.random.default_rng(seed).random(len(column)) < 0.5
    threshold = best_threshold(column, given_)
    if not given_.any():
        assert threshold == 0.5
        return
    labels = Labels(("a",), "multi_label_classification", (threshold,))

    def f1(predicted: np.ndarray) -> float:
        return float(scores(given_[:, None], predicted, ("a",))["macro_f1"])

    best = max(f1((column >= cut)[:, None]) for cut in column)
    assert f1(labels.predicted(column[:, None])) == pytest.approx(best)


def test_a_threshold_stands_midway() -> None:
    probabilities = np.array([0.9, 0.6, 0.2], dtype=np.float32)
    assert best_threshold(probabilities, np.array([True, True, False])) == pytest.approx(0.4)
    assert best_threshold(probabilities, np.array([True, True, True])) == pytest.approx(0.1)


def test_a_threshold_is_drawn_to_that_of_all_labels_as_by_one_more_text() -> None:
    probabilities = np.array([[0.9, 0.8], [0.6, 0.1], [0.2, 0.0]], dtype=np.float32)
    targets = np.array([[True, True], [True, False], [False, False]])
    assert fit_thresholds(probabilities, targets) == pytest.approx([(2 * 0.4 + 0.4) / 3, (0.45 + 0.4) / 2])


def test_a_label_of_one_text_that_the_model_does_not_know_is_not_given_to_nearly_all() -> None:
    chance = np.random.default_rng(3)
    probabilities = np.stack([np.linspace(0, 1, 200), chance.uniform(0, 0.02, 200)], axis=1).astype(np.float32)
    targets = np.stack([np.linspace(0, 1, 200) > 0.5, np.arange(200) == np.argsort(probabilities[:, 1])[20]], axis=1)
    assert best_threshold(probabilities[:, 1], targets[:, 1]) < 0.01
    _, threshold = fit_thresholds(probabilities, targets)
    assert threshold == pytest.approx(0.25, abs=0.01)
