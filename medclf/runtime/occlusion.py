"""Which words an answer rests on: each is left out in turn, and the model that is served answers again.

Erasure, as in Li, Monroe and Jurafsky (2016), Understanding neural networks through representation erasure. It asks the
model itself, with its quantization, its tokenizer and what it does with long texts, and needs nothing but answers: n
words cost n + 1 texts. What it shows is how this answer would change, and not why anything is so in the world; words
that say the same thing twice hide each other.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medclf.errors import InputError, OptionError
from medclf.labels import Floats, Label, Labels
from medclf.runtime.classifier import Classifier
from medclf.runtime.texts import Texts
from medclf.runtime.windows import windows

MAX_PIECES = 200  # texts that one answer costs; a longer text is cut into as many runs of words
# what stands between white space; a Chinese or Japanese character is a word, as there are no spaces to go by
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
NOTHING = "."  # stands for a text's only piece, as an empty text has no answer


_Variant = tuple[str, str | None]  # a text, and its second text


class _Answer(NamedTuple):
    """The answer to one variant; the fields of `Predictions`, of one text."""

    logits: Floats
    probabilities: Floats
    label: Label | None
    truncated: bool
    error: str | None


@dataclass(frozen=True)
class Piece:
    """A word of a text, or a run of words, that is left out.

    Attributes:
        start: Its first character, from 0.
        end: The character after its last.
        second: Whether it is of the second text of a pair.
    """

    start: int
    end: int
    second: bool = False


@dataclass(frozen=True)
class Explanation:
    """What each piece of one text did to the answer.

    Attributes:
        label: What the text is given, as `Predictions.labels` has it.
        probabilities: float32 [labels]; of the whole text.
        pieces: In the order of the text, then those of the second text.
        effects: float32 [pieces, labels]; the log-odds of a label with the piece, less those without: over 0 where the
            piece speaks for the label.
        without: float32 [pieces, labels]; the probabilities when the piece is left out.
        truncated: Whether the text was longer than the model takes; what it did not read has no effect.
    """

    label: Label | None
    probabilities: Floats
    pieces: tuple[Piece, ...]
    effects: Floats
    without: Floats
    truncated: bool


def explain(classifier: Classifier, text: str, pair: str | None = None, *, max_pieces: int = MAX_PIECES) -> Explanation:
    """Explain the answer to one text.

    Args:
        classifier: The model.
        text: The text.
        pair: Its second text, for a model that was trained on pairs.
        max_pieces: Most pieces, and so most texts that are run beside the whole one.

    Returns:
        The explanation.

    Raises:
        InputError: The text cannot be classified.
        OptionError: `max_pieces` is below 1.
    """
    (found,) = explain_all(classifier, [(text, pair)], max_pieces=max_pieces)
    return found


def explain_all(
    classifier: Classifier, texts: Iterable[tuple[str, str | None]], *, max_pieces: int = MAX_PIECES
) -> Iterator[Explanation]:
    """Explain the answers to a stream of texts; the pieces of many are run together, as the schedule wants.

    Args:
        classifier: The model.
        texts: Each with its second text or None; all have one or none has.
        max_pieces: Most pieces of a text and its second one together.

    Yields:
        One explanation a text, in order.

    Raises:
        InputError: A text cannot be classified.
        OptionError: `max_pieces` is below 1.
    """
    if max_pieces < 1:
        raise OptionError(f"max_pieces is {max_pieces}, expected at least 1.")
    waiting: deque[tuple[Piece, ...]] = deque()  # pieces of the texts that were read and are not answered yet

    def variants() -> Iterator[_Variant]:
        for text, pair in texts:
            waiting.append(pieces_of(text, pair, max_pieces=max_pieces))
            yield from leave_out(text, pair, waiting[-1])

    answers = _answers(classifier, variants())
    for whole in answers:
        pieces = waiting.popleft()
        yield _explanation(classifier.labels, pieces, [whole, *islice(answers, len(pieces))])


def pieces_of(text: str, pair: str | None = None, *, max_pieces: int = MAX_PIECES) -> tuple[Piece, ...]:
    """Cut a text, and its second text, into the pieces that are left out in turn.

    Args:
        text: The text.
        pair: Its second text, or None.
        max_pieces: Most pieces together; more words are joined to runs of equal length. A pair has at least two.

    Returns:
        The pieces, in order; white space between words is in none.
    """
    words = [Piece(*match.span()) for match in WORD.finditer(text)]
    second = [Piece(*match.span(), second=True) for match in WORD.finditer(pair or "")]
    n_words = len(words) + len(second)
    size = ceil(n_words / max_pieces)
    if size > 1 and second:  # each text may end with a run that is not full
        size = ceil(n_words / max(1, max_pieces - 1))
    return tuple(
        Piece(run[0].start, run[-1].end, run[0].second)
        for part in (words, second)
        for run in (part[i : i + size] for i in range(0, len(part), size or 1))
    )


def leave_out(text: str, pair: str | None, pieces: Iterable[Piece]) -> Iterator[_Variant]:
    """Give what the model is asked: the whole text, and then the text without each piece.

    Args:
        text: The text.
        pair: Its second text, or None.
        pieces: From `pieces_of`.

    Yields:
        A text and its second text.
    """
    yield text, pair
    for piece in pieces:
        yield (text, _without(pair or "", piece)) if piece.second else (_without(text, piece), pair)


def _without(text: str, piece: Piece) -> str:
    left = text[: piece.start] + text[piece.end :]
    return left if left.strip() else NOTHING


def _answers(classifier: Classifier, variants: Iterator[_Variant]) -> Iterator[_Answer]:
    """The answer to each variant by itself; they are run in windows that hold as many as fit."""

    def texts() -> Iterator[Texts]:
        for window in windows(variants, lambda one: len(one[0]) + len(one[1] or "")):
            pairs = [pair for _, pair in window if pair is not None]
            yield [text for text, _ in window], pairs or None

    for found in classifier.classify_windows(texts()):
        for i, label in enumerate(found.labels):
            yield _Answer(found.logits[i], found.probabilities[i], label, bool(found.truncated[i]), found.errors.get(i))


def _explanation(labels: Labels, pieces: tuple[Piece, ...], answers: Sequence[_Answer]) -> Explanation:
    whole, *without = answers
    if whole.error:
        raise InputError(f"the text cannot be explained: it {whole.error}.")
    odds = log_odds(labels, np.stack([answer.logits for answer in answers]))
    probabilities = np.stack([answer.probabilities for answer in without])
    return Explanation(whole.label, whole.probabilities, pieces, odds[0] - odds[1:], probabilities, whole.truncated)


def log_odds(labels: Labels, logits: Floats) -> Floats:
    """Give log(p / (1 - p)) of each label's probability p, also where p is so near 1 that it rounds to it.

    Args:
        labels: The label contract.
        logits: float32 [texts, labels].

    Returns:
        float32 [texts, labels].
    """
    if labels.multi_label:
        return logits
    itself: npt.NDArray[np.bool_] = np.eye(len(labels), dtype=np.bool_)
    others = np.where(itself, -np.inf, logits[:, None, :].astype(np.float64))  # [texts, labels, labels]
    found: Floats = (logits - np.logaddexp.reduce(others, axis=-1)).astype(np.float32)
    return found
