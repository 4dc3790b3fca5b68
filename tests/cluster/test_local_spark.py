"""Local Spark, with a JVM and Python workers of its own."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import LABELS, labelled_rows

from medclf.cluster.spark import ArrowOptions, output_schema, predict_udf
from medclf.runtime import Classifier

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed: pip install 'medclf[spark]'")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, which is not here")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    yield session
    session.stop()


def test_the_same_answers_as_the_local_classifier_each_row_once(session: Any, tiny_bundle: Path) -> None:
    rows = [(i, row["text"]) for i, row in enumerate(labelled_rows(5_000))]
    frame = session.createDataFrame(rows, "id long, text string").repartition(7)
    options = ArrowOptions(probabilities=True)
    labelled = frame.mapInArrow(predict_udf(tiny_bundle, options), output_schema(tiny_bundle, frame.schema, options))
    found = labelled.collect()
    assert Counter(row.id for row in found) == Counter(range(5_000))
    with Classifier.load(tiny_bundle) as classifier:
        expected = classifier.classify([text for _, text in rows])
    assert [row.label for row in sorted(found, key=lambda row: row.id)] == expected.labels
    for row in found:
        assert [row[f"probability_{name}"] for name in LABELS] == pytest.approx(
            expected.probabilities[row.id], abs=1e-3
        )


def test_a_null_text_is_skipped_or_fails_the_job_without_a_text(session: Any, tiny_bundle: Path) -> None:
    rows = [(1, "baba cece"), (2, None), (3, "CANARY-7f3a\0")]
    frame = session.createDataFrame(rows, "id long, text string").repartition(2)
    skips = ArrowOptions(on_error="skip")
    labelled = frame.mapInArrow(predict_udf(tiny_bundle, skips), output_schema(tiny_bundle, frame.schema, skips))
    errors = {row.id: row.error for row in labelled.collect()}
    assert errors[1] is None
    assert errors[2] == "column 'text' is empty"
    assert "NUL" in errors[3]
    failing = frame.mapInArrow(predict_udf(tiny_bundle), output_schema(tiny_bundle, frame.schema))
    with pytest.raises(Exception, match="of partition") as caught:
        failing.collect()
    assert "CANARY" not in str(caught.value)


def test_a_worker_keeps_its_classifier_from_task_to_task(session: Any, tiny_bundle: Path) -> None:
    label = predict_udf(tiny_bundle)

    def opened(batches: Iterator[Any]) -> Iterator[Any]:
        import os

        import pyarrow

        from medclf.cluster import arrow as arrow_rows

        assert sum(batch.num_rows for batch in label(batches)) > 0
        (classifier,) = arrow_rows._opened.values()
        process, model = str(os.getpid()), f"{os.getpid()} {id(classifier)}"
        yield pyarrow.RecordBatch.from_pydict({"process": [process], "model": [model]})

    rows = [(i, row["text"]) for i, row in enumerate(labelled_rows(200))]
    frame = session.createDataFrame(rows, "id long, text string").repartition(16)
    found = frame.mapInArrow(opened, "process string, model string").collect()
    assert len(found) == 16  # tasks
    processes = {row.process for row in found}
    assert len({row.model for row in found}) == len(processes) < 16
