import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medclf.bench.bench import BenchOptions, plan_of
from medclf.cli.bench import main

SMALL = ("--batch", 4, "--n-batches", 2, "--repeats", 1, "--threads", 1)


@pytest.fixture
def bench(
    run_command: Callable[..., Any], tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)  # where no checkpoint is
    return lambda *arguments: run_command(main, "--bundle", tiny_bundle, *SMALL, *arguments)


@pytest.mark.slow  # two processes import torch
def test_all_paths(bench: Callable[..., Any], tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = bench("--checkpoint", tiny_checkpoint, "--json", "--output", tmp_path / "bench.json")
    report = json.loads(done.out)
    assert (done.code, report["left_out"]) == (0, [])
    names = ["medclf fp32", "medclf int8", "torch, padded to max_length", "torch, padded to the longest"]
    (workload,) = report["workloads"]
    assert [path["path"] for path in workload["paths"]] == names
    assert workload["paths"][-1]["speedup"] == 1
    assert workload["paths"][2]["padded_per_real_token"] > workload["paths"][3]["padded_per_real_token"] >= 1
    assert workload["texts"]["n_texts"] == 8
    assert json.loads((tmp_path / "bench.json").read_text()) == report


def test_without_a_checkpoint_the_table_has_the_bundle_alone(bench: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "CANARY-7f3a baba"}\n' * 6)
    done = bench("--data", tmp_path / "t.jsonl")
    assert done.code == 0
    assert "The paths of PyTorch are left out: there is no folder checkpoint here" in done.err
    assert "medclf int8" in done.out
    assert "torch" not in done.out
    assert "6 texts in batches of 4" in done.out
    assert "CANARY" not in done.out + done.err


def test_a_grid_of_workloads_with_a_page(bench: Callable[..., Any], tiny_bundle: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    grid = ("--batch", "1,2", "--lengths", "5,9", "--concurrency", "1,2")
    done = bench(*grid, "--compare", other, "--precision", "int8", "--roofline", "--html", "page.html", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    shape = [(one["batch"], one["length"], one["concurrency"]) for one in report["workloads"]]
    assert shape == [(batch, length, callers) for batch in (1, 2) for length in (5, 9) for callers in (1, 2)]
    for one in report["workloads"]:
        assert one["texts"]["tokens_mean"] == one["length"]
        assert [path["path"] for path in one["paths"]] == ["medclf int8", f"medclf int8 of {other}"]
        assert all(0 < path["share_of_peak"] < 1 for path in one["paths"])
    assert report["roofline"]["int8_gmac_per_s"] > 0
    page = (tmp_path / "page.html").read_text()
    assert "over the first" in page
    assert page.count("<svg") == 3 + 1 + 8  # throughput by each field, quality, and the latencies of each workload
    assert not re.search(r"(?:src|href)=[\"']?https?:", page)


def test_fp16_is_timed_on_a_cpu_only_where_it_is_asked_for(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where no checkpoint is
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    manifest = json.loads((bundle / "medclf.json").read_text())
    manifest["models"]["fp16"] = manifest["models"]["fp32"]
    (bundle / "medclf.json").write_text(json.dumps(manifest))
    plan = plan_of(BenchOptions(bundle))
    assert [spec.precision for spec in plan.specs] == ["fp32", "int8"]
    assert plan.left_out[0].startswith("medclf fp16 is left out: it is made for CUDA")
    asked = plan_of(BenchOptions(bundle, precision=("fp16", "fp32", "fp16")))
    assert [spec.precision for spec in asked.specs] == ["fp16", "fp32"]
    assert len(asked.left_out) == 1  # PyTorch


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--checkpoint", "absent"), 1, "absent does not exist"),
        (("--data", "absent.csv"), 1, "absent.csv does not exist"),
        (("--repeats", "0"), 1, "repeats is 0, expected at least 1"),
        (("--threads", "0"), 1, "threads is 0, expected at least 1"),
        (("--precision", "fp16"), 1, "precision fp16: this bundle holds fp32, int8 only"),
        (("--output", "there.json"), 1, "there.json exists already"),
        (("--batch", "many"), 2, "expected whole numbers with commas between"),
        (("--batch", "4,0"), 1, "batch is 0, expected at least 1"),
        (("--batch", ","), 1, "batch is empty, expected one value or more"),
        (("--lengths", "-3"), 1, "lengths is -3, expected at least 1"),
        (("--lengths", "8", "--data", "there.json"), 1, "give one of them"),
        (("--providers", "cpu,tpu"), 1, "providers: tpu is not one of cpu, cuda"),
        (("--providers", "auto"), 1, "providers: auto is not one of cpu, cuda"),
        (("--providers", "cuda", "--precision", "int8"), 1, "nothing is left to time of"),
        (("--providers", "cuda", "--precision", "fp32"), 1, "medclf fp32 on cuda: provider cuda"),
        (("--compare", "absent"), 1, "absent is not a bundle"),
        (("--html", "a", "--output", "a"), 2, "the page and the document need files of their own"),
        (("--html", "there.json"), 1, "there.json exists already"),
    ],
)
def test_what_is_refused(
    bench: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "there.json").write_text("{}")
    done = bench(*arguments)
    assert done.code == code
    assert message in done.err


def test_a_checkpoint_of_another_model(bench: Callable[..., Any], tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in tiny_checkpoint.iterdir():
        (other / path.name).symlink_to(path)
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    config["id2label"] = {"0": "x", "1": "y", "2": "z"}
    (other / "config.json").unlink()
    (other / "config.json").write_text(json.dumps(config))
    done = bench("--checkpoint", other)
    assert done.code == 1
    assert "has other labels than" in done.err
