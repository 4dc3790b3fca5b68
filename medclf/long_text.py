"""What becomes of a text that is longer than the model takes: fixed at training, written into every bundle.

`docs/bundle.md` is the normative text, `native/src/long_text.cpp` the same in C++: change both.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from medclf.errors import OptionError

Policy = Literal["truncate", "head_tail", "windows"]
Pooling = Literal["mean", "max", "noisy-or"]

N_SPECIAL = 2  # [CLS] and [SEP] of a single text
MAX_WINDOWS = 16
# Sun, Qiu, Xu and Huang (2019), How to fine-tune BERT for text classification: 128 and 382 of 510 tokens.
HEAD, HEAD_AND_TAIL = 128, 510

T = TypeVar("T")


@dataclass(frozen=True)
class LongText:
    """One of three policies, with the numbers that it needs; the others are 0.

    Attributes:
        policy: `truncate` keeps the beginning of a text, `head_tail` its beginning and its end, `windows` all of it in
            windows that overlap, whose answers are pooled.
        head: Tokens of the beginning, for `head_tail`.
        tail: Tokens of the end, for `head_tail`.
        stride: Tokens from the start of a window to the start of the next, for `windows`.
        pooling: How the answers of windows become that of their text.
        max_windows: Most windows of a text; what is behind the last one is cut off.
    """

    policy: Policy = "truncate"
    head: int = 0
    tail: int = 0
    stride: int = 0
    pooling: Pooling = "mean"
    max_windows: int = 0

    @classmethod
    def of(
        cls,
        policy: str,
        *,
        max_length: int,
        stride: int | None = None,
        pooling: str | None = None,
        max_windows: int | None = None,
    ) -> "LongText":
        """Settle a policy for a length.

        Args:
            policy: Its name.
            max_length: Most tokens of one row of the model, special tokens included.
            stride: For `windows`; None for three quarters of a window, so that neighbours share a quarter.
            pooling: For `windows`; None for `mean`.
            max_windows: For `windows`; None for 16.

        Returns:
            The policy with its numbers.

        Raises:
            OptionError: A value is unknown or out of range, or is given to a policy that has no use for it.
        """
        room = max_length - N_SPECIAL
        given = {"stride": stride, "pooling": pooling, "max_windows": max_windows}
        idle = [name for name, value in given.items() if value is not None]
        if policy != "windows" and idle:
            raise OptionError(f"{', '.join(idle)} given, but long_text is {policy!r}: it is for 'windows' alone.")
        if policy == "head_tail":
            head = room * HEAD // HEAD_AND_TAIL
            return cls("head_tail", head=head, tail=room - head).check(max_length)
        if policy == "windows":
            stride = max(1, room * 3 // 4) if stride is None else stride
            most = MAX_WINDOWS if max_windows is None else max_windows
            made = cls("windows", stride=stride, pooling=pooling or "mean", max_windows=most)  # type: ignore[arg-type]
            return made.check(max_length)
        return cls(policy).check(max_length)  # type: ignore[arg-type]

    @classmethod
    def parse(cls, text: object) -> "LongText":
        """Read the form that `str` gives; anything else, a space or another order included, is unknown.

        Args:
            text: Such as `windows:stride=190,pooling=mean,max_windows=16`.

        Returns:
            The policy; `check` holds it against a length.

        Raises:
            OptionError: It is no policy that this version knows.
        """
        number = "([1-9][0-9]{0,6})"
        if text == "truncate":
            return cls()
        if isinstance(text, str):
            if found := re.fullmatch(f"head_tail:head={number},tail={number}", text):
                return cls("head_tail", head=int(found[1]), tail=int(found[2]))
            poolings = "|".join(get_args(Pooling))
            if found := re.fullmatch(f"windows:stride={number},pooling=({poolings}),max_windows={number}", text):
                pooling: Pooling = found[2]  # type: ignore[assignment]
                return cls("windows", stride=int(found[1]), pooling=pooling, max_windows=int(found[3]))
        raise OptionError(f"long_text is {text!r}, which this medclf does not know.")

    def __str__(self) -> str:
        if self.policy == "head_tail":
            return f"head_tail:head={self.head},tail={self.tail}"
        if self.policy == "windows":
            return f"windows:stride={self.stride},pooling={self.pooling},max_windows={self.max_windows}"
        return self.policy

    def check(self, max_length: int, *, multi_label: bool | None = None, pairs: bool = False) -> "LongText":
        """Hold the policy against what it is used with.

        Args:
            max_length: Most tokens of one row of the model, special tokens included.
            multi_label: Whether a text may have several labels; None where that is not known yet.
            pairs: Whether the texts are pairs.

        Returns:
            The policy itself.

        Raises:
            OptionError: They do not fit.
        """
        room = max_length - N_SPECIAL
        if self.policy not in get_args(Policy):
            raise OptionError(f"long_text is {self.policy!r}, expected one of {', '.join(get_args(Policy))}.")
        if pairs and self.policy != "truncate":
            raise OptionError(f"long_text is {self.policy!r}, but the texts are pairs: expected 'truncate'.")
        if self.policy == "head_tail" and (min(self.head, self.tail) < 1 or self.head + self.tail != room):
            raise OptionError(
                f"long_text keeps {self.head} and {self.tail} tokens, but max_length {max_length} has room for {room}."
            )
        if self.policy == "windows":
            self._check_windows(room, multi_label)
        return self

    def _check_windows(self, room: int, multi_label: bool | None) -> None:
        if not 1 <= self.stride <= room:
            raise OptionError(f"stride is {self.stride}, expected 1 to {room}: a window has room for {room} tokens.")
        if self.pooling not in get_args(Pooling):
            raise OptionError(f"pooling is {self.pooling!r}, expected one of {', '.join(get_args(Pooling))}.")
        if not 1 <= self.max_windows <= 1_000:
            raise OptionError(f"max_windows is {self.max_windows}, expected 1 to 1,000.")
        if self.pooling == "noisy-or" and multi_label is False:
            raise OptionError(
                "pooling is 'noisy-or', but a text has one label: its probabilities would not sum to 1. "
                "Use mean or max."
            )

    def cut(self, tokens: Sequence[T], room: int) -> list[Sequence[T]]:
        """Give what the model sees of a text.

        Args:
            tokens: The text without special tokens.
            room: Most tokens of one row.

        Returns:
            One row, or with `windows` one or more, in order: window i begins at token i * `stride`, and the last one
            ends where the text does unless there would be more than `max_windows`.
        """
        if len(tokens) <= room or self.policy == "truncate":
            return [tokens[:room]]
        if self.policy == "head_tail":
            return [[*tokens[: self.head], *tokens[-self.tail :]]]
        n_windows = min(self.max_windows, 1 + -(-(len(tokens) - room) // self.stride))
        return [tokens[start : start + room] for start in range(0, n_windows * self.stride, self.stride)]

    def n_seen(self, n_tokens: int, room: int) -> int:
        """Count the tokens of a text that are in some row of `cut`.

        Args:
            n_tokens: Tokens of the text without special tokens.
            room: Most tokens of one row.

        Returns:
            At most `n_tokens`.
        """
        return min(n_tokens, self.most_tokens(room))

    def most_tokens(self, row: int) -> int:
        """Give the most tokens of a text that is seen whole.

        Args:
            row: Most tokens of one row, with or without special tokens; what is given is so too.

        Returns:
            `row`, or what `max_windows` windows hold.
        """
        return row + (self.max_windows - 1) * self.stride if self.policy == "windows" else row


TRUNCATE = LongText()
