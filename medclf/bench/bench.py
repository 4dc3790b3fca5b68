"""One run of `medclf-bench`: from options to the report."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medclf.bench.environment import environment
from medclf.bench.measure import BASELINE, measure, summaries
from medclf.bench.texts import TextBatch, batches_of, read_texts, synthetic_texts
from medclf.bench.worker import PathSpec
from medclf.bundle import Manifest, read_manifest, read_verified
from medclf.errors import CheckpointError, OptionError
from medclf.extras import require
from medclf.runtime.cores import usable_cores
from medclf.runtime.opening import TOKENIZER
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import read_checkpoint

CHECKPOINT = Path("checkpoint")  # where medclf-train writes by default
SEED = 0


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Attributes:
        bundle: The bundle.
        checkpoint: The checkpoint that it was exported from, for the paths of PyTorch; None for `checkpoint`, if that
            is there and PyTorch is installed.
        batch: Texts of a call.
        n_batches: How many different batches.
        repeats: How often each batch is timed, after one round of warm-up.
        data: A table of texts; None for synthetic ones.
        threads: Cores that each path may use; None for all that this process may use.
        precision: Which models of the bundle; empty for all but fp16, which is made for CUDA.
    """

    bundle: Path = Path("bundle")
    checkpoint: Path | None = None
    batch: int = 64
    n_batches: int = 2
    repeats: int = 3
    data: Path | None = None
    threads: int | None = None
    precision: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("batch", "n_batches", "repeats"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}, expected at least 1.")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads is {self.threads}, expected at least 1.")


@dataclass(frozen=True)
class Plan:
    """What will be measured.

    Attributes:
        specs: The paths.
        left_out: Why paths are missing, a sentence each.
    """

    specs: list[PathSpec]
    left_out: list[str]


def bench(options: BenchOptions, plan: Plan, *, progress: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Measure.

    Args:
        options: What to measure.
        plan: The paths, from `plan_of`.
        progress: Called after each batch of each path.

    Returns:
        The report, ready for JSON.

    Raises:
        MedclfError: The bundle, the checkpoint or the texts cannot be used, or a worker died.
    """
    manifest = read_manifest(options.bundle)
    tokenizer_json = read_verified(options.bundle, manifest, TOKENIZER).decode("utf-8")
    batches = _batches(options, manifest, tokenizer_json)
    before = environment()
    measured = measure(plan.specs, batches, repeats=options.repeats, progress=progress)
    return {
        "bundle": str(options.bundle),
        "batch": options.batch,
        "n_batches": len(batches),
        "repeats": options.repeats,
        "threads": plan.specs[0].threads,
        "texts": _describe(options, manifest, tokenizer_json, batches),
        "paths": summaries(measured),
        "left_out": plan.left_out,
        "environment": before,
    }


def plan_of(options: BenchOptions) -> Plan:
    """Say which paths can be measured here.

    Args:
        options: What to measure.

    Returns:
        The models of the bundle that were asked for, and PyTorch where it is installed and the checkpoint is there.

    Raises:
        OptionError: A precision was named that the bundle does not have.
        CheckpointError: A checkpoint was named and is not there, or it is not the bundle's.
        ExtraError: A checkpoint was named and PyTorch is not installed.
    """
    threads = options.threads or usable_cores()
    manifest = read_manifest(options.bundle)
    specs, left_out = _of_bundle(options, manifest, threads)
    if options.checkpoint is None and (missing := _missing()):
        return Plan(specs, [*left_out, f"The paths of PyTorch are left out: {missing}."])
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
    return Plan(specs, left_out)


def _of_bundle(options: BenchOptions, manifest: Manifest, threads: int) -> tuple[list[PathSpec], list[str]]:
    precisions = [p for p in dict.fromkeys(options.precision or manifest.models) if manifest.model(p)]
    left_out = []
    if not options.precision and "fp16" in precisions:
        precisions.remove("fp16")
        left_out.append(
            "medclf fp16 is left out: it is made for CUDA, and a CPU casts its values to fp32 and back. "
            "Ask for it with --precision fp16."
        )
    return [PathSpec(f"medclf {p}", options.bundle, threads, precision=p) for p in precisions], left_out


def _missing() -> str | None:
    absent = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if absent:
        return f"{' and '.join(absent)} not installed"
    return None if CHECKPOINT.is_dir() else f"there is no folder {CHECKPOINT} here; name one with --checkpoint"


def _batches(options: BenchOptions, manifest: Manifest, tokenizer_json: str) -> list[TextBatch]:
    n_texts = options.batch * options.n_batches
    if options.data is None:
        return batches_of(synthetic_texts(tokenizer_json, manifest, n_texts, seed=SEED), None, options.batch)
    return batches_of(*read_texts(options.data, manifest.columns, n_texts), options.batch)


def _describe(
    options: BenchOptions, manifest: Manifest, tokenizer_json: str, batches: Sequence[TextBatch]
) -> dict[str, Any]:
    encoder = TextEncoder(tokenizer_json, max_length=manifest.max_length)
    lengths = np.array([one.n_tokens for batch in batches for one in encoder.encode(batch.texts, batch.pairs)])
    return {
        "source": str(options.data) if options.data else f"random words, seed {SEED}",
        "n_texts": len(lengths),
        "max_length": manifest.max_length,
        "n_over_max_length": int((lengths > manifest.max_length).sum()),
        "tokens_mean": float(lengths.mean()),
        **{f"tokens_p{percent}": float(np.percentile(lengths, percent)) for percent in (5, 50, 95)},
    }
