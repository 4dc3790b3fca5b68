"""From the model to begin from to the best weights: trained to the end, or saved and stopped."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import TrainerCallback, TrainingArguments

from medclf.errors import TrainingError
from medclf.train.dataset import Collate, EncodedTexts
from medclf.train.model import Start
from medclf.train.options import TrainOptions
from medclf.train.parts import Parts
from medclf.train.precision import precision_of
from medclf.train.progress import ProgressBar
from medclf.train.trackers import trackers
from medclf.train.trainer import ClassifierTrainer, EarlyStopping, StopRequest, make_trainer
from medclf.train.work import begin_or_resume, describe_run, disk_faults, work_folder

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
class Job:
    """What is fine-tuned on what.

    Attributes:
        options: Of the run.
        arguments: The same in Trainer's words.
        start: The model to begin from, and its tokenizer.
        datasets: `train`, `validation` and `test`, encoded.
        hashes: Name of each input -> its SHA-256; a resume must have the same.
        callbacks: Of Trainer, besides those that every run has.
    """

    options: TrainOptions
    arguments: TrainingArguments
    start: Start
    datasets: Mapping[str, EncodedTexts]
    hashes: Mapping[str, str]
    callbacks: tuple[TrainerCallback, ...] = ()


def input_hashes(parts: Parts, start: Start) -> dict[str, str]:
    """Give the hash of everything that a run is given.

    Args:
        parts: Of the data.
        start: The model to begin from; its tokenizer stands for it.

    Returns:
        Name -> SHA-256.
    """
    hashes = {name: part.sha256 for name, part in parts.named().items()}
    return {**hashes, "tokenizer": sha256(start.tokenizer_json.encode()).hexdigest()}


def fine_tune(job: Job, *, console: Console | None) -> tuple[ClassifierTrainer, float]:
    """Train to the end, or save and stop.

    Args:
        job: What is fine-tuned on what.
        console: Where a progress bar is drawn; None draws none.

    Returns:
        The trainer, which holds the best weights, and the seconds it took.

    Raises:
        Stopped: The run was saved and stopped before its end.
        TrainingError: It cannot go on, or cannot be resumed.
        OutputError: The disk is full.
    """
    options, arguments = job.options, job.arguments
    trainer = make_trainer(
        job.start.model, arguments, options, Collate(job.start.encoder),
        train=job.datasets["train"], validation=job.datasets["validation"],
    )  # fmt: skip
    stop, early, bar = StopRequest(options.stop_after), EarlyStopping(options.patience), ProgressBar(console)
    for callback in (early, stop, bar, *trackers(options, arguments), *job.callbacks):
        trainer.add_callback(callback)
    resume_from = _prepare(job, main=trainer.is_world_process_zero())
    device, precision = arguments.device, precision_of(options)
    log.info("training on %s in %s with learning rate %g", device, precision, arguments.learning_rate)
    began = time.monotonic()
    try:
        with stop.on_signals(), disk_faults(work_folder(options.output)):
            trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"memory ran out with batches of {options.batch_size} texts of up to {options.max_length} tokens. "
            "Halve --batch-size and double --gradient-accumulation."
        ) from error
    finally:
        bar.close()
    _check_end(trainer.state, stop, early, options)
    return trainer, time.monotonic() - began


def _prepare(job: Job, *, main: bool) -> Path | None:
    """Let the main process make the work folder before the others look for it."""
    with job.arguments.main_process_first(local=False):
        if not main and not job.options.resume:
            return None
        run = describe_run(job.options, job.hashes, n_processes=job.arguments.world_size)
        return begin_or_resume(job.options, run)


def _check_end(state: Any, stop: StopRequest, early: EarlyStopping, options: TrainOptions) -> None:
    if stop.stopping and state.global_step < state.max_steps and not early.is_due(state):
        raise Stopped(state.global_step, state.max_steps, work_folder(options.output), by_signal=stop.signalled)
