"""How far a run is, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass

from medclf.runtime.counts import Counts


@dataclass(frozen=True)
class State:
    """How far a run is.

    Attributes:
        doing: `starting`, `surveying` or `classifying`.
        fraction: Of the bytes of the input; of the tables in a survey.
        n_workers: That are ready.
        n_deaths: Workers that died and were replaced.
        n_rows: Rows that are committed, those of runs before this one included.
        rows_per_s: Of this run, since it began to classify.
    """

    doing: str
    fraction: float
    n_workers: int
    n_deaths: int
    n_rows: int
    rows_per_s: float


Progress = Callable[[State], None]


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        counts: Of all rows, those of runs before a resume included; `seconds` are those of the partitions, added up.
        n_rows_before: Rows that runs before this one committed.
        n_parts: Parts in the output.
        n_workers: That were ready at the end.
        n_deaths: Workers that died and were replaced.
        start_s: Seconds until the first worker was ready.
        seconds: Seconds from then on to the manifest.
        precision: Of the model that was taken.
        provider: Where it ran.
    """

    counts: Counts
    n_rows_before: int
    n_parts: int
    n_workers: int
    n_deaths: int
    start_s: float
    seconds: float
    precision: str
    provider: str
