"""One model, fine-tuned on the training part and asked about the others; nothing but a work folder is written."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from transformers import TrainerCallback

from medclf.labels import Labels
from medclf.tokenizer import Encoded
from medclf.train.dataset import EncodedTexts
from medclf.train.fine_tune import Job, fine_tune, input_hashes
from medclf.train.head import start_at_base_rates
from medclf.train.lora import merged, with_adapters
from medclf.train.model import Start, learning_rate_for, load_start
from medclf.train.options import TrainOptions
from medclf.train.parts import Parts
from medclf.train.scoring import Outputs, outputs_of
from medclf.train.streamed_batches import StreamedTexts
from medclf.train.student import make_student
from medclf.train.teacher import Teacher, give_lesson, load_teacher
from medclf.train.trainer import ClassifierTrainer, training_arguments
from medclf.train.work import work_folder

SCORED = ("validation", "test")
log = logging.getLogger(__name__)


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


def fit(
    parts: Parts, labels: Labels, options: TrainOptions,
    *, console: Console | None, callbacks: Sequence[TrainerCallback] = (), scored: Sequence[str] = SCORED,
) -> Fitted:  # fmt: skip
    """Fine-tune on the training part, and run the best weights on the other two.

    Args:
        parts: Of the data.
        labels: The label contract.
        options: Of the run; nothing but its work folder is written.
        console: Where a progress bar is drawn; None draws none.
        callbacks: More of Trainer's.
        scored: Parts that the best weights are asked about; the test part stays untouched where it is not named.

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
    datasets: dict[str, Any] = {
        name: EncodedTexts(encoded[name], labels.targets(part.labels), pooling=options.policy.pooling)
        for name, part in parts.named().items()
    }
    if parts.stream:
        datasets["train"] = StreamedTexts(parts.stream, start.encoder)
    if start.head_is_new and options.loss != "weighted":  # which makes every label as frequent as its absence
        start_at_base_rates(start.model, datasets["train"].targets)
    hashes = input_hashes(parts, start)
    taught: dict[str, Outputs] = {}
    if teacher is not None:
        lesson = give_lesson(teacher, Job(options, arguments, start, datasets, hashes), parts)
        datasets["train"], taught, hashes = lesson.train, lesson.outputs, {**hashes, **lesson.hashes}
    if options.lora is not None:
        start = with_adapters(start, options)
    job = Job(options, arguments, start, datasets, hashes, tuple(callbacks))
    trainer, seconds = fine_tune(job, console=console)
    if options.lora is not None:
        trainer.model = merged(trainer.model)
    outputs = {name: outputs_of(trainer, datasets[name]) for name in scored}
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


def _quantiles(encoded: Sequence[Encoded]) -> dict[str, float]:
    lengths = np.array([one.n_tokens for one in encoded])
    quantiles = {f"p{q}": float(np.percentile(lengths, q)) for q in (5, 25, 50, 75, 95)}
    return {**quantiles, "max": float(lengths.max()), "mean": float(lengths.mean())}
