import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.bundle import read_manifest
from medclf.errors import BundleError, InputError, OptionError, ProviderError, SessionError
from medclf.labels import Labels
from medclf.runtime import Classifier, Truncation
from medclf.runtime import windows as windows_module
from medclf.runtime.opening import candidates, read_encoder
from medclf.runtime.predictions import concatenate
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session

CANARY = "CANARY-7f3a"
BATCH_TOLERANCE = {"fp32": 1e-5, "int8": 1e-3}  # of logits, alone and among others: the limits of the export gate


@pytest.fixture(scope="module")
def loaded(tiny_bundle: Path) -> Iterator[dict[tuple[str, int], Classifier]]:
    made = {
        (precision, threads): Classifier.load(tiny_bundle, precision=precision, threads=threads)
        for precision in ("fp32", "int8")
        for threads in (1, 2, 4)
    }
    yield made
    for classifier in made.values():
        classifier.close()


@pytest.fixture(scope="module")
def classifier(loaded: dict[tuple[str, int], Classifier]) -> Classifier:
    return loaded["fp32", 2]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_text_alone_is_a_text_in_a_batch(
    loaded: dict[tuple[str, int], Classifier], texts: list[str], precision: str
) -> None:
    classifier = loaded[precision, 2]
    together = classifier.logits(texts)
    alone = np.concatenate([classifier.logits([text]) for text in texts])
    assert np.abs(together - alone).max() <= BATCH_TOLERANCE[precision]


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_order_and_threads_change_nothing(
    loaded: dict[tuple[str, int], Classifier], texts: list[str], data: st.DataObject
) -> None:
    precision = data.draw(st.sampled_from(["fp32", "int8"]))
    order = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=40))
    chosen = loaded[precision, data.draw(st.sampled_from([1, 2, 4]))].logits([texts[i] for i in order])
    assert np.abs(chosen - loaded[precision, 1].logits(texts)[order]).max() <= BATCH_TOLERANCE[precision]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("mode", ["latency", "auto"])
def test_modes_answer_the_same(
    tiny_bundle: Path, loaded: dict[tuple[str, int], Classifier], texts: list[str], mode: str, precision: str
) -> None:
    whole = loaded[precision, 2].classify(texts)
    with Classifier.load(tiny_bundle, precision=precision, mode=mode, threads=2) as other:
        for answers in (other.classify(texts), concatenate([other.classify([text]) for text in texts])):
            assert np.abs(answers.logits - whole.logits).max() <= BATCH_TOLERANCE[precision]
            assert np.abs(answers.probabilities - whole.probabilities).max() <= BATCH_TOLERANCE[precision]
            assert answers.labels == whole.labels


def test_windows_change_nothing(classifier: Classifier, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = classifier.classify(texts)
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 7)
    monkeypatch.setattr("medclf.runtime.classifier.WINDOW_TEXTS", 7)
    parts = classifier.classify([*texts, ""], on_error="skip")
    assert np.abs(parts.logits[:-1] - whole.logits).max() <= 1e-5
    assert parts.n_tokens[:-1].tolist() == whole.n_tokens.tolist()
    assert parts.errors == {len(texts): "is empty"}


def test_threads_may_share_a_classifier(classifier: Classifier, texts: list[str]) -> None:
    expected = classifier.logits(texts)
    found: dict[int, float] = {}

    def work(i: int) -> None:
        found[i] = float(np.abs(classifier.logits(texts[i:]) - expected[i:]).max())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert max(found.values()) <= 1e-5


def test_the_faces_agree(classifier: Classifier, texts: list[str]) -> None:
    answers = classifier.classify(texts)
    assert classifier.predict(texts) == answers.labels
    assert (classifier.predict_proba(texts) == answers.probabilities).all()
    assert (classifier.logits(texts) == answers.logits).all()
    assert classifier.classes_ == classifier.labels.names == ("cardiology", "neurology", "oncology")
    names = np.array(classifier.classes_)[answers.logits.argmax(axis=1)]
    assert answers.labels == names.tolist()
    assert np.allclose(answers.probabilities.sum(axis=1), 1)


def test_no_texts(classifier: Classifier) -> None:
    answers = classifier.classify([])
    assert (answers.logits.shape, answers.labels, len(answers)) == ((0, 3), [], 0)
    assert classifier.predict([]) == []
    assert classifier.classify([], []).errors == {}


def test_truncation_is_counted_and_told_once(
    classifier: Classifier, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "_told", False)  # as when it was just loaded
    with caplog.at_level(logging.WARNING):
        answers = classifier.classify(["baba", "baba " * 62, "baba " * 63])
    assert answers.n_tokens.tolist() == [3, 64, 65]
    assert answers.truncated.tolist() == [False, False, True]
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 3 texts (33.3 %) were cut: 1 of 132 tokens (0.8 %) were not seen (max_length 64, long_text truncate)"
    ]
    assert answers.truncation == Truncation(3, 1, 132, 1)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        classifier.predict(["baba " * 63])
    assert [record.levelname for record in caplog.records] == ["INFO"]  # a service asks for one text after the other
    assert answers.n_cut.tolist() == [0, 0, 1]


BAD = ["fine", "", None, 7, f"{CANARY}\0", f"{CANARY}\ud800", "fine", "  ", "\t"]


def test_every_fault_is_counted_and_no_text_is_quoted(classifier: Classifier) -> None:
    message = (
        r"^7 of 9 texts cannot be classified: texts\[1\] is empty; texts\[2\] is NoneType, not a string; "
        r"texts\[3\] is int, .*texts\[4\] holds a NUL .*texts\[5\] holds half .*; and 2 more\. on_error='skip'"
    )
    with pytest.raises(InputError, match=message) as caught:
        classifier.classify(BAD)  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)


def test_faults_that_are_skipped(classifier: Classifier) -> None:
    answers = classifier.classify(BAD, on_error="skip")  # type: ignore[arg-type]
    assert sorted(answers.errors) == [1, 2, 3, 4, 5, 7, 8]
    assert [label is None for label in answers.labels] == [i in answers.errors for i in range(9)]
    assert np.isnan(answers.probabilities[1]).all()
    assert np.isnan(answers.logits[1]).all()
    assert (answers.logits[[0, 6]] == classifier.logits(["fine", "fine"])).all()
    assert answers.n_tokens[1] == 0
    assert CANARY not in str(answers.errors)


def test_nothing_but_faults(classifier: Classifier) -> None:
    assert classifier.classify(["", ""], on_error="skip").labels == [None, None]


def test_a_string_is_not_a_list(classifier: Classifier) -> None:
    with pytest.raises(InputError, match=r"texts is one str, expected a list: write \[text\]"):
        classifier.predict("a text")
    with pytest.raises(InputError, match="pairs is one str"):
        classifier.predict(["a"], "b")


def test_pairs(classifier: Classifier) -> None:
    answers = classifier.classify(["baba cece", "baba"], ["didi", "fofo gugu"])
    assert answers.n_tokens.tolist() == [6, 6]
    assert np.abs(answers.logits[1] - classifier.logits(["baba"])[0]).max() > 1e-4  # the second text is read
    with pytest.raises(InputError, match="2 texts and 1 pairs"):
        classifier.classify(["a", "b"], ["c"])
    with pytest.raises(InputError, match=r"texts\[1\] has a second text that is empty"):
        classifier.classify(["a", "b"], ["c", ""])


def test_an_unknown_way_with_errors(classifier: Classifier) -> None:
    with pytest.raises(OptionError, match="on_error is 'ignore', expected 'raise' or 'skip'"):
        classifier.classify([""], on_error="ignore")


def test_closed(tiny_bundle: Path) -> None:
    with Classifier.load(tiny_bundle, threads=2) as classifier:
        classifier.predict(["ba"])
    classifier.close()  # twice is fine
    with pytest.raises(SessionError, match=r"was closed\. Load it again"):
        classifier.predict(["ba"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fast"}, "mode is 'fast', expected one of throughput, latency, auto"),
        ({"precision": "int4"}, "precision is 'int4', expected one of auto, fp32, int8, fp16"),
        ({"precision": "fp16"}, "precision fp16: this bundle holds fp32, int8 only"),
        ({"threads": 0}, "threads is 0, expected at least 1"),
    ],
)
def test_options_out_of_range(tiny_bundle: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Classifier.load(tiny_bundle, **options)


def test_precision_auto_takes_int8_on_a_cpu(tiny_bundle: Path) -> None:
    with Classifier.load(tiny_bundle, provider="cpu") as classifier:
        assert (classifier.precision, classifier.provider) == ("int8", "cpu")


@pytest.mark.parametrize(
    ("provider", "precision", "models", "cuda", "expected"),
    [
        ("auto", "auto", ("fp32", "int8"), False, [("cpu", "int8")]),
        ("auto", "auto", ("fp32",), False, [("cpu", "fp32")]),
        ("auto", "auto", ("fp32", "int8"), True, [("cuda", "fp32"), ("cpu", "int8")]),
        ("auto", "fp32", ("fp32", "int8"), True, [("cuda", "fp32"), ("cpu", "fp32")]),
        ("auto", "int8", ("fp32", "int8"), True, [("cpu", "int8")]),
        ("cpu", "auto", ("fp32", "int8"), True, [("cpu", "int8")]),
        ("cpu", "fp32", ("fp32", "int8"), True, [("cpu", "fp32")]),
        ("cuda", "auto", ("fp32", "int8"), True, [("cuda", "fp32")]),
    ],
)
def test_what_is_tried(
    provider: str, precision: str, models: Sequence[str], cuda: bool, expected: list[tuple[str, str]]
) -> None:
    assert candidates(provider, precision, models, cuda=cuda) == expected


def test_int8_on_cuda_is_refused_with_the_reason(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderError, match="have no CUDA kernel"):
        Classifier.load(tiny_bundle, provider="cuda", precision="int8")


def test_a_limit_of_cuda_on_the_cpu_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(OptionError, match="cuda_memory_mb limits memory on CUDA, and provider is 'cpu'"):
        Classifier.load(tiny_bundle, cuda_memory_mb=512)


def test_cuda_that_does_not_start_is_told_by_auto(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("medclf.runtime.opening.cuda_built_in", lambda: True)
    monkeypatch.setattr("medclf.runtime.session.cuda_built_in", lambda: False)
    with caplog.at_level(logging.WARNING), Classifier.load(tiny_bundle, provider="auto") as classifier:
        assert (classifier.provider, classifier.precision) == ("cpu", "int8")
    assert "provider auto: provider cuda" in caplog.text


def test_cuda_asked_for_and_not_had_is_an_error(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medclf.runtime.session.cuda_built_in", lambda: False)
    with pytest.raises(ProviderError, match="built without CUDA"):
        Classifier.load(tiny_bundle, provider="cuda")


@pytest.fixture
def by_hand(tiny_bundle: Path, graph: Callable[..., bytes]) -> Callable[..., Classifier]:
    """A classifier of other labels around a graph made by hand."""

    def make(labels: Labels, **changes: float) -> Classifier:
        manifest = read_manifest(tiny_bundle)
        encoder = read_encoder(tiny_bundle, manifest)
        runner = Runner(Session(graph(**changes)), encoder, multi_label=labels.multi_label)
        return Classifier(replace(manifest, labels=labels), "fp32", runner=runner, encoder=encoder)

    return make


def test_several_labels_a_text(by_hand: Callable[..., Classifier]) -> None:
    labels = Labels(("a", "b", "c"), "multi_label_classification", (0.9, 0.7, 0.5))
    answers = by_hand(labels, scale=0.0).classify(["ba", ""], on_error="skip")  # logits 0, 1, 2
    assert answers.labels == [("b", "c"), None]  # probabilities .50, .73, .88
    none_given = Labels(("a", "b", "c"), "multi_label_classification", (1.0, 1.0, 1.0))
    assert by_hand(none_given, scale=0.0).predict(["ba"]) == [()]


def test_a_model_that_abstains(by_hand: Callable[..., Classifier]) -> None:
    labels = Labels(("a", "b", "c"), abstain_below=0.66)
    answers = by_hand(labels, scale=0.0).classify(["ba", ""], on_error="skip")  # 0.67 for c
    assert (answers.labels, answers.abstained.tolist()) == (["c", None], [False, False])
    unsure = by_hand(replace(labels, abstain_below=0.67), scale=0.0)
    answers = unsure.classify(["ba", "", "ce"], on_error="skip")
    assert (answers.labels, answers.abstained.tolist()) == ([None, None, None], [True, False, True])
    assert answers.probabilities[0, 2] == pytest.approx(0.665, abs=1e-3)
    assert unsure.predict(["ba"]) == [None]
    several = replace(labels, task="multi_label_classification", thresholds=(0.9, 0.7, 0.5))
    assert by_hand(replace(several, abstain_below=0.5), scale=0.0).predict(["ba"]) == [("b", "c")]  # 0.5 for not a
    assert by_hand(replace(several, abstain_below=0.51), scale=0.0).predict(["ba"]) == [None]


def test_a_model_of_another_width(by_hand: Callable[..., Classifier]) -> None:
    with pytest.raises(BundleError, match="gives 3 logits, the manifest names 2 labels"):
        by_hand(Labels(("a", "b")))


def test_logits_that_are_not_numbers(by_hand: Callable[..., Classifier]) -> None:
    with pytest.raises(BundleError, match="not a finite number"):
        by_hand(Labels(("a", "b", "c")), scale=float("nan")).predict(["ba"])
