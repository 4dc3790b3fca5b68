"""Whole runs on the tiny BERT: what is written, and that a stopped run goes on as if it never stopped."""

import contextlib
import errno
import json
import logging
import resource
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_RUN
from safetensors.torch import load_file, save_file

from medclf.bundle import TextColumns
from medclf.data.tables import read_labelled
from medclf.errors import DataError, OptionError, OutputError, TrainingError
from medclf.evaluate.metrics import scores
from medclf.labels import Labels
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import read_checkpoint
from medclf.train.options import SCRATCH, TrainOptions
from medclf.train.progress import ProgressBar
from medclf.train.run import Stopped, train
from medclf.train.work import last_checkpoint, work_folder

# transformers 4 says so of checkpoints that are written within a second of each other, and goes by their numbers
pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable")

CANARY = "CANARY-7f3a"
STEPS = 14  # of an epoch: 105 texts in batches of 8


SETTINGS: dict[str, Any] = {**TINY_RUN, "epochs": 4}
TOTAL = 4 * STEPS


@pytest.fixture
def options(table: Path, tiny_encoder: Path, tmp_path: Path) -> TrainOptions:
    return TrainOptions(data=table, model=str(tiny_encoder), output=tmp_path / "checkpoint", **SETTINGS)


@pytest.fixture(scope="module")
def trained(table: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the run of `options`, uninterrupted."""
    output = tmp_path_factory.mktemp("trained") / "checkpoint"
    return train(TrainOptions(data=table, model=str(tiny_encoder), output=output, **SETTINGS))


def assert_same_weights(first: Path, second: Path) -> None:
    one, two = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


# What is written


def test_checkpoint_is_whole_and_reads_back(trained: Path, table: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "config.json",
        "learning_curve.png",
        "metrics.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
        "vocab.txt",
    ]
    checkpoint = read_checkpoint(trained)
    assert checkpoint.labels == Labels(("cardiology", "neurology", "oncology"))
    record = checkpoint.record
    assert record is not None
    assert {name: split.n_rows for name, split in record.splits.items()} == {"train": 105, "validation": 15, "test": 30}
    rows = [row for split in record.splits.values() for row in split.rows or ()]
    assert sorted(rows) == list(range(1, 151))
    assert record.splits["train"].file == str(table)
    assert record.options["learning_rate"] == SETTINGS["learning_rate"]
    assert record.token_lengths["p5"] <= record.token_lengths["mean"] <= record.token_lengths["max"]
    assert (trained / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert not work_folder(trained).exists()


def test_scores_are_those_of_the_weights_that_were_saved(trained: Path, table: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    checkpoint = read_checkpoint(trained)
    assert checkpoint.record is not None
    data = read_labelled(table, columns=TextColumns(), label_column=("label",))
    rows = checkpoint.record.splits["test"].rows or ()
    part = data.select([row - 1 for row in rows])
    encoder = TextEncoder((trained / "tokenizer.json").read_text(), max_length=checkpoint.record.max_length)
    feed = {name: torch.from_numpy(a) for name, a in encoder.pad(encoder.encode(part.texts)).feed().items()}
    with torch.no_grad():
        logits = AutoModelForSequenceClassification.from_pretrained(trained).eval()(**feed).logits.numpy()
    expected = scores(checkpoint.labels.targets(part.labels), logits.argmax(axis=-1), checkpoint.labels.names)
    assert checkpoint.record.metrics["test"]["model"] == expected
    assert expected["macro_f1"] > 0.9  # the table can be learned; chance is 0.33


def test_metrics_hold_model_baseline_and_curve(trained: Path) -> None:
    document = json.loads((trained / "metrics.json").read_bytes())
    for part, n in (("validation", 15), ("test", 30)):
        assert document[part]["baseline"]["n"] == document[part]["model"]["n"] == n
    assert document["run"]["steps"] == TOTAL
    assert [point["step"] for point in document["curve"]["validation"]] == [STEPS, 2 * STEPS, 3 * STEPS, TOTAL]
    assert document["curve"]["train"][0]["loss"] > document["curve"]["train"][-1]["loss"]


def test_best_epoch_is_the_one_that_is_saved(options: TrainOptions) -> None:
    folder = train(replace(options, patience=1, seed=3))
    document = json.loads((folder / "metrics.json").read_bytes())
    best = max(document["curve"]["validation"], key=lambda point: point["macro_f1"])  # the first of equals
    assert document["run"]["best_step"] == best["step"]
    assert document["validation"]["model"]["macro_f1"] == pytest.approx(best["macro_f1"])


def test_same_seed_same_weights_and_another_seed_others(options: TrainOptions, trained: Path) -> None:
    assert_same_weights(train(options), trained)
    other = train(replace(options, seed=7, overwrite=True, epochs=1))
    with pytest.raises(AssertionError):
        assert_same_weights(other, trained)


def test_no_text_is_in_the_checkpoint_or_the_log(
    options: TrainOptions, tmp_path: Path, table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = table.read_text().splitlines()
    data = tmp_path / "planted.csv"
    data.write_text("\n".join([lines[0], *(line.replace(",", f",{CANARY} ", 1) for line in lines[1:])]) + "\n")
    with caplog.at_level(logging.DEBUG):
        folder = train(replace(options, data=data, epochs=1))
    assert CANARY.lower() not in caplog.text.lower()
    assert [path.name for path in folder.iterdir() if CANARY.lower().encode() in path.read_bytes().lower()] == []


def test_pairs_and_tables_of_their_own(tmp_path: Path, table: Path, options: TrainOptions) -> None:
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]

    def write(name: str, some: list[list[str]]) -> Path:
        lines = [json.dumps({"note": text, "answer": text[:9], "kind": label}) for _, text, label in some]
        (tmp_path / name).write_text("\n".join(lines))
        return tmp_path / name

    folder = train(
        replace(
            options,
            data=write("a.jsonl", rows[:90]),
            eval_data=write("b.jsonl", rows[90:120]),
            epochs=1,
            test_data=write("c.jsonl", rows[120:]),
            text_column=("note",),
            text_pair_column=("answer",),
            label_column=("kind",),
        )
    )
    record = read_checkpoint(folder).record
    assert record is not None
    assert record.columns == TextColumns(("note",), ("answer",))
    assert [(part.n_rows, part.rows is None) for part in record.splits.values()] == [
        (90, False),
        (30, True),
        (30, True),
    ]


def test_from_scratch(options: TrainOptions) -> None:
    folder = train(replace(options, model=SCRATCH, epochs=1, learning_rate=None))
    record = read_checkpoint(folder).record
    assert record is not None
    assert record.options["learning_rate"] == 2e-4


# Stop and resume


@pytest.mark.parametrize("stops", [(5,), (STEPS,), (STEPS + 1, TOTAL - 1)], ids=["mid-epoch", "boundary", "twice"])
def test_stop_and_resume_gives_the_same_weights(options: TrainOptions, trained: Path, stops: tuple[int, ...]) -> None:
    for n, step in enumerate(stops):
        with pytest.raises(Stopped, match=rf"saved at step {step} of {TOTAL} .*--resume") as caught:
            train(replace(options, stop_after=step, resume=n > 0))
        assert not caught.value.by_signal
        assert not options.output.exists()
    assert_same_weights(train(replace(options, resume=True)), trained)
    first, second = (json.loads((folder / "metrics.json").read_bytes()) for folder in (options.output, trained))
    assert first["curve"]["validation"] == second["curve"]["validation"]
    assert not work_folder(options.output).exists()


def test_dropout_and_gradient_accumulation_survive_a_resume(options: TrainOptions, tmp_path: Path) -> None:
    whole = train(replace(options, gradient_accumulation=3, output=tmp_path / "whole"))
    with pytest.raises(Stopped, match="saved at step 7 of 20"):
        train(replace(options, gradient_accumulation=3, stop_after=7))
    assert_same_weights(train(replace(options, gradient_accumulation=3, resume=True)), whole)


def test_stop_after_the_end_is_no_stop(options: TrainOptions, trained: Path) -> None:
    assert_same_weights(train(replace(options, stop_after=TOTAL)), trained)


def signal_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int, *, times: int = 1) -> None:
    def on_step_begin(self: ProgressBar, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step - 1:
            for _ in range(times):
                signal.raise_signal(number)

    monkeypatch.setattr(ProgressBar, "on_step_begin", on_step_begin)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_saves_and_stops(
    options: TrainOptions, trained: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        signal_at(patch, 6, number)
        with pytest.raises(Stopped, match="saved at step 6 of 56") as caught:
            train(options)
    assert caught.value.by_signal
    assert signal.getsignal(number) is before
    assert_same_weights(train(replace(options, resume=True)), trained)


def test_second_signal_stops_at_once(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_at(monkeypatch, 6, signal.SIGINT, times=2)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(options)
    assert not isinstance(caught.value, Stopped)
    assert last_checkpoint(work_folder(options.output)) is None
    assert not options.output.exists()


@pytest.fixture
def stopped(options: TrainOptions) -> TrainOptions:
    with pytest.raises(Stopped, match="saved at step 3"):
        train(replace(options, stop_after=3))
    return options


def test_stopped_run_is_not_run_over(stopped: TrainOptions, trained: Path) -> None:
    with pytest.raises(TrainingError, match=r"checkpoint\.work holds a run that was stopped.*--resume.*--overwrite"):
        train(stopped)
    assert_same_weights(train(replace(stopped, overwrite=True)), trained)


def test_changed_options_or_data_are_not_resumed(stopped: TrainOptions, tmp_path: Path, table: Path) -> None:
    with pytest.raises(TrainingError, match=r"has changed: batch_size was 8, is 4; epochs was 4, is 3\."):
        train(replace(stopped, resume=True, epochs=3, batch_size=4))
    copy = tmp_path / "copy.csv"
    copy.write_text(table.read_text() + "150,ba ce,oncology\n")
    with pytest.raises(TrainingError, match=r"has changed: test was '.*', is '.*'; train was"):
        train(replace(stopped, resume=True, data=copy))


def test_moved_data_is_resumed(stopped: TrainOptions, tmp_path: Path, table: Path, trained: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(table.read_bytes())
    assert_same_weights(train(replace(stopped, resume=True, data=copy)), trained)


def test_nothing_to_resume(options: TrainOptions) -> None:
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(replace(options, resume=True))


def test_checkpoint_that_was_not_written_to_its_end_is_passed_over(stopped: TrainOptions, trained: Path) -> None:
    work = work_folder(stopped.output)
    half = work / "checkpoint-9"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    (half / "trainer_state.json").write_text('{"epoch": 0.')
    assert last_checkpoint(work) == work / "checkpoint-3"
    assert_same_weights(train(replace(stopped, resume=True)), trained)


# Faults


def test_loss_that_is_not_finite_stops_the_run(options: TrainOptions, tiny_encoder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_encoder, broken)
    weights = load_file(broken / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1: .*No epoch was done.*--learning-rate"):
        train(replace(options, model=str(broken)))
    assert not options.output.exists()


def test_loss_that_is_not_finite_later_leaves_the_last_epoch(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[torch.Tensor] = []

    def diverging(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        losses.append(loss)
        return loss * float("inf") if len(losses) > STEPS + 4 else loss

    monkeypatch.setattr("medclf.train.losses.plain_loss", diverging)
    with pytest.raises(TrainingError, match=rf"the loss is inf at step \d+: .*kept in .*checkpoint-{STEPS}\. Lower"):
        train(options)
    kept = work_folder(options.output) / f"checkpoint-{STEPS}" / "model.safetensors"
    assert all(torch.isfinite(weights).all() for weights in load_file(kept).values())
    assert not options.output.exists()
    with pytest.raises(TrainingError, match="the loss is inf"):  # it would go the same way again
        train(replace(options, resume=True))
    assert kept.exists()


def test_output_that_exists_is_refused_before_the_data_is_read(options: TrainOptions, tmp_path: Path) -> None:
    options.output.mkdir()
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        train(replace(options, data=tmp_path / "none.csv"))


def test_label_that_training_never_saw(options: TrainOptions, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(f"text,label\n{CANARY},oncology\n{CANARY},urology\n{CANARY},nephrology\n")
    with pytest.raises(DataError, match=r"2 rows \(2, 3\) with a label .*'nephrology', 'urology'") as caught:
        train(replace(options, eval_data=other))
    assert CANARY not in str(caught.value)


def test_cuda_that_is_not_there(options: TrainOptions) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(OptionError, match="torch sees no CUDA device"):
        train(replace(options, device="cuda"))


def test_texts_that_are_cut_are_told(options: TrainOptions, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train(replace(options, max_length=8, epochs=1))
    assert "tokens are not seen (--max-length 8, truncate)" in caplog.text


def test_gpu_memory_that_runs_out(options: TrainOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("transformers.Trainer.training_step", fail)
    with pytest.raises(TrainingError, match=r"memory ran out with batches of 8 texts of up to 32 .*Halve --batch-size"):
        train(options)


@contextlib.contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """Make every larger file fail while it is written, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("n_bytes", [50_000, 250_000], ids=["weights", "optimizer"])
def test_full_disk_leaves_no_output(options: TrainOptions, n_bytes: int) -> None:
    with file_size_limit(n_bytes), pytest.raises(OutputError, match=r"checkpoint\.work cannot be written"):
        train(options)
    assert not options.output.exists()
    assert last_checkpoint(work_folder(options.output)) is None


def test_full_disk_at_the_end_can_be_resumed(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch, trained: Path
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("medclf.train.output.draw_curve", full)
        with pytest.raises(OutputError, match="No space left on device"):
            train(options)
    assert [path.name for path in options.output.parent.iterdir()] == ["checkpoint.work"]
    assert_same_weights(train(replace(options, resume=True)), trained)
