"""A bundle that answers: `Classifier.load("bundle").predict(texts)`."""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import numpy as np

from medclf.bundle import Manifest, read_manifest
from medclf.errors import BundleError, SessionError
from medclf.labels import Floats, Label, Labels
from medclf.runtime.opening import Wishes, open_model, read_encoder
from medclf.runtime.predictions import Predictions, Truncation, concatenate, decide
from medclf.runtime.runner import Runner
from medclf.runtime.texts import Faults, Texts, check_lists, check_streams, cut, faulty, find_faults, raises
from medclf.runtime.windows import WINDOW_TEXTS, one_ahead
from medclf.tokenizer import Encoded, TextEncoder


class Classifier:
    """A model that is ready to answer; safe to share between threads, to be loaded after a fork.

    Attributes:
        manifest: What the bundle says about itself.
        precision: Which of its models was taken, `fp32` or `int8`.
    """

    manifest: Manifest
    precision: str

    def __init__(self, manifest: Manifest, precision: str, *, runner: Runner, encoder: TextEncoder) -> None:
        """Join the parts; `Classifier.load` makes them.

        Args:
            manifest: The bundle's manifest.
            precision: Which of its models `runner` runs.
            runner: The model.
            encoder: The tokenizer.

        Raises:
            BundleError: The model gives another number of logits than the manifest has labels.
        """
        n_logits = runner.session.n_labels
        if n_logits != len(manifest.labels):
            raise BundleError(
                f"the {precision} model gives {n_logits} logits, the manifest names {len(manifest.labels)} "
                "labels. The bundle is damaged: export it again."
            )
        self.manifest = manifest
        self.precision = precision
        self._runner = runner
        self._encoder = encoder
        self._told = False

    @classmethod
    def load(  # noqa: PLR0913 - what callers write, in one line
        cls,
        bundle: str | Path,
        *,
        provider: str = "cpu",
        precision: str = "auto",
        mode: str = "throughput",
        threads: int | None = None,
        thresholds: Mapping[str, float] | None = None,
        cuda_memory_mb: int | None = None,
        cuda_graphs: bool = False,
    ) -> "Classifier":
        """Open a bundle; every file is checked against its hash before it is used.

        Args:
            bundle: The folder.
            provider: `cpu`, `cuda`, or `auto` for CUDA where it can be had and else the CPU.
            precision: `fp32`, `int8`, or `auto` for INT8 on a CPU if the bundle has it and else fp32.
            mode: `throughput` runs a batch on each core, `latency` one batch on all cores, `auto` each batch where it
                is done sooner; `auto` holds the model twice.
            threads: Cores to keep busy; None for all that this process may use.
            thresholds: Label -> the probability from which it is given, in place of the bundle's, for a model that may
                give a text several labels; labels that are not named keep theirs.
            cuda_memory_mb: Most megabytes of ONNX Runtime's arena on CUDA; None for all that the GPU has.
            cuda_graphs: Whether batches are padded to a few shapes, each of which is captured once as a CUDA graph and
                then replayed; for `cuda`, and a bundle whose graph keeps padding (`medclf-export --backend traced`).

        Returns:
            The classifier.

        Raises:
            BundleError: The bundle is damaged, or of a version that cannot be read.
            ProviderError: The provider was asked for and not obtained, or cannot run the precision, or CUDA graphs were
                asked for and the model's shapes depend on the texts.
            OptionError: An option has a wrong value, or the bundle has no such precision.
            ExtraError: onnxruntime is not installed.
        """
        folder = Path(bundle)
        manifest = read_manifest(folder)
        if thresholds:
            manifest = replace(manifest, labels=manifest.labels.with_thresholds(thresholds))
        wishes = Wishes(provider, precision, mode, threads, cuda_memory_mb, cuda_graphs)
        opened = open_model(folder, manifest, wishes)
        encoder = read_encoder(folder, manifest)
        runner = Runner(
            opened.session,
            encoder,
            multi_label=manifest.labels.multi_label,
            n_callers=opened.n_callers,
            all_cores=opened.all_cores,
        )
        return cls(manifest, opened.precision, runner=runner, encoder=encoder)

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
        return self._runner.session.provider

    @property
    def n_callers(self) -> int:
        """How many batches run at a time."""
        return self._runner.n_callers

    @property
    def model_s(self) -> float:
        """Seconds of all runs of the model so far, those that ran at the same time added up."""
        return sum(session.run_s for session in self._runner.sessions)

    def classify(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        on_error: str = "raise",
        cancel: threading.Event | None = None,
    ) -> Predictions:
        """Classify texts; the answer to a text does not depend on the other texts.

        Args:
            texts: Any number of texts, none included.
            pairs: The second text of each, for a model that was trained on pairs.
            on_error: `raise` refuses all texts when one has a fault, `skip` leaves that one without an answer.
            cancel: Once it is set, by any thread, what has not begun is dropped.

        Returns:
            The answers, in order.

        Raises:
            InputError: A text has a fault; the message counts them and gives the first five.
            CancelledError: `cancel` was set.
        """
        check_lists(texts, pairs)
        if raises(on_error) and (faults := find_faults(texts, pairs)):
            raise faulty(faults, len(texts))
        windows = cut(texts, pairs) if len(texts) else iter([(texts, pairs)])
        ahead = len(texts) > WINDOW_TEXTS
        predictions = concatenate(list(self.classify_windows(windows, ahead=ahead, cancel=cancel)))
        self.tell(predictions.truncation)
        return predictions

    def classify_iter(
        self, texts: Iterable[str], pairs: Iterable[str] | None = None, *, on_error: str = "raise"
    ) -> Iterator[Predictions]:
        """Classify a stream of any length in bounded memory; it is read two windows ahead, at most.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.
            on_error: `raise` stops at the first window that has a text with a fault, `skip` leaves that text without an
                answer.

        Yields:
            The answers to each window of about 2,000 texts, in order.

        Raises:
            InputError: A text has a fault; the message counts those of its window and gives the first five.
        """
        check_streams(texts, pairs)
        stops, seen = raises(on_error), Truncation()
        for answers in self.classify_windows(cut(texts, pairs)):
            if stops and answers.errors:
                raise faulty(answers.errors, len(answers), first=seen.n_texts)
            yield answers
            seen += answers.truncation
        self.tell(seen)

    def tell(self, seen: Truncation) -> None:
        """Log how many texts were cut: a warning the first time, so that the log of a service does not fill with them.

        Args:
            seen: Of one call.
        """
        if seen.n_truncated:
            seen.tell(self.manifest.limits, logging.INFO if self._told else logging.WARNING)
            self._told = True

    def classify_windows(
        self, stream: Iterable[Texts], *, ahead: bool = True, cancel: threading.Event | None = None
    ) -> Iterator[Predictions]:
        """Classify a stream that is cut into windows; a text with a fault is left without an answer.

        Args:
            stream: Windows of texts, each with the second texts or None, such as 2,000 at a time.
            ahead: Whether the next window is read and tokenized, in another thread, while this one runs.
            cancel: Once it is set, by any thread, what has not begun is dropped.

        Yields:
            The answers to each window.
        """
        self._runner.session.check()
        encoded = (self._encode(*texts) for texts in stream)
        for texts, faults, tokens in one_ahead(encoded) if ahead else encoded:
            yield self._answer(len(texts[0]), faults, tokens, cancel)

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

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Floats:
        """Give the output of the model.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.

        Returns:
            float32 [texts, labels], columns as in `classes_`.
        """
        return self.classify(texts, pairs).logits

    def predict_iter(
        self, texts: Iterable[str], pairs: Iterable[str] | None = None, *, on_error: str = "raise"
    ) -> Iterator[Label | None]:
        """Name the label of each text of a stream of any length, in bounded memory.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model that was trained on pairs.
            on_error: As for `classify_iter`.

        Yields:
            Names, or tuples of names for a model that may give a text several labels; None for a text with a fault.
        """
        for answers in self.classify_iter(texts, pairs, on_error=on_error):
            yield from answers.labels

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
        for session in self._runner.sessions:
            session.close()
        self._runner.close()

    def __enter__(self) -> "Classifier":
        """Give the classifier itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be sent to another process."""
        raise SessionError("a classifier cannot be sent to another process. Send the bundle's path, and load it there.")

    def _encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> tuple[Texts, Faults, list[Encoded]]:
        faults = find_faults(texts, pairs)
        good = [i for i in range(len(texts)) if i not in faults]
        second = None if pairs is None else [pairs[i] for i in good]
        return (texts, pairs), faults, self._encoder.encode([texts[i] for i in good], second)

    def _answer(
        self, n_texts: int, faults: Faults, encoded: Sequence[Encoded], cancel: threading.Event | None
    ) -> Predictions:
        good = np.array([i for i in range(n_texts) if i not in faults], dtype=np.intp)
        logits = np.full((n_texts, len(self.labels)), np.nan, dtype=np.float32)
        logits[good] = self._runner.logits(encoded, cancel=cancel)
        if not np.isfinite(logits[good]).all():
            raise BundleError(f"the {self.precision} model gave a logit that is not a finite number. Export it again.")
        probabilities = self.labels.probabilities(logits)
        labels = decide(self.labels, probabilities)
        counts = np.zeros((3, n_texts), dtype=np.int64)
        for i, one in zip(good, encoded, strict=True):
            counts[:, i] = one.n_tokens, one.n_cut, one.n_windows
        n_tokens, n_cut, n_windows = counts
        return Predictions(logits, probabilities, labels, n_tokens, n_cut, n_windows, faults, self.classes_)
