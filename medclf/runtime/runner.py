"""Runs encoded texts through a session, batch by batch, and gives the logits back in the caller's order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from medclf.labels import Floats
from medclf.pooling import pool
from medclf.runtime.schedule import MAX_BATCH_TOKENS, Indices, plan
from medclf.runtime.session import Session
from medclf.tokenizer import Encoded, TextEncoder


class Runner:
    """Calls one shared session from a fixed number of threads; safe to share between threads.

    For throughput: a session of one thread and as many callers as cores, as separate batches never wait for each
    other. For latency: one caller and a session of all cores.
    """

    def __init__(
        self,
        session: Session,
        encoder: TextEncoder,
        *,
        multi_label: bool,
        n_callers: int = 1,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
    ) -> None:
        """Make the threads, if more than the caller's own is needed.

        Args:
            session: The model.
            encoder: The tokenizer, for its padding and pooling.
            multi_label: Whether probabilities are a sigmoid of each logit, or their softmax.
            n_callers: How many batches run at a time; 1 runs them in the caller's thread.
            max_batch_tokens: Most real tokens of one batch.
        """
        self._session = session
        self._encoder = encoder
        self._multi_label = multi_label
        self._max_batch_tokens = max_batch_tokens
        self._pool = ThreadPoolExecutor(n_callers, thread_name_prefix="medclf") if n_callers > 1 else None

    def logits(self, encoded: Sequence[Encoded]) -> Floats:
        """Run the model on texts; when a batch fails, those that have not begun are dropped.

        Args:
            encoded: Texts as token ids.

        Returns:
            float32 [texts, labels], in the order of `encoded`; pooled over the windows of a text that has several.
        """
        self._session.check()  # before the pool is asked: its threads do not survive a fork either
        windows = [window for one in encoded for window in one.windows]
        batches = plan([len(one) for one in windows], max_batch_tokens=self._max_batch_tokens)
        logits = np.empty((len(windows), self._session.n_labels), dtype=np.float32)

        def run(batch: Indices) -> Floats:
            return self._session.run(self._encoder.pad([windows[i] for i in batch]))

        for batch, result in zip(batches, self._map(run, batches), strict=True):
            logits[batch] = result
        return self._pooled(logits, encoded)

    def run_batch(self, encoded: Sequence[Encoded]) -> Floats:
        """Run the model once, in the caller's thread.

        Args:
            encoded: At least one text; all windows of all texts make the batch.

        Returns:
            float32 [texts, labels].
        """
        return self._pooled(self._session.run(self._encoder.pad(encoded)), encoded)

    def close(self) -> None:
        """End the threads, when the batches under way have ended."""
        if self._pool is not None:
            self._pool.shutdown()

    def _pooled(self, logits: Floats, encoded: Sequence[Encoded]) -> Floats:
        n_windows = np.array([one.n_windows for one in encoded], dtype=np.int64)
        return pool(logits, n_windows, self._encoder.long_text.pooling, multi_label=self._multi_label)

    def _map(self, run: Callable[[Indices], Floats], batches: Iterable[Indices]) -> Iterator[Floats]:
        return map(run, batches) if self._pool is None else self._pool.map(run, batches)
