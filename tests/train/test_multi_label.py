"""Runs on tables in which a text may have any number of labels."""

import csv
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import multi_label_rows, write_jsonl
from safetensors.torch import load_file

from medclf.bundle import TextColumns
from medclf.data.tables import read_labelled
from medclf.errors import DataError
from medclf.evaluate.calibration import calibration_error
from medclf.evaluate.metrics import scores
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import read_checkpoint
from medclf.train.dataset import Collate, EncodedTexts
from medclf.train.losses import Objective
from medclf.train.options import TrainOptions
from medclf.train.parts import fix_labels, read_parts
from medclf.train.run import Stopped, train
from medclf.train.trainer import compute_metrics

# transformers 4 says so of checkpoints that are written within a second of each other, and goes by their numbers
pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable")

CANARY = "CANARY-7f3a"
SETTINGS: dict[str, Any] = {
    "epochs": 8,
    "batch_size": 8,
    "max_length": 48,
    "learning_rate": 4e-3,
    "device": "cpu",
    "precision": "fp32",
    "patience": 0,
}


@pytest.fixture
def options(multi_label_table: Path, tiny_encoder: Path, tmp_path: Path) -> TrainOptions:
    return TrainOptions(data=multi_label_table, model=str(tiny_encoder), output=tmp_path / "checkpoint", **SETTINGS)


@pytest.fixture(scope="module")
def trained(multi_label_table: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "checkpoint"
    return train(TrainOptions(data=multi_label_table, model=str(tiny_encoder), output=output, **SETTINGS))


def test_checkpoint_carries_task_thresholds_and_temperature(trained: Path) -> None:
    checkpoint = read_checkpoint(trained)
    labels = checkpoint.labels
    assert (labels.names, labels.multi_label) == (("cardiology", "neurology", "oncology"), True)
    assert labels.thresholds is not None
    assert len(set(labels.thresholds)) == 3  # fitted, not 0.5
    assert checkpoint.config["problem_type"] == "multi_label_classification"
    assert checkpoint.record is not None
    assert checkpoint.record.temperature != 1.0
    assert {name: split.n_rows for name, split in checkpoint.record.splits.items()} == {
        "train": pytest.approx(168, abs=8),
        "validation": pytest.approx(24, abs=8),
        "test": pytest.approx(48, abs=8),
    }


def test_scores_are_those_of_the_saved_weights_with_temperature_and_thresholds(
    trained: Path, multi_label_table: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    checkpoint = read_checkpoint(trained)
    record, labels = checkpoint.record, checkpoint.labels
    assert record is not None
    data = read_labelled(multi_label_table, columns=TextColumns(), label_column=("label",))
    part = data.select([row - 1 for row in record.splits["test"].rows or ()])
    encoder = TextEncoder((trained / "tokenizer.json").read_text(), max_length=record.max_length)
    feed = {name: torch.from_numpy(a) for name, a in encoder.pad(encoder.encode(part.texts)).feed().items()}
    with torch.no_grad():
        logits = AutoModelForSequenceClassification.from_pretrained(trained).eval()(**feed).logits.numpy()
    probabilities, targets = labels.probabilities(logits / record.temperature), labels.targets(part.labels)
    expected = scores(targets, labels.predicted(probabilities), labels.names)
    assert record.metrics["test"]["model"] == expected
    assert expected["macro_f1"] > 0.7  # the table can be learned; all labels for every text give 0.57
    after = record.metrics["calibration"]["test"]["ece_after"]
    assert after == pytest.approx(calibration_error(labels, probabilities, targets), abs=1e-4)


SCORES = ["exact_match", "micro_f1", "macro_f1", "weighted_f1", "samples_f1"]


def test_metrics_hold_every_score(trained: Path) -> None:
    document = json.loads((trained / "metrics.json").read_bytes())
    for part in ("validation", "test"):
        for model in ("model", "baseline", "baseline_balanced"):
            assert list(document[part][model])[:5] == SCORES
        assert document["calibration"][part].keys() == {"ece_before", "ece_after"}
    curve = document["curve"]["validation"]
    assert curve[0].keys() == {"step", "loss", *SCORES}
    best = max(curve, key=lambda point: point["macro_f1"])
    assert document["run"]["best_step"] == best["step"]
    assert document["validation"]["model"]["macro_f1"] == pytest.approx(best["macro_f1"])


def test_stop_and_resume_gives_the_same_weights(options: TrainOptions, trained: Path) -> None:
    with pytest.raises(Stopped, match="saved at step 30"):
        train(replace(options, stop_after=30))
    folder = train(replace(options, resume=True))
    one, two = (load_file(path / "model.safetensors") for path in (folder, trained))
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    assert read_checkpoint(folder).labels == read_checkpoint(trained).labels


def test_strings_and_columns_of_0_and_1_give_the_same_data(options: TrainOptions, tmp_path: Path) -> None:
    rows = multi_label_rows(60)
    names = ("cardiology", "neurology", "oncology")

    def write(name: str, header: tuple[str, ...], cells: list[tuple[object, ...]]) -> Path:
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *cells])
        return tmp_path / name

    joined = write("a.csv", ("text", "label"), [(row["text"], ";".join(row["label"])) for row in rows])
    wide = [(row["text"], *(int(name in row["label"]) for name in names)) for row in rows]
    forms = (
        replace(options, data=write_jsonl(tmp_path / "a.jsonl", rows)),
        replace(options, data=joined, multi_label=True),
        replace(options, data=write("b.csv", ("text", *names), wide), label_column=names),
    )
    parts = [read_parts(form) for form in forms]
    assert parts[0].train.labels == parts[1].train.labels == parts[2].train.labels
    assert parts[0].test.texts == parts[1].test.texts == parts[2].test.texts
    assert len({fix_labels(part).sha256 for part in parts}) == 1


def test_tables_must_have_one_task(options: TrainOptions, table: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "single.jsonl", [{"text": CANARY, "label": "oncology"}])
    with pytest.raises(DataError, match=r"row 1 is str|row 1 holds") as caught:
        read_parts(replace(options, eval_data=write_jsonl(tmp_path / "a.jsonl", [{"text": CANARY, "label": {}}])))
    assert CANARY not in str(caught.value)
    assert read_parts(replace(options, eval_data=rows)).validation.labels == [("oncology",)]
    several = write_jsonl(tmp_path / "several.jsonl", [{"text": CANARY, "label": ["oncology"]}])
    with pytest.raises(DataError, match="row 1 is list, a single label was expected") as caught:
        read_parts(replace(options, data=table, eval_data=several))
    assert CANARY not in str(caught.value)


def test_labels_that_training_never_saw(options: TrainOptions, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": CANARY, "label": names} for names in ([], ["oncology", "urology"])]
    parts = read_parts(replace(options, test_data=write_jsonl(tmp_path / "a.jsonl", rows)))
    with pytest.raises(DataError, match=r"row 2 with a label that training never saw: 'urology'") as caught:
        fix_labels(parts)
    assert CANARY not in str(caught.value)


def test_column_without_a_1_is_refused(options: TrainOptions, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,x,y\n" + "".join(f"text {i},{i % 2},0\n" for i in range(40)))
    with pytest.raises(DataError, match="no training row has a 1 in 'y'"):
        read_parts(replace(options, data=path, label_column=("x", "y")))


def test_joined_labels_that_are_taken_for_one_are_told(
    options: TrainOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"text {i},{'a;b' if i % 2 else 'a'}\n" for i in range(40)))
    with caplog.at_level(logging.WARNING):
        assert fix_labels(read_parts(replace(options, data=path))).names == ("a", "a;b")
    assert "1 of 2 labels hold ';'" in caplog.text
    assert "--multi-label" in caplog.text


def test_label_without_a_validation_row_keeps_one_half(
    options: TrainOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row for row in multi_label_rows(60, seed=3) if "oncology" not in row["label"]]  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        folder = train(replace(options, eval_data=write_jsonl(tmp_path / "a.jsonl", rows), epochs=1))
    assert "no validation row has the label 'oncology': the threshold stays 0.5" in caplog.text
    thresholds = read_checkpoint(folder).labels.thresholds
    assert thresholds is not None
    assert thresholds[2] == 0.5


# The parts of a step


def test_batches_hold_a_float_for_every_label(tiny_encoder: Path) -> None:
    encoder = TextEncoder((tiny_encoder / "tokenizer.json").read_text(), max_length=64)
    given = np.array([[True, False, True], [False, False, False]])
    dataset = EncodedTexts(encoder.encode(["ba", "ce di fo gu"]), given)
    batch = Collate(encoder)([dataset[i] for i in range(2)])
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"].tolist() == given.astype(float).tolist()
    assert dataset.by_length()[0].target.tolist() == [False, False, False]


def test_loss_of_several_batches_is_the_mean_over_every_label_of_every_text() -> None:
    logits, labels = torch.randn(7, 3), torch.randint(0, 2, (7, 3)).float()
    whole = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    parts = [Objective()({"logits": logits[s]}, labels[s], 21) for s in (slice(0, 5), slice(5, 7))]
    assert sum(parts) == pytest.approx(whole.item())
    assert Objective()({"logits": logits}, labels).item() == pytest.approx(whole.item())


def test_a_model_that_has_just_begun_is_scored_by_its_order() -> None:
    logits = np.array([[-3.0, -4.0], [-3.5, -3.0], [-4.0, -4.0]], dtype=np.float32)  # all under 0.5
    assert compute_metrics(logits, np.eye(3, 2, dtype=bool))["macro_f1"] == 1.0
