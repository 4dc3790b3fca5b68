"""A smaller model learns from a trained one: its shape, its loss, and what must fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import bert_config, labelled_rows, multi_label_rows, write_csv, write_jsonl
from safetensors.torch import load_file, save_file

from medclf.errors import CheckpointError, DataError, OptionError, TrainingError
from medclf.labels import Labels
from medclf.train.checkpoint import read_checkpoint
from medclf.train.losses import Objective, plain_loss, teacher_loss
from medclf.train.options import SCRATCH, TrainOptions
from medclf.train.run import Stopped, train
from medclf.train.student import make_student, spread, student_config
from medclf.train.teacher import load_teacher

# transformers 4 says so of checkpoints that are written within a second of each other, and goes by their numbers
pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable")

LABELS = Labels(("cardiology", "neurology", "oncology"))
SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "max_length": 32,
    "learning_rate": 2e-3,
    "device": "cpu",
    "precision": "fp32",
    "patience": 0,
}


@pytest.fixture
def options(table: Path, tiny_checkpoint: Path, tmp_path: Path) -> TrainOptions:
    return TrainOptions(table, teacher=tiny_checkpoint, layers=1, output=tmp_path / "student", **SETTINGS)


# The loss


def test_teacher_loss_is_the_divergence_at_a_temperature() -> None:
    own, his = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    p, q = torch.softmax(his / 3, -1), torch.softmax(own / 3, -1)
    found = teacher_loss(own, his, multi_label=False, temperature=3.0)
    assert torch.allclose(found, 9 * (p * (p / q).log()).sum(-1), atol=1e-5)
    assert teacher_loss(his, his, multi_label=False, temperature=3.0).abs().max() < 1e-6
    p, q = torch.sigmoid(his / 3), torch.sigmoid(own / 3)
    found = teacher_loss(own, his, multi_label=True, temperature=3.0)
    assert torch.allclose(found, -9 * (p * q.log() + (1 - p) * (1 - q).log()), atol=1e-5)


@pytest.mark.parametrize("several", [False, True])
def test_objective_mixes_labels_and_teacher(several: bool) -> None:
    own, his = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1.0, 0], [0, 1], [torch.nan] * 2]) if several else torch.tensor([0, 1, -1])
    taught = teacher_loss(own, his, multi_label=several, temperature=4.0)
    expected = 0.7 * taught.sum() + 0.3 * plain_loss(own[:2], labels[:2]).sum()  # the third text has no label
    found = Objective(alpha=0.3, temperature=4.0)({"logits": own}, labels, None, his)
    assert found.item() == pytest.approx(expected.item() / labels.numel())


# The student


def test_layers_are_spread_evenly() -> None:
    assert [spread(6, n) for n in (1, 2, 3, 6)] == [[5], [0, 5], [0, 2, 5], [0, 1, 2, 3, 4, 5]]
    assert spread(12, 6) == [0, 2, 4, 7, 9, 11]


def test_fewer_layers_are_copies_of_the_teachers(options: TrainOptions) -> None:
    teacher = load_teacher(options, LABELS)
    assert teacher is not None
    student = make_student(teacher, options)
    weights, own = teacher.model.state_dict(), student.model.state_dict()
    name = "bert.encoder.layer.{}.attention.self.query.weight"
    assert torch.equal(own[name.format(0)], weights[name.format(1)])
    for same in ("classifier.weight", "bert.embeddings.word_embeddings.weight", "bert.pooler.dense.bias"):
        assert torch.equal(own[same], weights[same])
    assert not student.head_is_new


def test_narrower_layers_are_cut(options: TrainOptions) -> None:
    narrow = replace(options, layers=None, hidden_size=16)
    teacher = load_teacher(narrow, LABELS)
    assert teacher is not None
    model = make_student(teacher, narrow).model
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 16, 1)
    assert config.intermediate_size == 32
    weights, name = teacher.model.state_dict(), "bert.encoder.layer.1.output.dense.weight"
    assert torch.equal(model.state_dict()[name], weights[name][:16, :32])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"layers": 3, "hidden_size": None}, "3 layers, 32 wide, is larger than its teacher of 2 layers, 32 wide"),
        ({"layers": None, "hidden_size": 64}, "2 layers, 64 wide, is larger"),
        ({"layers": 1, "hidden_size": 24}, "hidden_size is 24, expected a multiple of 16, the width of a head"),
    ],
)
def test_shapes_that_cannot_be(shape: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        student_config(bert_config(), **shape)


# Whole runs


def test_student_is_trained_and_exported_like_any_model(options: TrainOptions) -> None:
    folder = train(options)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.config["num_hidden_layers"] == 1
    assert checkpoint.record is not None
    assert checkpoint.record.base_model == str(options.teacher)
    document = json.loads((folder / "metrics.json").read_bytes())
    assert document["test"]["teacher"]["n"] == document["test"]["model"]["n"] == 30
    from medclf_export.pipeline import ExportOptions, export_bundle

    export_bundle(ExportOptions(folder, folder.parent / "bundle"))


@pytest.mark.slow
def test_teacher_alone_is_imitated_on_texts_without_labels(options: TrainOptions, tmp_path: Path) -> None:
    """With alpha 0 labels are not looked at: the student of a teacher of shuffled labels gives the shuffled ones."""
    turned = tmp_path / "turned"
    shutil.copytree(options.teacher, turned)
    weights = load_file(turned / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name].roll(1, 0)
    save_file(weights, turned / "model.safetensors", metadata={"format": "pt"})
    more = write_csv(tmp_path / "more.csv", [{"text": row["text"]} for row in labelled_rows(60, seed=4)])
    base = replace(options, layers=None, hidden_size=32, learning_rate=1e-5, epochs=1, unlabelled=more, alpha=0.0)
    plain, other = (
        train(replace(base, teacher=one, output=tmp_path / one.name / "s")) for one in (options.teacher, turned)
    )
    first, second = (load_file(folder / "model.safetensors")["classifier.weight"] for folder in (plain, other))
    assert torch.allclose(first.roll(1, 0), second, atol=1e-3)


def test_several_labels_a_text(options: TrainOptions, tiny_multi_label_checkpoint: Path, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "a.jsonl", multi_label_rows(80))
    more = write_jsonl(tmp_path / "more.jsonl", [{"text": row["text"]} for row in multi_label_rows(30, seed=8)])
    teacher = tiny_multi_label_checkpoint
    folder = train(replace(options, data=data, teacher=teacher, unlabelled=more, epochs=1))
    assert read_checkpoint(folder).labels.multi_label


def test_stop_and_resume_gives_the_same_weights(options: TrainOptions, tmp_path: Path) -> None:
    options = replace(options, epochs=1)
    whole = train(replace(options, output=tmp_path / "whole"))
    with pytest.raises(Stopped, match="saved at step 4"):
        train(replace(options, stop_after=4))
    one, two = (load_file(path / "model.safetensors") for path in (train(replace(options, resume=True)), whole))
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


# What does not fit


def test_resume_with_another_teacher(options: TrainOptions, tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    shutil.copytree(options.teacher, folder)
    with pytest.raises(Stopped, match="saved at step 1"):
        train(replace(options, teacher=folder, stop_after=1))
    weights = load_file(folder / "model.safetensors")
    save_file({n: t * 2 for n, t in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="the run has changed: teacher was"):
        train(replace(options, teacher=folder, resume=True))


def test_teacher_of_other_labels(options: TrainOptions, tmp_path: Path) -> None:
    other = write_csv(tmp_path / "a.csv", [{**row, "label": row["label"][::-1]} for row in labelled_rows(60)])
    with pytest.raises(CheckpointError, match=r"other labels than the training table: 3 \('cardiology', .*'ygo"):
        train(replace(options, data=other))


def test_teacher_of_another_task(options: TrainOptions) -> None:
    with pytest.raises(CheckpointError, match=r"one a text against 3 .* several a text"):
        load_teacher(options, replace(LABELS, task="multi_label_classification"))


def test_teacher_with_another_tokenizer(options: TrainOptions) -> None:
    with pytest.raises(CheckpointError, match=r"its tokenizer is not that of the student\. Cut the student"):
        train(replace(options, layers=None, model=SCRATCH))


def test_teacher_of_shorter_texts(options: TrainOptions) -> None:
    with pytest.raises(CheckpointError, match=r"has 64 positions, but max_length is 128\. Lower --max-length"):
        load_teacher(replace(options, max_length=128), LABELS)


def test_teacher_that_was_not_trained(options: TrainOptions, tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    shutil.copytree(options.teacher, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"weights of its head are missing \(classifier.weight\)"):
        load_teacher(replace(options, teacher=folder), LABELS)


def test_unlabelled_texts_of_the_test_part(options: TrainOptions, table: Path) -> None:
    with pytest.raises(DataError, match="unlabelled and validation must not share anything") as caught:
        train(replace(options, unlabelled=table))
    assert "ba" not in str(caught.value).split()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": None}, "layers needs a teacher"),
        ({"model": "here"}, "model names what to begin from, layers and hidden_size cut it out of the teacher"),
        ({"alpha": 1.5}, "alpha is 1.5, expected 0 to 1"),
        ({"teacher_temperature": 0.0}, "teacher_temperature is 0.0"),
        ({"layers": 0}, "layers is 0, expected 1 or more"),
    ],
)
def test_options_that_mean_nothing(options: TrainOptions, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(options, **changes)


def test_texts_without_labels_stand_last() -> None:
    from medclf.tokenizer import Encoded
    from medclf.train.dataset import EncodedTexts

    one = Encoded(np.array([1, 2], dtype=np.int64), np.array([0, 0], dtype=np.int64), 2, 0)
    part = EncodedTexts([one], np.array([[True, False]])).followed_by([one])
    assert part[0].target.tolist() == [True, False]
    assert np.isnan(part[1].target).all()
    assert EncodedTexts([one], np.array([4])).followed_by([one])[1].target == -1
