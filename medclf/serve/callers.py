"""The threads that run batches: as many callers of the shared sessions as the runtime would have.

A caller takes its next batch itself, under the queue's lock, so that no core waits for the event loop. A batch that
fails is run again text by text: the text that cannot be run fails alone.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from medclf.labels import Floats
from medclf.serve.admission import Speed
from medclf.serve.batcher import Queue, Waiting
from medclf.tokenizer import Encoded

logger = logging.getLogger(__name__)


class Runnable(Protocol):
    """What runs a batch: the `model` of a `Waiting`."""

    def run_batch(self, encoded: Sequence[Encoded]) -> Floats:
        """Run texts; gives logits, float32 [texts, labels]."""


@dataclass(frozen=True)
class Done:
    """A batch that has run.

    Attributes:
        texts: What ran.
        logits: float32 [labels] of each text; None for one that the model could not run.
        started_s: When it began, as `time.monotonic` counts.
        ended_s: When it ended.
    """

    texts: Sequence[Waiting]
    logits: Sequence[Floats | None]
    started_s: float
    ended_s: float


class Callers:
    """Threads over one queue; its methods may be called from any thread.

    Attributes:
        speed: Tokens a second, learned from the batches.
    """

    speed: Speed

    def __init__(self, queue: Queue, *, n_callers: int, deliver: Callable[[Done], None]) -> None:
        """Start the threads.

        Args:
            queue: The texts that wait.
            n_callers: How many batches run at a time.
            deliver: Takes every batch that has run; called in the caller's thread.
        """
        self.speed = Speed(n_callers)
        self._queue = queue
        self._deliver = deliver
        self._changed = threading.Condition()
        self._n_idle = 0
        self._closed = False
        self._since: list[float | None] = [None] * n_callers
        self._threads = [
            threading.Thread(target=self._work, args=(i,), name=f"medclf-caller-{i}", daemon=True)
            for i in range(n_callers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def n_tokens(self) -> int:
        """Tokens that wait."""
        return self._queue.n_tokens

    @property
    def n_texts(self) -> int:
        """Texts that wait."""
        return self._queue.n_texts

    def add(self, texts: Sequence[Waiting]) -> None:
        """Let texts wait.

        Args:
            texts: All texts of a request; the payload of each is its `Encoded` and what `deliver` needs.
        """
        with self._changed:
            self._queue.add(texts)
            self._changed.notify(len(texts))

    def discard(self, texts: Sequence[Waiting]) -> int:
        """Take texts out, as their caller has gone.

        Args:
            texts: Texts; those that run already are not stopped.

        Returns:
            How many were taken out.
        """
        with self._changed:
            return self._queue.discard(texts)

    def running_s(self) -> float:
        """Say how long the oldest batch that runs has been running; 0 where none runs."""
        began = [since for since in self._since if since is not None]
        return time.monotonic() - min(began) if began else 0.0

    def close(self, timeout_s: float | None = None) -> None:
        """End the threads when nothing waits any more.

        Args:
            timeout_s: How long to wait for a thread; None for as long as it takes.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def _work(self, number: int) -> None:
        while batch := self._next():
            started = self._since[number] = time.monotonic()
            logits = _run(batch)
            self._since[number] = None
            ended = time.monotonic()
            self.speed.ran(sum(text.n_tokens for text in batch), ended - started)
            self._deliver(Done(batch, logits, started, ended))

    def _next(self) -> list[Waiting]:
        with self._changed:
            self._n_idle += 1
            while not self._queue.n_texts and not self._closed:
                self._changed.wait()
            batch = self._queue.take(n_idle=self._n_idle)
            self._n_idle -= 1
            return batch


def _run(batch: Sequence[Waiting]) -> list[Floats | None]:
    try:
        logits = _finite(batch)
        if all(one is not None for one in logits) or len(batch) == 1:
            return logits
    except Exception as error:  # whatever it is, the caller must live; its words could quote a text
        logger.error("a batch of %d texts failed (%s)", len(batch), type(error).__name__)
        if len(batch) == 1:
            return [None]
    return [_run([text])[0] for text in batch]


def _finite(batch: Sequence[Waiting]) -> list[Floats | None]:
    logits = batch[0].model.run_batch([text.payload.encoded for text in batch])
    return [row if np.isfinite(row).all() else None for row in logits]
