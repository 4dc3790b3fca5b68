"""The models of a cross-validation: one fine-tuned a fold, its answers kept so that a stopped run goes on.

`<output>.work` holds `run.json`, the answers of finished folds, and the work folder of the one that was stopped.
"""

import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from medclf.data.keys import Indices
from medclf.errors import OptionError, TrainingError
from medclf.labels import Floats, Labels
from medclf.train.crossval_output import Answers
from medclf.train.fit import fit
from medclf.train.options import TrainOptions
from medclf.train.parts import Parts
from medclf.train.scoring import judge
from medclf.train.work import RUN, begin_or_resume, describe_run, last_checkpoint, work_folder

log = logging.getLogger(__name__)


def model_answers(
    run: TrainOptions, parts: Sequence[Parts], held_out: Sequence[Indices], labels: Labels, *, console: Console | None
) -> Answers:
    """Fine-tune a model on each fold and ask it about the rows that it has not seen.

    Args:
        run: Of the cross-validation.
        parts: Of each fold.
        held_out: Positions of the rows of each fold.
        labels: The label contract.
        console: Where a progress bar is drawn; None draws none.

    Returns:
        The answers, with each fold's own temperature and thresholds.

    Raises:
        Stopped: A fold was saved and stopped; finished folds are kept.
        OptionError: An option does not fit the model or the machine.
        CheckpointError: The model to begin from cannot be used.
        TrainingError: A stopped run is in the way, or there is none to resume, or it had other options or data.
        OutputError: The disk is full.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError("cross-validation runs in one process: start it without torchrun.")
    work = work_folder(run.output)
    _check_work(run, work)
    hashes = {"data": parts[0].train.sha256, "folds": str(len(parts))}
    begin_or_resume(run, describe_run(run, hashes, n_processes=1))
    answers = Answers.empty(sum(map(len, held_out)), labels)
    for number, (one, rows) in enumerate(zip(parts, held_out, strict=True), start=1):
        kept = work / f"fold-{number}.npz"
        if not kept.is_file():
            _keep(kept, *_answer(replace(run, output=work / f"fold-{number}"), one, labels, console))
        with np.load(kept, allow_pickle=False) as stored:
            answers.probabilities[rows] = stored["probabilities"]
            answers.scores.append(json.loads(str(stored["scores"])))
        log.info("model: macro-F1 %.3f on fold %d of %d", answers.scores[-1]["macro_f1"], number, len(parts))
    shutil.rmtree(work, ignore_errors=True)
    return answers


def _check_work(run: TrainOptions, work: Path) -> None:
    stopped = (work / RUN).is_file()
    if run.resume and not stopped:
        raise TrainingError(f"{work}: no stopped run is saved there, so there is nothing to resume. Drop --resume.")
    if stopped and not run.resume and not run.overwrite:
        raise TrainingError(
            f"{work} holds a run that was stopped. Go on with --resume, or drop it and begin again with --overwrite."
        )


def _answer(fold: TrainOptions, parts: Parts, labels: Labels, console: Console | None) -> tuple[Floats, dict[str, Any]]:
    own_work = work_folder(fold.output)
    fold = replace(fold, resume=last_checkpoint(own_work) is not None)
    outputs = fit(parts, labels, fold, console=console).outputs
    outcome = judge(outputs, labels)
    test = outputs["test"]
    shutil.rmtree(own_work, ignore_errors=True)
    return labels.probabilities(test.pool(test.logits / outcome.temperature)), outcome.scores["test"]


def _keep(path: Path, probabilities: Floats, scores: dict[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, probabilities=probabilities, scores=np.array(json.dumps(scores)))
    partial.replace(path)
