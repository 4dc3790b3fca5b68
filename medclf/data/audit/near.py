"""Texts that nearly repeat another: MinHash finds candidates, their words decide.

Broder (1997), On the resemblance and containment of documents; the banded index is that of Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, chapter 3, by datasketch.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

from medclf.extras import require

PERMUTATIONS = 128
SLACK = 0.15  # the index looks this far below the threshold, as it goes by estimates
FALSE_NEGATIVES = 0.9  # their weight against that of candidates that are none, which cost time alone
WINDOW = 1_000  # texts between two reports of progress
# A word, or a Chinese character, as there are no spaces to go by
WORD = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+")


@dataclass(frozen=True)
class NearPair:
    """Two texts that nearly repeat each other.

    Attributes:
        first: Position of the earlier text.
        second: Position of the later text.
        similarity: Jaccard similarity of their sets of pairs of neighbouring words, 0 to 1.
    """

    first: int
    second: int
    similarity: float


def near_duplicates(
    keys: Sequence[str], threshold: float, *, progress: Callable[[float], None] = lambda _: None
) -> list[NearPair]:
    """Find the pairs of texts whose similarity reaches a threshold.

    Args:
        keys: Folded texts (`medclf.data.keys.fold`), all different.
        threshold: Least similarity, over 0 and under 1.
        progress: Is told the share of the work that is done, 0 to 1.

    Returns:
        The pairs, by `first` and `second`. Every pair given reaches the threshold; the index, which is a matter of
        chance, misses one in a hundred of those just above it.

    Raises:
        ExtraError: datasketch is not installed.
    """
    datasketch = require("datasketch", extra="audit")
    shingles = [word_pairs(key) for key in keys]
    index = datasketch.MinHashLSH(
        threshold=max(0.1, threshold - SLACK), num_perm=PERMUTATIONS, weights=(1 - FALSE_NEGATIVES, FALSE_NEGATIVES)
    )
    found = []
    encoded = ([shingle.encode() for shingle in one] for one in shingles)
    hashes = datasketch.MinHash.generator(encoded, num_perm=PERMUTATIONS, hashfunc=crc32)
    for second, minhash in enumerate(hashes):
        for first in index.query(minhash):
            similarity = jaccard(shingles[first], shingles[second])
            if similarity >= threshold:
                found.append(NearPair(first, second, similarity))
        index.insert(second, minhash)
        if second % WINDOW == 0:
            progress(second / len(keys))
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def word_pairs(key: str) -> set[str]:
    """Give the pairs of neighbouring words of a text; of a single word, the word.

    Args:
        key: A folded text.

    Returns:
        At least one entry.
    """
    words = WORD.findall(key)
    return {f"{a} {b}" for a, b in pairwise(words)} or {key}


def jaccard(first: set[str], second: set[str]) -> float:
    """Give the size of the intersection over that of the union.

    Args:
        first: Not empty.
        second: Not empty.

    Returns:
        0 to 1.
    """
    n_both = len(first & second)
    return n_both / (len(first) + len(second) - n_both)
