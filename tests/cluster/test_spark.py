"""Spark: what a worker does, without Spark; and the whole of it on local Spark, as a long test."""

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import LABELS, labelled_rows

from medclf.cluster import arrow as arrow_rows
from medclf.cluster.spark import ArrowOptions, output_schema, predict_udf
from medclf.errors import BundleError, DataError, InputError, MedclfError, OptionError
from medclf.labels import Labels
from medclf.runtime import Classifier

arrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'medclf[spark]'")


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """A worker that has opened nothing yet."""
    yield
    for classifier in arrow_rows._opened.values():
        classifier.close()
    arrow_rows._opened.clear()


def batches_of(rows: list[dict[str, Any]], size: int) -> Iterator[Any]:
    table = arrow.Table.from_pylist(rows)
    return iter(table.to_batches(max_chunksize=size))


def label(bundle: Path, rows: list[dict[str, Any]], size: int = 7, **options: Any) -> list[dict[str, Any]]:
    udf = predict_udf(bundle, ArrowOptions(**options))
    return [row for batch in udf(batches_of(rows, size)) for row in batch.to_pylist()]


def test_small_and_large_batches_give_the_same_rows_as_the_classifier(tiny_bundle: Path) -> None:
    rows = labelled_rows(300)
    with Classifier.load(tiny_bundle) as classifier:
        expected = classifier.classify([row["text"] for row in rows])
    for size in (1, 7, 300):
        found = label(tiny_bundle, rows, size, probabilities=True)
        assert [row["id"] for row in found] == [row["id"] for row in rows]
        assert [row["input_label"] for row in found] == [row["label"] for row in rows]
        assert [row["label"] for row in found] == expected.labels
        for row, probabilities in zip(found, expected.probabilities, strict=True):
            assert [row[f"probability_{name}"] for name in LABELS] == pytest.approx(probabilities, abs=1e-3)
        assert "text" not in found[0]


def test_windows_take_their_rows_from_several_batches(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medclf.runtime.windows.WINDOW_TEXTS", 10)
    rows = labelled_rows(53)
    udf = predict_udf(tiny_bundle, ArrowOptions(keep=("id", "text")))
    found = list(udf(batches_of(rows, 4)))
    assert [batch.num_rows for batch in found] == [10, 10, 10, 10, 10, 3]
    kept = [{"id": row["id"], "text": row["text"]} for batch in found for row in batch.to_pylist()]
    assert kept == [{"id": row["id"], "text": row["text"]} for row in rows]


def test_the_bundle_is_opened_once_a_process_and_never_for_nothing(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = Classifier.load
    monkeypatch.setattr(arrow_rows.Classifier, "load", lambda *a, **k: loads.append(a) or load(*a, **k))
    udf = predict_udf(tiny_bundle)
    assert list(udf(iter([]))) == []
    assert loads == []
    for _ in range(3):  # tasks of one worker
        assert sum(batch.num_rows for batch in udf(batches_of(labelled_rows(5), 2))) == 5
    assert len(loads) == 1
    list(predict_udf(tiny_bundle, ArrowOptions(precision="fp32"))(batches_of(labelled_rows(5), 2)))
    assert (len(loads), len(arrow_rows._opened)) == (2, 1)  # the other one was closed


def test_what_is_sent_holds_no_model(tiny_bundle: Path) -> None:
    cloudpickle = pytest.importorskip("pyspark.cloudpickle")
    udf = predict_udf(tiny_bundle)
    list(udf(batches_of(labelled_rows(3), 3)))
    sent = cloudpickle.dumps(udf)
    assert len(sent) < 10_000
    assert sum(batch.num_rows for batch in pickle.loads(sent)(batches_of(labelled_rows(3), 3))) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "is empty"),
        ("  ", "is empty"),
        ("CANARY-7f3a \0 baba", "holds a NUL character"),
        ("x" * 1_000_001, "has 1,"),
    ],
)
def test_a_row_that_cannot_be_classified(tiny_bundle: Path, text: str | None, reason: str) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "text": "baba"}, {"id": 2, "text": text}, {"id": 3, "text": "cece"}]
    with pytest.raises(InputError, match=rf"row 2 of partition 0: column 'text' {reason}.* \(length") as caught:
        label(tiny_bundle, rows, 2)
    assert "CANARY" not in str(caught.value)
    found = label(tiny_bundle, rows, 2, on_error="skip", keep=("id",))
    assert [row["id"] for row in found] == [1, 2, 3]
    assert [row["label"] is None for row in found] == [False, True, False]
    assert found[0]["error"] is None
    assert found[1]["error"].startswith(f"column 'text' {reason}")
    assert "CANARY" not in json.dumps(found)


def test_bytes_that_are_not_utf8_are_a_fault_of_their_row(tiny_bundle: Path) -> None:
    buffers = [
        None,
        arrow.py_buffer(b"\x00\x00\x00\x00\x04\x00\x00\x00\x08\x00\x00\x00"),
        arrow.py_buffer(b"baba\xffbad"),
    ]
    texts = arrow.StringArray.from_buffers(2, buffers[1], buffers[2])
    batch = arrow.RecordBatch.from_arrays([texts], names=["text"])
    (found,) = predict_udf(tiny_bundle, ArrowOptions(on_error="skip"))(iter([batch]))
    assert [row["label"] is None for row in found.to_pylist()] == [False, True]
    assert "half of a surrogate pair" in found.to_pylist()[1]["error"]


def test_an_error_of_our_own_tells_no_text(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("CANARY-7f3a")

    monkeypatch.setattr(arrow_rows, "answer_row", broken)
    with pytest.raises(MedclfError, match=r"internal error: ValueError at test_spark\.py:\d+") as caught:
        label(tiny_bundle, labelled_rows(3))
    assert caught.value.__suppress_context__


def test_several_labels_are_lists(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "several"))
    manifest = json.loads((folder / "medclf.json").read_bytes())
    labels = Labels(tuple(manifest["labels"]), "multi_label_classification", (0.5, 0.25, 0.75))
    manifest |= {"task": labels.task, "thresholds": list(labels.thresholds or ()), "labels_sha256": labels.sha256}
    (folder / "medclf.json").write_text(json.dumps(manifest), encoding="utf-8")
    rows = labelled_rows(20)
    with Classifier.load(folder) as classifier:
        expected = classifier.predict([row["text"] for row in rows])
    found = label(folder, rows)
    assert [tuple(row["label"]) for row in found] == expected
    assert all(len(row["label"]) == len(row["probability"]) for row in found)


def test_a_text_of_several_columns_and_a_pair(tiny_bundle: Path) -> None:
    rows = [
        {"id": 1, "title": "baba", "body": "cece", "other": "difo"},
        {"id": 2, "title": "guka", "body": None, "other": "le"},
    ]
    with Classifier.load(tiny_bundle) as classifier:
        expected = classifier.predict_proba(["baba cece", "guka"], ["difo", "le"]).max(axis=1)
    found = label(tiny_bundle, rows, text=("title", "body"), pair=("other",))
    assert [row["probability"] for row in found] == pytest.approx(expected, abs=1e-3)
    assert list(found[0]) == ["id", "label", "probability", "truncated"]


def test_what_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"medclf\.json"):
        predict_udf(tmp_path)
    with pytest.raises(OptionError, match="on_error is 'hope', expected 'raise' or 'skip'"):
        ArrowOptions(on_error="hope")
    with pytest.raises(OptionError, match=r"keep is one string, expected a tuple of columns: \('id',\)"):
        ArrowOptions(keep="id")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"the rows have no column 'note'; they have 'id', 'text', 'label'"):
        label(tiny_bundle, labelled_rows(3), text=("note",))


def test_a_worker_without_the_bundle_or_with_another(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    udf = predict_udf(folder)
    manifest = (folder / "medclf.json").read_text()
    (folder / "medclf.json").write_text(manifest.replace('"created": "', '"created": "later '))
    with pytest.raises(BundleError, match=r"on this worker is another bundle than the driver's"):
        list(udf(batches_of(labelled_rows(3), 3)))
    shutil.rmtree(folder)
    with pytest.raises(BundleError, match=r"is not on this worker. Put the bundle at that path on every worker"):
        list(udf(batches_of(labelled_rows(3), 3)))


def test_the_schema_is_that_of_the_rows(tiny_bundle: Path) -> None:
    types = pytest.importorskip("pyspark.sql.types")
    given = types.StructType(
        [types.StructField("id", types.LongType(), False), types.StructField("text", types.StringType())]
    )
    schema = output_schema(tiny_bundle, given, ArrowOptions(probabilities=True, on_error="skip"))
    (batch,) = predict_udf(tiny_bundle, ArrowOptions(probabilities=True, on_error="skip"))(
        batches_of([{"id": 1, "text": "baba"}], 1)
    )
    assert schema.names == batch.schema.names
    assert (schema["id"].dataType, schema["id"].nullable) == (types.LongType(), False)
    assert schema["label"].dataType == types.StringType()
    assert schema["probability"].dataType == types.DoubleType()
    assert schema["truncated"].dataType == types.BooleanType()
