"""The bootstrap: what a score would be on other rows like these. Rows of one group are drawn together.

Every score here is made of sums over rows (how often right, how many texts of a label, ...). So it is enough to know
the sums of each draw, and those are one matrix product: how often each row was drawn, times the rows.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

N_RESAMPLES = 1_000
CHUNK_NUMBERS = 2_000_000  # of how often each row was drawn: 16 MB at a time
Groups = Sequence[str] | None  # of each row, such as its patient; None where each row stands for itself
Doubles = npt.NDArray[np.float64]


def resampled_sums(
    columns: npt.ArrayLike, groups: Groups = None, *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Doubles:
    """Draw rows with replacement, or whole groups of rows (cluster bootstrap; Field and Welsh 2007), and sum them.

    Args:
        columns: Numbers [rows, columns], at least one row.
        groups: The group of each row; None for none.
        n_resamples: How often.
        seed: Equal seeds draw the same rows, so that two models can be compared on them.

    Returns:
        float64 [n_resamples, columns]; the sums over the rows of each draw, which are as many as there are, or with
        groups about as many.
    """
    table = np.asarray(columns, dtype=np.float64)
    if groups is not None:
        names, group_of = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        by_group = np.zeros((len(names), table.shape[1]))
        np.add.at(by_group, group_of, table)
        table = by_group
    chance, n = np.random.default_rng(seed), len(table)
    parts = []
    for start in range(0, n_resamples, size := max(1, CHUNK_NUMBERS // n)):
        n_draws = min(size, n_resamples - start)
        rows = chance.integers(0, n, (n_draws, n)) + n * np.arange(n_draws)[:, None]
        drawn = np.bincount(rows.ravel(), minlength=n_draws * n).reshape(n_draws, n)
        parts.append(drawn.astype(np.float64) @ table)
    return np.concatenate(parts)


def interval(values: npt.ArrayLike) -> tuple[float, float] | None:
    """Give the 95 % interval of a score.

    Args:
        values: The score of each resample; NaN where it had none.

    Returns:
        The 2.5 % and 97.5 % quantiles; None where no resample had a score.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Doubles:
    """Divide sums, NaN where nothing was drawn that counts.

    Args:
        numerator: Sums.
        denominator: Sums of the same shape, 0 or more.

    Returns:
        float64 of the same shape.
    """
    below = np.asarray(denominator, dtype=np.float64)
    found: Doubles = np.asarray(numerator, dtype=np.float64) / np.where(below > 0, below, np.nan)
    return found
