"""A bundle on a Spark cluster: a function for `DataFrame.mapInArrow`, and the schema of what it gives.

    options = ArrowOptions(keep=("id",))
    labelled = notes.mapInArrow(predict_udf("bundle", options), output_schema("bundle", notes.schema, options))

Each Python worker of Spark opens the bundle once, when its first rows come, and keeps the classifier for all of its
later tasks.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from medclf.bundle import read_manifest
from medclf.cluster.arrow import TYPED, ArrowJob, ArrowOptions
from medclf.extras import require
from medclf.runtime.rows import column_types

__all__ = ["ArrowOptions", "output_schema", "predict_udf"]

Udf = Callable[[Iterator[Any]], Iterator[Any]]


def predict_udf(bundle: str | Path, options: ArrowOptions | None = None) -> Udf:
    """Make the function that labels rows, for `DataFrame.mapInArrow`.

    Args:
        bundle: The bundle's folder, at the same path on the driver and on every worker.
        options: How rows are classified; None for the defaults.

    Returns:
        A function of an iterator of Arrow record batches; it gives every row once, in order, with the columns of
        `output_schema`. On a worker it raises InputError for a row that cannot be classified, and BundleError where
        the bundle is missing or another than the driver's.

    Raises:
        BundleError: The bundle cannot be read on the driver.
    """
    job = ArrowJob.of(bundle, options)

    def label(batches: Iterator[Any]) -> Iterator[Any]:
        context = _task()
        number, cores = (context.partitionId(), context.cpus()) if context else (0, None)
        return job.run(batches, part=f"partition {number}", threads=cores)  # other workers have the other cores

    return label


def output_schema(bundle: str | Path, schema: Any, options: ArrowOptions | None = None) -> Any:
    """Give the schema of what `predict_udf` makes of a DataFrame.

    Args:
        bundle: The bundle's folder.
        schema: The DataFrame's schema, a `StructType`.
        options: The same as for `predict_udf`.

    Returns:
        A `StructType`: the kept columns with their types, then those of the answers.

    Raises:
        BundleError: The bundle cannot be read.
        DataError: The DataFrame lacks a column that is needed.
        OptionError: Two columns of the result would have one name.
        ExtraError: pyspark or pyarrow is not installed.
    """
    options = options or ArrowOptions()
    types, manifest = require("pyspark.sql.types", extra="spark"), read_manifest(Path(bundle))
    fields = [
        types.StructField(new, schema[old].dataType, schema[old].nullable)
        for old, new in options.kept(manifest, tuple(schema.names)).items()
    ]
    arrow = column_types(TYPED, manifest.labels, {})
    own = [types.StructField(name, _spark_type(types, arrow[name])) for name in options.own(manifest)]
    return types.StructType([*fields, *own])


def _spark_type(types: Any, arrow: Any) -> Any:
    if hasattr(arrow, "value_type"):
        return types.ArrayType(_spark_type(types, arrow.value_type))
    return {"string": types.StringType, "double": types.DoubleType, "bool": types.BooleanType}[str(arrow)]()


def _task() -> Any:
    """The context of Spark's task; None where this process is no worker of Spark."""
    pyspark = sys.modules.get("pyspark")
    return pyspark.TaskContext.get() if pyspark else None
