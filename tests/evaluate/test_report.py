"""The report of a bundle whose texts may have several labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from medclf.bundle import read_manifest
from medclf.evaluate.card import model_card
from medclf.evaluate.metrics import scores
from medclf.evaluate.report import Evaluation, report


def test_sets_are_scored_with_their_thresholds_and_have_no_confusion_matrix(tiny_bundle: Path) -> None:
    manifest = read_manifest(tiny_bundle)
    labels = replace(manifest.labels, task="multi_label_classification", thresholds=(0.4, 0.5, 0.6))
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(50, 3)).astype(np.float32)
    targets = chance.random((50, 3)) < 0.4
    measured = scores(targets, labels.predicted(labels.probabilities(logits)), labels.names)
    trained = {"metrics": {"test": {"model": measured}, "calibration": {"temperature": 1.5}}}
    own = replace(manifest, labels=labels, training=trained)
    page = report(own, Evaluation.of(own, "rows", targets, {"fp32": logits}))
    for name in ("exact match", "micro-F1", "macro-F1", "samples F1"):
        assert page.count(f"<th>{name}</th>") >= 2  # at training, and on held-out rows
    for name in ("exact_match", "micro_f1", "macro_f1", "samples_f1"):
        assert f">{measured[name]:.4f}<" in page
        assert f">{measured[name]:.3f} (" in page  # with its interval
    assert "given for which" not in page


def test_temperature_and_thresholds_are_shown(tiny_bundle: Path) -> None:
    manifest = replace(read_manifest(tiny_bundle), temperature=1.2346)
    page, card = report(manifest, None), model_card(manifest)
    assert '<td>Temperature, folded into the models</td><td class="n">1.2346</td>' in page
    assert "- Temperature: 1.235, folded into the models" in card
    assert "threshold" not in card
    assert "from this probability on" not in page
    labels = replace(manifest.labels, task="multi_label_classification", thresholds=(0.4, 0.5, 0.625))
    page, card = (write(replace(manifest, labels=labels)) for write in (lambda one: report(one, None), model_card))
    assert "<th>given from this probability on</th>" in page
    assert '<td>oncology</td><td class="n">0.6250</td>' in page
    assert "its threshold: cardiology 0.4, neurology 0.5, oncology 0.625" in card
    unset = model_card(replace(manifest, labels=replace(labels, thresholds=None)))
    assert "cardiology 0.5, neurology 0.5, oncology 0.5" in unset
