"""What is measured about a model: intervals, ranking, calibration, selective answers, levels and slices."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from medclf.errors import OptionError
from medclf.evaluate.calibration import expected_calibration_error, proper_scores, reliability
from medclf.evaluate.compare import compare
from medclf.evaluate.intervals import score_intervals
from medclf.evaluate.levels import levels
from medclf.evaluate.measure import Questions, Rows, measure
from medclf.evaluate.metrics import macro_f1, scores
from medclf.evaluate.operating import Goal
from medclf.evaluate.ranking import ranking
from medclf.evaluate.resampling import interval, resampled_sums
from medclf.evaluate.selective import RiskCoverage
from medclf.evaluate.slices import by_length, check_values, slices
from medclf.labels import Labels

CANARY = "CANARY-7f3a"
ONE = Labels(("a", "b", "c"))
SEVERAL = Labels(("a", "b", "c"), "multi_label_classification", (0.4, 0.5, 0.6))


def answers(n: int = 200, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets and logits that are mostly right."""
    chance = np.random.default_rng(seed)
    targets = chance.integers(0, 3, n)
    logits = chance.normal(size=(n, 3)).astype(np.float32)
    logits[np.arange(n), targets] += 2
    return targets, logits


@pytest.mark.parametrize("several", [False, True])
def test_an_interval_is_that_of_scores_of_drawn_rows(several: bool) -> None:
    chance = np.random.default_rng(1)
    shape = (60, 3) if several else (60,)
    targets = chance.random(shape) < 0.4 if several else chance.integers(0, 3, shape)
    predicted = np.where(chance.random(shape) < 0.7, targets, chance.permutation(targets))
    found = score_intervals(targets, predicted, ONE.names)
    drawn = [np.random.default_rng(2).integers(0, 60, (4000, 60))][0]
    samples = [scores(targets[rows], predicted[rows], ONE.names) for rows in drawn]
    for name in set(samples[0]) - {"n", "per_class"}:
        expected = np.quantile([one[name] for one in samples], (0.025, 0.975))
        assert found[name] == pytest.approx(expected, abs=0.02)
    f1 = np.quantile([one["per_class"]["b"]["f1"] for one in samples], (0.025, 0.975))
    assert found["per_class"]["b"] == pytest.approx(f1, abs=0.02)


def test_rows_of_a_group_are_drawn_together() -> None:
    right = np.repeat([1.0, 0.0], 50)[:, None]
    alone = interval(resampled_sums(right)[:, 0] / 100)
    together = interval(resampled_sums(right, ["x"] * 50 + ["y"] * 50)[:, 0] / 100)
    assert alone == pytest.approx((0.4, 0.6), abs=0.03)
    assert together == (0.0, 1.0)
    apart = resampled_sums(right, [str(i) for i in range(100)])
    assert apart.mean() == pytest.approx(50, abs=1)


def test_chunks_of_draws_are_one_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.arange(40.0).reshape(20, 2)
    whole = resampled_sums(columns, n_resamples=30)
    monkeypatch.setattr("medclf.evaluate.resampling.CHUNK_NUMBERS", 20 * 8)  # 8 draws at a time
    assert resampled_sums(columns, n_resamples=30).shape == whole.shape
    assert resampled_sums(columns, n_resamples=8).tolist() == whole[:8].tolist()


def test_a_paired_comparison_by_group_is_wider() -> None:
    targets, logits = answers(300)
    reference = logits.argmax(axis=1)
    candidate = np.where(np.arange(300) < 40, 0, reference)  # worse, all in two groups
    groups = [str(i // 20) for i in range(300)]
    alone, together = (compare(targets, reference, candidate, groups=one) for one in (None, groups))
    assert (
        together.f1_drop
        == alone.f1_drop
        == pytest.approx(100 * (macro_f1(targets, reference) - macro_f1(targets, candidate)))
    )
    widths = [np.diff(one.f1_drop_interval)[0] for one in (alone, together)]
    assert widths[1] > 1.2 * widths[0]


def test_ranking_is_that_of_scikit_learn_and_knows_no_label_that_does_not_occur() -> None:
    targets, logits = answers()
    targets = np.where(targets == 2, 0, targets)
    probabilities = ONE.probabilities(logits)
    found = ranking(targets, probabilities, ONE.names)
    assert found["per_class"]["b"]["auroc"] == sklearn_metrics.roc_auc_score(targets == 1, probabilities[:, 1])
    assert found["per_class"]["c"] == {"auroc": None, "auprc": None, "prevalence": 0.0}
    assert found["macro_auroc"] == pytest.approx(np.mean([found["per_class"][name]["auroc"] for name in ("a", "b")]))


def test_proper_scores_are_those_of_scikit_learn() -> None:
    targets, logits = answers()
    probabilities = ONE.probabilities(logits)
    found = proper_scores(ONE, probabilities, targets)
    assert found["log_loss"] == pytest.approx(sklearn_metrics.log_loss(targets, probabilities), abs=1e-5)
    truth = np.eye(3)[targets]
    assert found["brier"] == pytest.approx(((probabilities - truth) ** 2).sum(axis=1).mean(), abs=1e-6)
    found = proper_scores(SEVERAL, SEVERAL.probabilities(logits), truth.astype(bool))
    assert found["log_loss"] == pytest.approx(
        sklearn_metrics.log_loss(truth.ravel().astype(int), SEVERAL.probabilities(logits).ravel()), abs=1e-5
    )


def test_bins_of_the_reliability_diagram_make_its_error() -> None:
    targets, logits = answers()
    probabilities = ONE.probabilities(logits)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    bins = reliability(confidence, correct)
    assert sum(one["n"] for one in bins) == len(targets)
    assert all(one["low"] < one["confidence"] <= one["high"] + 1e-6 for one in bins)
    error = sum(one["n"] * abs(one["confidence"] - one["accuracy"]) for one in bins) / len(targets)
    assert error == pytest.approx(expected_calibration_error(confidence, correct, n_bins=10), abs=1e-6)


ANSWERED = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.booleans()), min_size=1, max_size=30)


@settings(deadline=None)
@given(rows=ANSWERED, coverage=st.floats(0.01, 1), accuracy=st.floats(0.01, 1))
def test_risk_and_coverage(rows: list[tuple[float, bool]], coverage: float, accuracy: float) -> None:
    confidence = np.array([one for one, _ in rows], dtype=np.float32)
    correct = np.array([right for _, right in rows])
    trade = RiskCoverage(confidence, correct)
    point = trade.at_coverage(coverage)
    answered = confidence >= np.float32(point["threshold"])
    assert point["coverage"] == pytest.approx(answered.mean())
    assert point["coverage"] >= coverage - 1e-6
    assert point["risk"] == pytest.approx((~correct[answered]).mean())
    assert trade.at_threshold(point["threshold"]) == point
    reached = trade.at_accuracy(accuracy)
    reachable = [t for t in set(confidence.tolist()) if correct[confidence >= np.float32(t)].mean() >= accuracy - 1e-9]
    assert (reached is None) == (not reachable)
    if reached is not None:
        assert reached["threshold"] == pytest.approx(min(reachable))
    each = [(~correct[confidence >= one]).mean() for one in confidence]  # the risk of answering down to each text
    assert trade.area == pytest.approx(np.mean(each))
    assert trade.at_threshold(0.95) == {"threshold": 0.95, "coverage": 0.0, "risk": 0.0}


def test_levels_of_paths() -> None:
    labels = Labels(("x/a", "x/b", "y"))
    targets, predicted = np.array([0, 1, 2, 0]), np.array([1, 1, 2, 2])
    first, second = levels(labels, targets, predicted, separator="/")
    assert (first["level"], first["n_labels"], first["accuracy"]) == (1, 2, 0.75)
    assert (second["level"], second["n_labels"], second["accuracy"]) == (2, 3, 0.5)
    several = replace(labels, task="multi_label_classification")
    top, _ = levels(several, np.eye(3, dtype=bool), np.eye(3, dtype=bool)[[1, 0, 2]], separator="/")
    assert top["exact_match"] == 1.0
    with pytest.raises(OptionError, match=r"--hierarchy '>': no label holds it"):
        levels(labels, targets, predicted, separator=">")


def test_parts_by_length_and_column() -> None:
    assert by_length(np.array([1, 64, 65, 1024, 1025])) == [
        "up to 64 tokens", "up to 64 tokens", "65 to 128 tokens", "513 to 1024 tokens", "over 1024 tokens",
    ]  # fmt: skip
    targets, logits = answers(60)
    parts = {"length": by_length(np.where(np.arange(60) < 45, 1025, 3)), "site": ["A"] * 9 + ["B"] * 51}
    found = slices(ONE, targets, ONE.probabilities(logits), parts, groups=[str(i) for i in range(60)])
    assert [(one["value"], one["n"]) for one in found["length"]] == [("up to 64 tokens", 15), ("over 1024 tokens", 45)]
    assert found["site"][0] == {"value": "A", "n": 9}  # too few to be scored
    right = (logits.argmax(axis=1) == targets)[9:]
    assert found["site"][1]["right"] == pytest.approx(right.mean())
    low, high = found["site"][1]["interval"]
    assert low < right.mean() < high


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([str(i) for i in range(51)], "has 51 values, at most 50 are shown. Is it an id"),
        ([f"{CANARY} " * 10], "has values of over 60 characters. Is it a text"),
    ],
)
def test_columns_that_are_no_parts(values: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        check_values("site", values)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("labels", [ONE, replace(ONE, abstain_below=0.7), SEVERAL])
def test_a_document_is_json_and_its_parts_agree(labels: Labels) -> None:
    targets, logits = answers()
    truth = np.eye(3, dtype=bool)[targets] if labels.multi_label else targets
    questions = Questions((Goal.parse("recall>=0.9", labels), Goal.parse("accuracy>=0.5", labels)))
    found = measure(labels, logits, Rows(truth), temperature=2.0, questions=questions)
    json.dumps(found, allow_nan=False)
    right = found["scores"]["exact_match" if labels.multi_label else "accuracy"]
    assert found["selective"]["points"][0]["risk"] == pytest.approx(1 - right)
    assert found["calibration"]["ece_before"] != found["calibration"]["ece"]
    assert len(found["operating_points"]) == 4
    if labels.multi_label:
        assert "confusion" not in found
    else:
        assert np.trace(found["confusion"]) / 200 == pytest.approx(right)
    if labels.abstain_below:
        point = found["selective"]["abstain_below"]
        assert point["coverage"] == pytest.approx((labels.probabilities(logits).max(axis=1) >= np.float32(0.7)).mean())
        assert sum(one["n"] for one in point["per_label"].values()) == 200
