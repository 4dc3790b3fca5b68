"""The sensitivity search: it finds the layer that does the harm, and takes no more than it must."""

from collections.abc import Set

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.evaluate.metrics import agreement
from medclf.labels import Labels
from medclf.tokenizer import Encoded
from medclf_export import search as module
from medclf_export.held_out import HeldOut
from medclf_export.search import Problem, expected_agreement, fewest, margins, search

LABELS = Labels(("a", "b"))


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_fewest_that_hold(least: int, most: int) -> None:
    tried: list[int] = []

    def holds(n: int) -> bool:
        tried.append(n)
        return n >= least

    assert fewest(holds, most) == (least if least <= most else None)
    assert len(tried) <= 2 * np.log2(most + 1) + 2
    assert max(tried) <= most


def problem(harm: dict[str, float], n_rows: int = 400) -> Problem:
    """A model whose INT8 layers each shift the first logit by a noise of their own size."""
    chance = np.random.default_rng(0)
    fp32 = chance.standard_normal((n_rows, 2)).astype(np.float32)
    noise = {layer: (size * chance.standard_normal(n_rows)).astype(np.float32) for layer, size in harm.items()}
    ids = np.zeros(4, np.int64)
    rows = HeldOut([Encoded(ids + row, ids, 4) for row in range(n_rows)], np.arange(n_rows), "rows")

    def run(int8: Set[str], part: HeldOut) -> np.ndarray:
        logits = fp32[part.label_ids].copy()
        for layer in int8:
            logits[:, 0] += noise[layer][part.label_ids]
        return logits

    def passes(logits: np.ndarray) -> bool:
        return bool((logits.argmax(1) == fp32.argmax(1)).mean() >= 0.99)

    return Problem(tuple(harm), run, rows, fp32, passes, LABELS)


def test_a_model_that_passes_keeps_every_layer_in_int8() -> None:
    found = search(problem({"l0": 0.001, "l1": 0.001}))
    assert found is not None
    assert found.fp32 == ()


def test_the_layers_that_do_the_harm_stay_fp32_and_no_other() -> None:
    found = search(problem({"l0": 0.001, "l1": 0.8, "l2": 0.002, "l3": 0.5, "l4": 0.001, "l5": 0.001}))
    assert found is not None
    assert found.fp32 == ("l1", "l3")
    assert found.gains["l1"] > found.gains["l3"] > 0.1 > found.gains["l0"]


def test_a_layer_that_the_others_make_superfluous_is_dropped() -> None:
    kept = module._needed(["a", "b", "c", "d"], lambda layers: {"b", "d"} <= set(layers))
    assert kept == ("b", "d")


def test_a_model_that_half_of_its_layers_do_not_save() -> None:
    assert search(problem({f"l{i}": 0.8 for i in range(6)})) is None


def test_only_rows_at_risk_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RANK_TOKENS", 40)
    posed, runs = problem({"l0": 0.15, "l1": 0.001, "l2": 0.001, "l3": 0.001}), []

    def counted(int8: Set[str], rows: HeldOut) -> np.ndarray:
        runs.append(len(rows))
        return posed.run(int8, rows)

    found = search(Problem(posed.linears, counted, posed.rows, posed.fp32, posed.passes, LABELS))
    assert found is not None
    assert found.fp32 == ("l0",)
    assert runs[0] == 400
    assert runs[1:6] == [10] * 5  # the error of all of them, and each layer, on 40 tokens
    assert max(runs[6:]) < 300


def test_margins_are_the_distance_to_another_answer() -> None:
    assert margins(LABELS, np.array([[3.0, 1.0], [0.5, 0.6]], np.float32)) == pytest.approx([2.0, 0.1])
    several = Labels(("a", "b"), "multi_label_classification", (0.5, 0.9))
    assert margins(several, np.array([[1.0, 2.0]], np.float32)) == pytest.approx([np.log(9) - 2.0], abs=1e-5)


@pytest.mark.parametrize(
    "labels", [Labels(("a", "b")), Labels(("a", "b", "c"), "multi_label_classification", (0.2, 0.5, 0.9))]
)
def test_expected_agreement_is_what_normal_errors_leave_in_common(labels: Labels) -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(20_000, len(labels))).astype(np.float32)
    other = logits + chance.normal(scale=0.1, size=logits.shape).astype(np.float32)
    seen = agreement(*(labels.predicted(labels.probabilities(one)) for one in (logits, other)))
    assert 0.9 < seen < 0.99
    assert expected_agreement(labels, logits, 0.1) == pytest.approx(seen, abs=0.004)
