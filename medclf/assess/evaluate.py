"""What `medclf-evaluate` does: runs a bundle on labelled rows, and measures it beside a baseline and another bundle."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from medclf import __version__
from medclf.assess.labelled_rows import TableOptions, read_rows, read_slices
from medclf.bundle import Manifest, read_manifest
from medclf.data.keys import text_keys
from medclf.data.splits import split
from medclf.data.tables import LabelledTexts
from medclf.errors import OptionError
from medclf.evaluate.baseline import BASELINES, Baseline
from medclf.evaluate.compare import compare, flips
from medclf.evaluate.intervals import score_intervals
from medclf.evaluate.measure import Questions, Rows, measure
from medclf.evaluate.metrics import scores
from medclf.evaluate.operating import Goal
from medclf.evaluate.resampling import N_RESAMPLES
from medclf.evaluate.slices import by_length
from medclf.labels import Floats, Labels, Targets
from medclf.runtime import Classifier
from medclf.runtime.cores import cpu_name
from medclf.runtime.windows import windows

BASELINE_NAMES = {"baseline": "TF-IDF", "baseline_balanced": "TF-IDF, balanced classes"}
SEED = 0
log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]  # what is being done, and how much of it


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate, on what.

    Attributes:
        bundle: The bundle.
        data: Labelled rows that the model was not trained on.
        table: How they are read.
        precisions: Models of the bundle, the one that is served first; empty for the one that `Classifier` takes.
        compare: Other bundles of the same labels, to hold this one against.
        train_data: The training rows, to fit the baseline on; None for no baseline.
        goals: Operating points, as `Goal.parse` reads them.
        hierarchy: What is between the parts of labels that are paths; None where they are none.
        provider: Where models run.
        threads: Cores to keep busy; None for all.
    """

    bundle: Path
    data: Path
    table: TableOptions = field(default_factory=TableOptions)
    precisions: tuple[str, ...] = ()
    compare: tuple[Path, ...] = ()
    train_data: Path | None = None
    goals: tuple[str, ...] = ()
    hierarchy: str | None = None
    provider: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class _Answers:
    """What one model said: its label contract, logits [rows, labels], lengths of the texts in tokens, and its speed."""

    labels: Labels
    logits: Floats
    n_tokens: "np.typing.NDArray[np.int64]"
    truncated: "np.typing.NDArray[np.bool_]"
    temperature: float
    tokens_per_s: float

    @property
    def predicted(self) -> Targets:
        return self.labels.predicted(self.labels.probabilities(self.logits))


def evaluate(options: EvaluateOptions, *, progress: Progress | None = None) -> dict[str, Any]:
    """Evaluate a bundle.

    Args:
        options: What, on what.
        progress: Called with what is being done and the share of it that is done.

    Returns:
        A document of numbers, label names and values of the slice columns, ready for JSON; no text and no row.

    Raises:
        BundleError: A bundle cannot be opened.
        DataError: A table cannot be used.
        OptionError: An option does not fit the bundle or the data.
    """
    manifest = read_manifest(options.bundle)
    labels = manifest.labels
    questions = Questions(tuple(Goal.parse(text, labels) for text in options.goals), options.hierarchy)
    data = read_rows(options.data, options.table, manifest)
    _warn_of_training_rows(manifest, data)
    slices = read_slices(options.data, options.table)
    train = None if options.train_data is None else read_rows(options.train_data, _without_parts(options), manifest)
    answers = _every_answer(options, manifest, data, progress or (lambda what, share: None))
    first = next(iter(answers.values()))
    rows = Rows(labels.targets(data.labels), data.groups, {"length": by_length(first.n_tokens), **slices})
    models = {
        name: measure(one.labels, one.logits, rows, temperature=one.temperature, questions=questions)
        for name, one in answers.items()
    }
    predicted = {name: one.predicted for name, one in answers.items()}
    document: dict[str, Any] = {**_about(options, manifest, data, first), "models": models}
    document["tokens_per_s"] = {name: one.tokens_per_s for name, one in answers.items()}
    document["bootstrap"] = {
        "n_resamples": N_RESAMPLES,
        "group_column": options.table.group,
        "n_groups": None if rows.groups is None else len(set(rows.groups)),
    }
    if train is not None:
        said = _baselines(train, data, labels)
        document["train_data"] = _train_data(train, data)
        document["baselines"] = {name: _scored(labels, rows, one) for name, one in said.items()}
        predicted |= said
    document["comparisons"] = _comparisons(labels, rows, predicted)
    return document


def _without_parts(options: EvaluateOptions) -> TableOptions:
    return replace(options.table, group=None, slices=())


def _warn_of_training_rows(manifest: Manifest, data: LabelledTexts) -> None:
    trained = (manifest.training.get("data") or {}).get("train") or {}
    if trained.get("sha256") == data.sha256:
        log.warning(
            "%s is the file that the model was trained on: if its training rows are among these, scores are too good",
            data.file,
        )


def _every_answer(
    options: EvaluateOptions, manifest: Manifest, data: LabelledTexts, progress: Progress
) -> dict[str, _Answers]:
    """The answers of each model, and of the other bundles, whose labels are put into the order of this one's."""
    precisions = options.precisions or ("auto",)
    found = dict(_answers(options, options.bundle, precision, data, progress) for precision in precisions)
    names = [path.absolute().name for path in options.compare]
    for path in options.compare:
        other = read_manifest(path)
        if (set(other.labels.names), other.labels.task) != (set(manifest.labels.names), manifest.labels.task):
            raise OptionError(
                f"{path} and {options.bundle} do not have the same labels and task: they cannot be compared "
                f"on the same rows. {path} has {', '.join(other.labels.names)}."
            )
        shown = path.name if names.count(path.absolute().name) == 1 else str(path)
        for precision in precisions:
            name, answers = _answers(options, path, precision, data, progress)
            found[f"{shown} {name}"] = _reordered(answers, manifest.labels)
    return found


def _reordered(answers: _Answers, labels: Labels) -> _Answers:
    places = [answers.labels.names.index(name) for name in labels.names]
    own = answers.labels.thresholds
    thresholds = None if own is None else tuple(own[place] for place in places)
    names = replace(answers.labels, names=labels.names, thresholds=thresholds)
    return replace(answers, labels=names, logits=answers.logits[:, places])


def _answers(
    options: EvaluateOptions, bundle: Path, precision: str, data: LabelledTexts, progress: Progress
) -> tuple[str, _Answers]:
    logits, n_tokens, truncated, n_done, n_seen = [], [], [], 0, 0
    with Classifier.load(bundle, provider=options.provider, precision=precision, threads=options.threads) as classifier:
        pairs = data.pairs
        positions = windows(range(len(data)), lambda i: len(data.texts[i]) + (len(pairs[i]) if pairs else 0))
        stream = (
            ([data.texts[i] for i in window], None if pairs is None else [pairs[i] for i in window])
            for window in positions
        )
        progress(classifier.precision, 0.0)
        began = time.perf_counter()
        for part in classifier.classify_windows(stream):
            logits.append(part.logits)
            n_tokens.append(part.n_tokens)
            truncated.append(part.truncated)
            n_done += len(part)
            n_seen += int((part.n_tokens - part.n_cut).sum())
            progress(classifier.precision, n_done / len(data))
        speed, temperature = n_seen / (time.perf_counter() - began), classifier.manifest.temperature
        every = (np.concatenate(logits), np.concatenate(n_tokens), np.concatenate(truncated))
        return classifier.precision, _Answers(classifier.labels, *every, temperature, speed)


def _about(options: EvaluateOptions, manifest: Manifest, data: LabelledTexts, answers: _Answers) -> dict[str, Any]:
    n_cut = int(answers.truncated.sum())
    return {
        "bundle": {"name": options.bundle.absolute().name, "created": manifest.created},
        "task": manifest.labels.task,
        "labels": list(manifest.labels.names),
        "data": {"file": data.file.name, "sha256": data.sha256, "n_rows": len(data)},
        "truncated": {"n": n_cut, "share": n_cut / len(data), "max_length": manifest.max_length},
        "cpu": cpu_name(),
        "versions": {"medclf": __version__, **_versions("onnxruntime", "onnxruntime-gpu", "numpy", "scikit-learn")},
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _baselines(train: LabelledTexts, data: LabelledTexts, labels: Labels) -> dict[str, Targets]:
    """What TF-IDF says; where there are thresholds, a tenth of the training rows is kept to fit them on."""
    held_out = None
    if labels.multi_label:
        parts = split(train, validation_size=0.1, test_size=0.0, seed=SEED)
        train, held_out = train.select(parts.train.tolist()), train.select(parts.validation.tolist())
    found = {}
    for name, class_weight in BASELINES.items():
        baseline = Baseline(train, labels, seed=SEED, class_weight=class_weight)
        if held_out is not None:
            baseline.fit_thresholds(held_out)
        found[BASELINE_NAMES[name]] = baseline.predict(data)
    return found


def _train_data(train: LabelledTexts, data: LabelledTexts) -> dict[str, Any]:
    known = set(text_keys(train))
    n_shared = sum(key in known for key in text_keys(data))
    if n_shared:
        log.warning(
            "%d of %d rows have a text that is also in %s: scores on them are too good", n_shared, len(data), train.file
        )
    return {"file": train.file.name, "sha256": train.sha256, "n_rows": len(train), "n_shared": n_shared}


def _scored(labels: Labels, rows: Rows, predicted: Targets) -> dict[str, Any]:
    return {
        "scores": scores(rows.targets, predicted, labels.names),
        "intervals": score_intervals(rows.targets, predicted, labels.names, rows.groups),
    }


def _comparisons(labels: Labels, rows: Rows, predicted: Mapping[str, Targets]) -> list[dict[str, Any]]:
    """The served model against each other one."""
    served, *others = predicted
    return [
        {
            "candidate": served,
            "reference": other,
            **asdict(compare(rows.targets, predicted[other], predicted[served], groups=rows.groups)),
            "flips": flips(labels, predicted[other], predicted[served]),
        }
        for other in others
    ]
