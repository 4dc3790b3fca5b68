"""What makes two rows the same text, and which rows must therefore stand on one side of a split."""

import unicodedata

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medclf.data.tables import LabelledTexts

Indices = npt.NDArray[np.int64]


class _Folding(dict[int, str]):
    """Code point -> what stands for it in a key; filled as characters are met, as there are a million."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Pd":
            folded = " - "
        elif category[0] == "S" or character in "%/":
            folded = f" {character} "
        elif category == "Cf":
            folded = ""  # what has no width
        else:
            folded = " " if category[0] in "PZC" else character
        self[code] = folded
        return folded


_folding = _Folding()


def fold(text: str) -> str:
    """Give the key of a text: its words and signs, whatever their case, spacing and punctuation.

    Signs that carry a meaning stay: `HER2+` is not `HER2-`, and `age > 18` is `Age >18.` but not `age < 18`.

    Args:
        text: Any text.

    Returns:
        Words and signs with a space between them; the text itself where it has none.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_folding).split()) or text.strip()


def text_keys(data: LabelledTexts) -> list[str]:
    """Give what makes two rows the same text.

    Args:
        data: Texts, or pairs.

    Returns:
        One key a row; of a pair, both keys.
    """
    if data.pairs is None:
        return [fold(text) for text in data.texts]
    return [f"{fold(text)}\0{fold(pair)}" for text, pair in zip(data.texts, data.pairs, strict=True)]


def numbered(keys: list[str]) -> Indices:
    """Number keys from 0 in the order in which they first occur.

    Args:
        keys: One a row.

    Returns:
        int64 [rows]; equal where the keys are.
    """
    first: dict[str, int] = {}
    return np.array([first.setdefault(key, len(first)) for key in keys], dtype=np.int64)


def units(data: LabelledTexts) -> Indices:
    """Number the units of a table: rows that must stay together, as they share a text or a group.

    What is shared is handed on: if a text of one patient repeats in another's notes, both patients are one unit.

    Args:
        data: The table.

    Returns:
        int64 [rows], numbered in the order in which units first occur.
    """
    text_of = numbered(text_keys(data))
    if data.groups is None:
        return text_of
    group_of = numbered(data.groups)
    n = len(text_of) + len(group_of)  # texts and groups are the nodes of a graph, rows its edges
    edges = coo_array((np.ones(len(text_of)), (text_of, len(text_of) + group_of)), shape=(n, n))
    _, component = connected_components(edges, directed=False)
    return numbered([str(one) for one in component[text_of]])
