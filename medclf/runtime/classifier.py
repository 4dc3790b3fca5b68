"""A bundle that answers: `Classifier.load("bundle").predict(texts)`."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from medclf.bundle import Manifest, read_manifest
from medclf.errors import BundleError, InputError, OptionError
from medclf.labels import Floats, Label, Labels
from medclf.runtime.opening import open_model, read_encoder
from medclf.runtime.predictions import Predictions, concatenate, decide
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session
from medclf.runtime.windows import WINDOW_TEXTS, one_ahead, windows
from medclf.text import text_fault
from medclf.tokenizer import Encoded, TextEncoder

Texts = tuple[Sequence[str], Sequence[str] | None]  # texts, and the second text of each or None
Faults = dict[int, str]  # index of a text -> why it cannot be classified

logger = logging.getLogger(__name__)


class Classifier:
    """A model that is ready to answer; safe to share between threads, to be loaded after a fork.

    Attributes:
        manifest: What the bundle says about itself.
        precision: Which of its models was taken, `fp32` or `int8`.
        n_callers: How many batches it runs at a time.
    """

    manifest: Manifest
    precision: str
    n_callers: int

    def __init__(
        self, manifest: Manifest, precision: str, *, session: Session, encoder: TextEncoder, n_callers: int = 1
    ) -> None:
        """Join the parts; `Classifier.load` makes them.

        Args:
            manifest: The bundle's manifest.
            precision: Which of its models `session` holds.
            session: The model.
            encoder: The tokenizer.
            n_callers: How many batches run at a time.

        Raises:
            BundleError: The model gives another number of logits than the manifest has labels.
        """
        if session.n_labels != len(manifest.labels):
            raise BundleError(
                f"the {precision} model gives {session.n_labels} logits, the manifest names {len(manifest.labels)} "
                "labels. The bundle is damaged: export it again."
            )
        self.manifest = manifest
        self.precision = precision
        self.n_callers = n_callers
        self._session = session
        self._encoder = encoder
        self._runner = Runner(session, encoder, multi_label=manifest.labels.multi_label, n_callers=n_callers)

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        *,
        provider: str = "auto",
        precision: str = "auto",
        mode: str = "throughput",
        threads: int | None = None,
    ) -> "Classifier":
        """Open a bundle; every file is checked against its hash before it is used.

        Args:
            bundle: The folder.
            provider: `cpu`, `cuda`, or `auto` for CUDA where it can be had and else the CPU.
            precision: `fp32`, `int8`, or `auto` for INT8 on a CPU if the bundle has it and else fp32.
            mode: `throughput` runs a batch on each core, `latency` one batch on all cores.
            threads: Cores to keep busy; None for all that this process may use.

        Returns:
            The classifier.

        Raises:
            BundleError: The bundle is damaged, or of a version that cannot be read.
            ProviderError: The provider was asked for and not obtained, or cannot run the precision.
            OptionError: An option has a wrong value, or the bundle has no such precision.
            ExtraError: onnxruntime is not installed.
        """
        folder = Path(bundle)
        manifest = read_manifest(folder)
        opened = open_model(folder, manifest, provider=provider, precision=precision, mode=mode, threads=threads)
        return cls(
            manifest,
            opened.precision,
            session=opened.session,
            encoder=read_encoder(folder, manifest),
            n_callers=opened.n_callers,
        )

    @property
    def labels(self) -> Labels:
        """The label contract: names in logit order, the task, thresholds."""
        return self.manifest.labels

    @property
    def classes_(self) -> tuple[str, ...]:
        """Label names; column i of logits and probabilities is name i."""
        return self.labels.names

    @property
    def provider(self) -> str:
        """Where the model runs, `cpu` or `cuda`: what was obtained, whatever was asked for."""
        return self._session.provider

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
        """
        _check_lists(texts, pairs)
        faults = _faults(texts, pairs)
        if faults and _raises(on_error):
            raise InputError(_summary(faults, len(texts)))
        if not len(texts):
            return self._answer((texts, pairs), {}, [])
        predictions = concatenate(list(self.classify_windows(_cut(texts, pairs), ahead=len(texts) > WINDOW_TEXTS)))
        n_cut = int(predictions.truncated.sum())
        if n_cut:
            share, lost = 100 * n_cut / len(texts), int(predictions.n_cut.sum())
            logger.warning(
                "%d of %d texts (%.1f %%) were cut: %d tokens were not seen (max_length %d, long_text %s)",
                n_cut, len(texts), share, lost, self.manifest.max_length, self.manifest.long_text,
            )  # fmt: skip
        return predictions

    def classify_windows(self, stream: Iterable[Texts], *, ahead: bool = True) -> Iterator[Predictions]:
        """Classify a stream in bounded memory; a text with a fault is left without an answer.

        Args:
            stream: Windows of texts, each with the second texts or None, such as 2,000 at a time.
            ahead: Whether the next window is read and tokenized, in another thread, while this one runs.

        Yields:
            The answers to each window.
        """
        self._session.check()
        encoded = (self._encode(*texts) for texts in stream)
        for texts, faults, tokens in one_ahead(encoded) if ahead else encoded:
            yield self._answer(texts, faults, tokens)

    def predict(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Label]:
        """Name the label of each text.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            Names, or tuples of names for a model that may give a text several labels.
        """
        return [label for label in self.classify(texts, pairs).labels if label is not None]

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Floats:
        """Give the probability of each label.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            float32 [texts, labels], columns as in `classes_`.
        """
        return self.classify(texts, pairs).probabilities

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Floats:
        """Give the output of the model.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            float32 [texts, labels], columns as in `classes_`.
        """
        return self.classify(texts, pairs).logits

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Encoded]:
        """Turn texts into token ids, for a service that forms its own batches.

        Args:
            texts: Texts without a fault (`medclf.text.text_fault`).
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            One entry a text, as the bundle's `long_text` has it.
        """
        return self._encoder.encode(texts, pairs)

    def run_batch(self, encoded: Sequence[Encoded]) -> Floats:
        """Run the model once, in the caller's thread; may be called from `n_callers` threads at a time.

        Args:
            encoded: At least one text, from `encode`.

        Returns:
            Logits, float32 [texts, labels].
        """
        return self._runner.run_batch(encoded)

    def close(self) -> None:
        """Free the model and its threads; later calls raise a SessionError."""
        self._session.close()
        self._runner.close()

    def __enter__(self) -> "Classifier":
        """Give the classifier itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> tuple[Texts, Faults, list[Encoded]]:
        faults = _faults(texts, pairs)
        good = [i for i in range(len(texts)) if i not in faults]
        second = None if pairs is None else [pairs[i] for i in good]
        return (texts, pairs), faults, self._encoder.encode([texts[i] for i in good], second)

    def _answer(self, texts: Texts, faults: Faults, encoded: Sequence[Encoded]) -> Predictions:
        n_texts = len(texts[0])
        good = np.array([i for i in range(n_texts) if i not in faults], dtype=np.intp)
        logits = np.full((n_texts, len(self.labels)), np.nan, dtype=np.float32)
        logits[good] = self._runner.logits(encoded)
        if not np.isfinite(logits[good]).all():
            raise BundleError(f"the {self.precision} model gave a logit that is not a finite number. Export it again.")
        probabilities = self.labels.probabilities(logits)
        counts = np.zeros((n_texts, 3), dtype=np.int64)
        for i, one in zip(good, encoded, strict=True):
            counts[i] = one.n_tokens, one.n_cut, one.n_windows
        labels = decide(self.labels, probabilities)
        return Predictions(logits, probabilities, labels, counts[:, 0], counts[:, 1], counts[:, 2], faults)


def _check_lists(texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    for name, given in (("texts", texts), ("pairs", pairs)):
        if isinstance(given, (str, bytes)):
            raise InputError(f"{name} is one {type(given).__name__}, expected a list: write [text] for a single text.")
    if pairs is not None and len(pairs) != len(texts):
        raise InputError(f"{len(texts)} texts and {len(pairs)} pairs: each text needs its second text.")


def _raises(on_error: str) -> bool:
    if on_error not in ("raise", "skip"):
        raise OptionError(f"on_error is {on_error!r}, expected 'raise' or 'skip'.")
    return on_error == "raise"


def _faults(texts: Sequence[str], pairs: Sequence[str] | None) -> Faults:
    faults = {i: fault for i, text in enumerate(texts) if (fault := text_fault(text))}
    for i, pair in enumerate(pairs or ()):
        if fault := text_fault(pair):
            faults.setdefault(i, f"has a second text that {fault}")
    return dict(sorted(faults.items()))


def _summary(faults: Faults, n_texts: int) -> str:
    first = "; ".join(f"texts[{i}] {why}" for i, why in list(faults.items())[:5])
    rest = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    return f"{len(faults)} of {n_texts} texts cannot be classified: {first}{rest}. on_error='skip' answers the others."


def _cut(texts: Sequence[str], pairs: Sequence[str] | None) -> Iterator[Texts]:
    """Cut lists into windows; what is not a string counts as empty, as its fault is found later."""

    def n_characters(i: int) -> int:
        given = (texts[i], "" if pairs is None else pairs[i])
        return sum(len(text) for text in given if isinstance(text, str))

    for window in windows(range(len(texts)), n_characters):
        part = slice(window[0], window[-1] + 1)
        yield texts[part], None if pairs is None else pairs[part]
