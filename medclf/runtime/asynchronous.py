"""The classifier for an event loop: the same calls, awaited."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TypeVar

from medclf.errors import SessionError
from medclf.labels import Floats, Label
from medclf.runtime.classifier import Classifier
from medclf.runtime.predictions import Predictions, Truncation
from medclf.runtime.texts import check_streams, faulty, n_characters, raises
from medclf.runtime.windows import windows, windows_of_async

T = TypeVar("T")


class AsyncClassifier:
    """A classifier that never blocks the event loop: its work runs in threads of its own.

    When a task is cancelled, what it asked for and has not begun is dropped; batches under way end, unheard. Any number
    of tasks may wait; whoever must bound them does so before (a server answers 429).

    Attributes:
        classifier: The classifier that answers; it may be used from other threads as well.
    """

    classifier: Classifier

    def __init__(self, classifier: Classifier) -> None:
        """Make the threads.

        Args:
            classifier: A classifier; closed with this one.
        """
        self.classifier = classifier
        # Twice as many as run at a time: while some are in the model, others tokenize
        self._threads = ThreadPoolExecutor(2 * classifier.n_callers, thread_name_prefix="medclf-async")

    async def classify(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, on_error: str = "raise"
    ) -> Predictions:
        """Classify texts, as `Classifier.classify`.

        Args:
            texts: Any number of texts, none included.
            pairs: The second text of each, for a model that was trained on pairs.
            on_error: `raise` refuses all texts when one has a fault, `skip` leaves that one without an answer.

        Returns:
            The answers, in order.

        Raises:
            InputError: A text has a fault; the message counts them and gives the first five.
        """
        return await self._cancellable(
            lambda cancel: self.classifier.classify(texts, pairs, on_error=on_error, cancel=cancel)
        )

    async def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Label]:
        """Name the label of each text.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            Names, or tuples of names for a model that may give a text several labels.
        """
        return [label for label in (await self.classify(texts, pairs)).labels if label is not None]

    async def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Floats:
        """Give the probability of each label.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            float32 [texts, labels], columns as in `classifier.classes_`.
        """
        return (await self.classify(texts, pairs)).probabilities

    async def classify_iter(
        self, texts: Iterable[str] | AsyncIterable[str], *, on_error: str = "raise"
    ) -> AsyncIterator[Predictions]:
        """Classify a stream of any length in bounded memory; it is read two windows ahead, at most.

        Args:
            texts: The texts; what is not asynchronous is read in a thread.
            on_error: `raise` stops at the first window that has a text with a fault, `skip` leaves that text without an
                answer.

        Yields:
            The answers to each window of about 2,000 texts, in order.

        Raises:
            InputError: A text has a fault; the message counts those of its window and gives the first five.
        """
        check_streams(texts)
        stops, seen = raises(on_error), Truncation()
        async for answers in self._answers(texts):
            if stops and answers.errors:
                raise faulty(answers.errors, len(answers), first=seen.n_texts)
            yield answers
            seen += answers.truncation
        self.classifier.tell(seen)

    async def predict_iter(
        self, texts: Iterable[str] | AsyncIterable[str], *, on_error: str = "raise"
    ) -> AsyncIterator[Label | None]:
        """Name the label of each text of a stream of any length, in bounded memory.

        Args:
            texts: The texts; what is not asynchronous is read in a thread.
            on_error: As for `classify_iter`.

        Yields:
            Names, or tuples of names for a model that may give a text several labels; None for a text with a fault.
        """
        async for answers in self.classify_iter(texts, on_error=on_error):
            for label in answers.labels:
                yield label

    async def close(self) -> None:
        """Drop what has not begun, wait for what has, and close the classifier."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    async def __aenter__(self) -> "AsyncClassifier":
        """Give the classifier itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    def _close(self) -> None:
        self._threads.shutdown()
        self.classifier.close()

    async def _answers(self, texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[Predictions]:
        """Keep two windows under way, so that one is read and tokenized while the other is in the model."""
        windows, reading = self._windows(texts), asyncio.Lock()

        async def answer() -> Predictions | None:
            async with reading:
                window = await anext(windows, None)
            return None if window is None else await self._window(window)

        under_way = deque([asyncio.create_task(answer())])
        try:
            while True:
                under_way.append(asyncio.create_task(answer()))
                answers = await under_way.popleft()
                if answers is None:
                    return
                yield answers
        finally:
            for task in under_way:
                task.cancel()

    async def _windows(self, texts: Iterable[str] | AsyncIterable[str]) -> AsyncIterator[list[str]]:
        if isinstance(texts, AsyncIterable):
            async for window in windows_of_async(texts, n_characters):
                yield window
            return
        source = windows(texts, n_characters)
        while (read := await self._thread(partial(next, source, None))) is not None:
            yield read

    async def _window(self, texts: Sequence[str]) -> Predictions:
        def call(cancel: threading.Event) -> Predictions:
            (answers,) = self.classifier.classify_windows([(texts, None)], ahead=False, cancel=cancel)
            return answers

        return await self._cancellable(call)

    async def _cancellable(self, call: Callable[[threading.Event], T]) -> T:
        cancel = threading.Event()
        try:
            return await self._thread(partial(call, cancel))
        finally:
            cancel.set()

    async def _thread(self, call: Callable[[], T]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        except RuntimeError:  # the threads have ended
            raise SessionError("the classifier was closed. Load it again.") from None
        return await future
