"""A search for the best options, by optuna; the validation part alone is looked at."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

from rich.console import Console
from transformers import TrainerCallback

from medclf.errors import TrainingError
from medclf.extras import require
from medclf.labels import Labels
from medclf.train.fit import fit
from medclf.train.options import Loss, TrainOptions
from medclf.train.parts import Parts
from medclf.train.work import work_folder

JOURNAL = "search.journal"
RATES = (1e-5, 1e-3)  # learning rate, drawn on a logarithmic scale
DECAYS = (1.0, 0.95, 0.9, 0.8)  # of layers
BATCHES = (8, 16, 32)
N_STARTUP = 5  # trials before the pruner and the sampler take others as their measure
DIVERGED = "diverged"
log = logging.getLogger(__name__)


def search(
    options: TrainOptions, parts: Parts, labels: Labels, *, console: Console | None
) -> tuple[TrainOptions, dict[str, Any]]:
    """Try options out, the given ones first, and take those of the highest macro-F1 on the validation part.

    Trials are drawn by TPE (Bergstra et al. 2011); one that is behind the median of the others after the same epoch is
    given up. The test part is never run.

    Args:
        options: Of the run; `search` says how many trials.
        parts: Of the data.
        labels: The label contract.
        console: Where a progress bar is drawn; None draws none.

    Returns:
        The options with the best ones in place, and every trial for `metrics.json`.

    Raises:
        Stopped: A trial was stopped; finished ones are kept, and it begins anew.
        ExtraError: optuna is not installed.
        TrainingError: Every trial diverged.
    """
    optuna = require("optuna", extra="search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    work = work_folder(options.output)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(work / JOURNAL))),
        sampler=optuna.samplers.TPESampler(n_startup_trials=N_STARTUP, seed=options.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=N_STARTUP),
        study_name="medclf",
        direction="maximize",
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(_given(options))

    def score(trial: Any) -> float:
        drawn = replace(options, **_draw(trial, options, labels), seeds=1, search=None, log_to=())
        own = replace(drawn, output=work / "trial", resume=False, overwrite=True, stop_after=None)
        shutil.rmtree(work_folder(own.output), ignore_errors=True)
        report = _Report(trial, optuna.TrialPruned)
        try:
            found = fit(parts, labels, own, console=console, callbacks=[report], scored=()).trainer.state.best_metric
        except TrainingError:
            trial.set_user_attr(DIVERGED, True)
            raise
        shutil.rmtree(work_folder(own.output), ignore_errors=True)
        return float(found)

    n_trials = options.search or 0
    while (n_done := sum(_is_done(trial) for trial in study.trials)) < n_trials:
        study.optimize(score, n_trials=1, catch=(TrainingError,))
        last = study.trials[-1]
        log.info("trial %d of %d: %s", n_done + 1, n_trials, _told(last))
    trials = [_entry(trial) for trial in study.trials if _is_done(trial)]
    if not any(entry["state"] == "complete" for entry in trials):
        raise TrainingError(
            f"all {n_trials} trials of the search diverged: audit the data, or begin from another model."
        )
    best = study.best_trial
    log.info("the best of %d trials: %s", len(trials), _told(best))
    return replace(options, **best.params), {"best": best.number, "trials": trials}


def space(options: TrainOptions, labels: Labels) -> dict[str, Sequence[Any]]:
    """Give the choices of every option but the learning rate.

    Args:
        options: Of the run, whose own values are among them.
        labels: The label contract; some losses are not defined for several labels a text.

    Returns:
        Option -> choices.
    """
    losses = [loss for loss in get_args(Loss) if not (labels.multi_label and loss == "logit-adjusted")]
    epochs = sorted({max(1, options.epochs // 2), options.epochs, 2 * options.epochs})
    return {
        "epochs": epochs,
        "batch_size": sorted({*BATCHES, options.batch_size}),
        "layer_decay": sorted({*DECAYS, options.layer_decay}),
        "loss": losses if options.focal_gamma is None and options.tau is None else [options.loss],
    }


def _draw(trial: Any, options: TrainOptions, labels: Labels) -> dict[str, Any]:
    drawn = {name: trial.suggest_categorical(name, choices) for name, choices in space(options, labels).items()}
    return {"learning_rate": trial.suggest_float("learning_rate", *RATES, log=True), **drawn}


def _given(options: TrainOptions) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in ("epochs", "batch_size", "layer_decay", "loss")}
    low, high = RATES
    rate = options.learning_rate
    return given if rate is None else {**given, "learning_rate": min(max(rate, low), high)}


class _Report(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Tells the pruner of each epoch."""

    def __init__(self, trial: Any, pruned: type[Exception]) -> None:
        self._trial, self._pruned = trial, pruned

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trial.report(kwargs["metrics"]["eval_macro_f1"], round(state.epoch))
        if self._trial.should_prune():
            raise self._pruned


def _is_done(trial: Any) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED") or DIVERGED in trial.user_attrs


def _entry(trial: Any) -> dict[str, Any]:
    """One trial for `metrics.json`."""
    state = DIVERGED if DIVERGED in trial.user_attrs else trial.state.name.lower()
    seconds = round((trial.datetime_complete - trial.datetime_start).total_seconds(), 1)
    by_epoch = {str(step): value for step, value in trial.intermediate_values.items()}
    return {"number": trial.number, "state": state, "macro_f1": trial.value if state == "complete" else None,
            **trial.params, "seconds": seconds, "macro_f1_by_epoch": by_epoch}  # fmt: skip


def _told(trial: Any) -> str:
    entry = _entry(trial)
    value = entry["state"] if entry["macro_f1"] is None else f"macro-F1 {entry['macro_f1']:.3f}"
    return f"{value}, " + ", ".join(f"{name} {shown:g}" if isinstance(shown, float) else f"{name} {shown}"
                                    for name, shown in trial.params.items())  # fmt: skip
