"""From the texts of a request to their answers: tokenizing, admission, waiting, and giving up.

Lives in one event loop; tokenizing long texts has threads of its own, the model has its callers. Knows no HTTP but for
the statuses in its errors.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from medclf.errors import InputError, RequestError
from medclf.labels import Floats
from medclf.pooling import pool
from medclf.runtime.texts import N_SHOWN, find_faults
from medclf.serve.admission import Door, Limits
from medclf.serve.batcher import Queue, Waiting, due_times
from medclf.serve.bundles import Bundles, Model
from medclf.serve.callers import Callers, Done
from medclf.serve.metrics import Metrics
from medclf.tokenizer import Encoded

T = TypeVar("T")

# What is tokenized in about a millisecond: sooner than a thread gets its turn on busy cores
FEW_CHARS, FEW_TEXTS = 4_096, 8


@dataclass(frozen=True)
class Question:
    """Texts for one model.

    Attributes:
        texts: The texts.
        pairs: The second text of each, or None.
        skip_errors: Whether a text with a fault is left without an answer; else it refuses the request.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None = None
    skip_errors: bool = False


@dataclass
class Timings:
    """When a request went from one stage to the next, as `time.monotonic` counts; 0 for what it did not reach.

    Attributes:
        arrived_s: Its head was read.
        read_s: Its body was read.
        encoded_s: Its texts were token ids.
        started_s: The first of its batches began.
        ended_s: The last of its batches ended.
        n_texts: Its texts.
        n_tokens: Their tokens, after truncation.
    """

    arrived_s: float = field(default_factory=time.monotonic)
    read_s: float = 0.0
    encoded_s: float = 0.0
    started_s: float = 0.0
    ended_s: float = 0.0
    n_texts: int = 0
    n_tokens: int = 0

    def stages(self) -> dict[str, float]:
        """Give the seconds of each stage that was reached: `read`, `tokenize`, `queue`, `run`."""
        times = (self.arrived_s, self.read_s, self.encoded_s, self.started_s, self.ended_s)
        spans = zip(("read", "tokenize", "queue", "run"), times, times[1:], strict=False)
        return {stage: max(0.0, end - begin) for stage, begin, end in spans if end}


@dataclass(frozen=True)
class Patience:
    """How long a caller waits.

    Attributes:
        deadline_s: When an answer is worth nothing any more, as `time.monotonic` counts.
        gone: Ends when the caller has gone.
    """

    deadline_s: float
    gone: asyncio.Future[Any]


@dataclass(frozen=True)
class Answer:
    """What the model says; entry i belongs to text i.

    Attributes:
        logits: float32 [texts, labels]; NaN for a text without an answer.
        n_tokens: Tokens of each text before truncation; 0 without an answer.
        truncated: Whether each lost its end.
        errors: Index of a text without an answer -> why.
    """

    logits: Floats
    n_tokens: list[int]
    truncated: list[bool]
    errors: dict[int, str]


@dataclass(frozen=True, eq=False)
class _Text:
    """The payload of a `Waiting`."""

    encoded: Encoded
    job: "_Job"
    row: int


@dataclass(eq=False)
class _Job:
    """A request whose texts wait or run."""

    future: asyncio.Future[None]
    logits: Floats
    n_left: int
    timings: Timings
    failed: set[int] = field(default_factory=set)


class Service:
    """What answers; every method but `close` belongs to the thread of the event loop.

    Attributes:
        bundles: The models.
        limits: What is taken on.
        metrics: What is counted.
        held_bytes: Bytes of all requests that are inside; whoever reads a body counts it here.
        stopped: Why nothing is answered any more, or "".
    """

    bundles: Bundles
    limits: Limits
    metrics: Metrics
    held_bytes: int
    stopped: str

    def __init__(self, bundles: Bundles, *, limits: Limits, metrics: Metrics, n_callers: int) -> None:
        """Start the callers; the event loop is taken at the first request.

        Args:
            bundles: The models.
            limits: What is taken on.
            metrics: What is counted.
            n_callers: How many batches run at a time.
        """
        self.bundles, self.limits, self.metrics = bundles, limits, metrics
        self.held_bytes = 0
        self.stopped = ""
        self._door = Door(limits)
        self._jobs: set[_Job] = set()
        self._callers = Callers(Queue(), n_callers=n_callers, deliver=self._deliver_later)
        self._tokenizing = ThreadPoolExecutor(max(1, min(4, n_callers)), thread_name_prefix="medclf-tokenize")
        self._loop: asyncio.AbstractEventLoop | None = None
        metrics.watch(queue_tokens=lambda: self._callers.n_tokens, queue_texts=lambda: self._callers.n_texts)

    @property
    def running_s(self) -> float:
        """How long the oldest batch that runs has been running."""
        return self._callers.running_s()

    def check_room(self, *, n_behind: int = 0) -> None:
        """Refuse a request before it is read.

        Args:
            n_behind: Requests that came with it, and wait for it to be read.

        Raises:
            RequestError: 429 if there is no room, 503 if nothing is answered any more.
        """
        if self.stopped:
            raise _unhealthy(self.stopped)
        callers = self._callers
        self._door.check(
            queued_tokens=callers.n_tokens, held_bytes=self.held_bytes, speed=callers.speed, n_behind=n_behind
        )

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do what would hold up the event loop, such as parsing a body, where texts are tokenized.

        Args:
            work: What to do.
            *arguments: Its arguments.

        Returns:
            What it returns.
        """
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, work, *arguments)

    async def answer(self, model: Model, question: Question, patience: Patience, timings: Timings) -> Answer:
        """Classify the texts of a request.

        Args:
            model: What answers.
            question: The texts; at least one.
            patience: How long the caller waits.
            timings: Filled in.

        Returns:
            The answer, which does not depend on other requests.

        Raises:
            RequestError: 422 for texts with a fault, 413, 429 or 503 where there is no room, 504 at the deadline,
                499 when the caller has gone, 500 where the model failed.
        """
        with model:
            n_chars = sum(map(len, [*question.texts, *(question.pairs or ())]))
            if n_chars <= FEW_CHARS and len(question.texts) <= FEW_TEXTS:
                faults, encoded = _encode(model, question)
            else:
                with self._door.arriving(n_chars):
                    faults, encoded = await self.in_thread(_encode, model, question)
            timings.encoded_s, timings.n_texts = time.monotonic(), len(question.texts)
            timings.n_tokens = sum(len(one) for one in encoded.values())
            self._door.arrived(n_chars, timings.n_tokens)
            if self.stopped:
                raise _unhealthy(self.stopped)
            if patience.gone.done() or timings.encoded_s > patience.deadline_s:
                raise _given_up(gone=patience.gone.done())
            self._door.check_tokens(
                n_tokens=timings.n_tokens,
                queued_tokens=self._callers.n_tokens,
                speed=self._callers.speed,
                seconds_left=patience.deadline_s - timings.encoded_s,
            )
            n_labels = len(model.classifier.labels)
            logits = np.full((len(question.texts), n_labels), np.nan, dtype=np.float32)
            if encoded:
                await self._run(model, encoded, logits, patience, timings)
            failed = [row for row in encoded if not np.isfinite(logits[row]).all()]
            if failed and not question.skip_errors:
                raise RequestError(f"the model failed on texts{failed}.", status=500, error_type="Backend")
            faults |= dict.fromkeys(failed, "the model failed on it")
            self.metrics.answered(model.name, timings, [one.truncated for one in encoded.values()])
            return _answer(logits, encoded, dict(sorted(faults.items())))

    def stop(self, why: str) -> None:
        """Answer nothing any more: every request that waits is told why.

        Args:
            why: A sentence for the caller.
        """
        self.stopped = why
        for job in list(self._jobs):
            if not job.future.done():
                job.future.set_exception(_unhealthy(why))

    def close(self) -> None:
        """End the threads."""
        self._callers.close(timeout_s=5.0)
        self._tokenizing.shutdown()

    async def _run(
        self, model: Model, encoded: dict[int, Encoded], logits: Floats, patience: Patience, timings: Timings
    ) -> None:
        classifier = model.classifier
        windows = [window for one in encoded.values() for window in one.windows]  # of most texts, the text itself
        rows = np.full((len(windows), logits.shape[1]), np.nan, dtype=np.float32)
        self._loop = asyncio.get_running_loop()
        job = _Job(self._loop.create_future(), rows, len(windows), timings)
        due = due_times(timings.arrived_s, [len(one) for one in windows], tokens_per_s=self._callers.speed.tokens_per_s)
        texts = [
            Waiting(classifier, len(one), due_s, _Text(one, job, row))
            for row, (one, due_s) in enumerate(zip(windows, due, strict=True))
        ]
        self._jobs.add(job)
        try:
            self._callers.add(texts)
            await asyncio.wait(
                {job.future, patience.gone},
                timeout=max(0.0, patience.deadline_s - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not job.future.done():
                raise _given_up(gone=patience.gone.done())
            job.future.result()
            n_windows = np.array([one.n_windows for one in encoded.values()], dtype=np.int64)
            pooling, labels = classifier.manifest.long_text.pooling, classifier.labels
            logits[list(encoded)] = pool(rows, n_windows, pooling, multi_label=labels.multi_label)
        finally:
            self._jobs.discard(job)
            self._callers.discard(texts)
            job.future.cancel()

    def _deliver_later(self, done: Done) -> None:
        """Called in the thread of a caller."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._deliver, done)

    def _deliver(self, done: Done) -> None:
        self.metrics.ran(done)
        for text, logits in zip(done.texts, done.logits, strict=True):
            job: _Job = text.payload.job
            if logits is not None:
                job.logits[text.payload.row] = logits
            job.timings.started_s = min(job.timings.started_s or done.started_s, done.started_s)
            job.timings.ended_s = done.ended_s
            job.n_left -= 1
            if not job.n_left and not job.future.done():
                job.future.set_result(None)


def _encode(model: Model, question: Question) -> tuple[dict[int, str], dict[int, Encoded]]:
    """Faults, and token ids of the texts without one, by row."""
    texts, pairs = question.texts, question.pairs
    faults = find_faults(texts, pairs)
    if faults and not question.skip_errors:
        first = "; ".join(f"texts[{row}] {why}" for row, why in list(faults.items())[:N_SHOWN])
        raise RequestError(
            f"{len(faults)} of {len(texts)} texts cannot be classified: {first}. "
            'With "on_error": "skip" the others are answered.',
            status=422,
        )
    good = [row for row in range(len(texts)) if row not in faults]
    second = None if pairs is None else [pairs[row] for row in good]
    try:
        encoded = model.classifier.encode([texts[row] for row in good], second)
    except InputError as error:  # pairs, where the model's way with long texts is for single ones
        raise RequestError(str(error), status=422) from None
    return faults, dict(zip(good, encoded, strict=True))


def _answer(logits: Floats, encoded: dict[int, Encoded], errors: dict[int, str]) -> Answer:
    rows = range(len(logits))
    return Answer(
        logits,
        n_tokens=[encoded[row].n_tokens if row in encoded else 0 for row in rows],
        truncated=[row in encoded and encoded[row].truncated for row in rows],
        errors=errors,
    )


def _unhealthy(why: str) -> RequestError:
    return RequestError(why, status=503, error_type="Unhealthy", retry_after_s=2.0)


def _given_up(*, gone: bool) -> RequestError:
    if gone:
        return RequestError("the caller has gone.", status=499, error_type="Gone")
    return RequestError("the deadline of the request has passed.", status=504, error_type="Deadline")
