"""How long the texts of a table are in tokens, how many are cut, and how much of them the vocabulary knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from medclf.data.audit.findings import Finding, Lengths, finding
from medclf.data.audit.near import WORD
from medclf.data.tables import LabelledTexts
from medclf.errors import OptionError

UNKNOWN = ("[UNK]", "<unk>")
EDGES = (0, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)
MANY_CUT = 0.05  # of the texts
SOME_UNKNOWN, MANY_UNKNOWN = 0.01, 0.1  # of the tokens: a note is due above the first, an error above the second
BLOCK = 1_000  # texts in one call of the tokenizer
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ruler:
    """What counts: a tokenizer, or where there is none, words.

    Attributes:
        name: Of the tokenizer, for people; empty for words.
        tokenizer: Of `tokenizers`; None for words.
    """

    name: str = ""
    tokenizer: Any = None

    def counts(self, data: LabelledTexts) -> tuple[Ints, int | None]:
        """Count the tokens of each text, and the unknown ones of all.

        Args:
            data: The table.

        Returns:
            int64 [rows], special tokens included, and how many tokens are unknown; None for words.
        """
        columns = [data.texts] if data.pairs is None else [data.texts, data.pairs]
        if self.tokenizer is None:
            words = [[len(WORD.findall(text)) for text in column] for column in columns]
            return np.array(words, dtype=np.int64).sum(axis=0), None
        special = self.tokenizer.num_special_tokens_to_add(is_pair=data.pairs is not None)
        lengths, n_unknown = np.full(len(data), special, dtype=np.int64), 0
        ids = (self.tokenizer.token_to_id(token) for token in UNKNOWN)
        unknown = next((one for one in ids if one is not None), -1)
        for column in columns:
            for start in range(0, len(column), BLOCK):
                encodings = self.tokenizer.encode_batch_fast(column[start : start + BLOCK], add_special_tokens=False)
                lengths[start : start + BLOCK] += [len(one.ids) for one in encodings]
                n_unknown += sum(one.ids.count(unknown) for one in encodings)
        return lengths, n_unknown


def read_ruler(path: Path, *, name: str = "") -> Ruler:
    """Read a tokenizer.

    Args:
        path: A `tokenizer.json`, or a folder with one, such as a checkpoint or a bundle.
        name: How it is called; the path where empty.

    Returns:
        The ruler.

    Raises:
        OptionError: There is none, or it is damaged.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise OptionError(f"model {path}: no tokenizer.json there. Name a model's folder, or the file itself.")
    try:
        return ruler_of(tokenizers.Tokenizer.from_file(str(file)), name or str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        raise OptionError(f"model {path}: {file.name} is not a tokenizer, or is damaged.") from error


def ruler_of(tokenizer: Any, name: str) -> Ruler:
    """Make a ruler of a tokenizer.

    Args:
        tokenizer: Of `tokenizers`.
        name: For people.

    Returns:
        The ruler, which neither cuts nor pads, and takes a special token in a text for text.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return Ruler(name, tokenizer)


def measure(data: LabelledTexts, ruler: Ruler, max_length: int) -> tuple[Lengths, list[Finding]]:
    """Measure the texts of a table.

    Args:
        data: The table.
        ruler: What counts.
        max_length: The limit of the model, in tokens.

    Returns:
        The lengths and what is to say of them.
    """
    counts, n_unknown = ruler.counts(data)
    cut = counts > max_length
    lengths = Lengths(
        unit="words" if ruler.tokenizer is None else "tokens",
        tokenizer=ruler.name,
        quantiles={
            **{f"p{q}": float(np.percentile(counts, q)) for q in (5, 25, 50, 75, 95, 99)},
            "max": float(counts.max()),
            "mean": float(counts.mean()),
        },
        max_length=max_length,
        n_cut=int(cut.sum()),
        unknown_share=None if n_unknown is None else n_unknown / max(1, int(counts.sum())),
        edges=EDGES,
        counts=tuple(np.histogram(counts, bins=(*EDGES, np.iinfo(np.int64).max))[0].tolist()),
    )
    rows = [row for row, is_cut in zip(data.rows, cut, strict=True) if is_cut]
    return lengths, [*_cut(data, lengths, rows), *_unknown(data, lengths)]


def _cut(data: LabelledTexts, lengths: Lengths, rows: list[int]) -> Iterator[Finding]:
    share = lengths.n_cut / len(data)
    least = "at least " if lengths.unit == "words" else ""
    if rows:
        yield finding(
            "truncation", "warning" if share > MANY_CUT else "note", data.file,
            f"{least}{len(rows):,} of {len(data):,} texts ({100 * share:.1f} %) longer than {lengths.max_length} "
            "tokens: they would be cut.",
            do="Raise --max-length, or take another policy for long texts." if share > MANY_CUT else "", rows=rows,
        )  # fmt: skip


def _unknown(data: LabelledTexts, lengths: Lengths) -> Iterator[Finding]:
    share = lengths.unknown_share or 0.0
    if share > SOME_UNKNOWN:
        yield Finding(
            "unknown_tokens", "error" if share > MANY_UNKNOWN else "warning", str(data.file), len(data),
            f"{100 * share:.1f} % of the tokens are unknown to the vocabulary of {lengths.tokenizer}: the model cannot "
            "see what they were.",
            "Take a model of the language and the script of the texts, or --model scratch, which learns a vocabulary.",
        )  # fmt: skip
