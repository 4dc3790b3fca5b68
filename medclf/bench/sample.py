"""Texts that stand for many more: a window of them, and some of the batches that the runtime would make of it."""

import json
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medclf.bench.texts import SHORTEST, TextBatch, one_token_words, token_lengths
from medclf.bundle import Manifest, TextColumns, read_verified
from medclf.data.unlabelled import read_texts
from medclf.errors import OptionError
from medclf.runtime.opening import TOKENIZER
from medclf.runtime.schedule import plan
from medclf.runtime.windows import WINDOW_TEXTS
from medclf.tokenizer import TextEncoder

READ_ROWS = 10 * WINDOW_TEXTS  # of a table, of which a window is drawn: the first rows alone may be of one kind
SEED = 0


@dataclass(frozen=True)
class Sample:
    """A window of texts.

    Attributes:
        source: What they are, for people.
        texts: The texts.
        pairs: The second text of each, or None.
        read_s: Seconds that reading took, of each row.
    """

    source: str
    texts: list[str]
    pairs: list[str] | None
    read_s: float

    @property
    def n_bytes(self) -> float:
        """Bytes of a row's texts in UTF-8, on average."""
        whole = [*self.texts, *(self.pairs or ())]
        return sum(len(text.encode("utf-8", "replace")) for text in whole) / len(self.texts)


def read_sample(path: Path, columns: TextColumns) -> Sample:
    """Draw a window from the first rows of a table.

    Args:
        path: The table.
        columns: Columns that make a text.

    Returns:
        Up to WINDOW_TEXTS rows of the first READ_ROWS.

    Raises:
        DataError: The table cannot be read, or a row has no text.
    """
    texts, pairs, seconds = _timed(path, columns, READ_ROWS)
    chosen = sorted(random.Random(SEED).sample(range(len(texts)), min(len(texts), WINDOW_TEXTS)))
    source = f"{len(chosen):,} of the first {len(texts):,} rows of {path.name}"
    return Sample(source, [texts[i] for i in chosen], pairs and [pairs[i] for i in chosen], seconds / len(texts))


def make_sample(bundle: Path, manifest: Manifest, mean_tokens: float | None) -> Sample:
    """Make a window of random words, with lengths spread as those of the training texts.

    Args:
        bundle: The bundle, whose vocabulary has the words.
        manifest: Its manifest.
        mean_tokens: Tokens of a text on average, special tokens included; None for those of the training texts.

    Returns:
        WINDOW_TEXTS texts.

    Raises:
        OptionError: The bundle does not record lengths and none is given, or its vocabulary has no whole words.
    """
    recorded = manifest.training.get("token_lengths") or {}
    if mean_tokens is None and not recorded:
        raise OptionError("the bundle does not record how long its training texts were: give --tokens or --data.")
    chance = random.Random(SEED)
    lengths = token_lengths(recorded, WINDOW_TEXTS, max_length=manifest.max_length, chance=chance)
    wanted = scaled(lengths, float(np.mean(lengths)) if mean_tokens is None else mean_tokens)
    words = one_token_words(read_verified(bundle, manifest, TOKENIZER).decode("utf-8"), chance)
    texts = [" ".join(chance.choices(words, k=length - 2)) for length in wanted]
    spread = "spread as the training texts" if recorded else "from few tokens to twice as many"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        _, _, seconds = _timed(path, TextColumns(), len(texts))
    source = f"{len(texts):,} texts of random words, {np.mean(wanted):.0f} tokens on average, {spread}"
    return Sample(source, texts, None, seconds / len(texts))


def scaled(lengths: Sequence[int], mean: float) -> list[int]:
    """Stretch lengths to another mean.

    Args:
        lengths: At least SHORTEST each.
        mean: The mean wanted, at least SHORTEST.

    Returns:
        Lengths of about that mean, at least SHORTEST each.
    """
    factor = (mean - SHORTEST) / max(1e-9, float(np.mean(lengths)) - SHORTEST)
    return [SHORTEST + round((length - SHORTEST) * factor) for length in lengths]


def _timed(path: Path, columns: TextColumns, n_texts: int) -> tuple[list[str], list[str] | None, float]:
    begun = time.perf_counter()
    texts, pairs = read_texts(path, columns, n_texts)
    return texts, pairs, time.perf_counter() - begun


@dataclass(frozen=True)
class Window:
    """A window as the runtime sees it.

    Attributes:
        batches: The texts of each batch of the schedule, in its order: the longest first.
        row_tokens: Tokens that the model is given, of each text on average.
        n_tokens: int64 [texts], special tokens included, before any was cut off.
        n_truncated: Texts of which the model does not see all.
    """

    batches: list[TextBatch]
    row_tokens: float
    n_tokens: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    n_truncated: int


def window_of(sample: Sample, bundle: Path, manifest: Manifest) -> Window:
    """Schedule a sample as one window.

    Args:
        sample: The texts.
        bundle: The bundle, whose tokenizer counts.
        manifest: Its manifest.

    Returns:
        The window.
    """
    tokenizer = read_verified(bundle, manifest, TOKENIZER).decode("utf-8")
    encoder = TextEncoder(tokenizer, max_length=manifest.max_length, long_text=manifest.long_text)
    encoded = encoder.encode(sample.texts, sample.pairs)
    rows = [sum(map(len, one.windows)) for one in encoded]
    batches = [
        TextBatch([sample.texts[i] for i in batch], sample.pairs and [sample.pairs[i] for i in batch])
        for batch in plan(rows)
    ]
    lengths = np.array([one.n_tokens for one in encoded], dtype=np.int64)
    return Window(batches, float(np.mean(rows)), lengths, sum(one.truncated for one in encoded))


def spread(batches: Sequence[TextBatch], n: int) -> tuple[TextBatch, ...]:
    """Pick some batches of a window, evenly from the longest texts to the shortest.

    Args:
        batches: In the order of the schedule.
        n: How many.

    Returns:
        So many, or all; in a random order, as long ones and short ones run side by side.
    """
    n = min(n, len(batches))
    chosen = [batches[int((i + 0.5) * len(batches) / n)] for i in range(n)]
    random.Random(SEED).shuffle(chosen)
    return tuple(chosen)
