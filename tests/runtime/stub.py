"""A classifier whose answer is a sum over the text: for tests of what happens to files, with no model to wait for."""

import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from medclf.bundle import Manifest, TextColumns
from medclf.labels import Labels
from medclf.runtime.predictions import Predictions, decide


class StubClassifier:
    """The part of `Classifier` that `predict_file` uses."""

    precision = "fp32"
    provider = "cpu"

    def __init__(self, labels: Labels | None = None) -> None:
        self.labels = labels or Labels(("cardiology", "neurology", "oncology"))
        self.manifest = Manifest(self.labels, TextColumns(), max_length=64, models={}, files={})

    def classify_windows(self, stream: Iterable[tuple[list[str], list[str] | None]]) -> Iterator[Predictions]:
        for texts, _ in stream:
            sums = [zlib.crc32(text.encode()) for text in texts]
            logits = np.array([[(one >> shift) % 97 / 24 for shift in (0, 8, 16)] for one in sums], dtype=np.float32)
            errors = {i: "is empty" for i, text in enumerate(texts) if not text.strip()}
            logits[list(errors)] = np.nan
            n_tokens = np.array([len(text.split()) for text in texts], dtype=np.int64)
            probabilities = self.labels.probabilities(logits)
            answers = decide(self.labels, probabilities)
            n_cut = np.maximum(n_tokens - 64, 0)
            yield Predictions(
                logits, probabilities, answers, n_tokens, n_cut, np.minimum(n_tokens, 1), errors, self.labels.names
            )
