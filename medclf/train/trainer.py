"""Hugging Face's Trainer with our batches, a loss that is checked at every step, and a stop that can be resumed.

Uses public hooks alone, so that it runs on transformers 4.57 and 5.
"""

import contextlib
import math
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from medclf.errors import TrainingError
from medclf.evaluate.calibration import fit_thresholds
from medclf.evaluate.metrics import SHOWN, scores
from medclf.labels import Floats, Targets, sigmoid
from medclf.train.dataset import Collate, EncodedTexts, LengthGroupedBatches
from medclf.train.groups import parameter_groups
from medclf.train.losses import Objective
from medclf.train.options import TrainOptions
from medclf.train.precision import precision_of, uses_cuda
from medclf.train.streamed_batches import StreamedBatches, StreamedTexts
from medclf.train.work import last_checkpoint

Batches = LengthGroupedBatches | StreamedBatches


def training_arguments(options: TrainOptions, work: Path, *, learning_rate: float) -> TrainingArguments:
    """Say the options in Trainer's words.

    Args:
        options: Of the run.
        work: Folder of Trainer's checkpoints.
        learning_rate: The highest learning rate.

    Returns:
        The arguments; making them joins the processes of `torchrun`.

    Raises:
        OptionError: CUDA was asked for, and torch sees no such device; or the device lacks the precision.
    """
    cuda, precision = uses_cuda(options), precision_of(options)
    arguments = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.gradient_accumulation,
        num_train_epochs=options.epochs,
        learning_rate=learning_rate,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        lr_scheduler_type="linear",
        optim="adamw_torch",
        fp16=precision == "fp16",  # which needs its scaling of the loss; bf16 is of `ClassifierTrainer`
        use_cpu=not cuda,
        seed=options.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,  # and the best one
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        greater_is_better=True,
        logging_steps=0.01,  # of all steps: a hundred points make a curve
        logging_first_step=True,
        logging_nan_inf_filter=False,  # our own check stops the run instead
        remove_unused_columns=False,
        dataloader_pin_memory=cuda,
        ddp_find_unused_parameters=False,
        disable_tqdm=True,
        report_to="none",
    )
    if (
        arguments.n_gpu > 1
    ):  # one process on several GPUs would be DataParallel: slow, and not exact; torchrun is neither
        arguments._n_gpu = 1
    return arguments


class ClassifierTrainer(Trainer):  # type: ignore[misc]  # transformers has no types
    """Trainer with length-grouped batches, the warm-up as a ratio, and a check of every loss."""

    def __init__(
        self, *, batches: Batches, warmup_ratio: float, objective: Objective, bf16: bool = False, **options: Any
    ) -> None:
        """Add to Trainer what it lacks.

        Args:
            batches: Which texts make the batches of an epoch.
            warmup_ratio: Share of all steps in which the learning rate rises.
            objective: The loss.
            bf16: Whether training, not evaluation, multiplies in bfloat16. Trainer's own would do both.
            **options: Trainer's own.
        """
        super().__init__(compute_loss_func=objective, **options)
        self.remove_callback(PrinterCallback)
        self._batches = batches
        self._warmup_ratio = warmup_ratio
        self._objective = objective
        self._bf16 = bf16

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Compute the loss of a batch, of which Trainer gives a loss function the labels alone.

        Args:
            model: The model.
            inputs: The batch.
            *args: Trainer's.
            **kwargs: Trainer's.

        Returns:
            As Trainer's.
        """
        self.compute_loss_func = partial(self._objective, teacher_logits=inputs.pop("teacher_logits", None))
        bf16 = self._bf16 and model.training
        with torch.autocast(self.args.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext():
            return super().compute_loss(model, inputs, *args, **kwargs)

    def get_train_dataloader(self) -> Any:
        """Give the batches of training; accelerate deals them out to the processes of `torchrun`."""
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self._batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Set the warm-up in steps, as transformers 4 and 5 take a ratio in different ways.

        Args:
            num_training_steps: Of the whole run.
            optimizer: None for the Trainer's own.

        Returns:
            The schedule of the learning rate.
        """
        self.args.warmup_steps = math.ceil(self._warmup_ratio * num_training_steps)
        return super().create_scheduler(num_training_steps, optimizer)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Compute the gradients of one batch.

        Args:
            *args: Trainer's.
            **kwargs: Trainer's.

        Returns:
            The loss.

        Raises:
            TrainingError: The loss is not a finite number.
        """
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}: training has diverged. "
                f"{_kept(Path(self.args.output_dir))} Lower --learning-rate, or raise --warmup-ratio."
            )
        return loss


def _kept(work: Path) -> str:
    """Say which weights are left of a run that cannot go on."""
    last = last_checkpoint(work)
    return "No epoch was done before." if last is None else f"The weights of the last whole epoch are kept in {last}."


def compute_metrics(logits: Floats, targets: Targets) -> dict[str, float]:
    """Score an evaluation.

    Args:
        logits: float32 [texts, labels].
        targets: int64 [texts] or bool [texts, labels].

    Returns:
        The scores of `medclf.evaluate.metrics.SHOWN` that the task has. With several labels a text, thresholds are
        fitted first, as they will be in the end: at 0.5, a model that has just begun gives no label at all, and would
        seem not to learn.
    """
    predicted: Targets
    if targets.ndim == 2:
        probabilities = sigmoid(logits)
        predicted = probabilities >= np.array(fit_thresholds(probabilities, targets), dtype=np.float32)
    else:
        predicted = logits.argmax(axis=-1)
    found = scores(targets, predicted, [str(i) for i in range(logits.shape[1])])
    return {name: found[name] for name in SHOWN if name in found}


class SetEpoch(TrainerCallback):  # type: ignore[misc]
    """Gives each pass over the data its own order, also after a resume in the middle of one."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        self._batches.set_epoch(int(state.epoch or 0))


def epochs_without_gain(history: Sequence[Mapping[str, float]]) -> int:
    """Count the evaluations since the best macro-F1.

    Args:
        history: Trainer's log, which a resumed run has from its start.

    Returns:
        0 after a new best one.
    """
    scores = [entry["eval_macro_f1"] for entry in history if "eval_macro_f1" in entry]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


class EarlyStopping(TrainerCallback):  # type: ignore[misc]
    """Stops when macro-F1 no longer rises; keeps no state of its own, so that a resume is exact."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        if self.is_due(state):
            control.should_training_stop = True

    def is_due(self, state: Any) -> bool:
        """Say whether patience has run out."""
        return 0 < self._patience <= epochs_without_gain(state.log_history)


class StopRequest(TrainerCallback):  # type: ignore[misc]
    """Saves and stops after the step in which a signal came, or after a given step."""

    def __init__(self, stop_after: int | None) -> None:
        self._stop_after = stop_after
        self.signalled = False
        self.stopping = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        due = self._stop_after is not None and state.global_step >= self._stop_after
        if due or self._any_signalled(args):
            self.stopping = True
            control.should_training_stop = True
            control.should_save = _in_mid_epoch(state)  # at its end, Trainer evaluates and then saves

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        if self.stopping and _in_mid_epoch(state):  # Trainer takes any stop for the end of an epoch
            control.should_evaluate = control.should_save = False

    def _any_signalled(self, args: Any) -> bool:
        """Agree with the other processes, so that all of them stop after the same step."""
        if args.world_size == 1:
            return self.signalled
        flag = torch.tensor(float(self.signalled), device=args.device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag.item())

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Take the first SIGINT or SIGTERM as a request, the second as an order."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python lets the main thread alone handle signals
            return

        def handle(number: int, frame: object) -> None:
            if self.signalled:
                raise KeyboardInterrupt
            self.signalled = True

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _in_mid_epoch(state: Any) -> bool:
    return float(state.epoch) % 1 != 0


def make_trainer(
    start_model: Any, arguments: TrainingArguments, options: TrainOptions, collate: Collate,
    *, train: EncodedTexts | StreamedTexts, validation: EncodedTexts,
) -> ClassifierTrainer:  # fmt: skip
    """Put a trainer together; its stop, early stopping and progress are callbacks that the caller adds.

    Args:
        start_model: The model with its new head.
        arguments: Of `training_arguments`.
        options: Of the run.
        collate: Makes a batch.
        train: The training part.
        validation: The validation part.

    Returns:
        A trainer that has not begun.
    """
    batches = train.batches(options.batch_size, seed=options.seed)
    optimizer, settings = Trainer.get_optimizer_cls_and_kwargs(arguments, start_model)
    groups = parameter_groups(start_model, options, learning_rate=arguments.learning_rate)
    return ClassifierTrainer(
        batches=batches,
        warmup_ratio=options.warmup_ratio,
        model=start_model,
        args=arguments,
        data_collator=collate,
        train_dataset=train,
        eval_dataset=validation.by_length(),
        compute_metrics=lambda found: compute_metrics(
            validation.pool(validation.restore(found.predictions)), validation.targets
        ),
        objective=Objective.of(options, train.targets),
        bf16=precision_of(options) == "bf16",
        optimizer_cls_and_kwargs=(optimizer, {**settings, "params": groups}),
        callbacks=[SetEpoch(batches)],
    )
