"""One way to run the model, in a process of its own, so that thread pools and memory do not mix.

The parent sends turns, batches of texts, through a pipe and gets timings back. The clock runs from the list of strings
to the labels, tokenizing included, the pipe not.
"""

import contextlib
import inspect
import logging
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medclf.bench.texts import TextBatch
from medclf.bundle import Manifest, read_manifest
from medclf.errors import MedclfError
from medclf.extras import require
from medclf.pooling import pool
from medclf.runtime import Classifier
from medclf.runtime.opening import read_encoder
from medclf.runtime.predictions import Predictions, decide
from medclf.runtime.schedule import plan

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class PathSpec:
    """One way to run the model.

    Attributes:
        name: What the report calls it.
        bundle: The bundle; its tokenizer serves all ways.
        threads: Cores that it may use.
        precision: The bundle's model that it runs; None for PyTorch.
        provider: Where a bundle's model runs, `cpu` or `cuda`.
        checkpoint: The model of PyTorch.
        pad_to_max: PyTorch: whether batches are padded to `max_length`, or to their longest text.
    """

    name: str
    bundle: Path
    threads: int
    precision: str | None = None
    provider: str = "cpu"
    checkpoint: Path | None = None
    pad_to_max: bool = False


@dataclass(frozen=True)
class Turn:
    """Batches to run.

    Attributes:
        batches: The texts.
        concurrency: Callers that take one batch after the other, each in a thread of its own.
    """

    batches: Sequence[TextBatch]
    concurrency: int = 1


@dataclass(frozen=True)
class Timing:
    """A turn that was timed.

    Attributes:
        seconds: From the first strings to the last labels.
        latencies: Seconds of each batch, from its strings to its labels.
        n_texts: Texts of all batches.
        n_tokens: Real tokens of the rows that the model was given; those that two windows share count twice.
        n_padded: Tokens of the arrays that the model was given, padding included.
        outside_s: Seconds of the busy cores in which no model ran; None where that is not known.
        core_s: Seconds of the busy cores.
        cpu_s: Processor time of the process: what the turn took where other programs had the cores in between.
    """

    seconds: float
    latencies: tuple[float, ...]
    n_texts: int
    n_tokens: int
    n_padded: int
    outside_s: float | None = None
    core_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Memory:
    """Peak resident memory of a worker, in bytes; None where the system does not tell.

    Attributes:
        before_load: Before the model was opened, with its libraries imported.
        after_load: After the model was opened.
        peak: At the end.
    """

    before_load: int | None
    after_load: int | None
    peak: int | None


Lengths = npt.NDArray[np.int64]  # tokens of each row of the model: of a text, or of a window of it


@dataclass(frozen=True)
class Loaded:
    """A model that is ready.

    Attributes:
        run: Gives the label of each text and the length of each row; this is what is timed.
        n_padded: Gives the tokens of the arrays that rows of these lengths make.
        model_s: Gives the seconds of all runs of the model so far; None where that is not known.
        n_callers: How many batches it runs at a time.
    """

    run: Callable[[TextBatch], tuple[list[str], Lengths]]
    n_padded: Callable[[Lengths], int]
    model_s: Callable[[], float] | None = None
    n_callers: int = 1


def serve(connection: Connection, spec: PathSpec) -> None:
    """Do what the parent asks, until it closes the pipe.

    Args:
        connection: Gets turns, or None for the memory so far; gives a Timing, a Memory, or the text of an error.
        spec: The way to run the model.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it closes the pipe
    logging.disable(logging.WARNING)  # that texts were cut would be told once a batch
    with contextlib.suppress(EOFError, OSError):  # the parent has gone
        try:
            _serve(connection, spec)
        except MedclfError as error:
            connection.send(f"{spec.name}: {error}")
        except EOFError:
            raise
        except Exception as error:  # a bug: its message could hold a text
            connection.send(f"{spec.name}: internal error: {type(error).__name__}. Please report it.")


def _serve(connection: Connection, spec: PathSpec) -> None:
    _import(spec)
    before_load = peak_memory()
    loaded = load_bundle(spec) if spec.precision else load_torch(spec)
    after_load = peak_memory()
    connection.send("")  # ready
    while True:
        turn = connection.recv()
        if turn is None:
            connection.send(Memory(before_load, after_load, peak_memory()))
        else:
            connection.send(run_turn(loaded, turn))


def run_turn(loaded: Loaded, turn: Turn) -> Timing:
    """Run the batches of a turn and time them.

    Args:
        loaded: The model.
        turn: The batches.

    Returns:
        What it took.
    """
    waiting = iter(turn.batches)  # one for all callers: `next` on it is atomic
    latencies: list[float] = []
    lengths: list[Lengths] = []

    def call() -> None:
        for batch in waiting:
            start = time.perf_counter()
            _, found = loaded.run(batch)
            latencies.append(time.perf_counter() - start)
            lengths.append(found)

    before = loaded.model_s() if loaded.model_s else 0.0
    start, cpu_start = time.perf_counter(), time.process_time()
    if turn.concurrency == 1:
        call()
    else:
        with ThreadPoolExecutor(turn.concurrency) as callers:
            for caller in [callers.submit(call) for _ in range(turn.concurrency)]:
                caller.result()
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    n_tokens, n_padded = sum(int(one.sum()) for one in lengths), sum(map(loaded.n_padded, lengths))
    n_texts = sum(len(batch.texts) for batch in turn.batches)
    n_busy = min(loaded.n_callers, turn.concurrency * max((len(plan(one.tolist())) for one in lengths), default=1))
    core_s = n_busy * seconds
    outside_s = core_s - (loaded.model_s() - before) if loaded.model_s else None
    return Timing(seconds, tuple(latencies), n_texts, n_tokens, n_padded, outside_s, core_s, cpu_s)


def _import(spec: PathSpec) -> None:
    """Import what a path stands on, so that its memory is not counted as the model's."""
    if spec.precision:
        require("onnxruntime", extra="cpu")
    else:
        require("torch", extra="train")
        require("transformers", extra="train").AutoModelForSequenceClassification  # noqa: B018  # loaded when asked for


def load_bundle(spec: PathSpec) -> Loaded:
    """Open a model of the bundle as a service does.

    Args:
        spec: The way to run the model.

    Returns:
        The model.
    """
    classifier = Classifier.load(
        spec.bundle, provider=spec.provider, precision=str(spec.precision), threads=spec.threads
    )

    def run(batch: TextBatch) -> tuple[list[str], Lengths]:
        answers = classifier.classify(batch.texts, batch.pairs)
        return [str(label) for label in answers.labels], row_lengths(answers, classifier.manifest)

    def n_padded(lengths: Lengths) -> int:
        return sum(int(lengths[batch].max()) * len(batch) for batch in plan(lengths.tolist()))

    return Loaded(run, n_padded, lambda: classifier.model_s, classifier.n_callers)


def row_lengths(answers: Predictions, manifest: Manifest) -> Lengths:
    """Give the tokens of each row that texts made: all windows of a text are full but its last.

    Args:
        answers: To the texts.
        manifest: Of the bundle.

    Returns:
        int64 [windows].
    """
    lengths = np.full(int(answers.n_windows.sum()), manifest.max_length, dtype=np.int64)
    before_last = (answers.n_windows - 1) * manifest.long_text.stride
    lengths[np.cumsum(answers.n_windows) - 1] = answers.n_tokens - answers.n_cut - before_last
    return lengths


def load_torch(spec: PathSpec) -> Loaded:
    """Open a checkpoint with PyTorch as a tutorial does.

    Args:
        spec: The way to run the model.

    Returns:
        The model.
    """
    torch, transformers = require("torch", extra="train"), require("transformers", extra="train")
    torch.set_num_threads(spec.threads)
    transformers.utils.logging.disable_progress_bar()
    manifest = read_manifest(spec.bundle)
    encoder = read_encoder(spec.bundle, manifest)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(spec.checkpoint, local_files_only=True)
    model.eval()
    inputs = set(inspect.signature(model.forward).parameters)  # DistilBERT has no token_type_ids
    length = manifest.max_length if spec.pad_to_max else None

    def run(batch: TextBatch) -> tuple[list[str], Lengths]:
        encoded = encoder.encode(batch.texts, batch.pairs)
        feed = encoder.pad(encoded, length=length).feed()
        with torch.inference_mode():
            logits = model(**{name: torch.from_numpy(ids) for name, ids in feed.items() if name in inputs}).logits
        calibrated = logits.numpy() / np.float32(manifest.temperature)  # the graphs of the bundle have it inside
        n_windows = np.array([one.n_windows for one in encoded])
        multi_label, pooling = manifest.labels.multi_label, manifest.long_text.pooling
        probabilities = manifest.labels.probabilities(pool(calibrated, n_windows, pooling, multi_label=multi_label))
        labels = [str(label) for label in decide(manifest.labels, probabilities)]
        return labels, np.array([len(window) for one in encoded for window in one.windows])

    return Loaded(run, lambda lengths: len(lengths) * (length or int(lengths.max())))


def peak_memory() -> int | None:
    """Give the peak resident memory of this process.

    Returns:
        Bytes; None where the system does not tell.
    """
    with contextlib.suppress(OSError):
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
