"""`medclf.native`: libmedclf in Python, compared with the Python runtime."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from golden_native import GOLDEN, NASTY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medclf.errors import (
    BundleError,
    BundleVersionError,
    ExtraError,
    InputError,
    IntegrityError,
    OptionError,
    SessionError,
)
from medclf.native import NativeClassifier, library_path, onnxruntime_path
from medclf.runtime import Classifier
from medclf.tokenizer import TextEncoder

Load = Callable[..., NativeClassifier]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def native(library: Path, tiny_bundle: Path) -> Iterator[NativeClassifier]:
    with NativeClassifier.load(tiny_bundle, library=library) as classifier:
        yield classifier


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("paired", [False, True])
def test_the_answers_are_those_of_the_python_runtime(
    library: Path, tiny_bundle: Path, texts: list[str], precision: str, paired: bool
) -> None:
    mixed = [*texts, *NASTY]
    pairs = list(reversed(mixed)) if paired else None
    with (
        Classifier.load(tiny_bundle, provider="cpu", precision=precision) as python,
        NativeClassifier.load(tiny_bundle, precision=precision, library=library) as native,
    ):
        expected = python.classify(mixed, pairs, on_error="skip")
        found = native.classify(mixed, pairs, on_error="skip")
        assert (native.classes_, native.precision) == (python.classes_, python.precision)
    assert found.labels == expected.labels
    assert found.errors.keys() == expected.errors.keys()
    assert np.array_equal(found.n_tokens, expected.n_tokens)
    assert np.array_equal(found.truncated, expected.truncated)
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5, nan_ok=True)
    assert found.logits == pytest.approx(expected.logits, abs=1e-5, nan_ok=True)


def test_abstention_is_that_of_the_python_runtime(library: Path, bundle: Path, texts: list[str]) -> None:
    with NativeClassifier.load(bundle, library=library) as native:
        below = float(np.median(native.predict_proba(texts).max(axis=1)))
    edit(bundle / "medclf.json", lambda b: b.replace(b'"abstain_below": null', f'"abstain_below": {below}'.encode()))
    with (
        Classifier.load(bundle, provider="cpu") as python,
        NativeClassifier.load(bundle, library=library) as native,
    ):
        expected, found = python.classify(texts), native.classify([*texts, ""], on_error="skip")
    assert found.labels[:-1] == expected.labels
    assert found.abstained.tolist() == [*expected.abstained.tolist(), False]
    assert 0 < expected.abstained.sum() < len(texts)


def test_one_text_that_is_left_to_a_person(library: Path, bundle: Path) -> None:
    edit(bundle / "medclf.json", lambda b: b.replace(b'"abstain_below": null', b'"abstain_below": 1.0'))
    with NativeClassifier.load(bundle, library=library) as native:
        loaded, label = native._library, ctypes.c_size_t(9)
        predict = loaded.medclf_predict
        predict.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p]
        assert predict(native._handle, b"baba", 4, ctypes.byref(label), None) == 10  # MEDCLF_ABSTAINED
        assert b"a person should look" in loaded.medclf_last_error()
        assert label.value < 3  # what it would have been


def test_several_labels(library: Path) -> None:
    with NativeClassifier.load(GOLDEN / "several_labels.onnx", library=library) as classifier:
        found = classifier.classify(["baba ce", "zozo mimi", "ruka"])
        names = np.array(classifier.classes_)
    assert found.probabilities == pytest.approx(1 / (1 + np.exp(-found.logits)), abs=1e-6)
    expected = [tuple(names[row >= np.float32([0.3, 0.5, 0.9])].tolist()) for row in found.probabilities]
    assert found.labels == expected


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200), st.none() | st.text(max_size=200))
def test_any_text_gets_the_ids_of_tokenizers(
    native: NativeClassifier, tiny_bundle: Path, text: str, pair: str | None
) -> None:
    encoder = TextEncoder((tiny_bundle / "tokenizer.json").read_text(), max_length=native.max_length)
    (expected,) = encoder.encode([text], None if pair is None else [pair])
    assert native.encode(text, pair).tolist() == expected.input_ids.tolist()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100))
def test_any_bytes_get_the_ids_of_their_replacement(native: NativeClassifier, data: bytes) -> None:
    assert native.encode(data).tolist() == native.encode(data.decode("utf-8", "replace")).tolist()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=60), max_size=12))
def test_any_texts_get_the_answers_of_the_python_runtime(
    native: NativeClassifier, python: Classifier, texts: list[str]
) -> None:
    expected, found = python.classify(texts, on_error="skip"), native.classify(texts, on_error="skip")
    assert found.errors.keys() == expected.errors.keys()
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-5, nan_ok=True)


@pytest.fixture(scope="module")
def python(tiny_bundle: Path) -> Iterator[Classifier]:
    with Classifier.load(tiny_bundle, provider="cpu") as classifier:
        yield classifier


def test_no_texts(native: NativeClassifier) -> None:
    assert native.classify([]).probabilities.shape == (0, 3)
    assert native.predict([]) == []


def test_faults(native: NativeClassifier) -> None:
    texts = ["baba", " ", "CANARY-7f3a\0", "CANARY-7f3a\ud800", "a" * 1_000_001]
    with pytest.raises(InputError, match=r"^4 of 5 texts cannot be classified: texts\[1\] is empty; ") as raised:
        native.predict(texts)
    assert "CANARY" not in str(raised.value)
    found = native.classify(texts, on_error="skip")
    assert found.errors == {
        1: "is empty",
        2: "holds a NUL character",
        3: "is not UTF-8",
        4: "has more than 1,000,000 characters (is a quote left open?)",
    }
    assert found.labels[0] == native.predict(["baba"])[0]
    assert found.labels[1:] == [None] * 4
    assert np.isnan(found.probabilities[1:]).all()


def test_wrong_arguments(native: NativeClassifier, library: Path, tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="texts is one str, expected a list"):
        native.predict("baba")
    with pytest.raises(InputError, match=r"1 of 2 texts are not strings: texts\[1\] is int"):
        native.predict(["baba", 7])  # type: ignore[list-item]
    with pytest.raises(InputError, match="1 texts and 2 pairs"):
        native.predict(["baba"], ["a", "b"])
    with pytest.raises(OptionError, match="on_error is 'ignore', expected 'raise' or 'skip'"):
        native.classify(["baba"], on_error="ignore")
    with pytest.raises(OptionError, match="precision is 'int4', expected one of auto, fp32, int8"):
        NativeClassifier.load(tiny_bundle, precision="int4", library=library)
    with pytest.raises(OptionError, match="threads is 0, expected at least 1"):
        NativeClassifier.load(tiny_bundle, threads=0, library=library)


def test_closed(library: Path, tiny_bundle: Path) -> None:
    classifier = NativeClassifier.load(tiny_bundle, library=library)
    classifier.close()
    classifier.close()
    with pytest.raises(SessionError, match="was closed"):
        classifier.predict(["baba"])


def test_many_threads(native: NativeClassifier, texts: list[str]) -> None:
    expected = native.predict_proba(texts)
    with ThreadPoolExecutor(16) as pool:
        for found in pool.map(lambda _: native.predict_proba(texts), range(64)):
            assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork(library: Path, tiny_bundle: Path) -> None:
    script = f"""
import os, sys
from medclf.errors import SessionError
from medclf.native import NativeClassifier
classifier = NativeClassifier.load({str(tiny_bundle)!r}, library={str(library)!r})
classifier.predict(["baba"])
child = os.fork()
if not child:
    try:
        classifier.predict(["baba"])
    except SessionError as error:
        os._exit(0 if "does not survive a fork" in str(error) else 2)
    os._exit(3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("file", "change", "error", "message"),
    [
        ("onnx/model_quantized.onnx", lambda b: b[:-9], IntegrityError, "bytes, medclf.json says"),
        ("onnx/model_quantized.onnx", lambda b: b[:99] + b"\0" + b[100:], IntegrityError, "wrong SHA-256"),
        ("medclf.json", lambda b: b[:-20], BundleError, "The bundle is damaged"),
        ("medclf.json", lambda b: b.replace(b'"schema_version": 1', b'"schema_version": 9'), BundleVersionError, "9"),
        ("medclf.json", lambda b: b.replace(b'"neurology"', b'"surgery"', 1), BundleError, "labels_sha256 is not"),
        ("medclf.json", lambda b: b.replace(b"truncate", b"guess"), BundleError, "long_text is nothing that"),
        ("medclf.json", lambda b: b.replace(b"onnx/model.onnx", b"../x/model.onnx"), BundleError, "leaves the bundle"),
    ],
)
def test_a_broken_bundle(
    bundle: Path, library: Path, file: str, change: Callable[[bytes], bytes], error: type[Exception], message: str
) -> None:
    edit(bundle / file, change)
    with pytest.raises(error, match=message):
        NativeClassifier.load(bundle, library=library)


def test_a_missing_bundle(library: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is neither the folder of a bundle"):
        NativeClassifier.load(tmp_path / "absent", library=library)
    with pytest.raises(BundleError, match="is not a bundle: it has no"):
        NativeClassifier.load(tmp_path, library=library)


def test_a_missing_library(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ExtraError, match="cannot be loaded"):
        NativeClassifier.load(tiny_bundle, library=tmp_path / "libmedclf.so")


def test_an_installation_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda name: tmp_path)
    with pytest.raises(ExtraError, match="was installed without a C\\+\\+ compiler"):
        library_path()


def test_the_onnxruntime_of_python_is_not_loaded(library: Path, tiny_bundle: Path) -> None:
    script = f"""
import sys
from medclf.native import NativeClassifier
NativeClassifier.load({str(tiny_bundle)!r}, library={str(library)!r}).predict(["baba"])
print(*sorted({{"onnxruntime", "torch", "transformers", "onnx"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_onnxruntime_is_found_without_an_import() -> None:
    path = onnxruntime_path()
    assert path is not None
    assert path.name.startswith("libonnxruntime.")
