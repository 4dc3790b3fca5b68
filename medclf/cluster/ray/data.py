"""A bundle in a pipeline of Ray Data: rows that a `Dataset` reads, labelled by actors with one `Classifier` each.

    notes = ray.data.read_parquet("s3://corpus/notes")
    label_dataset(notes, "bundle", ArrowOptions(keep=("pmid",))).write_parquet("s3://corpus/labels")

For datasets that are made by code. `engine.py` is the way for files: it commits partitions, and goes on after a stop.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medclf.cluster.arrow import ArrowJob, ArrowOptions
from medclf.cluster.ray.pool import node_cores, worker_cores
from medclf.errors import ClusterError
from medclf.extras import require
from medclf.runtime.windows import WINDOW_TEXTS

__all__ = ["ArrowOptions", "label_dataset"]

BATCH_WINDOWS = 4  # a batch is this many windows of the length schedule


def label_dataset(
    dataset: Any,
    bundle: str | Path,
    options: ArrowOptions | None = None,
    *,
    workers: int | None = None,
    threads: int | None = None,
) -> Any:
    """Label the rows of a dataset.

    Ray Data makes a worker of an actor when rows wait for it. One reserves a core less than it keeps busy, or half of
    its only one, so that tasks which read and write find a place.

    Args:
        dataset: A `ray.data.Dataset` with the columns of the texts.
        bundle: The bundle's folder, at the same path on every machine.
        options: How rows are classified; None for the defaults.
        workers: Actors, at most; None for as many as fit.
        threads: Cores of each; None for those of the machine that has the fewest.

    Returns:
        A `Dataset`, lazy as all are: every row once, with the kept columns and those of the answers; in order where
        Ray Data's `preserve_order` is set.

    Raises:
        BundleError: The bundle cannot be read here.
        ClusterError: No machine of the cluster has a core.
        ExtraError: Ray is not installed.
        OptionError: So many workers do not fit.
    """
    job, ray, data = ArrowJob.of(bundle, options), require("ray", extra="ray"), require("ray.data", extra="ray")
    nodes = node_cores(ray)
    if not nodes:
        raise ClusterError("no machine of the cluster has a core. Add one, then ask again.")
    cores = worker_cores(nodes, workers, threads or (min(nodes) if workers is None else None))
    return dataset.map_batches(
        _Labeller,
        fn_constructor_args=(job, cores[0]),
        batch_size=BATCH_WINDOWS * WINDOW_TEXTS,
        batch_format="pyarrow",
        num_cpus=cores[0] - 1 or 0.5,
        compute=data.ActorPoolStrategy(min_size=1, max_size=len(cores)),
    )


class _Labeller:
    """An actor of Ray Data; the model is loaded when its first rows come."""

    def __init__(self, job: ArrowJob, threads: int) -> None:
        self._job = job
        self._threads = threads

    def __call__(self, table: Any) -> Iterator[Any]:
        arrow = require("pyarrow", extra="ray")
        for batch in self._job.run(iter(table.to_batches()), part="a batch", threads=self._threads):
            yield arrow.Table.from_batches([batch])
