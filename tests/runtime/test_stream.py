import itertools
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

from medclf.errors import InputError, OptionError, SessionError
from medclf.runtime import Classifier
from medclf.runtime import windows as windows_module


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Iterator[Classifier]:
    with Classifier.load(tiny_bundle, precision="fp32", threads=2) as made:
        yield made


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 7)


@pytest.mark.usefixtures("small_windows")
def test_a_stream_gets_the_answers_of_a_list(classifier: Classifier, texts: list[str]) -> None:
    assert list(classifier.predict_iter(iter(texts))) == classifier.predict(texts)
    parts = list(classifier.classify_iter(iter(texts)))
    assert [len(part) for part in parts] == [7] * 17 + [1]
    assert np.abs(np.concatenate([part.logits for part in parts]) - classifier.logits(texts)).max() <= 1e-5


@pytest.mark.usefixtures("small_windows")
def test_an_endless_stream_is_read_as_it_is_asked_for(classifier: Classifier) -> None:
    n_read = itertools.count()
    stream = classifier.predict_iter("ba" for _ in n_read)
    assert len(list(itertools.islice(stream, 20))) == 20
    stream.close()  # type: ignore[attr-defined]
    assert next(n_read) <= 20 + 3 * 7


@pytest.mark.usefixtures("small_windows")
def test_faults_in_a_stream(classifier: Classifier) -> None:
    stream = ["ba"] * 10 + ["", None] + ["ba"] * 10
    found = list(classifier.predict_iter(stream, on_error="skip"))
    assert [i for i, label in enumerate(found) if label is None] == [10, 11]
    message = r"2 of 7 texts from texts\[7\] on cannot be classified: texts\[10\] is empty; texts\[11\] is NoneType"
    with pytest.raises(InputError, match=message):
        list(classifier.predict_iter(stream))
    with pytest.raises(OptionError, match="on_error is 'no'"):
        next(classifier.predict_iter(["ba"], on_error="no"))


@pytest.mark.usefixtures("small_windows")
def test_pairs_in_a_stream(classifier: Classifier, texts: list[str]) -> None:
    pairs = texts[::-1]
    assert list(classifier.predict_iter(iter(texts), iter(pairs))) == classifier.predict(texts, pairs)
    for first, second, short in ((texts, pairs[:9], "pairs"), (texts[:9], pairs, "texts")):
        with pytest.raises(InputError, match=f"{short} ended after 9, the other did not"):
            list(classifier.predict_iter(iter(first), iter(second)))


def test_an_empty_stream(classifier: Classifier) -> None:
    assert list(classifier.predict_iter([])) == []


def test_truncation_of_a_stream_is_told_once(
    classifier: Classifier, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "_told", False)  # as when it was just loaded
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 1)
    list(classifier.predict_iter(["baba", "baba " * 63, "baba " * 65]))
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 3 texts (66.7 %) were cut: 4 of 135 tokens (3.0 %) were not seen (max_length 64, long_text truncate)"
    ]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"ba": 1}, "texts is one dict, expected a list"),
        ({"ba"}, "texts is one set, expected a list"),
        (None, "texts is one NoneType, expected a list"),
        ((text for text in ["ba"]), "texts is one generator, expected a list; streams go to predict_iter"),
    ],
)
def test_what_is_no_list(classifier: Classifier, texts: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        classifier.predict(texts)  # type: ignore[arg-type]


def test_a_single_text_is_no_stream(classifier: Classifier) -> None:
    with pytest.raises(InputError, match=r"texts is one str, expected a list: write \[text\]"):
        next(classifier.predict_iter("a text"))


def test_a_call_may_be_cancelled_by_another_thread(classifier: Classifier, texts: list[str]) -> None:
    cancel = threading.Event()
    assert len(classifier.classify(texts, cancel=cancel)) == len(texts)
    cancel.set()
    with pytest.raises(CancelledError):
        classifier.classify(texts, cancel=cancel)
    assert classifier.predict(texts)


def test_other_thresholds(tiny_multi_label_bundle: Path, texts: list[str]) -> None:
    with (
        Classifier.load(tiny_multi_label_bundle) as own,
        Classifier.load(tiny_multi_label_bundle, thresholds={"neurology": 1.0}) as other,
    ):
        assert own.labels.by_threshold == {"cardiology": 0.5, "neurology": 0.25, "oncology": 0.75}
        assert other.labels.by_threshold == {"cardiology": 0.5, "neurology": 1.0, "oncology": 0.75}
        assert any("neurology" in label for label in own.predict(texts))
        without = [tuple(name for name in label if name != "neurology") for label in own.predict(texts)]
        assert other.predict(texts) == without


def test_thresholds_out_of_place(tiny_bundle: Path, tiny_multi_label_bundle: Path) -> None:
    with pytest.raises(OptionError, match="thresholds name urology, expected some of cardiology, neurology, oncology"):
        Classifier.load(tiny_multi_label_bundle, thresholds={"urology": 0.5})
    with pytest.raises(OptionError, match="a threshold is not a probability"):
        Classifier.load(tiny_multi_label_bundle, thresholds={"oncology": 5})
    with pytest.raises(OptionError, match="1 thresholds, but the task is single_label"):
        Classifier.load(tiny_bundle, thresholds={"oncology": 0.5})


def test_a_classifier_is_not_sent_to_another_process(classifier: Classifier) -> None:
    with pytest.raises(SessionError, match=r"cannot be sent to another process\. Send the bundle's path"):
        pickle.dumps(classifier)
