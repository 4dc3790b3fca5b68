"""Texts to token ids: one implementation for training, the export gates and the runtime, so that they cannot drift.

Stands on `tokenizers` alone. `native/src/text_encoder.cpp` mirrors the rules written here: a special token in a text is
text, of a text that is too long the model sees what `long_text.py` says, a pair that is too long loses the end of its
longer part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from medclf.errors import InputError
from medclf.long_text import N_SPECIAL, TRUNCATE, LongText

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    """One text, or one pair, as token ids: one row of the model, or several windows one after the other.

    Attributes:
        input_ids: int64 [tokens], special tokens included.
        token_type_ids: int64 [tokens]; 1 for the second text of a pair and its [SEP], else 0. All 0 for RoBERTa.
        n_tokens: Number of tokens before any was cut off, special tokens counted once.
        n_cut: How many of them the model does not see.
        lengths: Tokens of each window; empty for a text that is one row.
    """

    input_ids: Ids
    token_type_ids: Ids
    n_tokens: int
    n_cut: int = 0
    lengths: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def truncated(self) -> bool:
        """Whether tokens were cut off."""
        return self.n_cut > 0

    @property
    def n_windows(self) -> int:
        """Number of rows of the model."""
        return len(self.lengths) or 1

    @property
    def windows(self) -> "list[Encoded]":
        """The rows of the model, at least one, in the order of the text."""
        if not self.lengths:
            return [self]
        ends = np.cumsum(self.lengths)
        return [
            Encoded(self.input_ids[end - n : end], self.token_type_ids[end - n : end], n)
            for end, n in zip(ends.tolist(), self.lengths, strict=True)
        ]


@dataclass(frozen=True)
class Batch:
    """Texts of one run of the model, padded on the right to the longest.

    Attributes:
        input_ids: int64 [batch, sequence].
        attention_mask: int64 [batch, sequence]; 1 for a token, 0 for padding.
        token_type_ids: int64 [batch, sequence].
    """

    input_ids: Ids
    attention_mask: Ids
    token_type_ids: Ids

    def feed(self) -> dict[str, Ids]:
        """Give the arrays by the names of the model's inputs."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "token_type_ids": self.token_type_ids,
        }


class TextEncoder:
    """The tokenizer of a checkpoint or bundle with its policy for long texts; safe to share between threads."""

    def __init__(self, tokenizer_json: str, *, max_length: int, long_text: LongText = TRUNCATE) -> None:
        """Read a tokenizer.

        Args:
            tokenizer_json: Contents of a `tokenizer.json`.
            max_length: Most tokens of one row of the model, special tokens included.
            long_text: What becomes of a text that has more.

        Raises:
            InputError: It is no tokenizer, or does not add special tokens as BERT or RoBERTa does.
        """
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # `tokenizers` raises bare exceptions
            raise InputError(
                f"it cannot be read by tokenizers {tokenizers.__version__}: it is damaged, or of a newer version."
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._before, self._between, self._second_type = self._special_ids()
        pad_ids = [self._tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>")]
        self.pad_id = int(next((one for one in pad_ids if one is not None), 0))
        self.max_length = max_length
        self.long_text = long_text
        self._tokenizer.encode_special_tokens = True  # a literal "[SEP]" in a note is text

    @property
    def vocabulary_size(self) -> int:
        """Ids go from 0 to this, exclusive; ids between may be unused."""
        return 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Encoded]:
        """Turn texts into token ids, rows of at most `max_length`.

        Args:
            texts: Texts without a fault (`medclf.text.text_fault`).
            pairs: The second text of each, or None.

        Returns:
            One entry a text, in order.

        Raises:
            InputError: Pairs are given, and the policy for long texts is none for pairs.
        """
        if pairs is not None and self.long_text.policy != "truncate":
            raise InputError(
                f"pairs are given, but the model was trained on single texts: its long_text is {self.long_text}."
            )
        first = self._bodies(texts)
        if pairs is None:
            return [self._single(ids) for ids in first]
        return [self._pair(a, b) for a, b in zip(first, self._bodies(pairs), strict=True)]

    def pad(self, encoded: Sequence[Encoded], *, length: int | None = None) -> Batch:
        """Stack texts into one batch, a row for each of their windows.

        Args:
            encoded: At least one text.
            length: Columns of the batch; None for the longest row of the batch.

        Returns:
            Arrays of int64 [windows, length].
        """
        windows = [window for one in encoded for window in one.windows]
        length = length or max(map(len, windows))
        input_ids = np.full((len(windows), length), self.pad_id, dtype=np.int64)
        attention_mask = np.zeros_like(input_ids)
        token_type_ids = np.zeros_like(input_ids)
        for row, one in enumerate(windows):
            input_ids[row, : len(one)] = one.input_ids
            attention_mask[row, : len(one)] = 1
            token_type_ids[row, : len(one)] = one.token_type_ids
        return Batch(input_ids, attention_mask, token_type_ids)

    def _bodies(self, texts: Sequence[str]) -> list[list[int]]:
        encodings: list[Any] = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _single(self, body: list[int]) -> Encoded:
        room = max(0, self.max_length - N_SPECIAL)
        rows = [[self._before, *kept, self._between[0]] for kept in self.long_text.cut(body, room)]
        ids = np.array([*chain(*rows)], dtype=np.int64)
        lengths = tuple(map(len, rows)) if len(rows) > 1 else ()
        n_cut = len(body) - self.long_text.n_seen(len(body), room)
        return Encoded(ids, np.zeros_like(ids), len(body) + N_SPECIAL, n_cut, lengths)

    def _pair(self, a: list[int], b: list[int]) -> Encoded:
        n_special = len(self._between) + 2
        keep_a, keep_b = longest_first(len(a), len(b), max(0, self.max_length - n_special))
        ids = np.array([self._before, *a[:keep_a], *self._between, *b[:keep_b], self._between[0]], dtype=np.int64)
        types = np.zeros_like(ids)
        types[keep_a + n_special - 1 :] = self._second_type
        return Encoded(ids, types, len(a) + len(b) + n_special, len(a) + len(b) - keep_a - keep_b)

    def _special_ids(self) -> tuple[int, list[int], int]:
        """[CLS], what stands between two texts ([SEP], or </s></s>), and the token type of the second text."""
        single, pair = self._tokenizer.encode("").ids, self._tokenizer.encode("", "")
        first, *seps = pair.ids or [0]
        if len(seps) not in (2, 3) or len(set(seps)) > 1 or single != pair.ids[:2]:
            raise InputError(
                "the tokenizer does not add special tokens as BERT ([CLS] a [SEP] b [SEP]) or RoBERTa "
                "(<s> a </s></s> b </s>) does."
            )
        return first, seps[1:], pair.type_ids[-1]


def longest_first(n_first: int, n_second: int, room: int) -> tuple[int, int]:
    """Share the room of a pair, as the `longest_first` truncation of `tokenizers` does.

    The shorter text stays whole while it takes no more than half of the room; else both get half, the longer one the
    odd token.

    Args:
        n_first: Tokens of the first text.
        n_second: Tokens of the second text.
        room: Most tokens of both, special tokens not counted.

    Returns:
        How many tokens of each are kept.
    """
    if n_first + n_second <= room:
        return n_first, n_second
    shorter = min(n_first, n_second, room // 2)
    longer = room - shorter
    return (longer, shorter) if n_first > n_second else (shorter, longer)
