"""Runs on long texts: what is trained and scored is what is served."""

import logging
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import LABELS, WORDS, write_jsonl

from medclf.bundle import TextColumns, read_manifest
from medclf.data.tables import read_labelled
from medclf.errors import CheckpointError, OptionError
from medclf.evaluate.metrics import scores
from medclf.labels import Labels
from medclf.long_text import LongText
from medclf.runtime import Classifier
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import TRAINING, TrainingRecord, read_checkpoint
from medclf.train.dataset import EncodedTexts
from medclf.train.fit import log_lengths
from medclf.train.options import TrainOptions
from medclf.train.run import train
from medclf_export.pipeline import ExportOptions, export_bundle

pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable")
SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "max_length": 16,
    "learning_rate": 4e-3,
    "device": "cpu",
    "precision": "fp32",
    "patience": 0,
}
POLICIES: dict[str, dict[str, Any]] = {
    "mean": {"long_text": "windows", "stride": 9, "pooling": "mean", "max_windows": 4},
    "noisy-or": {"long_text": "windows", "stride": 9, "pooling": "noisy-or", "max_windows": 4},
}


def long_rows(n: int, *, several: bool) -> list[dict[str, object]]:
    """Texts of 8 to 70 words, what tells the label anywhere in them."""
    chance = random.Random(4)
    rows: list[dict[str, object]] = []
    for i in range(n):
        given = [label for label in range(3) if chance.random() < 0.4] if several else [i % 3]
        words = chance.choices(WORDS[150:], k=chance.randint(4, 50))
        for label in given:
            at = chance.randrange(len(words) + 1)
            words[at:at] = chance.choices(WORDS[label * 16 : label * 16 + 16], k=6)
        names = [LABELS[label] for label in given]
        rows.append({"text": " ".join(words), "label": names if several else names[0]})
    return rows


@pytest.fixture(scope="module", params=[("mean", False), ("noisy-or", True)], ids=str)
def run(request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a checkpoint of it and the bundle."""
    name, several = request.param
    folder = tmp_path_factory.mktemp("long")
    table = write_jsonl(folder / "notes.jsonl", long_rows(120, several=several))
    options = TrainOptions(table, model=str(tiny_encoder), output=folder / "checkpoint", **SETTINGS, **POLICIES[name])
    export_bundle(ExportOptions(train(options), folder / "bundle"))
    return folder


def test_scores_of_training_are_those_of_the_bundle(run: Path) -> None:
    checkpoint, manifest = read_checkpoint(run / "checkpoint"), read_manifest(run / "bundle")
    record = checkpoint.record
    assert record is not None
    assert record.long_text == manifest.long_text
    assert record.temperature == manifest.temperature
    table = read_labelled(run / "notes.jsonl", columns=TextColumns(), label_column=("label",))
    part = table.select([row - 1 for row in record.splits["test"].rows or ()])
    with Classifier.load(run / "bundle", precision="fp32") as classifier:
        answers = classifier.classify(part.texts)
    targets = manifest.labels.targets(part.labels)
    assert (
        scores(targets, manifest.labels.predicted(answers.probabilities), manifest.labels.names)
        == (record.metrics["test"]["model"])
    )
    assert answers.n_windows.max() == 4
    assert answers.truncated.any()  # 4 windows of 14 do not hold 56 tokens


def test_the_models_carry_the_policy_and_the_bundle_verifies(run: Path) -> None:
    import onnx

    from medclf.runtime.verify import verify

    manifest = read_manifest(run / "bundle")
    props = {one.key: one.value for one in onnx.load(run / "bundle" / "onnx" / "model.onnx").metadata_props}
    assert props["medclf.long_text"] == str(manifest.long_text)
    assert [check for check in verify(run / "bundle") if not check.passed] == []


def test_the_exporter_keeps_what_training_fixed(run: Path, tmp_path: Path) -> None:
    record = read_checkpoint(run / "checkpoint").record
    assert record is not None
    with pytest.raises(OptionError, match=f"long_text is 'truncate', but .* was trained with '{record.long_text}'"):
        export_bundle(ExportOptions(run / "checkpoint", tmp_path / "bundle", long_text="truncate"))
    with pytest.raises(OptionError, match="stride is 9, expected 1 to 8"):
        export_bundle(ExportOptions(run / "checkpoint", tmp_path / "bundle", max_length=10))


def test_head_and_tail_keep_their_proportion_at_another_length(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))
    record = TrainingRecord(TextColumns(), ("label",), 64, long_text=LongText.of("head_tail", max_length=64))
    (folder / TRAINING).write_text(record.to_json())
    manifest = export_bundle(ExportOptions(folder, tmp_path / "bundle", max_length=34))
    assert str(manifest.long_text) == "head_tail:head=8,tail=24"


def test_a_checkpoint_of_others_is_given_its_policy(tiny_checkpoint: Path, tmp_path: Path) -> None:
    options = ExportOptions(tiny_checkpoint, tmp_path / "bundle", max_length=32, long_text="windows")
    assert str(export_bundle(options).long_text) == "windows:stride=22,pooling=mean,max_windows=16"
    exact = "windows:stride=5,pooling=max,max_windows=3"
    assert str(export_bundle(replace(options, long_text=exact, overwrite=True)).long_text) == exact
    with pytest.raises(OptionError, match="'noisy-or', but a text has one label"):
        export_bundle(replace(options, long_text=exact.replace("max,", "noisy-or,"), overwrite=True))


def test_every_window_is_an_example_with_the_target_of_its_text(tiny_encoder: Path) -> None:
    options = TrainOptions(Path("a.csv"), max_length=16, long_text="windows", stride=10)
    encoder = TextEncoder((tiny_encoder / "tokenizer.json").read_text(), max_length=16, long_text=options.policy)
    texts = ["ba", " ".join(WORDS[:40]), "ce di"]
    dataset = EncodedTexts(encoder.encode(texts), np.array([2, 0, 1]))
    assert [dataset[i].target for i in range(len(dataset))] == [2, 0, 0, 0, 0, 1]
    longest_first = [float(len(one.encoded)) for one in dataset.by_length()]
    assert longest_first == sorted(longest_first, reverse=True)
    assert dataset.restore(np.array(longest_first)[:, None]).ravel().tolist() == dataset.lengths.tolist()
    pooled = dataset.pool(np.array([[1, 0], [9, 0], [-9, 0], [9, 0], [-9, 0], [0, 2]], dtype=np.float32))
    assert Labels(("a", "b")).probabilities(pooled)[:, 0] == pytest.approx([0.731, 0.5, 0.119], abs=1e-3)


def test_windows_and_cut_tokens_are_told(tiny_encoder: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = TrainOptions(Path("a.csv"), max_length=16, **POLICIES["mean"])
    encoder = TextEncoder((tiny_encoder / "tokenizer.json").read_text(), max_length=16, long_text=options.policy)
    with caplog.at_level(logging.INFO):
        log_lengths(encoder.encode(["baba " * n for n in (14, 15, 41, 42)]), options)
    assert [record.getMessage() for record in caplog.records] == [
        "4 training texts are 11 windows of up to 16 tokens",
        "1 of 4 training texts are cut: 1 tokens are not seen "
        "(--max-length 16, windows:stride=9,pooling=mean,max_windows=4)",
    ]


def test_noisy_or_is_for_several_labels_a_text(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    options = TrainOptions(table, model=str(tiny_encoder), output=tmp_path / "c", **SETTINGS, **POLICIES["noisy-or"])
    with pytest.raises(OptionError, match="'noisy-or', but a text has one label"):
        train(options)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"long_text": "summary"}, "long_text is 'summary', expected one of truncate, head_tail, windows"),
        ({"stride": 9}, "stride given, but long_text is 'truncate'"),
        ({"long_text": "windows", "stride": 900}, "stride is 900, expected 1 to 254"),
        ({"long_text": "windows", "text_pair_column": ("b",)}, "the texts are pairs: expected 'truncate'"),
    ],
)
def test_options_that_do_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainOptions(Path("a.csv"), **given)


def test_a_record_with_an_unknown_policy_is_refused(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run / "checkpoint", tmp_path / "checkpoint"))
    text = (folder / TRAINING).read_text()
    policy = str(read_manifest(run / "bundle").long_text)
    (folder / TRAINING).write_text(text.replace(policy, "summary"))
    with pytest.raises(CheckpointError, match="is damaged: long_text is 'summary'"):
        read_checkpoint(folder)
