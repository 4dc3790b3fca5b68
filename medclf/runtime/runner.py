"""Runs encoded texts through a session, batch by batch, and gives the logits back in the caller's order."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import numpy as np

from medclf.errors import SessionError
from medclf.labels import Floats
from medclf.pooling import pool
from medclf.runtime.costs import AllCores
from medclf.runtime.gate import Gate
from medclf.runtime.schedule import MAX_BATCH_TOKENS, plan
from medclf.runtime.session import Session
from medclf.tokenizer import Batch, Encoded, TextEncoder

PAUSE_S = 0.002  # after its answer, a client that asks one text after the other is still there


class Runner:
    """Calls one shared session from a fixed number of threads; safe to share between threads.

    For throughput: a session of one thread and as many callers as cores, as separate batches never wait for each
    other. For latency: one caller and a session of all cores. With both sessions, each batch runs where it is done
    sooner. Batches of different calls take turns, so that a short call does not wait for the end of a long one.

    Attributes:
        session: The model; closed by who opened it.
        all_cores: The session of all cores, beside one of one core; closed by who opened it.
    """

    session: Session
    all_cores: AllCores | None

    def __init__(
        self,
        session: Session,
        encoder: TextEncoder,
        *,
        multi_label: bool,
        n_callers: int = 1,
        all_cores: AllCores | None = None,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
    ) -> None:
        """Make the threads, if more than the caller's own is needed.

        Args:
            session: The model.
            encoder: The tokenizer, for its padding and pooling.
            multi_label: Whether probabilities are a sigmoid of each logit, or their softmax.
            n_callers: How many batches run at a time, those of all calls together.
            all_cores: A second session, which a batch may run on alone.
            max_batch_tokens: Most real tokens of one batch.
        """
        self.session = session
        self._encoder = encoder
        self._multi_label = multi_label
        self.all_cores = all_cores
        self._max_batch_tokens = max_batch_tokens
        self._n_asked, self._lock = 0, threading.Lock()
        self._shared_until = 0.0  # by time.monotonic
        self._gate = Gate(n_callers)
        self._helpers = ThreadPoolExecutor(n_callers - 1, thread_name_prefix="medclf") if n_callers > 1 else None

    @property
    def sessions(self) -> list[Session]:
        """Every session of the model."""
        return [self.session, *([self.all_cores.session] if self.all_cores else [])]

    @property
    def n_callers(self) -> int:
        """How many batches run at a time."""
        return self._gate.n_slots

    def logits(self, encoded: Sequence[Encoded], *, cancel: threading.Event | None = None) -> Floats:
        """Run the model on texts; when a batch fails, those that have not begun are dropped.

        Args:
            encoded: Texts as token ids.
            cancel: Once it is set, by any thread, batches that have not begun are dropped.

        Returns:
            float32 [texts, labels], in the order of `encoded`; pooled over the windows of a text that has several.

        Raises:
            CancelledError: `cancel` was set.
            SessionError: The model was closed, or carried through a fork.
        """
        self.session.check()  # before the helpers are asked: threads do not survive a fork either
        windows = [window for one in encoded for window in one.windows]
        batches = deque(plan([len(one) for one in windows], max_batch_tokens=self._max_batch_tokens))
        logits = np.empty((len(windows), self.session.n_labels), dtype=np.float32)
        n_own = len(batches)

        def work() -> None:
            try:
                while batches:
                    batch = batches.popleft()
                    logits[batch] = self._run([windows[i] for i in batch], n_own, cancel)
            except IndexError:  # another thread took the last one
                pass
            except BaseException:
                batches.clear()
                raise

        with self._asked(n_own):
            self._share(work, n_batches=n_own)
        return self._pooled(logits, encoded)

    def run_batch(self, encoded: Sequence[Encoded]) -> Floats:
        """Run texts as one batch, in the caller's thread.

        Args:
            encoded: At least one text; all windows of all texts make the batch.

        Returns:
            float32 [texts, labels]; pooled over the windows of a text that has several.
        """
        with self._asked(1):
            return self._pooled(self._run(encoded, 1, None), encoded)

    def close(self) -> None:
        """End the threads, when the batches under way have ended."""
        if self._helpers is not None:
            self._helpers.shutdown()

    def _pooled(self, logits: Floats, encoded: Sequence[Encoded]) -> Floats:
        n_windows = np.array([one.n_windows for one in encoded], dtype=np.int64)
        return pool(logits, n_windows, self._encoder.long_text.pooling, multi_label=self._multi_label)

    @contextmanager
    def _asked(self, n_batches: int) -> Iterator[None]:
        """Count the batches of all calls that are under way, and note when calls last were so together."""
        with self._lock:
            self._n_asked += n_batches
            shared = self._n_asked > n_batches
        try:
            yield
        finally:
            with self._lock:
                if shared or self._n_asked > n_batches:
                    self._shared_until = time.monotonic() + PAUSE_S
                self._n_asked -= n_batches

    def _run(self, encoded: Sequence[Encoded], n_own: int, cancel: threading.Event | None) -> Floats:
        batch, every = self._encoder.pad(encoded), self.all_cores
        if every is None:
            return self._call(self.session, 1, batch, cancel)
        n_tokens = sum(map(len, encoded))
        if self._n_others(1):
            on_all = every.pays(n_tokens, n_own=n_own, n_others=self._n_others(n_own))
            return self._call(*self._place(every, on_all=on_all), batch, cancel)
        on_all, began = every.suits(n_tokens), time.perf_counter()
        logits = self._call(*self._place(every, on_all=on_all), batch, cancel)
        if not self._n_others(1):  # it was alone to its end, and waited for nobody
            every.learn(n_tokens, time.perf_counter() - began, on_all=on_all)
        return logits

    def _place(self, every: AllCores, *, on_all: bool) -> tuple[Session, int]:
        """Give the session of a batch, and how many slots it takes."""
        return (every.session, every.n_cores) if on_all else (self.session, 1)

    def _call(self, session: Session, n_slots: int, batch: Batch, cancel: threading.Event | None) -> Floats:
        with self._gate.slots(n_slots):
            if cancel is not None and cancel.is_set():
                raise CancelledError
            return session.run(batch)

    def _n_others(self, n_own: int) -> int:
        """Count the batches of others that are under way, or were just now."""
        return self._n_asked - n_own or int(time.monotonic() < self._shared_until)

    def _share(self, work: Callable[[], None], *, n_batches: int) -> None:
        """Work in the caller's thread, and in helpers where there are more batches; a helper may come late or never."""
        helpers = [self._help(work) for _ in range(min(n_batches, self._gate.n_slots) - 1)]
        try:
            work()
        finally:
            begun = [one for one in helpers if not one.cancel()]
            wait(begun)
        for one in begun:
            one.result()

    def _help(self, work: Callable[[], None]) -> "Future[None]":
        try:
            return self._helpers.submit(work)  # type: ignore[union-attr]  # more than one slot, so there are helpers
        except RuntimeError:
            raise SessionError("the classifier was closed while it was asked. Load it again.") from None
