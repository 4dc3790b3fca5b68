"""One training run, from a table to a checkpoint folder: read, split, fit the baseline, fine-tune, score, write.

The folder holds what `medclf_export` needs and nothing of the data: weights, configuration with the label contract,
tokenizer, `training.json`, `metrics.json` and the picture of the learning curve.
"""

import json
import logging
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
import transformers
from rich.console import Console

import medclf
from medclf.atomic import atomic_folder
from medclf.data.tables import LabelledTexts
from medclf.evaluate.baseline import BASELINES, Baseline
from medclf.labels import Labels
from medclf.tokenizer import Encoded
from medclf.train.checkpoint import TRAINING, SplitRecord, TrainingRecord
from medclf.train.curve import draw_curve, learning_curve
from medclf.train.dataset import EncodedTexts
from medclf.train.fine_tune import Job, Stopped, fine_tune, input_hashes
from medclf.train.head import start_at_base_rates
from medclf.train.model import Start, learning_rate_for, load_start, save_tokenizer
from medclf.train.options import TrainOptions
from medclf.train.parts import Parts, fix_labels, read_parts
from medclf.train.scoring import Outcome, Outputs, judge, outputs_of
from medclf.train.student import make_student
from medclf.train.teacher import Teacher, give_lesson, load_teacher
from medclf.train.trainer import ClassifierTrainer, training_arguments
from medclf.train.work import check_run, disk_faults, work_folder

__all__ = ["Stopped", "train"]

SCORED = ("validation", "test")
log = logging.getLogger(__name__)


def train(options: TrainOptions, *, console: Console | None = None) -> Path:
    """Train a classifier and write its checkpoint.

    Args:
        options: Of the run.
        console: Where a progress bar is drawn; None draws none.

    Returns:
        The checkpoint folder.

    Raises:
        Stopped: The run was saved and stopped before its end.
        DataError: A table cannot be used.
        OptionError: An option does not fit the model or the machine.
        CheckpointError: The model to begin from cannot be used.
        TrainingError: The run cannot go on, or cannot be resumed.
        OutputError: The output cannot be written.
    """
    check_run(options)
    parts = read_parts(options)
    labels = fix_labels(parts)
    main = int(os.environ.get("RANK", "0")) == 0  # of torchrun's processes, the one that fits the baseline and writes
    baselines = _baseline_scores(parts, labels, options) if main else {}
    fitted = fit(parts, labels, options, console=console)
    if main:
        trainer, outcome = fitted.trainer, judge(fitted.outputs, labels)
        metrics: dict[str, Any] = {name: {"model": outcome.scores[name], **baselines[name]} for name in SCORED}
        if fitted.taught:
            for name, found in judge(fitted.taught, labels).scores.items():
                metrics[name]["teacher"] = found
        metrics["calibration"] = outcome.calibration
        run = {"seconds": fitted.seconds, "steps": trainer.state.global_step, "best_step": _best_step(trainer)}
        _write(fitted.job, parts, trainer, _Results(outcome, metrics, run, fitted.token_lengths))
    return options.output


@dataclass(frozen=True)
class Fitted:
    """A model that was fine-tuned, before anything is written.

    Attributes:
        job: What was fine-tuned on what.
        trainer: Holds the best weights.
        outputs: `validation` and `test` -> logits and targets, in the order of the part.
        seconds: That fine-tuning took.
        token_lengths: Quantiles of the training texts in tokens.
        taught: The same as `outputs` of the teacher; empty without one.
    """

    job: Job
    trainer: ClassifierTrainer
    outputs: dict[str, Outputs]
    seconds: float
    token_lengths: dict[str, float]
    taught: dict[str, Outputs]


def fit(parts: Parts, labels: Labels, options: TrainOptions, *, console: Console | None) -> Fitted:
    """Fine-tune on the training part, and run the best weights on the other two.

    Args:
        parts: Of the data.
        labels: The label contract.
        options: Of the run; nothing but its work folder is written.
        console: Where a progress bar is drawn; None draws none.

    Returns:
        The model and its answers; every process of `torchrun` has them.

    Raises:
        Stopped: The run was saved and stopped before its end.
        OptionError: An option does not fit the model or the machine.
        CheckpointError: The model to begin from cannot be used.
        TrainingError: The run cannot go on, or cannot be resumed.
        OutputError: The disk is full.
    """
    options.check_task(multi_label=labels.multi_label)
    teacher = load_teacher(options, labels)
    start = _start(options, labels, parts, teacher)
    rate = learning_rate_for(options, start.model.config.hidden_size)
    arguments = training_arguments(options, work_folder(options.output), learning_rate=rate)
    encoded = {name: start.encoder.encode(part.texts, part.pairs) for name, part in parts.named().items()}
    log_lengths(encoded["train"], options)
    datasets = {
        name: EncodedTexts(encoded[name], labels.targets(part.labels), pooling=options.policy.pooling)
        for name, part in parts.named().items()
    }
    if start.head_is_new and options.loss != "weighted":  # which makes every label as frequent as its absence
        start_at_base_rates(start.model, datasets["train"].targets)
    hashes = input_hashes(parts, start)
    taught: dict[str, Outputs] = {}
    if teacher is not None:
        lesson = give_lesson(teacher, Job(options, arguments, start, datasets, hashes), parts)
        datasets["train"], taught, hashes = lesson.train, lesson.outputs, {**hashes, **lesson.hashes}
    job = Job(options, arguments, start, datasets, hashes)
    trainer, seconds = fine_tune(job, console=console)
    outputs = {name: outputs_of(trainer, datasets[name]) for name in SCORED}
    return Fitted(job, trainer, outputs, round(seconds, 1), _quantiles(encoded["train"]), taught)


def _start(options: TrainOptions, labels: Labels, parts: Parts, teacher: Teacher | None) -> Start:
    if teacher is not None and options.cut_from_teacher:
        return make_student(teacher, options)
    start = load_start(options, labels, [*parts.train.texts, *(parts.train.pairs or [])])
    if teacher is not None:
        teacher.check_student(start)
    return start


def log_lengths(encoded: Sequence[Encoded], options: TrainOptions) -> None:
    """Tell how many texts are cut, and how many tokens of them are not seen.

    Args:
        encoded: The training texts.
        options: Of the run.
    """
    n_texts, n_windows = len(encoded), sum(one.n_windows for one in encoded)
    n_cut = sum(one.truncated for one in encoded)
    if n_windows > n_texts:
        log.info("%d training texts are %d windows of up to %d tokens", n_texts, n_windows, options.max_length)
    if n_cut:
        log.info(
            "%d of %d training texts are cut: %d tokens are not seen (--max-length %d, %s)",
            n_cut, n_texts, sum(one.n_cut for one in encoded), options.max_length, options.policy,
        )  # fmt: skip


def _baseline_scores(parts: Parts, labels: Labels, options: TrainOptions) -> dict[str, dict[str, Any]]:
    """Part -> baseline -> its scores."""
    found: dict[str, dict[str, Any]] = {part: {} for part in SCORED}
    for name, class_weight in BASELINES.items():
        baseline = Baseline(parts.train, labels, seed=options.seed, class_weight=class_weight)
        baseline.fit_thresholds(parts.validation)
        for part in SCORED:
            found[part][name] = baseline.score(parts.named()[part])
        log.info("TF-IDF %s: validation macro-F1 %.3f", name, found["validation"][name]["macro_f1"])
    return found


def _best_step(trainer: ClassifierTrainer) -> int:
    return int(Path(trainer.state.best_model_checkpoint).name.split("-")[1])


@dataclass(frozen=True)
class _Results:
    outcome: Outcome
    metrics: dict[str, Any]
    run: dict[str, float]
    token_lengths: dict[str, float]


def _write(job: Job, parts: Parts, trainer: ClassifierTrainer, results: _Results) -> None:
    options = job.options
    curve = learning_curve(trainer.state.log_history)
    settled = replace(options, learning_rate=trainer.args.learning_rate)
    record = TrainingRecord(
        columns=options.columns,
        label_column=options.label_column,
        max_length=options.max_length,
        splits={name: _split_record(part, options) for name, part in parts.named().items()},
        base_model=str(options.teacher) if options.cut_from_teacher else options.model,
        options=settled.to_json(),
        token_lengths=results.token_lengths,
        metrics=results.metrics,
        encoding=options.encoding,
        versions=_versions(),
        temperature=results.outcome.temperature,
        long_text=options.policy,
    )
    trainer.model.config.update(results.outcome.labels.config())  # now with thresholds
    with disk_faults(options.output), atomic_folder(options.output, overwrite=options.overwrite) as folder:
        trainer.model.save_pretrained(folder)
        save_tokenizer(folder, job.start.tokenizer_json, max_length=options.max_length)
        (folder / TRAINING).write_text(record.to_json(), encoding="utf-8")
        document = {**results.metrics, "run": results.run, "curve": curve}
        (folder / "metrics.json").write_text(
            json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        draw_curve(curve, _best_baseline(results.metrics["validation"]), folder / "learning_curve.png")
    shutil.rmtree(work_folder(options.output), ignore_errors=True)


def _best_baseline(scored: dict[str, Any]) -> float:
    return max(float(scored[name]["macro_f1"]) for name in BASELINES)


def _split_record(part: LabelledTexts, options: TrainOptions) -> SplitRecord:
    whole = part.file != options.data
    return SplitRecord(str(part.file.absolute()), part.sha256, len(part), None if whole else tuple(part.rows))


def _quantiles(encoded: Sequence[Encoded]) -> dict[str, float]:
    lengths = np.array([one.n_tokens for one in encoded])
    quantiles = {f"p{q}": float(np.percentile(lengths, q)) for q in (5, 25, 50, 75, 95)}
    return {**quantiles, "max": float(lengths.max()), "mean": float(lengths.mean())}


def _versions() -> dict[str, str]:
    modules = {"medclf": medclf, "torch": torch, "transformers": transformers, "scikit-learn": sklearn}
    return {"python": platform.python_version(), **{name: module.__version__ for name, module in modules.items()}}
