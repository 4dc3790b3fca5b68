"""One training run, from a table to a checkpoint folder: read, split, fit the baseline, fine-tune, score, write.

The folder holds what `medclf_export` needs and nothing of the data: weights, configuration with the label contract,
tokenizer, `training.json`, `metrics.json` and the picture of the learning curve.
"""

import json
import logging
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
import transformers
from rich.console import Console

import medclf
from medclf.atomic import atomic_folder
from medclf.data.readers import rows_text
from medclf.data.splits import split, text_keys
from medclf.data.tables import LabelledTexts, read_labelled
from medclf.errors import DataError, TrainingError
from medclf.evaluate.baseline import Baseline
from medclf.evaluate.metrics import scores
from medclf.labels import Labels
from medclf.tokenizer import Encoded
from medclf.train.checkpoint import TRAINING, SplitRecord, TrainingRecord
from medclf.train.curve import draw_curve, learning_curve
from medclf.train.dataset import Collate, EncodedTexts
from medclf.train.model import Start, learning_rate_for, load_start, save_tokenizer
from medclf.train.options import VALIDATION_SIZE, TrainOptions
from medclf.train.progress import ProgressBar
from medclf.train.trainer import (
    ClassifierTrainer,
    EarlyStopping,
    StopRequest,
    make_trainer,
    training_arguments,
)
from medclf.train.work import begin_or_resume, check_run, describe_run, disk_faults, work_folder

log = logging.getLogger(__name__)


class Stopped(KeyboardInterrupt):  # not an error: the run was saved and can be resumed
    """A run that was saved and stopped, by a signal or by `stop_after`."""

    def __init__(self, step: int, total: int, work: Path, *, by_signal: bool) -> None:
        """Say where it stopped and how to go on.

        Args:
            step: Steps that were made.
            total: Steps of the whole run.
            work: The work folder.
            by_signal: Whether a signal stopped it.
        """
        super().__init__(f"saved at step {step:,} of {total:,} in {work}. Run the same command with --resume to go on.")
        self.by_signal = by_signal


@dataclass(frozen=True)
class Parts:
    """The three parts of the data."""

    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts

    def named(self) -> dict[str, LabelledTexts]:
        """Give the parts by their names in `training.json`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


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
    labels = Labels(tuple(sorted(set(parts.train.labels))))
    _check_labels(parts, labels)
    start = load_start(options, labels, [*parts.train.texts, *(parts.train.pairs or [])])
    encoded = {name: start.encoder.encode(part.texts, part.pairs) for name, part in parts.named().items()}
    _log_lengths(encoded["train"], options.max_length)
    trainer, seconds = _fine_tune(options, parts, labels, start, encoded, console)
    predictions = {
        name: _predict(trainer, encoded[name], getattr(parts, name), labels) for name in ("validation", "test")
    }
    if trainer.is_world_process_zero():
        metrics = _metrics(parts, labels, predictions, seed=options.seed)
        run = {"seconds": round(seconds, 1), "steps": trainer.state.global_step, "best_step": _best_step(trainer)}
        _write(options, parts, start, trainer, _Results(metrics, run, _quantiles(encoded["train"])))
    return options.output


def read_parts(options: TrainOptions) -> Parts:
    """Read the tables and divide them.

    Args:
        options: Of the run.

    Returns:
        The parts for training, validation and test.

    Raises:
        DataError: A table cannot be used.
    """

    def read(path: Path) -> LabelledTexts:
        return read_labelled(
            path, columns=options.columns, label_column=options.label_column, encoding=options.encoding
        )

    data = read(options.data)
    given = {
        "validation": None if options.eval_data is None else read(options.eval_data),
        "test": None if options.test_data is None else read(options.test_data),
    }
    divided = split(
        data,
        validation_size=0 if given["validation"] else VALIDATION_SIZE,
        test_size=0 if given["test"] else options.test_size,
        seed=options.seed,
    )
    train_part = data.select(divided.train)
    for part in filter(None, given.values()):
        n_seen = len(set(text_keys(train_part)) & set(text_keys(part)))
        if n_seen:
            log.info("%s: %d texts occur in the training part too; scores on them are too good", part.file, n_seen)
    return Parts(
        train_part,
        given["validation"] or data.select(divided.validation),
        given["test"] or data.select(divided.test),
    )


def _check_labels(parts: Parts, labels: Labels) -> None:
    for part in (parts.validation, parts.test):
        unseen = [(row, label) for row, label in zip(part.rows, part.labels, strict=True) if label not in labels.names]
        if unseen:
            names = ", ".join(sorted({repr(label) for _, label in unseen}))
            raise DataError(
                f"{part.file}: {rows_text([row for row, _ in unseen])} with a label that training never saw: {names}. "
                "Correct the label, remove these rows, or add such rows to the training table."
            )


def _log_lengths(encoded: Sequence[Encoded], max_length: int) -> None:
    n_cut = sum(one.truncated for one in encoded)
    if n_cut:
        log.info("%d of %d training texts are cut at %d tokens (--max-length)", n_cut, len(encoded), max_length)


def _fine_tune(
    options: TrainOptions,
    parts: Parts,
    labels: Labels,
    start: Start,
    encoded: dict[str, list[Encoded]],
    console: Console | None,
) -> tuple[ClassifierTrainer, float]:
    """Train to the end, or save and stop; the trainer then holds the best weights."""
    rate = learning_rate_for(options, start.model.config.hidden_size)
    arguments = training_arguments(options, work_folder(options.output), learning_rate=rate)
    datasets = {name: EncodedTexts(encoded[name], labels.ids_of(part.labels)) for name, part in parts.named().items()}
    trainer = make_trainer(
        start.model,
        arguments,
        options,
        Collate(start.encoder),
        train=datasets["train"],
        validation=datasets["validation"],
    )
    stop, early, bar = StopRequest(options.stop_after), EarlyStopping(options.patience), ProgressBar(console)
    for callback in (early, stop, bar):
        trainer.add_callback(callback)
    hashes = {part: data.sha256 for part, data in parts.named().items()}
    hashes["tokenizer"] = sha256(start.tokenizer_json.encode()).hexdigest()
    resume_from: Path | None = None
    with arguments.main_process_first(local=False):
        if trainer.is_world_process_zero() or options.resume:
            run = describe_run(options, hashes, n_processes=arguments.world_size)
            resume_from = begin_or_resume(options, run)
    log.info("training on %s with learning rate %g", arguments.device, rate)
    began = time.monotonic()
    try:
        with stop.on_signals(), disk_faults(work_folder(options.output)):
            trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"memory ran out with batches of {options.batch_size} texts of up to {options.max_length} tokens. "
            "Halve --batch-size and double --gradient-accumulation, which trains the same."
        ) from error
    finally:
        bar.close()
    state = trainer.state
    if stop.stopping and state.global_step < state.max_steps and not early.is_due(state):
        raise Stopped(state.global_step, state.max_steps, work_folder(options.output), by_signal=stop.signalled)
    return trainer, time.monotonic() - began


def _predict(trainer: ClassifierTrainer, encoded: list[Encoded], part: LabelledTexts, labels: Labels) -> dict[str, Any]:
    result = trainer.predict(EncodedTexts(encoded, labels.ids_of(part.labels)).by_length())
    if not np.isfinite(result.predictions).all():
        raise TrainingError(
            "the trained model gives logits that are not finite: it has diverged. Lower --learning-rate."
        )
    return scores(result.label_ids, result.predictions.argmax(axis=-1), labels.names)


def _metrics(parts: Parts, labels: Labels, model: dict[str, dict[str, Any]], *, seed: int) -> dict[str, Any]:
    baseline = Baseline(parts.train, labels, seed=seed)
    return {
        name: {"model": model[name], "baseline": baseline.score(part)}
        for name, part in (("validation", parts.validation), ("test", parts.test))
    }


def _best_step(trainer: ClassifierTrainer) -> int:
    return int(Path(trainer.state.best_model_checkpoint).name.split("-")[1])


@dataclass(frozen=True)
class _Results:
    metrics: dict[str, Any]
    run: dict[str, float]
    token_lengths: dict[str, float]


def _write(options: TrainOptions, parts: Parts, start: Start, trainer: ClassifierTrainer, results: _Results) -> None:
    curve = learning_curve(trainer.state.log_history)
    settled = replace(options, learning_rate=trainer.args.learning_rate)
    record = TrainingRecord(
        columns=options.columns,
        label_column=options.label_column,
        max_length=options.max_length,
        splits={name: _split_record(part, options) for name, part in parts.named().items()},
        base_model=options.model,
        options=settled.to_json(),
        token_lengths=results.token_lengths,
        metrics=results.metrics,
        encoding=options.encoding,
        versions=_versions(),
    )
    with disk_faults(options.output), atomic_folder(options.output, overwrite=options.overwrite) as folder:
        trainer.model.save_pretrained(folder)
        save_tokenizer(folder, start.tokenizer_json, max_length=options.max_length)
        (folder / TRAINING).write_text(record.to_json(), encoding="utf-8")
        document = {**results.metrics, "run": results.run, "curve": curve}
        (folder / "metrics.json").write_text(
            json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        draw_curve(curve, results.metrics["validation"]["baseline"]["macro_f1"], folder / "learning_curve.png")
    shutil.rmtree(work_folder(options.output), ignore_errors=True)


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
