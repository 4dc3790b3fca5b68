"""Training on a Parquet table that stays on disk."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from conftest import LABELS, TINY_RUN, labelled_rows, multi_label_rows, write_csv
from safetensors.torch import load_file

from medclf.data.row_groups import RowGroups
from medclf.errors import DataError, OptionError
from medclf.train.checkpoint import read_checkpoint
from medclf.train.options import TrainOptions
from medclf.train.parts import fix_labels, read_parts
from medclf.train.run import Stopped, train
from medclf.train.streamed_batches import StreamedBatches

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable")


def write_parquet(path: Path, rows: list[dict[str, Any]], *, group: int = 10) -> Path:
    parquet.write_table(arrow.Table.from_pylist(rows), path, row_group_size=group)
    return path


@pytest.fixture
def options(tmp_path: Path, tiny_encoder: Path) -> TrainOptions:
    """A run on 107 rows in 11 row groups, with a buffer of 30 rows."""
    held_out = [write_csv(tmp_path / f"{seed}.csv", labelled_rows(30, seed=seed)) for seed in (7, 8)]
    return TrainOptions(
        data=write_parquet(tmp_path / "train.parquet", labelled_rows(107)), eval_data=held_out[0],
        test_data=held_out[1], model=str(tiny_encoder), output=tmp_path / "checkpoint", streaming=True,
        shuffle_buffer=30, epochs=2, **TINY_RUN,
    )  # fmt: skip


def batches_of(options: TrainOptions, epoch: int = 0) -> StreamedBatches:
    stream = read_parts(options).stream
    assert stream is not None
    batches = StreamedBatches(stream, options.batch_size, seed=options.seed)
    batches.set_epoch(epoch)
    return batches


def test_every_row_comes_once_an_epoch_and_each_epoch_has_its_order(options: TrainOptions) -> None:
    batches = batches_of(options)
    orders = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        made = list(batches)
        assert len(made) == len(batches) == 14
        assert [len(batch) for batch in made] == [8] * 13 + [3]
        orders.append([row.number for batch in made for row in batch])
        assert sorted(orders[-1]) == list(range(1, 108))
        assert [[row.number for row in batch] for batch in batches] == [[row.number for row in batch] for batch in made]
    assert orders[0] != orders[1]


@pytest.mark.parametrize(("buffer", "group"), [(8, 10), (30, 7), (107, 107), (1000, 3), (9, 107)])
def test_whatever_the_buffer_and_the_row_groups(options: TrainOptions, tmp_path: Path, buffer: int, group: int) -> None:
    data = write_parquet(tmp_path / "other.parquet", labelled_rows(107), group=group)
    made = list(batches_of(replace(options, data=data, shuffle_buffer=buffer), epoch=3))
    assert sorted(row.number for batch in made for row in batch) == list(range(1, 108))
    assert [len(batch) for batch in made] == [8] * 13 + [3]


def test_texts_of_like_length_are_batched(options: TrainOptions) -> None:
    made = list(batches_of(replace(options, shuffle_buffer=107)))
    within = [max(len(row.text) for row in batch) - min(len(row.text) for row in batch) for batch in made]
    everything = [len(row.text) for batch in made for row in batch]
    assert sorted(within)[len(within) // 2] < (max(everything) - min(everything)) / 4


def test_two_processes_see_rows_of_their_own(options: TrainOptions, tmp_path: Path) -> None:
    data = write_parquet(tmp_path / "even.parquet", labelled_rows(112))
    batches = batches_of(replace(options, data=data))
    shards = [
        [row.number for batch in BatchSamplerShard(batches, num_processes=2, process_index=i) for row in batch]
        for i in (0, 1)
    ]
    assert len(shards[0]) == len(shards[1]) == 56
    assert sorted(shards[0] + shards[1]) == list(range(1, 113))


def test_a_folder_of_files_counts_its_rows_on(options: TrainOptions, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    rows = labelled_rows(107)
    for i, (first, last) in enumerate(((0, 40), (40, 40), (40, 107))):
        table = arrow.Table.from_pylist(rows).slice(first, last - first)
        parquet.write_table(table, folder / f"part-{i}.parquet", row_group_size=15)
    found = {row.number: row.text for batch in batches_of(replace(options, data=folder)) for row in batch}
    assert found == {i + 1: row["text"] for i, row in enumerate(rows)}
    before = RowGroups.of(folder).sha256
    write_parquet(folder / "part-1.parquet", labelled_rows(1))
    assert RowGroups.of(folder).sha256 != before


def test_a_run_learns_and_its_record_says_what_it_had(options: TrainOptions, tmp_path: Path) -> None:
    folder = train(replace(options, epochs=8))
    record = read_checkpoint(folder).record
    assert record is not None
    assert read_checkpoint(folder).labels.names == LABELS
    assert (record.splits["train"].n_rows, record.splits["train"].rows) == (107, None)
    assert record.splits["train"].sha256 == RowGroups.of(options.data).sha256
    metrics = json.loads((folder / "metrics.json").read_bytes())
    assert metrics["test"]["model"]["macro_f1"] > 0.8  # chance is 0.33
    assert metrics["run"]["steps"] == 8 * 14
    assert metrics["run"]["baseline_rows"] == 107  # of a larger table a sample


@pytest.mark.parametrize("stop", [pytest.param(5), *(pytest.param(n, marks=pytest.mark.slow) for n in (14, 20))])
def test_a_stopped_run_goes_on_to_the_same_weights(options: TrainOptions, tmp_path: Path, stop: int) -> None:
    whole = train(replace(options, output=tmp_path / "whole"))
    with pytest.raises(Stopped, match=f"saved at step {stop} of 28"):
        train(replace(options, stop_after=stop))
    resumed = train(replace(options, resume=True))
    one, two = (load_file(folder / "model.safetensors") for folder in (whole, resumed))
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def peak_of(options: TrainOptions) -> int:
    """Bytes that Python and Arrow held at most while an epoch was read."""
    batches = batches_of(options)
    tracemalloc.start()
    for _ in batches:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_is_that_of_the_buffer_not_of_the_table(options: TrainOptions, tmp_path: Path) -> None:
    """The table is written by a generator, and has 16 MB of texts; the buffer a sixteenth of its rows."""
    path = tmp_path / "large.parquet"
    schema = arrow.schema([("text", arrow.string()), ("label", arrow.string())])
    with parquet.ParquetWriter(path, schema) as writer:
        for i in range(8):
            texts = [f"{LABELS[n % 3]} {i} {n} " + "baba " * 800 for n in range(500)]
            labels = [LABELS[n % 3] for n in range(500)]
            writer.write_table(arrow.table({"text": texts, "label": labels}, schema=schema), row_group_size=100)
    large = replace(options, data=path)
    assert peak_of(replace(large, shuffle_buffer=250)) < 6_000_000
    assert peak_of(replace(large, shuffle_buffer=4_000)) > 12_000_000  # with a buffer of all rows: it would be seen


def test_several_labels_a_text(options: TrainOptions, tmp_path: Path) -> None:
    rows = multi_label_rows(60)
    tables = {
        name: write_parquet(tmp_path / f"several_{name}.parquet", multi_label_rows(60, seed=seed))
        for name, seed in (("data", 0), ("eval_data", 1), ("test_data", 2))
    }
    parts = read_parts(replace(options, **tables))
    assert parts.stream is not None
    labels = fix_labels(parts)
    assert labels.multi_label
    assert labels.names == LABELS
    found = {row.number: row.label for batch in StreamedBatches(parts.stream, 8, seed=0) for row in batch}
    assert found == {i + 1: tuple(row["label"]) for i, row in enumerate(rows)}  # type: ignore[arg-type]


def test_a_pair_and_a_group(options: TrainOptions, tmp_path: Path) -> None:
    def rows(n: int, seed: int) -> list[dict[str, Any]]:
        return [
            {**row, "other": "cece", "patient": seed * 1000 + i} for i, row in enumerate(labelled_rows(n, seed=seed))
        ]

    tables = {
        name: write_parquet(tmp_path / f"pairs_{name}.parquet", rows(30, seed))
        for name, seed in (("data", 1), ("eval_data", 2), ("test_data", 3))
    }
    parts = read_parts(replace(options, text_pair_column=("other",), group_column="patient", **tables))
    assert parts.train.pairs == ["cece"] * 30
    assert parts.train.groups is not None
    assert Counter(parts.train.groups) == Counter(str(1000 + i) for i in range(30))


Spoil = Callable[[list[dict[str, Any]]], object]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows[41].update(text=None), r"column 'text': 1 row cannot be used: row 42 is empty"),
        (lambda rows: rows[41].update(text="CANARY-7f3a \0"), r"row 42 holds a NUL"),
        (
            lambda rows: [row.update(label=None) for row in rows[10:20]],
            r"column 'label': 10 rows .*: row 11 is missing",
        ),
        (lambda rows: [row.update(label="a") for row in rows], r"1 label\(s\): at least 2"),
        (lambda rows: [row.pop("text") for row in rows], r"has no column 'text'; it has 'id', 'label'"),
    ],
)
def test_rows_that_cannot_be_used_are_named_before_training(
    options: TrainOptions, tmp_path: Path, spoil: Spoil, message: str
) -> None:
    rows = labelled_rows(60)
    spoil(rows)
    with pytest.raises((DataError, OptionError), match=message) as caught:
        read_parts(replace(options, data=write_parquet(tmp_path / "spoilt.parquet", rows)))
    assert "CANARY" not in str(caught.value)


def test_texts_of_the_other_parts_are_refused(options: TrainOptions, tmp_path: Path) -> None:
    rows = labelled_rows(60)
    rows[33]["text"] = labelled_rows(30, seed=8)[4]["text"].upper()  # of the test table
    data = write_parquet(tmp_path / "leaks.parquet", rows)
    with pytest.raises(DataError, match=r"train and test must not share .*1 text: row 34 of .*, row 5 of"):
        read_parts(replace(options, data=data))
    assert read_parts(replace(options, data=data, allow_leakage=True)).stream is not None


def test_what_a_stream_cannot_have(options: TrainOptions, table: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a stream is not split: with streaming, name eval_data and test_data"):
        replace(options, test_data=None)
    with pytest.raises(OptionError, match="does not know how many windows"):
        replace(options, long_text="windows")
    with pytest.raises(OptionError, match="shuffle_buffer is 7, expected batch_size, 8, or more"):
        replace(options, shuffle_buffer=7)
    with pytest.raises(DataError, match="streaming reads Parquet alone"):
        read_parts(replace(options, data=table))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no file of the folder ends in \.parquet"):
        read_parts(replace(options, data=tmp_path / "empty"))
    for name, rows in (("a", labelled_rows(5)), ("b", [{"text": "baba", "topic": "x"}])):
        write_parquet(tmp_path / "empty" / f"{name}.parquet", rows)
    with pytest.raises(DataError, match=r"b\.parquet has the columns 'text', 'topic', but a\.parquet has"):
        read_parts(replace(options, data=tmp_path / "empty"))
    (tmp_path / "empty" / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"b\.parquet is not a whole Parquet file"):
        read_parts(replace(options, data=tmp_path / "empty"))


def test_a_table_that_changes_under_a_run_stops_it(options: TrainOptions) -> None:
    batches = batches_of(options)
    rows = labelled_rows(107)
    rows[50]["text"] = ""
    write_parquet(options.data, rows)
    with pytest.raises(DataError, match="row 51 is empty"):
        list(batches)
