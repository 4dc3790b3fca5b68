"""The program that compares ways: its scores by hand, its batches, and the whole of it on a tiny model."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import MAX_LENGTH, labelled_rows, write_csv

from benchmarks.peers.worker import BATCH, Job, Text, in_batches, pad, save_texts
from benchmarks.scores import ece, scores
from medclf.bundle import TextColumns
from medclf.labels import Labels
from medclf.train.checkpoint import TRAINING, SplitRecord, TrainingRecord

ROOT = Path(__file__).resolve().parents[2]
SINGLE = Labels(("a", "b"))
MULTI = Labels(("a", "b"), "multi_label_classification", thresholds=(0.5, 0.9))


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_scores_of_one_label_a_text():
    truth = np.array([0, 0, 1, 1])
    right = np.array([[2, 0], [2, 0], [0, 2], [0, 2]], dtype=np.float32)
    one_wrong = right[[0, 2, 2, 3]]
    found = scores(SINGLE, truth, {"reference": right, "other": one_wrong}, reference="reference")
    assert found["reference"]["agreement"] == found["reference"]["f1"] == 1
    assert found["other"]["agreement"] == 0.75
    assert found["other"]["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["other"]["max_logit_difference"] == 2


def test_scores_of_several_labels_a_text_use_the_thresholds():
    truth = np.array([[1, 1], [0, 1]], dtype=bool)
    logits = np.array([[logit(0.6), logit(0.8)], [logit(0.2), logit(0.95)]], dtype=np.float32)
    found = scores(MULTI, truth, {"reference": logits, "other": -logits}, reference="reference")
    assert found["reference"]["f1"] == pytest.approx(2 * 2 / (3 + 2))  # 0.8 is below its threshold of 0.9
    assert found["other"]["agreement"] == 0


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    probabilities = np.array([[0.9, 0.1]] * 10, dtype=np.float32)
    truth = np.array([0] * 6 + [1] * 4)
    assert ece(SINGLE, truth, probabilities) == pytest.approx(0.3, abs=1e-6)
    sure = np.array([[1.0, 0.0]], dtype=np.float32)
    assert ece(SINGLE, np.array([0]), sure) == 0


@pytest.mark.parametrize("callers", [1, 2])
def test_batches_are_of_like_length_and_the_order_is_restored(callers: int, tmp_path: Path):
    chance = np.random.default_rng(0)
    lengths = chance.integers(1, 40, 3 * BATCH + 5)
    texts = [Text(np.full(n, i), np.zeros(n, dtype=int)) for i, n in enumerate(lengths)]
    save_texts(tmp_path / "some.npz", texts)
    read = Job(tmp_path, tmp_path, 1).texts("some")
    widths = []

    def run(batch: list[Text]) -> np.ndarray:
        feed = pad(batch)
        widths.append(feed["input_ids"].shape)
        return np.stack([feed["input_ids"][:, 0], feed["attention_mask"].sum(axis=1)], axis=1)

    found = in_batches(run, callers=callers)(read)
    assert found[:, 0].tolist() == list(range(len(texts)))
    assert found[:, 1].tolist() == lengths.tolist()
    assert sorted(rows for rows, _ in widths) == [5, BATCH, BATCH, BATCH]
    assert sum(rows * width for rows, width in widths) < len(texts) * 40 / 1.5  # little padding


@pytest.mark.slow
def test_the_whole_program(tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path):
    job = tmp_path / "job"
    shutil.copytree(tiny_checkpoint, job / "checkpoint")
    shutil.copytree(tiny_bundle, job / "bundle")
    file = write_csv(tmp_path / "rows.csv", labelled_rows(60))
    split = SplitRecord(str(file), hashlib.sha256(file.read_bytes()).hexdigest(), 60)
    record = TrainingRecord(TextColumns(), "label", MAX_LENGTH, splits={"train": split, "test": split})
    (job / "checkpoint" / TRAINING).write_text(record.to_json())
    command = [
        sys.executable,
        ROOT / "benchmarks" / "export_table.py",
        "--jobs",
        job,
        "--output",
        tmp_path / "out.json",
    ]
    options = ["--texts", "20", "--rounds", "1", "--python", f"openvino_nncf={tmp_path / 'none'}"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'export'}"}
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "out.json").read_text())["jobs"]
    assert {"PyTorch fp32", "medclf fp32", "medclf INT8", "ONNX Runtime INT8, per tensor"} <= result["ways"].keys()
    assert result["ways"]["medclf fp32"]["agreement"] == 1
    assert result["ways"]["medclf fp32"]["max_logit_difference"] < 1e-4
    assert all(one["speed"]["tokens_per_s"] > 0 for one in result["ways"].values())
    assert "OpenVINO, NNCF INT8 was left out: " in done.stdout
