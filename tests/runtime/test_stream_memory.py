"""Memory does not grow with the number of texts; and a check that must fail, as proof that growth would be seen."""

import ctypes
import gc
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from medclf.bundle import read_manifest
from medclf.labels import Floats
from medclf.runtime import Classifier
from medclf.runtime.opening import read_encoder
from medclf.runtime.runner import Runner
from medclf.runtime.windows import WINDOW_TEXTS
from medclf.tokenizer import Batch

STATUS = Path("/proc/self/status")
MEGABYTE = 2**20
LIMIT_MB = 50
WORDS = ["baba", "cece", "didi", "gugu", "kafo", "lemi", "noru", "sate"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not STATUS.exists(), reason="this system does not tell its memory")]


def resident_mb() -> float:
    """Resident memory, without what was freed and not given back yet."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / MEGABYTE


def growth_mb(stream: Iterable[object], *, keep: bool = False) -> float:
    """Read a stream to its end, keeping nothing or, as a caller must not, all; the largest growth at 20 places."""
    kept, before, most = [], resident_mb(), 0.0
    for i, one in enumerate(stream):
        if keep:
            kept.append(one)
        if i % 50 == 49:
            most = max(most, resident_mb() - before)
    return max(most, resident_mb() - before)


def mixed_texts(n: int, *, seed: int) -> Iterator[str]:
    """Texts of 1 to 300 words, most of them over the 64 tokens of the model."""
    chance = random.Random(seed)
    return (" ".join(chance.choices(WORDS, k=chance.randint(1, 300))) for _ in range(n))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.filterwarnings("ignore")
def test_20_000_texts_of_mixed_lengths(tiny_bundle: Path, precision: str) -> None:
    with Classifier.load(tiny_bundle, precision=precision, threads=2) as classifier:
        list(classifier.classify_iter(mixed_texts(3 * WINDOW_TEXTS, seed=0)))  # warm-up
        assert growth_mb(classifier.classify_iter(mixed_texts(20_000, seed=1))) <= LIMIT_MB


class Stub:
    """A session without a model."""

    n_labels = 3
    provider = "cpu"
    run_s = 0.0

    def check(self) -> None:
        pass

    def run(self, batch: Batch) -> Floats:
        return np.zeros((len(batch.input_ids), self.n_labels), dtype=np.float32)


@pytest.fixture
def without_a_model(tiny_bundle: Path) -> Classifier:
    """Windows, tokens, schedule, threads and answers are real; the model takes no time."""
    manifest = read_manifest(tiny_bundle)
    encoder = read_encoder(tiny_bundle, manifest)
    runner = Runner(Stub(), encoder, multi_label=False, n_callers=2)  # type: ignore[arg-type]
    return Classifier(manifest, "fp32", runner=runner, encoder=encoder)


def rows(n: int) -> Iterator[str]:
    """A stream of rows that exist only while they are read."""
    return (f"{word} {i % 10}" for i, word in zip(range(n), itertools.cycle(WORDS), strict=False))


def test_a_stream_of_ten_million_rows(without_a_model: Classifier) -> None:
    n_rows = 10_000_000
    list(without_a_model.classify_iter(rows(5 * WINDOW_TEXTS)))  # warm-up
    n_answered = itertools.count()
    stream = (next(n_answered) for answers in without_a_model.classify_iter(rows(n_rows)) for _ in answers.labels)
    assert growth_mb(_every(stream, WINDOW_TEXTS)) <= LIMIT_MB
    assert next(n_answered) == n_rows


def _every(stream: Iterator[object], n: int) -> Iterator[None]:
    """Read n items at a time and keep none."""
    while next(stream, None) is not None:
        for _ in itertools.islice(stream, n - 1):
            pass
        yield None


@pytest.mark.parametrize(
    "leak",
    [
        lambda stream: growth_mb(stream, keep=True),  # a caller that keeps every answer
        lambda stream: growth_mb(list(one) for one in [stream]),  # one that asks for all of them at a time
    ],
)
def test_a_caller_that_keeps_everything_is_found_out(
    without_a_model: Classifier, leak: Callable[[Iterable[object]], float]
) -> None:
    list(without_a_model.classify_iter(rows(5 * WINDOW_TEXTS)))
    assert leak(without_a_model.classify_iter(rows(1_000_000))) > LIMIT_MB
