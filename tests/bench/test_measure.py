import io
import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from medclf.bench.environment import environment
from medclf.bench.measure import BASELINE, Measured, _Worker, measure, summaries
from medclf.bench.table import table
from medclf.bench.texts import TextBatch
from medclf.bench.worker import Memory, PathSpec, Timing, load_bundle, load_torch, peak_memory
from medclf.errors import MedclfError


def spec_of(name: str) -> PathSpec:
    return PathSpec(name, Path("bundle"), 1, precision="fp32")


def timings(*seconds: float) -> list[Timing]:
    return [Timing(one, ["a", "b"], n_tokens=10, n_padded=15) for one in seconds]


MEASURED = [
    Measured(spec_of("fast"), timings(0.1, 0.3), Memory(10_000_000, 20_000_000, 30_000_000)),
    Measured(spec_of(BASELINE), timings(1.0, 1.0), Memory(None, None, None)),
]


def test_the_figures() -> None:
    fast, slow = summaries(MEASURED)
    assert fast["documents_per_s"] == pytest.approx(4 / 0.4)
    assert fast["tokens_per_s"] == pytest.approx(20 / 0.4)
    assert fast["padded_per_real_token"] == 1.5
    assert (fast["p50_ms"], fast["p99_ms"]) == (pytest.approx(200), pytest.approx(298))
    assert (fast["memory_before_load_mb"], fast["memory_after_load_mb"], fast["memory_peak_mb"]) == (10, 20, 30)
    assert (fast["speedup"], slow["speedup"]) == (pytest.approx(5), 1)
    assert slow["memory_peak_mb"] is None


def test_no_speed_up_without_the_baseline() -> None:
    assert summaries(MEASURED[:1])[0]["speedup"] is None


def test_the_table_shows_every_path_and_nothing_for_unknown() -> None:
    console = Console(file=io.StringIO(), width=130)
    console.print(table(summaries(MEASURED), title="a title"))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "5.00x" in text
    assert BASELINE in text
    assert "padded/real" in text
    assert "│       - │" in text


def test_the_environment_is_named() -> None:
    found = environment()
    assert found["cores_usable"] >= 1
    assert found["cpu"]
    assert {"medclf", "python", "numpy", "onnxruntime", "torch"} <= set(found["versions"])


def test_a_process_knows_its_peak_memory() -> None:
    assert (peak_memory() or 0) > 10_000_000


def test_all_paths_do_the_same_work(tiny_bundle: Path, tiny_checkpoint: Path, texts: list[str]) -> None:
    import torch

    threads = torch.get_num_threads()
    batch = TextBatch(texts[:20])
    paths = [
        load_bundle(PathSpec("fp32", tiny_bundle, 1, precision="fp32")),
        load_torch(PathSpec("longest", tiny_bundle, 1, checkpoint=tiny_checkpoint)),
        load_torch(PathSpec("max", tiny_bundle, 1, checkpoint=tiny_checkpoint, pad_to_max=True)),
    ]
    torch.set_num_threads(threads)
    (labels, lengths), *others = [path.run(batch) for path in paths]
    for other_labels, other_lengths in others:
        assert other_labels == labels
        assert other_lengths.tolist() == lengths.tolist()
    n_real = int(lengths.sum())
    ours, longest, to_max = (path.n_padded(lengths) for path in paths)
    assert n_real <= ours <= longest == 20 * lengths.max()
    assert to_max == 20 * 64


def test_an_error_of_a_worker_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(MedclfError, match=r"^medclf fp32: .* is not a bundle: it does not exist"):
        measure([PathSpec("medclf fp32", tmp_path / "absent", 1, precision="fp32")], [], repeats=1)


def test_a_bug_in_a_worker_shows_no_text(tiny_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    batch = TextBatch({"CANARY-7f3a": 1})  # type: ignore[arg-type]  # no list: a bug of the caller
    with pytest.raises(MedclfError, match=r"^medclf fp32: internal error: KeyError\. Please report it") as caught:
        measure([PathSpec("medclf fp32", tiny_bundle, 1, precision="fp32")], [batch], repeats=1)
    assert "CANARY" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_worker_that_dies_is_told() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=os._exit, args=(9,))
    process.start()
    theirs.close()
    with pytest.raises(MedclfError, match=r"^fast: the worker process ended with code 9\. Was it out of memory"):
        _Worker(spec_of("fast"), process, ours).answer()
    ours.close()


def test_paths_take_turns_and_the_warm_up_does_not_count(tiny_bundle: Path, texts: list[str]) -> None:
    batches = [TextBatch(texts[:3]), TextBatch(texts[3:8])]
    steps: list[int] = []
    specs = [PathSpec(f"medclf {p}", tiny_bundle, 1, precision=p) for p in ("fp32", "int8")]
    found = measure(specs, batches, repeats=2, progress=lambda: steps.append(1))
    assert len(steps) == 3 * 2 * 2
    for one in found:
        assert [len(timing.labels) for timing in one.timings] == [3, 5, 3, 5]
        assert (one.memory.before_load or 0) <= (one.memory.after_load or 0) <= (one.memory.peak or 0)


def test_pytorch_gives_the_labels_of_a_model_with_a_temperature(
    tiny_multi_label_checkpoint: Path, tmp_path: Path, texts: list[str]
) -> None:
    from medclf_export.pipeline import ExportOptions, export_bundle

    checkpoint = Path(shutil.copytree(tiny_multi_label_checkpoint, tmp_path / "checkpoint"))
    record = {"columns": {"text": ["text"], "pair": []}, "label_column": ["label"], "max_length": 64, "splits": {}}
    (checkpoint / "training.json").write_text(json.dumps(record | {"temperature": 0.25}))
    export_bundle(ExportOptions(checkpoint, tmp_path / "bundle"))
    batch = TextBatch(texts, None)
    spec = PathSpec("", tmp_path / "bundle", 1, precision="fp32", checkpoint=checkpoint)
    ours, theirs = (load(spec).run(batch)[0] for load in (load_bundle, load_torch))
    assert theirs == ours  # with these thresholds, logits that are not divided give other sets
