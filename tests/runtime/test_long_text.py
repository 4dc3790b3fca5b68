"""The three policies for long texts, as a bundle answers with them: PyTorch's own windows, pooled by hand."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medclf.bundle import MANIFEST, read_manifest
from medclf.errors import BundleError, InputError
from medclf.labels import Floats, Labels
from medclf.long_text import LongText
from medclf.runtime import Classifier
from medclf.runtime.verify import verify
from medclf.tokenizer import Encoded, TextEncoder
from medclf.train.checkpoint import read_checkpoint

MAX_LENGTH = 32
SINGLE = [LongText.of("head_tail", max_length=MAX_LENGTH), LongText.of("windows", max_length=MAX_LENGTH, stride=20),
          LongText.of("windows", max_length=MAX_LENGTH, pooling="max", max_windows=2)]  # fmt: skip
SEVERAL = [*SINGLE, LongText.of("windows", max_length=MAX_LENGTH, pooling="noisy-or")]


def serve(bundle: Path, policy: LongText, *, task: str | None = None) -> Path:
    """Let a bundle say that it has another policy, and another task; it is a copy."""
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    manifest |= {"long_text": str(policy), "max_length": MAX_LENGTH}
    if task is not None:
        labels = Labels(tuple(manifest["labels"]), task)  # type: ignore[arg-type]
        manifest |= {"task": task, "labels_sha256": labels.sha256}
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return bundle


def split(ids: Any, policy: LongText) -> list[Any]:
    """The rules of docs/bundle.md once more, in other words."""
    room = MAX_LENGTH - 2
    if len(ids) <= room:
        return [ids]
    if policy.policy == "head_tail":
        return [np.concatenate([ids[: policy.head], ids[-policy.tail :]])]
    parts = [ids[:room]]
    start = 0
    while start + room < len(ids) and len(parts) < policy.max_windows:
        start += policy.stride
        parts.append(ids[start : start + room])
    return parts


@pytest.fixture(scope="module")
def probabilities_of(tiny_checkpoint: Path) -> Callable[[str, LongText, Labels], Floats]:
    """What PyTorch and the formulas make of a text, window by window and without our own cutting."""
    from medclf_export.checkpoint_model import CheckpointModel

    model = CheckpointModel(read_checkpoint(tiny_checkpoint))
    encoder = TextEncoder((tiny_checkpoint / "tokenizer.json").read_text(), max_length=10_000)

    cls, sep = encoder.encode(["a"])[0].input_ids[[0, -1]]

    def run(text: str, policy: LongText, labels: Labels) -> Floats:
        parts = split(encoder.encode([text])[0].input_ids[1:-1], policy)
        rows = [Encoded(np.array([cls, *part, sep]), np.zeros(len(part) + 2, np.int64), 0) for part in parts]
        each = labels.probabilities(np.concatenate([model.forward(encoder.pad([row])) for row in rows]))
        if policy.pooling == "mean":
            return each.mean(axis=0)
        if policy.pooling == "noisy-or":
            return 1 - (1 - each).prod(axis=0)
        return each.max(axis=0) if labels.multi_label else each.max(axis=0) / each.max(axis=0).sum()

    return run


@pytest.mark.parametrize(
    ("task", "policy"),
    [("single_label_classification", one) for one in SINGLE] + [("multi_label_classification", one) for one in SEVERAL],
    ids=str,
)
def test_answers_are_those_of_pytorch_alone_and_in_a_batch(
    bundle: Path, texts: list[str], task: str, policy: LongText, probabilities_of: Any
) -> None:
    texts = texts[:40]
    with Classifier.load(serve(bundle, policy, task=task), precision="fp32") as classifier:
        together = classifier.classify(texts)
        expected = np.array([probabilities_of(text, policy, classifier.labels) for text in texts])
        alone = np.concatenate([classifier.predict_proba([text]) for text in texts])
        one_batch = classifier.labels.probabilities(classifier.run_batch(classifier.encode(texts)))
    assert together.probabilities == pytest.approx(expected, abs=1e-4)
    assert alone == pytest.approx(together.probabilities, abs=1e-5)
    assert one_batch == pytest.approx(together.probabilities, abs=1e-5)
    n_words = np.array([len(text.split()) for text in texts])  # one token each
    assert together.n_tokens.tolist() == (n_words + 2).tolist()
    if policy.policy == "windows":
        assert together.n_windows.max() > 1
        assert (together.n_windows <= policy.max_windows).all()
        assert (together.n_cut == np.maximum(0, n_words - 30 - (policy.max_windows - 1) * policy.stride)).all()
    else:
        assert (together.n_windows == 1).all()
        assert (together.n_cut == np.maximum(0, n_words - 30)).all()


def test_a_text_that_is_seen_whole_is_not_told_as_cut(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    serve(bundle, LongText.of("windows", max_length=MAX_LENGTH, max_windows=3))
    with caplog.at_level(logging.WARNING), Classifier.load(bundle) as classifier:
        answers = classifier.classify(["baba " * 60, "", "baba " * 200], on_error="skip")
    assert answers.n_windows.tolist() == [3, 0, 3]
    assert answers.truncated.tolist() == [False, False, True]
    assert answers.n_cut.tolist() == [0, 0, 200 - (30 + 2 * 22)]
    policy = "windows:stride=22,pooling=mean,max_windows=3"
    told = (
        f"1 of 3 texts (33.3 %) were cut: 126 of 264 tokens (47.7 %) were not seen (max_length 32, long_text {policy})"
    )
    assert told in [record.getMessage() for record in caplog.records]


def test_pairs_are_refused(bundle: Path) -> None:
    with Classifier.load(serve(bundle, SINGLE[0])) as classifier:
        with pytest.raises(InputError, match=r"pairs are given, but the model .* long_text is head_tail"):
            classifier.classify(["baba"], ["gugu"])
        assert classifier.predict(["baba"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"long_text": "summary"}, "long_text is 'summary', which this medclf does not know"),
        ({"long_text": {"policy": "windows"}}, "which this medclf does not know"),
        ({"long_text": "head_tail:head=8,tail=30"}, "keeps 8 and 30 tokens, but max_length 64 has room for 62"),
        ({"long_text": "windows:stride=63,pooling=mean,max_windows=4"}, "stride is 63, expected 1 to 62"),
        ({"long_text": "windows:stride=9,pooling=noisy-or,max_windows=4"}, "pooling is 'noisy-or', but a text has one"),
        (
            {"long_text": "windows:stride=9,pooling=max,max_windows=4", "columns": {"text": ["a"], "pair": ["b"]}},
            "the texts are pairs: expected 'truncate'",
        ),
    ],
)
def test_a_bundle_that_says_what_cannot_be_is_refused(bundle: Path, change: dict[str, Any], message: str) -> None:
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_text(json.dumps(manifest | change), encoding="utf-8")
    with pytest.raises(BundleError, match=message):
        read_manifest(bundle)
    assert [check.passed for check in verify(bundle)] == [False]
