"""Ray Data: rows that a dataset reads from files of three formats, labelled by actors."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import labelled_rows

from medclf.cluster.ray.data import ArrowOptions, label_dataset
from medclf.errors import BundleError, ClusterError, OptionError
from medclf.runtime import Classifier

pytest.importorskip("ray", reason="ray is not installed: pip install 'medclf[ray]'")
pytest.importorskip("pandas", reason="pandas is not installed: pip install 'ray[data]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray on this machine, with two cores."""
    import ray

    ray.init("local", num_cpus=2, object_store_memory=80 * 2**20, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


def read(ray: Any, folder: Path, suffix: str) -> Any:
    """A dataset of 500 rows in three files."""
    table = pyarrow.Table.from_pylist([{"id": i, "text": row["text"]} for i, row in enumerate(labelled_rows(500))])
    folder.mkdir()
    for i in range(3):
        part = table.slice(i * 200, 200)
        if suffix == "parquet":
            pq.write_table(part, folder / f"{i}.parquet")
        elif suffix == "csv":
            pyarrow.csv.write_csv(part, folder / f"{i}.csv")
        else:
            part.to_pandas().to_json(folder / f"{i}.jsonl", orient="records", lines=True)
    reader = {"parquet": "read_parquet", "csv": "read_csv", "jsonl": "read_json"}[suffix]
    options = {"lines": True} if suffix == "jsonl" else {}
    return getattr(ray.data, reader)(str(folder), **options)


@pytest.mark.parametrize(("suffix", "threads"), [("parquet", None), ("csv", 1), ("jsonl", 1)])
def test_the_answers_of_the_local_classifier_each_row_once(
    ray: Any, tiny_bundle: Path, tmp_path: Path, suffix: str, threads: int | None
) -> None:
    dataset = read(ray, tmp_path / "in", suffix)
    label_dataset(dataset, tiny_bundle, threads=threads).write_parquet(str(tmp_path / "out"))
    found = [row for part in (tmp_path / "out").glob("*.parquet") for row in pq.read_table(part).to_pylist()]
    assert Counter(row["id"] for row in found) == Counter(range(500))
    assert "text" not in found[0]
    with Classifier.load(tiny_bundle) as classifier:
        expected = classifier.predict([row["text"] for row in labelled_rows(500)])
    assert [row["label"] for row in sorted(found, key=lambda row: row["id"])] == expected


def test_a_row_that_cannot_be_classified_is_marked_or_ends_the_job_without_its_text(
    ray: Any, tiny_bundle: Path
) -> None:
    dataset = ray.data.from_items([{"id": 1, "text": "baba"}, {"id": 2, "text": "CANARY-7f3a\0"}])
    found = label_dataset(dataset, tiny_bundle, ArrowOptions(on_error="skip")).take_all()
    assert {row["id"]: row["label"] is None for row in found} == {1: False, 2: True}
    with pytest.raises(Exception, match=r"row . of a batch: column 'text' holds a NUL character") as caught:
        label_dataset(dataset, tiny_bundle).materialize()
    assert "CANARY" not in str(caught.value)


def test_what_is_refused(ray: Any, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = ray.data.from_items([{"text": "baba"}])
    with pytest.raises(BundleError, match=r"medclf\.json"):
        label_dataset(dataset, tmp_path)
    with pytest.raises(OptionError, match="3 workers of 1 cores do not fit"):
        label_dataset(dataset, tiny_bundle, workers=3)
    monkeypatch.setattr("medclf.cluster.ray.data.node_cores", lambda _: [])
    with pytest.raises(ClusterError, match="no machine of the cluster has a core"):
        label_dataset(dataset, tiny_bundle)
