"""A bundle that answers through libmedclf, with the methods of `medclf.runtime.Classifier`."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from medclf.errors import InputError, OptionError, SessionError
from medclf.labels import Floats, Label
from medclf.native.library import Options, Results, Text, check, library_path, load_library, onnxruntime_path
from medclf.runtime.predictions import Predictions

PRECISIONS = {"auto": 0, "fp32": 1, "int8": 2}
MODES = {"throughput": 0, "latency": 1}


class NativeClassifier:
    """A bundle that answers through libmedclf; safe to share between threads, to be loaded after a fork.

    Attributes:
        classes_: Label names; column i of logits and probabilities is name i.
        precision: Which model of the bundle was taken, `fp32` or `int8`.
        max_length: Most tokens of a text.
    """

    classes_: tuple[str, ...]
    precision: str
    max_length: int

    def __init__(self, library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        """Hold what `load` opened.

        Args:
            library: libmedclf.
            handle: An open classifier.
        """
        self._library = library
        self._handle: ctypes.c_void_p | None = handle
        n_labels = library.medclf_n_labels(handle)
        self.classes_ = tuple(library.medclf_label(handle, i).decode() for i in range(n_labels))
        self.precision = library.medclf_precision_taken(handle).decode()
        self.max_length = library.medclf_max_length(handle)
        self._multi_label = bool(library.medclf_multi_label(handle))

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        *,
        precision: str = "auto",
        mode: str = "throughput",
        threads: int | None = None,
        library: str | Path | None = None,
    ) -> "NativeClassifier":
        """Open a bundle; the model is checked against its hash before it is used.

        Args:
            bundle: The folder, or one .onnx file out of it.
            precision: `fp32`, `int8`, or `auto` for INT8 if the bundle has it and else fp32.
            mode: `throughput` runs a batch on each core, `latency` one batch on all cores.
            threads: Cores to keep busy; None for all that this process may use.
            library: Path of libmedclf; None for the one of this installation.

        Returns:
            The classifier.

        Raises:
            ExtraError: libmedclf is not part of this installation.
            OptionError: An option has a wrong value.
            BundleError: The bundle is damaged, or of a version that cannot be read.
            ProviderError: ONNX Runtime cannot be loaded.
        """
        for option, value, allowed in (("mode", mode, MODES), ("precision", precision, PRECISIONS)):
            if value not in allowed:
                raise OptionError(f"{option} is {value!r}, expected one of {', '.join(allowed)}.")
        if threads is not None and threads < 1:
            raise OptionError(f"threads is {threads}, expected at least 1.")
        loaded = load_library(Path(library) if library else library_path())
        runtime = onnxruntime_path()
        options = Options(
            ctypes.sizeof(Options), PRECISIONS[precision], MODES[mode], threads or 0, 0, runtime and bytes(runtime)
        )
        handle = ctypes.c_void_p()
        check(loaded, loaded.medclf_open(bytes(Path(bundle)), ctypes.byref(options), ctypes.byref(handle)))
        return cls(loaded, handle)

    def classify(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, on_error: str = "raise"
    ) -> Predictions:
        """Classify texts; the answer to a text does not depend on the other texts.

        Args:
            texts: Any number of texts, none included.
            pairs: The second text of each, for a model that was trained on pairs.
            on_error: `raise` refuses all texts when one has a fault, `skip` leaves that one without an answer.

        Returns:
            The answers, in order.

        Raises:
            InputError: A text has a fault; the message counts them and gives the first five.
            OptionError: `on_error` has a wrong value.
        """
        if on_error not in ("raise", "skip"):
            raise OptionError(f"on_error is {on_error!r}, expected 'raise' or 'skip'.")
        if pairs is not None and len(pairs) != len(texts):
            raise InputError(f"{len(texts)} texts and {len(pairs)} pairs: each text needs its second text.")
        first, second = _views(texts, "texts"), None if pairs is None else _views(pairs, "pairs")
        n_texts, n_labels = len(texts), len(self.classes_)
        logits = np.empty((n_texts, n_labels), dtype=np.float32)
        probabilities = np.empty_like(logits)
        decisions = np.empty((n_texts, n_labels), dtype=np.uint8)
        n_tokens, n_cut, n_windows = np.empty((3, n_texts), dtype=np.int64)
        faults, abstained = np.zeros(n_texts, dtype=np.int32), np.zeros(n_texts, dtype=np.uint8)
        skipped = faults if on_error == "skip" else None
        arrays = (probabilities, logits, decisions, n_tokens, skipped, abstained, n_cut, n_windows)
        results = Results(ctypes.sizeof(Results), *map(_address, arrays))
        check(
            self._library,
            self._library.medclf_classify(self._open(), first, second, n_texts, ctypes.byref(results)),
        )
        unanswered = (faults != 0) | (abstained != 0)
        labels = [None if no else self._label(given) for given, no in zip(decisions, unanswered, strict=True)]
        errors = {int(i): self._library.medclf_fault_reason(int(faults[i])).decode() for i in np.flatnonzero(faults)}
        return Predictions(logits, probabilities, labels, n_tokens, n_cut, n_windows, errors, self.classes_)

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Label | None]:
        """Name the label of each text.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            Names, or tuples of names for a model that may give a text several labels; None where it abstains.
        """
        return self.classify(texts, pairs).labels

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Floats:
        """Give the probability of each label.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            float32 [texts, labels], columns as in `classes_`.
        """
        return self.classify(texts, pairs).probabilities

    def encode(self, text: str | bytes, pair: str | bytes | None = None) -> npt.NDArray[np.int32]:
        """Give the token ids of a text as the model gets them.

        Args:
            text: The text; bytes that are no UTF-8 count as U+FFFD.
            pair: The second text of a pair.

        Returns:
            int32 [tokens], special tokens included; of a text that is cut into windows, those of each one after the
            other.
        """
        first, second = _view(_bytes(text)), None if pair is None else ctypes.byref(_view(_bytes(pair)))
        n_ids = ctypes.c_size_t(self.max_length)
        while True:  # a second time for a text whose windows need more room
            ids = np.empty(n_ids.value, dtype=np.int32)
            status = self._library.medclf_encode(
                self._open(), ctypes.byref(first), second, _address(ids), len(ids), ctypes.byref(n_ids)
            )
            check(self._library, status)
            if n_ids.value <= len(ids):
                break
        found: npt.NDArray[np.int32] = ids[: n_ids.value].copy()
        return found

    def close(self) -> None:
        """Free the model; later calls raise a SessionError, and none may be under way."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._library.medclf_close(handle)

    def __enter__(self) -> "NativeClassifier":
        """Give the classifier itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _open(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise SessionError("the classifier was closed. Load it again.")
        return self._handle

    def _label(self, given: npt.NDArray[np.uint8]) -> Label:
        names = tuple(self.classes_[i] for i in np.flatnonzero(given))
        return names if self._multi_label else names[0]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")  # half a pair is no UTF-8


def _view(data: bytes) -> Text:
    return Text(data, len(data))


def _views(texts: Sequence[str], name: str) -> "ctypes.Array[Text]":
    if isinstance(texts, (str, bytes)):
        raise InputError(f"{name} is one {type(texts).__name__}, expected a list: write [text] for a single text.")
    wrong = [i for i, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        first = ", ".join(f"{name}[{i}] is {type(texts[i]).__name__}" for i in wrong[:5])
        raise InputError(f"{len(wrong)} of {len(texts)} {name} are not strings: {first}.")
    return (Text * len(texts))(*[_view(_bytes(text)) for text in texts])


def _address(array: npt.NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data
