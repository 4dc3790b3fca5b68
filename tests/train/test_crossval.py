"""Cross-validation: every row answered once, planted errors found, stopped runs resumed, no text written."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import LABELS, labelled_rows, multi_label_rows, write_csv, write_jsonl

from medclf.errors import DataError, OptionError, OutputError, TrainingError
from medclf.train.crossval import CrossvalOptions, cross_validate
from medclf.train.options import TrainOptions
from medclf.train.run import Stopped

pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable")

CANARY = "CANARY-7f3a"
PLANTED = (3, 40, 77, 101, 140)  # positions


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    rows = [
        {**row, "text": f"{CANARY} {row['text']}", "patient": f"{CANARY}-{i // 2}"}
        for i, row in enumerate(labelled_rows(150))
    ]
    for i in PLANTED:
        rows[i]["label"] = LABELS[(LABELS.index(rows[i]["label"]) + 1) % 3]
    return write_csv(tmp_path / "notes.csv", rows)


def baseline(data: Path, tmp_path: Path, **more: object) -> Path:
    run = TrainOptions(data=data, output=tmp_path / "crossval", **more)  # type: ignore[arg-type]
    return cross_validate(CrossvalOptions(run, n_folds=5, baseline_only=True))


def errors_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "label_errors.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def predictions_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_planted_errors_rank_first_and_no_text_is_written(planted: Path, tmp_path: Path) -> None:
    folder = baseline(planted, tmp_path)
    ranked = errors_of(folder)
    assert {int(one["row"]) - 1 for one in ranked[: len(PLANTED)]} == set(PLANTED)
    right = {str(i + 1): row["label"] for i, row in enumerate(labelled_rows(150))}
    assert all(one["suggested"] == right[one["row"]] for one in ranked[: len(PLANTED)])
    assert [int(one["rank"]) for one in ranked] == list(range(1, 151))
    metrics = json.loads((folder / "metrics.json").read_bytes())
    assert metrics["likely_label_errors"] == sum(int(one["likely_error"]) for one in ranked)
    scored = metrics["scores"]["baseline"]["macro_f1"]
    assert len(scored["folds"]) == 5
    assert scored["mean"] == pytest.approx(np.mean(scored["folds"]))
    assert scored["sd"] == pytest.approx(np.std(scored["folds"], ddof=1))
    assert scored["mean"] > 0.8
    assert not any(CANARY.encode() in path.read_bytes() for path in folder.iterdir())


def test_every_row_is_answered_once_and_groups_stay_in_one_fold(planted: Path, tmp_path: Path) -> None:
    found = predictions_of(baseline(planted, tmp_path, group_column="patient"))
    assert [one["row"] for one in found] == list(range(1, 151))
    folds = [one["fold"] for one in found]
    assert set(folds) == {1, 2, 3, 4, 5}
    assert folds[::2] == folds[1::2]
    for one in found:
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-4)  # type: ignore[attr-defined]


def test_planted_errors_of_sets(tmp_path: Path) -> None:
    rows = multi_label_rows(240)
    wrong = [i for i, row in enumerate(rows) if "oncology" in row["label"]][5:60:10]  # type: ignore[operator]
    for i in wrong:
        rows[i]["label"] = [one for one in rows[i]["label"] if one != "oncology"]  # type: ignore[attr-defined]
    folder = baseline(write_jsonl(tmp_path / "notes.jsonl", rows), tmp_path)
    first = errors_of(folder)[: 2 * len(wrong)]
    assert set(wrong) <= {int(one["row"]) - 1 for one in first}
    assert all("oncology" in one["suggested"] for one in first if int(one["row"]) - 1 in wrong)


def test_without_a_model_torch_is_not_loaded(planted: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from medclf.train.crossval import *; "
        f"run = TrainOptions(data=Path({str(planted)!r}), output=Path({str(tmp_path / 'out')!r})); "
        "cross_validate(CrossvalOptions(run, baseline_only=True)); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def with_model(planted: Path, tiny_encoder: Path, tmp_path: Path) -> TrainOptions:
    return TrainOptions(
        data=planted, model=str(tiny_encoder), output=tmp_path / "crossval", epochs=2, batch_size=16, max_length=32,
        learning_rate=6e-3, device="cpu",
    )  # fmt: skip


def test_stopped_model_goes_on_to_the_same_answers(with_model: TrainOptions, tmp_path: Path) -> None:
    whole = cross_validate(CrossvalOptions(replace(with_model, output=tmp_path / "whole"), n_folds=2))
    with pytest.raises(Stopped, match=r"saved at step 6 of .*--resume"):
        cross_validate(CrossvalOptions(replace(with_model, stop_after=6), n_folds=2))
    assert not with_model.output.exists()
    with pytest.raises(TrainingError, match=r"crossval\.work holds a run that was stopped"):
        cross_validate(CrossvalOptions(with_model, n_folds=2))
    with pytest.raises(TrainingError, match="has changed: folds was '2', is '3'"):
        cross_validate(CrossvalOptions(replace(with_model, resume=True), n_folds=3))
    resumed = cross_validate(CrossvalOptions(replace(with_model, resume=True), n_folds=2))
    for name in ("predictions.jsonl", "label_errors.csv"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert not (tmp_path / "crossval.work").exists()
    metrics = json.loads((whole / "metrics.json").read_bytes())
    assert (metrics["probabilities_of"], set(metrics["scores"])) == ("model", {"baseline", "model"})
    # the probabilities are those of their rows: what they say agrees with the scores of the folds
    found = predictions_of(whole)
    hits = [max(one["probabilities"], key=one["probabilities"].get) == one["label"] for one in found]  # type: ignore[attr-defined]
    assert np.mean(hits) == pytest.approx(metrics["scores"]["model"]["accuracy"]["mean"], abs=0.01)


def test_what_cannot_be_cross_validated(planted: Path, tmp_path: Path, with_model: TrainOptions) -> None:
    with pytest.raises(OptionError, match="folds is 1, expected 2 to 100"):
        CrossvalOptions(TrainOptions(data=planted), n_folds=1)
    with pytest.raises(OptionError, match="resume needs a model"):
        CrossvalOptions(TrainOptions(data=planted, resume=True), baseline_only=True)
    with pytest.raises(TrainingError, match="nothing to resume"):
        cross_validate(CrossvalOptions(replace(with_model, resume=True)))
    (tmp_path / "crossval").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        baseline(planted, tmp_path)
    rows = [*labelled_rows(40), *({"id": str(i), "text": f"only {i}", "label": "rare"} for i in range(2))]
    with pytest.raises(DataError, match=r"split into 3 parts: 'rare' \(2\)"):
        baseline(write_csv(tmp_path / "rare.csv", rows), tmp_path, overwrite=True)
    both = [{**row, "label": label} for row in labelled_rows(30) for label in LABELS]
    with pytest.raises(DataError, match="every one of its 30 different texts occurs under more than one label"):
        baseline(write_csv(tmp_path / "both.csv", both), tmp_path, overwrite=True)
