import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from medclf.errors import InputError, SessionError
from medclf.runtime import Classifier
from medclf.runtime import windows as windows_module
from medclf.runtime.asynchronous import AsyncClassifier
from medclf.runtime.session import Session
from medclf.tokenizer import Batch


@pytest.fixture
def classifier(tiny_bundle: Path) -> Iterator[Classifier]:
    with Classifier.load(tiny_bundle, precision="fp32", threads=2) as made:
        yield made


class Runs:
    """The runs of the model that have begun; they wait until they are released."""

    def __init__(self) -> None:
        self.n_begun = 0
        self.released = threading.Event()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    real, found = Session.run, Runs()

    def run(self: Session, batch: Batch) -> object:
        found.n_begun += 1
        assert found.released.wait(30)
        return real(self, batch)

    monkeypatch.setattr(Session, "run", run)
    return found


async def until(condition: Callable[[], bool]) -> None:
    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), 30)


def test_the_faces_agree_with_the_classifier(classifier: Classifier, texts: list[str]) -> None:
    async def main() -> None:
        asynchronous = AsyncClassifier(classifier)
        assert await asynchronous.predict(texts) == classifier.predict(texts)
        assert np.abs(await asynchronous.predict_proba(texts) - classifier.predict_proba(texts)).max() <= 1e-5
        assert (await asynchronous.classify(["ba", ""], on_error="skip")).errors == {1: "is empty"}
        with pytest.raises(InputError, match="1 of 2 texts"):
            await asynchronous.predict(["ba", ""])
        await asynchronous.close()

    asyncio.run(main())


def test_many_tasks_share_one(classifier: Classifier, texts: list[str]) -> None:
    async def main() -> list[str]:
        async with AsyncClassifier(classifier) as asynchronous:
            answers = await asyncio.gather(*(asynchronous.predict([text]) for text in texts))
        return [label for (label,) in answers]

    expected = classifier.predict(texts)
    assert asyncio.run(main()) == expected


def test_the_loop_is_not_blocked(classifier: Classifier, runs: Runs) -> None:
    async def main() -> None:
        work = asyncio.create_task(AsyncClassifier(classifier).predict(["ba"]))
        await until(lambda: runs.n_begun == 1)
        runs.released.set()  # a loop that waits for the model would never come here
        assert await work

    asyncio.run(main())


def test_cancelled_work_that_has_not_begun_is_dropped(classifier: Classifier, runs: Runs) -> None:
    async def main() -> None:
        asynchronous = AsyncClassifier(classifier)
        tasks = [asyncio.create_task(asynchronous.predict(["ba"])) for _ in range(40)]
        await until(lambda: runs.n_begun == 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        runs.released.set()
        assert await asynchronous.predict(["ba"])  # those that follow are answered
        await asynchronous.close()

    asyncio.run(main())
    assert runs.n_begun == 3


def test_the_batches_of_a_cancelled_call_are_dropped(classifier: Classifier, runs: Runs) -> None:
    async def main() -> None:
        asynchronous = AsyncClassifier(classifier)
        work = asyncio.create_task(asynchronous.predict(["ba " * 62] * 400))  # 50 batches
        await until(lambda: runs.n_begun == 2)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        runs.released.set()
        await asynchronous.close()  # waits for the batches under way

    asyncio.run(main())
    assert runs.n_begun == 2


def test_a_timeout(classifier: Classifier, runs: Runs) -> None:
    async def main() -> None:
        asynchronous = AsyncClassifier(classifier)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asynchronous.predict(["ba"]), 0.005)
        runs.released.set()

    asyncio.run(main())


async def slowly(texts: list[str]) -> AsyncIterator[str]:
    for text in texts:
        await asyncio.sleep(0)
        yield text


@pytest.mark.parametrize("make", [iter, slowly])
def test_a_stream(
    classifier: Classifier, texts: list[str], make: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 7)

    async def main() -> list[object]:
        asynchronous = AsyncClassifier(classifier)
        return [label async for label in asynchronous.predict_iter(make([*texts, ""]), on_error="skip")]

    assert asyncio.run(main()) == [*classifier.predict(texts), None]


def test_a_stream_is_read_two_windows_ahead_at_most(
    classifier: Classifier, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 7)
    read: list[int] = []

    async def source() -> AsyncIterator[str]:
        for i, text in enumerate(texts):
            read.append(i)
            yield text

    async def main() -> None:
        n_answered = 0
        async for answers in AsyncClassifier(classifier).classify_iter(source()):
            n_answered += len(answers)
            await asyncio.sleep(0.01)
            assert len(read) <= n_answered + 2 * 7

    asyncio.run(main())
    assert len(read) == len(texts)


def test_a_stream_that_is_left_is_not_read_on(
    classifier: Classifier, texts: list[str], runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 7)
    runs.released.set()

    async def main() -> None:
        asynchronous = AsyncClassifier(classifier)
        stream = asynchronous.classify_iter(slowly(texts))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await asynchronous.close()

    asyncio.run(main())
    assert runs.n_begun <= 3  # of 18


async def everything(stream: AsyncIterator[object], found: list[object]) -> None:
    async for one in stream:
        found.append(one)


def test_an_error_of_a_stream_comes_in_its_place(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 2)
    found: list[object] = []

    async def source() -> AsyncIterator[str]:
        for _ in range(4):
            yield "ba"
        raise OSError("the source ended")

    with pytest.raises(OSError, match="the source ended"):
        asyncio.run(everything(AsyncClassifier(classifier).predict_iter(source()), found))
    assert len(found) == 4


def test_a_fault_in_a_stream(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 2)
    found: list[object] = []
    message = r"1 of 2 texts from texts\[2\] on cannot be classified: texts\[3\] is empty"
    with pytest.raises(InputError, match=message):
        asyncio.run(everything(AsyncClassifier(classifier).predict_iter(["ba", "ba", "ba", ""]), found))
    assert len(found) == 2


def test_closed(classifier: Classifier) -> None:
    async def main() -> None:
        async with AsyncClassifier(classifier) as asynchronous:
            await asynchronous.predict(["ba"])
        with pytest.raises(SessionError, match="was closed"):
            await asynchronous.predict(["ba"])

    before = threading.active_count()
    asyncio.run(main())
    assert threading.active_count() <= before
    with pytest.raises(SessionError, match="was closed"):
        classifier.predict(["ba"])
