"""The commands, one after the other in an empty folder, with their defaults; and no text in what they leave."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LABELS, labelled_rows, write_csv

from medclf.runtime import Classifier
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import read_checkpoint
from medclf_export.checkpoint_model import CheckpointModel

CANARY = "canary7f3a"
RANDOM_MODEL = ("--min-agreement", "90", "--max-f1-drop", "20", "--min-speedup", "0")  # it decides by a hair
ROOT = Path(__file__).resolve().parents[2]

Done = dict[str, subprocess.CompletedProcess[str]]


def run(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a program of its own, as a shell does, and expect success."""
    program = f"from medclf.cli.{name} import main; main()"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'export'}", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("job")
    rows = labelled_rows(400)
    for row in rows:
        row["text"] += f" {CANARY}"
    write_csv(path / "abstracts.csv", rows)
    return path


@pytest.fixture(scope="module")
def done(folder: Path, tiny_encoder: Path) -> Done:
    """What each command printed."""
    train = ("--data", "abstracts.csv", "--model", str(tiny_encoder), "--max-length", "64", "--json")
    return {
        "train": run("train", *train, folder=folder),
        "export": run("export", "--quantize", *RANDOM_MODEL, folder=folder),
        "verify": run("verify", "--json", folder=folder),
        "predict": run("predict", "--input", "abstracts.csv", "--output", "labels.jsonl", "--json", folder=folder),
        "bench": run("bench", "--batch", "64", "--n-batches", "1", "--repeats", "1", "--json", folder=folder),
    }


def test_each_command_takes_up_what_the_one_before_left(folder: Path, done: Done) -> None:
    assert {path.name for path in folder.iterdir()} == {"abstracts.csv", "checkpoint", "bundle", "labels.jsonl"}
    assert all(json.loads(done[name].stdout) for name in ("train", "verify", "predict", "bench"))
    assert done["export"].stdout == ""
    (workload,) = json.loads(done["bench"].stdout)["workloads"]
    paths = [path["path"] for path in workload["paths"]]
    assert len(paths) == 4, paths  # both models of the bundle, PyTorch in both ways


def test_what_is_served_is_what_was_trained(folder: Path, done: Done) -> None:
    checkpoint = read_checkpoint(folder / "checkpoint")
    assert checkpoint.labels.names == LABELS
    texts = [row["text"] for row in labelled_rows(64, seed=3)]
    encoder = TextEncoder((folder / "checkpoint" / "tokenizer.json").read_text(), max_length=64)
    logits = CheckpointModel(checkpoint).forward(encoder.pad(encoder.encode(texts)))
    with Classifier.load(folder / "bundle", precision="fp32") as classifier:
        assert classifier.classes_ == LABELS
        assert classifier.logits(texts) == pytest.approx(logits, abs=1e-4)
        assert classifier.predict(texts) == [LABELS[i] for i in logits.argmax(-1)]


def test_the_labels_of_a_file_are_those_of_its_texts_in_order(folder: Path, done: Done) -> None:
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    texts = [f"{row['text']} {CANARY}" for row in labelled_rows(400)]
    with Classifier.load(folder / "bundle") as classifier:
        assert [row["label"] for row in rows] == classifier.predict(texts)
    assert [row["row"] for row in rows] == list(range(1, 401))


def test_no_text_is_left_in_any_file_or_message(folder: Path, done: Done) -> None:
    for one in done.values():
        assert CANARY not in one.stdout + one.stderr
    assert CANARY in (folder / "abstracts.csv").read_text()  # it would be found
    left = [path for path in folder.rglob("*") if path.is_file() and path.name != "abstracts.csv"]
    assert len(left) > 15
    assert [path for path in left if CANARY.encode() in path.read_bytes()] == []
