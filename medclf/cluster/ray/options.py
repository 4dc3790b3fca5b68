"""What `medclf-predict --engine ray` is asked for."""

from dataclasses import dataclass, replace

from medclf.errors import OptionError
from medclf.runtime.predict_options import RowOptions
from medclf.runtime.windows import WINDOW_TEXTS

MOST_ROWS = 16_384  # of a partition, unless told: few enough to do again


@dataclass(frozen=True)
class RayOptions(RowOptions):
    """What to classify, where, and what to write.

    Attributes:
        source: A table, a folder of tables, or a pattern with `*`; a path, or a URI that pyarrow knows.
        target: The folder to write; a path or a URI.
        source_format: Such as `csv` or `jsonl.gz`; empty for that of the suffix of each table.
        bundle: The folder of the bundle.
        provider: As of `Classifier.load`.
        precision: As of `Classifier.load`.
        mode: As of `Classifier.load`.
        address: Of a running cluster, such as `auto`; None to start Ray on this machine alone.
        workers: How many; None for one a node.
        threads: Cores of each; None for all of its node, or for a fair share where `workers` is given.
        ship_bundle: Whether the workers get the bundle from here, and not from the same path on their machines.
        partition_rows: Rows of a partition, at most, where the table can be cut; None for those of the run that goes
            on, or else for a window of the schedule for each core of a worker, up to `MOST_ROWS`.
        id_column: A column whose values must all differ; it is carried over.
        overwrite: Whether an existing output, or the work of a stopped run, is dropped.
        resume: Whether to go on after the partitions that a stopped run committed.
    """

    source: str
    target: str
    source_format: str = ""
    bundle: str = "bundle"
    provider: str = "cpu"
    precision: str = "auto"
    mode: str = "throughput"
    address: str | None = None
    workers: int | None = None
    threads: int | None = None
    ship_bundle: bool = False
    partition_rows: int | None = None
    id_column: str = ""
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("workers", "threads", "partition_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{name} is {value}, expected at least 1.")
        for name in ("source", "target"):
            if getattr(self, name) == "-":
                raise OptionError("--engine ray reads and writes files, which a pipe is not. Name them.")

    def rows_for(self, cores: int) -> int:
        """Say how many rows a partition has: so many that it takes seconds, whatever the worker.

        Args:
            cores: Of the largest worker.

        Returns:
            Rows, at most.
        """
        return self.partition_rows or min(MOST_ROWS, WINDOW_TEXTS * cores)

    @property
    def with_id(self) -> "RayOptions":
        """The options with the id among the columns that are carried over."""
        missing = self.id_column and self.id_column not in self.keep
        return replace(self, keep=(self.id_column, *self.keep)) if missing else self
