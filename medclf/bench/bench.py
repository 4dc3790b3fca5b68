"""One run of `medclf-bench`: from options to the report."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medclf.bench.environment import environment
from medclf.bench.measure import BASELINE, Measured, measure, summaries
from medclf.bench.roofline import Peaks, Shape, measure_peaks
from medclf.bench.worker import PathSpec
from medclf.bench.workloads import CALLS_OF_A_TURN, Source, Workload
from medclf.bundle import Manifest, read_manifest, read_verified
from medclf.errors import CheckpointError, OptionError
from medclf.extras import require
from medclf.runtime.cores import usable_cores
from medclf.runtime.opening import PROVIDERS, TOKENIZER
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import read_checkpoint

CHECKPOINT = Path("checkpoint")  # where medclf-train writes by default
CONFIG = "config.json"


@dataclass(frozen=True)
class BenchOptions:
    """What to measure: every batch size with every length and every concurrency is a workload.

    Attributes:
        bundle: The bundle.
        checkpoint: The checkpoint that it was exported from, for the paths of PyTorch; None for `checkpoint`, if that
            is there and PyTorch is installed.
        batch: Texts of a call.
        n_batches: How many different batches; several callers get at least a turn each.
        repeats: How often each batch is timed, after one round of warm-up.
        data: A table of texts; None for synthetic ones.
        threads: Cores that each path may use; None for all that this process may use.
        precision: Which models of the bundle; empty for all but fp16, which is made for CUDA.
        lengths: Tokens of synthetic texts, each a workload; empty for the lengths of the texts.
        concurrency: Callers at a time.
        providers: Where the bundle's models run.
        compare: Other bundles, timed on the same texts.
        roofline: Whether the peak of the CPU is measured too, and the share of it that each path reaches.
    """

    bundle: Path = Path("bundle")
    checkpoint: Path | None = None
    batch: tuple[int, ...] = (64,)
    n_batches: int = 2
    repeats: int = 3
    data: Path | None = None
    threads: int | None = None
    precision: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    concurrency: tuple[int, ...] = (1,)
    providers: tuple[str, ...] = ("cpu",)
    compare: tuple[Path, ...] = ()
    roofline: bool = False

    def __post_init__(self) -> None:
        for name in ("batch", "n_batches", "repeats", "lengths", "concurrency", "threads"):
            given = getattr(self, name)
            for value in given if isinstance(given, tuple) else (given,):
                if value is not None and value < 1:
                    raise OptionError(f"{name} is {value}, expected at least 1.")
        for name in ("batch", "concurrency", "providers"):
            if not getattr(self, name):
                raise OptionError(f"{name} is empty, expected one value or more.")
        if self.lengths and self.data is not None:
            raise OptionError("lengths makes texts of its own, and data names a table: give one of them.")
        if unknown := set(self.providers) - set(PROVIDERS) | {"auto"} & set(self.providers):
            raise OptionError(f"providers: {', '.join(sorted(unknown))} is not one of cpu, cuda.")


@dataclass(frozen=True)
class Plan:
    """What will be measured.

    Attributes:
        specs: The paths.
        workloads: What each of them does.
        left_out: Why paths are missing, a sentence each.
        source: Where the texts come from.
    """

    specs: list[PathSpec]
    workloads: list[Workload]
    left_out: list[str]
    source: Source

    def n_turns(self, repeats: int) -> int:
        """Count the steps of a progress bar."""
        return sum(len(one.turns) for one in self.workloads) * len(self.specs) * (repeats + 1)


def bench(options: BenchOptions, plan: Plan, *, progress: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Measure.

    Args:
        options: What to measure.
        plan: The paths and workloads, from `plan_of`.
        progress: Called after each turn of each path.

    Returns:
        The report, ready for JSON.

    Raises:
        MedclfError: The bundle, the checkpoint or the texts cannot be used, or a worker died.
    """
    before = environment()
    threads = plan.specs[0].threads
    shape = _shape(options.bundle, plan.source.manifest) if options.roofline else None
    peaks = None if shape is None else measure_peaks(shape, threads=threads)
    measured = measure(plan.specs, plan.workloads, repeats=options.repeats, progress=progress)
    return {
        "bundle": str(options.bundle),
        "repeats": options.repeats,
        "threads": threads,
        "workloads": [
            _entry(workload, of_workload, plan.source, peaks)
            for workload, of_workload in zip(plan.workloads, measured, strict=True)
        ],
        "quality": _quality(plan),
        "roofline": None if peaks is None else peaks.to_json(),
        "left_out": plan.left_out,
        "environment": before,
    }


def plan_of(options: BenchOptions) -> Plan:
    """Say what can be measured here, and get the texts.

    Args:
        options: What to measure.

    Returns:
        The models of the bundle that were asked for, those of the bundles to compare with, and PyTorch where it is
        installed and the checkpoint is there.

    Raises:
        OptionError: A precision was named that the bundle does not have.
        CheckpointError: A checkpoint was named and is not there, or it is not the bundle's.
        ExtraError: A checkpoint was named and PyTorch is not installed.
    """
    threads = options.threads or usable_cores()
    manifest = read_manifest(options.bundle)
    specs, left_out = paths_of(options, manifest, threads)
    source = Source(manifest, read_verified(options.bundle, manifest, TOKENIZER).decode("utf-8"), options.data)
    workloads = _workloads(options, source)
    if options.checkpoint is None and (missing := _missing()):
        return Plan(specs, workloads, [*left_out, f"The paths of PyTorch are left out: {missing}."], source)
    require("torch", extra="train")
    require("transformers", extra="train")
    checkpoint = read_checkpoint(options.checkpoint or CHECKPOINT)
    if checkpoint.labels.sha256 != manifest.labels.sha256:
        raise CheckpointError(
            f"{checkpoint.folder} has other labels than {options.bundle}: it is not what it was exported from. "
            "Name the right one with --checkpoint."
        )
    for name, pad_to_max in (("torch, padded to max_length", True), (BASELINE, False)):
        specs.append(PathSpec(name, options.bundle, threads, checkpoint=checkpoint.folder, pad_to_max=pad_to_max))
    return Plan(specs, workloads, left_out, source)


def paths_of(options: BenchOptions, manifest: Manifest, threads: int) -> tuple[list[PathSpec], list[str]]:
    """Name the models that can be timed, of the bundle and of those to compare with.

    Args:
        options: What to measure.
        manifest: Of `options.bundle`.
        threads: Cores of each path.

    Returns:
        Their paths, and why others of the bundle are left out, a sentence each.

    Raises:
        OptionError: A precision was named that a bundle does not have, or nothing is left.
    """
    specs, left_out = _of_bundle(options, manifest, threads)
    for other in options.compare:
        more, _ = _of_bundle(replace(options, bundle=other), read_manifest(other), threads)
        specs += [replace(spec, name=f"{spec.name} of {other}") for spec in more]
    return specs, left_out


def _of_bundle(options: BenchOptions, manifest: Manifest, threads: int) -> tuple[list[PathSpec], list[str]]:
    precisions = [p for p in dict.fromkeys(options.precision or manifest.models) if manifest.model(p)]
    specs, left_out = [], []
    for provider in options.providers:
        for precision in precisions:
            where = "" if provider == "cpu" else f" on {provider}"
            if not options.precision and provider == "cpu" and precision == "fp16":
                left_out.append(
                    "medclf fp16 is left out: it is made for CUDA, and a CPU casts its values to fp32 and back. "
                    "Ask for it with --precision fp16."
                )
            elif provider == "cuda" and precision == "int8":
                left_out.append("medclf int8 on cuda is left out: its integer products have no CUDA kernel.")
            else:
                name = f"medclf {precision}{where}"
                specs.append(PathSpec(name, options.bundle, threads, precision=precision, provider=provider))
    if not specs:
        raise OptionError(f"nothing is left to time of {options.bundle}. {' '.join(left_out)}")
    return specs, left_out


def _missing() -> str | None:
    absent = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if absent:
        return f"{' and '.join(absent)} not installed"
    return None if CHECKPOINT.is_dir() else f"there is no folder {CHECKPOINT} here; name one with --checkpoint"


def _workloads(options: BenchOptions, source: Source) -> list[Workload]:
    return [
        Workload(
            batch,
            length,
            concurrency,
            source.batches(batch, max(options.n_batches, (concurrency > 1) * concurrency * CALLS_OF_A_TURN), length),
        )
        for batch in options.batch
        for length in options.lengths or (None,)
        for concurrency in options.concurrency
    ]


def _entry(workload: Workload, measured: list[Measured], source: Source, peaks: Peaks | None) -> dict[str, Any]:
    """The report of one workload."""
    manifest = source.manifest
    encoder = TextEncoder(source.tokenizer_json, max_length=manifest.max_length, long_text=manifest.long_text)
    encoded = [one for batch in workload.batches for one in encoder.encode(batch.texts, batch.pairs)]
    lengths = np.array([one.n_tokens for one in encoded])
    paths = summaries(measured)
    if peaks is not None:
        for path, one in zip(paths, measured, strict=True):
            seconds = peaks.seconds(
                [len(row) for text in encoded for row in text.windows], int8=one.spec.precision == "int8"
            )
            path["share_of_peak"] = seconds * path["documents_per_s"] / len(encoded)
    return {
        "batch": workload.batch,
        "length": workload.length,
        "concurrency": workload.concurrency,
        "n_batches": len(workload.batches),
        "texts": {
            "source": source.name if workload.length is None else f"random words, {workload.length} tokens each",
            "n_texts": len(lengths),
            "max_length": manifest.max_length,
            "long_text": str(manifest.long_text),
            "n_over_max_length": int((lengths > manifest.max_length).sum()),
            "n_windows": sum(one.n_windows for one in encoded),
            "n_truncated": sum(one.truncated for one in encoded),
            "n_cut_tokens": sum(one.n_cut for one in encoded),
            "tokens_mean": float(lengths.mean()),
            **{f"tokens_p{percent}": float(np.percentile(lengths, percent)) for percent in (5, 50, 95)},
        },
        "paths": paths,
    }


def _quality(plan: Plan) -> dict[str, float]:
    """Path -> macro-F1 on the held-out rows of its INT8 certificate, where its bundle has one."""
    found = {}
    for spec in plan.specs:
        int8 = read_manifest(spec.bundle).models.get("int8")
        name = {"fp32": "reference_f1", "int8": "candidate_f1"}.get(spec.precision or "")
        if name and int8 is not None and "quality" in int8.gates:
            found[spec.name] = float(int8.gates["quality"][name])
    return found


def _shape(bundle: Path, manifest: Manifest) -> Shape:
    return Shape.from_config(json.loads(read_verified(bundle, manifest, CONFIG)), where=str(bundle / CONFIG))
