"""What a run writes: the checkpoint folder, whole or not at all."""

import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sklearn
import torch
import transformers

import medclf
from medclf.atomic import atomic_folder
from medclf.data.tables import LabelledTexts
from medclf.evaluate.baseline import BASELINES
from medclf.labels import Labels
from medclf.train.checkpoint import TRAINING, SplitRecord, TrainingRecord
from medclf.train.curve import draw_curve, learning_curve
from medclf.train.fit import SCORED, Fitted
from medclf.train.model import save_tokenizer
from medclf.train.options import TrainOptions
from medclf.train.parts import Parts
from medclf.train.precision import precision_of
from medclf.train.scoring import judge
from medclf.train.trainer import ClassifierTrainer
from medclf.train.work import disk_faults, work_folder

METRICS = "metrics.json"
Scores = dict[str, dict[str, Any]]  # part -> baseline -> its scores


def _best_step(trainer: ClassifierTrainer) -> int:
    return int(Path(trainer.state.best_model_checkpoint).name.split("-")[1])


def write_checkpoint(fitted: Fitted, parts: Parts, labels: Labels, baselines: Scores, *, given: TrainOptions) -> None:
    """Judge a model, write its checkpoint, and remove its work folder.

    Args:
        fitted: The model.
        parts: Of the data.
        labels: The label contract.
        baselines: What TF-IDF got on the same parts.
        given: What the user asked for, which is recorded; the model's own options may have another seed and folder.

    Raises:
        OutputError: The output cannot be written.
    """
    options, trainer, outcome = fitted.job.options, fitted.trainer, judge(fitted.outputs, labels)
    metrics: dict[str, Any] = {name: {"model": outcome.scores[name], **baselines[name]} for name in SCORED}
    if fitted.taught:
        for name, scores in judge(fitted.taught, labels).scores.items():
            metrics[name]["teacher"] = scores
    metrics["calibration"] = outcome.calibration
    curve = learning_curve(trainer.state.log_history)
    record = TrainingRecord(
        columns=options.columns,
        label_column=options.label_column,
        max_length=options.max_length,
        splits=split_records(parts, options),
        base_model=str(options.teacher) if options.cut_from_teacher else options.model,
        options=replace(given, learning_rate=trainer.args.learning_rate).to_json(),
        token_lengths=fitted.token_lengths,
        metrics=metrics,
        encoding=options.encoding,
        versions=_versions(),
        temperature=outcome.temperature,
        long_text=options.policy,
    )
    run = {
        "seconds": fitted.seconds,
        "steps": trainer.state.global_step,
        "best_step": _best_step(trainer),
        "precision": precision_of(options),
    }
    if parts.stream:
        run["baseline_rows"] = len(parts.train)
    trainer.model.config.update(outcome.labels.config())  # now with thresholds
    with disk_faults(options.output), atomic_folder(options.output, overwrite=options.overwrite) as folder:
        trainer.model.save_pretrained(folder)
        save_tokenizer(folder, fitted.job.start.tokenizer_json, max_length=options.max_length)
        (folder / TRAINING).write_text(record.to_json(), encoding="utf-8")
        write_json(folder / METRICS, {**metrics, "run": run, "curve": curve})
        draw_curve(curve, _best_baseline(metrics["validation"]), folder / "learning_curve.png")
    shutil.rmtree(work_folder(options.output), ignore_errors=True)


def publish(checkpoint: Path, options: TrainOptions, more: Mapping[str, Any]) -> None:
    """Make the best of several checkpoints the output, and remove the work folder.

    Args:
        checkpoint: The best one, in the work folder.
        options: Of the run.
        more: Further entries of its `metrics.json`.

    Raises:
        OutputError: The output cannot be written.
    """
    metrics = json.loads((checkpoint / METRICS).read_bytes())
    with disk_faults(options.output), atomic_folder(options.output, overwrite=options.overwrite) as folder:
        shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
        write_json(folder / METRICS, {**metrics, **more})
    shutil.rmtree(work_folder(options.output), ignore_errors=True)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as people can read it.

    Args:
        path: The file.
        document: Numbers and names.
    """
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _best_baseline(scored: dict[str, Any]) -> float:
    return max(float(scored[name]["macro_f1"]) for name in BASELINES)


def split_records(parts: Parts, options: TrainOptions) -> dict[str, SplitRecord]:
    """Say which rows of which file each part was.

    Args:
        parts: Of the data.
        options: Of the run.

    Returns:
        Part -> its record; of a stream, all rows.
    """
    found = {name: _split_record(part, options) for name, part in parts.named().items()}
    if parts.stream:
        found["train"] = replace(found["train"], n_rows=parts.stream.n_rows, rows=None)
    return found


def _split_record(part: LabelledTexts, options: TrainOptions) -> SplitRecord:
    whole = part.file != options.data
    return SplitRecord(str(part.file.absolute()), part.sha256, len(part), None if whole else tuple(part.rows))


def _versions() -> dict[str, str]:
    modules = {"medclf": medclf, "torch": torch, "transformers": transformers, "scikit-learn": sklearn}
    return {"python": platform.python_version(), **{name: module.__version__ for name, module in modules.items()}}
