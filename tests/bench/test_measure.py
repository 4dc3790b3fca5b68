import io
import json
import multiprocessing
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from medclf.bench.environment import environment
from medclf.bench.measure import BASELINE, Measured, _Worker, measure, summaries
from medclf.bench.table import table
from medclf.bench.texts import TextBatch
from medclf.bench.worker import Loaded, Memory, PathSpec, Timing, Turn, load_bundle, load_torch, peak_memory, run_turn
from medclf.bench.workloads import Workload
from medclf.errors import MedclfError


def spec_of(name: str) -> PathSpec:
    return PathSpec(name, Path("bundle"), 1, precision="fp32")


def round_of(*seconds: float) -> list[Timing]:
    return [Timing(one, (one,), n_texts=2, n_tokens=10, n_padded=15) for one in seconds]


MEASURED = [
    Measured(
        spec_of("fast"),
        [round_of(0.1, 0.3), round_of(0.2, 0.6), round_of(0.1, 0.1)],
        Memory(10_000_000, 20_000_000, 30_000_000),
    ),
    Measured(spec_of(BASELINE), [round_of(1.0, 1.0), round_of(1.0, 1.0), round_of(1.0, 3.0)], Memory(None, None, None)),
]


def workload(*batches: TextBatch, concurrency: int = 1) -> Workload:
    return Workload(len(batches[0].texts) if batches else 1, None, concurrency, batches)


def test_the_figures() -> None:
    fast, slow = summaries(MEASURED)
    assert fast["documents_per_s"] == pytest.approx(4 / 0.4)  # the median of the rounds
    assert (fast["documents_per_s_min"], fast["documents_per_s_max"]) == (
        pytest.approx(4 / 0.8),
        pytest.approx(4 / 0.2),
    )
    assert fast["tokens_per_s"] == pytest.approx(20 / 0.4)
    assert fast["padded_per_real_token"] == 1.5
    assert (fast["p50_ms"], fast["p99_ms"]) == (pytest.approx(150), pytest.approx(585))
    assert fast["latencies_ms"] == [100, 300, 200, 600, 100, 100]
    assert (fast["memory_before_load_mb"], fast["memory_after_load_mb"], fast["memory_peak_mb"]) == (10, 20, 30)
    assert (fast["speedup"], slow["speedup"]) == (pytest.approx(5), 1)  # 5, 2.5 and 20 within the rounds
    assert slow["memory_peak_mb"] is None


def test_the_share_outside_the_model() -> None:
    timing = Timing(2.0, (2.0,), n_texts=2, n_tokens=10, n_padded=15, outside_s=0.4, core_s=4.0)
    (found,) = summaries([Measured(spec_of("one"), [[timing], [timing]], Memory(None, None, None))])
    assert found["outside_model"] == pytest.approx(0.1)
    assert summaries(MEASURED)[0]["outside_model"] is None


@pytest.mark.parametrize(("n_texts", "concurrency", "n_busy"), [(1, 1, 1), (40, 1, 2), (1, 2, 2)])
def test_the_time_outside_the_model_is_that_of_the_busy_cores(
    tiny_bundle: Path, n_texts: int, concurrency: int, n_busy: int
) -> None:
    loaded = load_bundle(PathSpec("medclf fp32", tiny_bundle, 2, precision="fp32"))
    timing = run_turn(loaded, Turn([TextBatch(["ba " * 50] * n_texts)] * 6, concurrency))
    assert timing.core_s == n_busy * timing.seconds
    assert timing.outside_s is not None
    assert 0 < timing.outside_s < timing.core_s


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
        measure([PathSpec("medclf fp32", tmp_path / "absent", 1, precision="fp32")], [workload()], repeats=1)


def test_a_bug_in_a_worker_shows_no_text(tiny_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    batch = TextBatch(["CANARY-7f3a"], np.array("CANARY-7f3a"))  # type: ignore[arg-type]  # no list: a bug of the caller
    with pytest.raises(MedclfError, match=r"^medclf fp32: internal error: TypeError\. Please report it") as caught:
        measure([PathSpec("medclf fp32", tiny_bundle, 1, precision="fp32")], [workload(batch)], repeats=1)
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
    one = workload(TextBatch(texts[:3]), TextBatch(texts[3:8]))
    other = workload(*(TextBatch([text]) for text in texts[:20]), concurrency=3)
    steps: list[int] = []
    specs = [PathSpec(f"medclf {p}", tiny_bundle, 1, precision=p) for p in ("fp32", "int8")]
    found = measure(specs, [one, other], repeats=2, progress=lambda: steps.append(1))
    assert len(steps) == 3 * 2 * (2 + 2)  # 20 batches are two turns of three callers
    for by_path, n_texts in zip(found, ([3, 5], [12, 8]), strict=True):
        assert [measured.spec for measured in by_path] == specs
        for measured in by_path:
            assert [[timing.n_texts for timing in turns] for turns in measured.rounds] == [n_texts, n_texts]
            memory = measured.memory
            assert (memory.before_load or 0) <= (memory.after_load or 0) <= (memory.peak or 0)


def test_callers_share_the_batches_of_a_turn() -> None:
    taken: list[str] = []
    at_once = threading.Barrier(3, timeout=30)

    def run(batch: TextBatch) -> tuple[list[str], np.ndarray]:
        at_once.wait()  # as no batch ends before three have begun
        taken.extend(batch.texts)
        return ["a"], np.array([len(batch.texts[0])])

    batches = [TextBatch(["x" * n]) for n in range(1, 7)]
    timing = run_turn(Loaded(run, lambda lengths: 10 * len(lengths)), Turn(batches, concurrency=3))
    assert sorted(taken, key=len) == [batch.texts[0] for batch in batches]
    assert (timing.n_texts, timing.n_tokens, timing.n_padded, len(timing.latencies)) == (6, 21, 60, 6)


def test_an_error_of_one_caller_ends_the_turn() -> None:
    def run(batch: TextBatch) -> tuple[list[str], np.ndarray]:
        raise MedclfError("no memory")

    with pytest.raises(MedclfError, match="no memory"):
        run_turn(Loaded(run, len), Turn([TextBatch(["a"])] * 4, concurrency=2))


def test_pytorch_gives_the_labels_of_a_model_with_a_temperature_and_windows(
    tiny_multi_label_checkpoint: Path, tmp_path: Path, texts: list[str]
) -> None:
    from medclf_export.pipeline import ExportOptions, export_bundle

    checkpoint = Path(shutil.copytree(tiny_multi_label_checkpoint, tmp_path / "checkpoint"))
    record = {"columns": {"text": ["text"], "pair": []}, "label_column": ["label"], "max_length": 32, "splits": {},
              "long_text": "windows:stride=20,pooling=noisy-or,max_windows=3"}  # fmt: skip
    (checkpoint / "training.json").write_text(json.dumps(record | {"temperature": 0.25}))
    export_bundle(ExportOptions(checkpoint, tmp_path / "bundle"))
    batch = TextBatch(texts, None)
    spec = PathSpec("", tmp_path / "bundle", 1, precision="fp32", checkpoint=checkpoint)
    (ours, our_lengths), (theirs, lengths) = (load(spec).run(batch) for load in (load_bundle, load_torch))
    assert theirs == ours  # with these thresholds, logits that are not divided give other sets
    assert our_lengths.tolist() == lengths.tolist()
    assert len(lengths) > len(texts)  # a row for each window
