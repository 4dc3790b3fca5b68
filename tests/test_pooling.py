"""Pooled probabilities are those of the formulas, whatever the size of the logits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medclf.labels import Labels
from medclf.long_text import Pooling
from medclf.pooling import pool

SINGLE = Labels(("a", "b", "c"))
SEVERAL = Labels(("a", "b", "c"), "multi_label_classification")
CASES: list[tuple[Labels, Pooling]] = [
    (SINGLE, "mean"), (SINGLE, "max"), (SEVERAL, "mean"), (SEVERAL, "max"), (SEVERAL, "noisy-or"),
]  # fmt: skip
FLOAT = st.floats(-30, 30, width=32)


def formula(labels: Labels, pooling: Pooling, logits: np.ndarray) -> list[float]:
    """The probabilities of a text of these windows, one number at a time."""
    wide = logits.astype(np.float64)
    if labels.multi_label:
        rows = [[1 / (1 + math.exp(-x)) for x in row] for row in wide]
    else:
        rows = [[math.exp(x - max(row)) / sum(math.exp(y - max(row)) for y in row) for x in row] for row in wide]
    columns = list(zip(*rows, strict=True))
    if pooling == "mean":
        return [sum(column) / len(column) for column in columns]
    if pooling == "noisy-or":
        return [1 - math.prod(1 - p for p in column) for column in columns]
    largest = [max(column) for column in columns]
    return largest if labels.multi_label else [one / sum(largest) for one in largest]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(CASES),
    st.lists(st.integers(1, 5), min_size=1, max_size=6).flatmap(
        lambda n: st.tuples(st.just(n), arrays(np.float32, (sum(n), 3), elements=FLOAT))
    ),
)
def test_probabilities_are_those_of_the_formula(
    case: tuple[Labels, Pooling], texts: tuple[list[int], np.ndarray]
) -> None:
    (labels, pooling), (n_windows, logits) = case, texts
    pooled = pool(logits, np.array(n_windows), pooling, multi_label=labels.multi_label)
    assert pooled.dtype == np.float32
    found = labels.probabilities(pooled)
    parts = np.split(logits, np.cumsum(n_windows)[:-1])
    assert found == pytest.approx(np.array([formula(labels, pooling, part) for part in parts]), abs=2e-6)
    for part, row in zip(parts, pooled, strict=True):  # the other texts change nothing
        assert (pool(part, np.array([len(part)]), pooling, multi_label=labels.multi_label) == row).all()
        if len(part) == 1:
            assert (row == part[0]).all()


@pytest.mark.parametrize(("labels", "pooling"), CASES)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_logits_of_any_size_give_probabilities(labels: Labels, pooling: Pooling, size: float) -> None:
    logits = np.array([[size, -size, 0], [size, -size, -size]], dtype=np.float32)
    pooled = pool(logits, np.array([2]), pooling, multi_label=labels.multi_label)
    assert np.isfinite(pooled).all()
    probabilities = labels.probabilities(pooled)
    assert probabilities[0, 0] == pytest.approx(1)
    assert probabilities[0, 1] == pytest.approx(0, abs=1e-6)


def test_no_texts() -> None:
    nothing = np.empty((0, 3), dtype=np.float32)
    assert pool(nothing, np.empty(0, dtype=np.int64), "mean", multi_label=False).shape == (0, 3)


def test_no_label_is_lost_where_one_window_has_it() -> None:
    logits = np.array([[4.0, -4.0], [-4.0, -4.0], [-4.0, -4.0]], dtype=np.float32)
    n_windows = np.array([3])
    mean, largest, noisy = (pool(logits, n_windows, one, multi_label=True)[0] for one in ("mean", "max", "noisy-or"))
    assert mean[0] < 0 < largest[0] == 4 < noisy[0]
    assert noisy[1] > mean[1] == pytest.approx(largest[1])  # three weak hints are more than one
