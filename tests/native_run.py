"""Runs `medclf-run` and holds its answers against those of the Python runtime."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medclf.runtime import Classifier

Run = Callable[..., "subprocess.CompletedProcess[str]"]
TOLERANCE = 1e-5  # of a probability


def lines(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def same(run: Run, bundle: Path, precision: str, rows: list[dict[str, str]]) -> float:
    """Labels are equal, probabilities within 1e-5, and every fault is found; give the largest difference."""
    texts = [row["text"] for row in rows]
    pairs = [row["text_pair"] for row in rows] if "text_pair" in rows[0] else None
    with Classifier.load(bundle, provider="cpu", precision=precision) as classifier:
        expected = classifier.classify(texts, pairs, on_error="skip")
        names = classifier.classes_
    found = lines(run(rows, bundle, "--precision", precision, "--on-error", "skip"))
    labels = [list(label) if isinstance(label, tuple) else label for label in expected.labels]  # as JSON has them
    assert [line["row"] for line in found] == list(range(1, len(rows) + 1))
    assert [line["label"] for line in found] == labels
    assert [i for i, line in enumerate(found) if "error" in line] == list(expected.errors)
    good = [i for i in range(len(rows)) if i not in expected.errors]
    assert [found[i]["truncated"] for i in good] == expected.truncated[good].tolist()
    assert len({json.dumps(labels[i]) for i in good}) > 1  # a model with one answer proves nothing
    probabilities = np.array([[found[i]["probabilities"][name] for name in names] for i in good])
    largest = float(np.abs(probabilities - expected.probabilities[good]).max())
    assert largest <= TOLERANCE
    return largest
