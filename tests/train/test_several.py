"""Seeds, a search, adapters and trackers: several runs for one output, and what they tell."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import labelled_rows, write_csv
from safetensors.torch import load_file

from medclf.errors import OptionError, TrainingError
from medclf.labels import Labels
from medclf.train.checkpoint import read_checkpoint
from medclf.train.lora import merged, with_adapters
from medclf.train.model import load_start
from medclf.train.options import TrainOptions
from medclf.train.progress import ProgressBar
from medclf.train.run import Stopped, train
from medclf.train.search import space
from medclf.train.trackers import numbers_of, scalars
from medclf.train.work import work_folder

# transformers 4 says so of checkpoints that are written within a second of each other, and goes by their numbers
pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable")

CANARY = "CANARY-7f3a"
SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 16,
    "max_length": 24,
    "learning_rate": 4e-3,
    "device": "cpu",
    "precision": "fp32",
}


@pytest.fixture
def options(table: Path, tiny_encoder: Path, tmp_path: Path) -> TrainOptions:
    return TrainOptions(table, model=str(tiny_encoder), output=tmp_path / "checkpoint", **SETTINGS)


def metrics_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "metrics.json").read_bytes())
    return document


def interrupt(monkeypatch: pytest.MonkeyPatch, step: int, *, run: int) -> None:
    """Ctrl-C before a step of the n-th run."""
    import signal

    begun = []

    def on_step_begin(self: ProgressBar, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            begun.append(self)
        if len(begun) == run and state.global_step == step:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressBar, "on_step_begin", on_step_begin)


# Seeds


def test_the_best_seed_is_the_output_and_all_are_told(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 3, run=2)
        with pytest.raises(Stopped, match="saved at step"):
            train(replace(options, seeds=2))
    assert not options.output.exists()
    folder = train(replace(options, seeds=2, resume=True))
    document = metrics_of(folder)
    found = document["seeds"]
    assert found["seeds"] == [42, 43]
    each = found["validation"]["macro_f1"]["seeds"]
    assert found["best"] == 42 + each.index(max(each))
    assert document["validation"]["model"]["macro_f1"] == max(each)
    assert found["test"]["accuracy"]["mean"] == pytest.approx(sum(found["test"]["accuracy"]["seeds"]) / 2)
    assert len(found["runs"]) == 2
    assert not work_folder(folder).exists()
    alone = train(replace(options, output=options.output.with_name("alone")))
    assert metrics_of(alone)["validation"]["model"]["macro_f1"] == each[0]  # the split is that of the first seed


def test_a_stopped_run_of_several_is_not_run_over(options: TrainOptions) -> None:
    work = work_folder(options.output)
    work.mkdir()
    (work / "run.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"holds a run that was stopped.*--resume.*--overwrite"):
        train(replace(options, seeds=2))
    with pytest.raises(TrainingError, match="missing or damaged"):
        train(replace(options, seeds=2, resume=True))


def test_several_runs_need_one_process(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="seeds and search run in one process"):
        train(replace(options, seeds=2))


# Search


@pytest.mark.slow
def test_search_keeps_the_best_of_its_trials(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    asked = replace(options, search=3, epochs=1)
    with monkeypatch.context() as patch:
        interrupt(patch, 1, run=2)
        with pytest.raises(Stopped):
            train(asked)
    folder = train(replace(asked, resume=True))
    document, record = metrics_of(folder), read_checkpoint(folder).record
    trials = document["search"]["trials"]
    assert len(trials) == 3
    first = trials[0]
    assert {name: first[name] for name in ("epochs", "batch_size", "layer_decay", "loss")} == {
        "epochs": 1, "batch_size": 16, "layer_decay": 1.0, "loss": "cross-entropy",
    }  # fmt: skip
    best = max((one for one in trials if one["state"] == "complete"), key=lambda one: one["macro_f1"])
    assert document["validation"]["model"]["macro_f1"] == pytest.approx(best["macro_f1"])  # trained again, to the same
    assert record is not None
    assert record.options["batch_size"] == best["batch_size"]


def test_search_never_runs_the_test_part(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    asked: list[str] = []

    def outputs_of(trainer: Any, dataset: Any) -> Any:
        asked.append("a part")
        raise KeyboardInterrupt

    monkeypatch.setattr("medclf.train.fit.outputs_of", outputs_of)
    with pytest.raises(KeyboardInterrupt):
        train(replace(options, search=2, epochs=1))
    assert len(asked) == 1  # by the run that came after the trials


def test_a_trial_that_diverges_is_no_end(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.setattr("medclf.train.losses.plain_loss", lambda logits, targets: logits.sum(-1) * float("nan"))
    monkeypatch.setattr("medclf.train.search.get_args", lambda loss: ("cross-entropy",))
    with pytest.raises(TrainingError, match="all 2 trials of the search diverged"):
        train(replace(options, search=2))


def test_losses_of_a_search_fit_the_task(options: TrainOptions) -> None:
    several = Labels(("a", "b"), "multi_label_classification")
    assert "logit-adjusted" not in space(options, several)["loss"]
    assert space(replace(options, loss="focal", focal_gamma=1.0), Labels(("a", "b")))["loss"] == ["focal"]
    assert space(replace(options, epochs=3), several)["epochs"] == [1, 3, 6]


# Adapters


def test_adapters_are_merged_and_the_answers_stay(options: TrainOptions) -> None:
    pytest.importorskip("peft")
    start = with_adapters(load_start(replace(options, lora=2), Labels(("a", "b")), []), replace(options, lora=2))
    trained = {name for name, parameter in start.model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or "classifier" in name or "pooler" in name for name in trained)
    assert sum("lora_A" in name for name in trained) == 2 * 6  # every linear layer
    with torch.no_grad():
        for name, parameter in start.model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    model, ids = start.model.eval(), torch.tensor([[2, 30, 31, 3]])
    before = model(ids).logits
    plain = merged(model)
    assert type(plain).__name__ == "BertForSequenceClassification"
    assert not any("lora" in name for name in plain.state_dict())
    assert torch.allclose(plain(ids).logits, before, atol=1e-4)


@pytest.mark.slow
def test_a_run_with_adapters_gives_a_plain_checkpoint(options: TrainOptions, tiny_encoder: Path) -> None:
    pytest.importorskip("peft")
    with pytest.raises(Stopped):
        train(replace(options, lora=2, stop_after=5, layer_decay=0.9))
    folder = train(replace(options, lora=2, resume=True, layer_decay=0.9))
    weights, before = (load_file(path / "model.safetensors") for path in (folder, tiny_encoder))
    assert weights["classifier.weight"].shape == (3, 32)
    name = "encoder.layer.0.output.dense.weight"
    assert not torch.equal(weights[f"bert.{name}"], before[name])
    embeddings = "embeddings.word_embeddings.weight"
    assert torch.equal(weights[f"bert.{embeddings}"], before[embeddings])


# Trackers


PROGRAM = """
import sys
from pathlib import Path
from medclf.train.options import TrainOptions
from medclf.train.run import train
data, model, output, tracker = sys.argv[1:]
train(TrainOptions(Path(data), model=model, output=Path(output), epochs=1, max_length=24, device="cpu",
                   label_column=("CANARY-7f3a-label",), log_to=(tracker,), log_dir=Path(output + ".logs")))
"""


def test_trackers_are_given_numbers_of_known_names_alone(options: TrainOptions) -> None:
    numbers = numbers_of(replace(options, group_column=CANARY, loss="focal", focal_gamma=1.5))
    assert (numbers["max_length"], numbers["focal_gamma"]) == (24, 1.5)
    assert all(type(value) is float for value in numbers.values())
    assert not {"model", "data", "output", "group_column", "loss"} & numbers.keys()
    logs = {"loss": 0.5, "eval_macro_f1": 1, "eval_loss": 2, CANARY: 3.0, "eval_runtime": 4.0}
    assert scalars(logs) == {"train/loss": 0.5, "validation/loss": 2.0, "validation/macro_f1": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_trackers_are_told_numbers_and_never_text(tracker: str, tiny_encoder: Path, tmp_path: Path) -> None:
    """In a process of its own: trackers import much that warns."""
    pytest.importorskip(tracker)
    rows = [
        {"text": f"{row['text']} {CANARY}", f"{CANARY}-label": f"{CANARY} {row['label']}"} for row in labelled_rows(60)
    ]
    data = write_csv(tmp_path / f"{CANARY}.csv", rows)
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/runs.db"}
    command = [sys.executable, "-c", PROGRAM, str(data), str(tiny_encoder), str(tmp_path / "out"), tracker]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    written = [*(tmp_path / "out.logs").rglob("events.*"), *tmp_path.glob("runs.db")]
    assert written
    for path in written:
        content = path.read_bytes()
        assert b"validation/macro_f1" in content
        assert b"max_length" in content
        assert CANARY.encode() not in content
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {data.name, "out", "out.logs", "runs.db", "mlruns"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "seeds is 0, expected 1 to 100"),
        ({"search": 0}, "search is 0"),
        ({"lora": 0}, "lora is 0, expected 1 to 1,024"),
        ({"log_to": ("wandb",)}, r"log_to is \('wandb',\), expected some of tensorboard, mlflow"),
        ({"seeds": 2, "stop_after": 3}, "stop_after counts the steps of one run, but seeds or search make several"),
    ],
)
def test_options_that_mean_nothing(options: TrainOptions, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(options, **changes)
