"""Long texts through libmedclf: the rows, the counts and the answers are those of the Python runtime."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medclf.bundle import MANIFEST
from medclf.errors import InputError
from medclf.long_text import LongText
from medclf.native import NativeClassifier
from medclf.runtime import Classifier
from medclf.tokenizer import TextEncoder

MAX_LENGTH = 32
POLICIES = [
    LongText.of("head_tail", max_length=MAX_LENGTH),
    LongText.of("windows", max_length=MAX_LENGTH, stride=20),
    LongText.of("windows", max_length=MAX_LENGTH, pooling="max", max_windows=2),
    LongText.of("windows", max_length=MAX_LENGTH, pooling="noisy-or"),
]


def serve(bundle: Path, policy: LongText) -> Path:
    """Let a bundle say that it has another policy; it is a copy, and the models in it still say `truncate`."""
    manifest = json.loads((bundle / MANIFEST).read_bytes()) | {"long_text": str(policy), "max_length": MAX_LENGTH}
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return bundle


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory, tiny_multi_label_checkpoint: Path) -> Path:
    """A bundle whose texts may have several labels, pooled by noisy-or; its model says so too."""
    from medclf_export.pipeline import ExportOptions, export_bundle

    folder = tmp_path_factory.mktemp("long") / "bundle"
    policy = str(POLICIES[3])
    export_bundle(ExportOptions(tiny_multi_label_checkpoint, folder, max_length=MAX_LENGTH, long_text=policy))
    return folder


def assert_same(folder: Path, library: Path, texts: list[str]) -> None:
    mixed = [*texts, "", "ba\0", *texts[:5]]
    with Classifier.load(folder) as python, NativeClassifier.load(folder, library=library) as native:
        expected, found = python.classify(mixed, on_error="skip"), native.classify(mixed, on_error="skip")
    assert found.labels == expected.labels
    assert found.errors.keys() == expected.errors.keys()
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5, nan_ok=True)
    assert found.logits == pytest.approx(expected.logits, abs=1e-4, nan_ok=True)
    for counts in ("n_tokens", "n_cut", "n_windows"):
        assert np.array_equal(getattr(found, counts), getattr(expected, counts)), counts


@pytest.mark.parametrize("policy", POLICIES[:3], ids=str)
def test_one_label(bundle: Path, library: Path, texts: list[str], policy: LongText) -> None:
    assert_same(serve(bundle, policy), library, texts)


def test_several_labels(several: Path, library: Path, texts: list[str]) -> None:
    assert_same(several, library, texts)


def test_a_model_without_its_manifest_keeps_the_policy(several: Path, library: Path, texts: list[str]) -> None:
    model = several / "onnx" / "model.onnx"
    with NativeClassifier.load(several, library=library) as whole, NativeClassifier.load(model, library=library) as one:
        expected, found = whole.classify(texts), one.classify(texts)
    assert found.n_windows.max() > 1
    assert np.array_equal(found.logits, expected.logits)


@pytest.mark.parametrize("policy", POLICIES[:2], ids=str)
def test_the_ids_of_all_rows(bundle: Path, library: Path, policy: LongText) -> None:
    encoder = TextEncoder((bundle / "tokenizer.json").read_text(), max_length=MAX_LENGTH, long_text=policy)

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text(st.sampled_from("ab cé[SEP]1"), max_size=300))
    def check(text: str) -> None:
        assert native.encode(text).tolist() == encoder.encode([text])[0].input_ids.tolist()

    with NativeClassifier.load(serve(bundle, policy), library=library) as native:
        check()


def test_pairs_are_refused(bundle: Path, library: Path) -> None:
    with NativeClassifier.load(serve(bundle, POLICIES[0]), library=library) as native:
        with pytest.raises(InputError, match="pairs are given, but the model was trained on single texts"):
            native.classify(["baba"], ["gugu"])
        assert native.predict(["baba"])
