"""The texts that are timed: the first rows of a table, or random words of lengths like those of the training texts."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers

from medclf.bundle import Manifest
from medclf.errors import OptionError

N_WORDS = 2_000  # different words in synthetic texts: as many as a few abstracts have
SHORTEST = 3  # tokens: [CLS], one word, [SEP]
QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


@dataclass(frozen=True)
class TextBatch:
    """Texts that one call classifies.

    Attributes:
        texts: The texts.
        pairs: The second text of each, or None.
    """

    texts: list[str]
    pairs: list[str] | None = None


def batches_of(texts: Sequence[str], pairs: Sequence[str] | None, size: int) -> list[TextBatch]:
    """Cut texts into batches, as they come.

    Args:
        texts: At least one.
        pairs: The second text of each, or None.
        size: Texts of a batch; the last one may be smaller.

    Returns:
        The batches.
    """
    starts = range(0, len(texts), size)
    return [TextBatch(list(texts[i : i + size]), list(pairs[i : i + size]) if pairs else None) for i in starts]


def synthetic_texts(tokenizer_json: str, manifest: Manifest, n_texts: int, *, seed: int) -> list[str]:
    """Make texts of random words whose lengths in tokens are those of the training texts.

    Args:
        tokenizer_json: Contents of the bundle's `tokenizer.json`.
        manifest: The bundle's manifest; without token lengths, all lengths up to `max_length` are as likely.
        n_texts: How many.
        seed: Equal seeds give equal texts.

    Returns:
        Texts of whole words, one token each.
    """
    chance = random.Random(seed)
    words = one_token_words(tokenizer_json, chance)
    quantiles = manifest.training.get("token_lengths") or {}
    lengths = token_lengths(quantiles, n_texts, max_length=manifest.max_length, chance=chance)
    return [" ".join(chance.choices(words, k=length - 2)) for length in lengths]


def texts_of_length(tokenizer_json: str, n_texts: int, length: int, *, seed: int) -> list[str]:
    """Make texts of random words that all have the same number of tokens.

    Args:
        tokenizer_json: Contents of a `tokenizer.json`.
        n_texts: How many.
        length: Tokens of each, special tokens included, at least SHORTEST.
        seed: Equal seeds give equal texts.

    Returns:
        Texts of whole words, one token each.
    """
    chance = random.Random(seed)
    words = one_token_words(tokenizer_json, chance)
    return [" ".join(chance.choices(words, k=max(SHORTEST, length) - 2)) for _ in range(n_texts)]


def one_token_words(tokenizer_json: str, chance: random.Random) -> list[str]:
    """Pick words that are one token each, so that a text of n words has n tokens.

    Args:
        tokenizer_json: Contents of a `tokenizer.json`.
        chance: Source of the choice.

    Returns:
        Up to N_WORDS words.

    Raises:
        OptionError: The vocabulary has no such word.
    """
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    words = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 1)
    chance.shuffle(words)
    whole = [word for word in words if len(tokenizer.encode(word, add_special_tokens=False).ids) == 1]
    if not whole:
        raise OptionError("the bundle's vocabulary has no whole words to make texts of. Pass texts with --data.")
    return whole[:N_WORDS]


def token_lengths(quantiles: Mapping[str, float], n_texts: int, *, max_length: int, chance: random.Random) -> list[int]:
    """Draw lengths of texts, special tokens included.

    Args:
        quantiles: `p5` to `max` of the lengths to imitate; empty for uniform lengths of 8 to `max_length`.
        n_texts: How many.
        max_length: Most tokens that the model takes.
        chance: Source of the draw.

    Returns:
        One length a text, at least SHORTEST; longer than `max_length` where the training texts were.
    """
    if not set(QUANTILES) <= set(quantiles):
        return [chance.randint(min(8, max_length), max_length) for _ in range(n_texts)]
    known = [float(quantiles[name]) for name in QUANTILES]
    values = np.interp([chance.random() for _ in range(n_texts)], [0.0, *QUANTILES.values()], [SHORTEST, *known])
    return [max(SHORTEST, round(value)) for value in values.tolist()]
