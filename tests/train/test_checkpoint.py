"""The record of a training run: what is read back, and what is refused."""

import json
from pathlib import Path

import pytest

from medclf.bundle import TextColumns
from medclf.errors import CheckpointError
from medclf.labels import Labels
from medclf.train.checkpoint import TRAINING, TrainingRecord, read_checkpoint

RECORD = TrainingRecord(TextColumns(), ("label",), max_length=64, temperature=1.5)


def test_record_is_read_back() -> None:
    assert TrainingRecord.from_json(RECORD.to_json()) == RECORD


def test_record_of_version_0_1() -> None:
    data = json.loads(RECORD.to_json())
    del data["temperature"]
    record = TrainingRecord.from_json(json.dumps({**data, "label_column": "kind"}))
    assert (record.label_column, record.temperature) == (("kind",), 1.0)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), "warm", None])
def test_temperature_must_be_over_0(tiny_multi_label_checkpoint: Path, temperature: object) -> None:
    path = tiny_multi_label_checkpoint / TRAINING
    path.write_text(json.dumps({**json.loads(RECORD.to_json()), "temperature": temperature}))
    try:
        with pytest.raises(CheckpointError, match=r"training\.json is damaged: .*(temperature|TypeError)"):
            read_checkpoint(tiny_multi_label_checkpoint)
    finally:
        path.unlink()


def test_thresholds_are_read_from_the_configuration(tiny_multi_label_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_multi_label_checkpoint)
    names = ("cardiology", "neurology", "oncology")
    assert checkpoint.labels == Labels(names, "multi_label_classification", (0.5, 0.25, 0.75))
    assert checkpoint.record is None
