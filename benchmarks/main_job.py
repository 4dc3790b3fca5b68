"""The main job on real data, end to end: train, export with INT8, verify, predict, evaluate, time; all figures kept.

    python benchmarks/main_job.py --data-folder DATA --model FOLDER --work WORK [--sets medabs5 ...]
    python benchmarks/main_job.py --table

DATA holds one folder a set (`docs/training.md` says which); its rows are not part of this repository. Writes
`benchmarks/results/main_job_SET.json`: the commands, what they measured, the machine. A step whose output is in WORK
already is not repeated. `--table` prints the tables of the docs from those files.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Set:
    """A data set and its recipe.

    Attributes:
        train: File of the training and validation rows, below the data folder.
        test: File of the test rows.
        options: Of `medclf-train`, as a shell has them.
        scratch: Whether a small BERT is trained from nothing, as no pretrained one knows the script.
        least: Classes with fewer training rows are left out of both tables, as they cannot be in two parts.
    """

    train: str
    test: str
    options: str
    scratch: bool = False
    least: int = 1

    @property
    def quantize(self) -> list[str]:
        """Options of `medclf-export`: with several labels a text, more of them are near their thresholds."""
        return ["--quantize", "auto", *(["--min-agreement", "97"] if self.columns else [])]

    @property
    def columns(self) -> list[str]:
        """The options that name columns, which `medclf-evaluate` takes too."""
        return ["--label-column", "labels"] if "--label-column labels" in self.options else []


SETS = {
    "medabs5": Set(
        "medabs5/train_single_label.jsonl",
        "medabs5/dev_single_label.jsonl",
        "--epochs 2 --learning-rate 8e-5 --max-length 256",
    ),
    "symptom2disease": Set(
        "symptom2disease/train.jsonl",
        "symptom2disease/dev.jsonl",
        "--epochs 15 --learning-rate 2e-4 --head-learning-rate 2e-3 --max-length 128",
    ),
    "ade": Set("ade/train.jsonl", "ade/dev.jsonl", "--epochs 1 --max-length 128"),
    "hoc": Set(
        "hoc/train.jsonl",
        "hoc/dev.jsonl",
        "--label-column labels --epochs 5 --batch-size 8 --learning-rate 3e-4 --head-learning-rate 3e-3 "
        "--max-length 384",
    ),
    "mts_dialog": Set(
        "mts_dialog/train.jsonl",
        "mts_dialog/dev.jsonl",
        "--epochs 8 --batch-size 8 --learning-rate 2e-4 --head-learning-rate 2e-3 --max-length 256",
        least=2,
    ),
    "mtsamples_ml": Set(
        "mtsamples_ml/train.jsonl",
        "mtsamples_ml/dev.jsonl",
        "--label-column labels --epochs 4 --batch-size 8 --learning-rate 3e-4 --head-learning-rate 3e-3 "
        "--max-length 256 --long-text head_tail",
    ),
    "codiesp_docs_en": Set(
        "codiesp_docs_en/train.jsonl",
        "codiesp_docs_en/dev.jsonl",
        "--label-column labels --epochs 6 --batch-size 8 --learning-rate 2e-4 --head-learning-rate 2e-3 "
        "--max-length 256 --long-text windows",
    ),
    "chip_ctc15_zh": Set(
        "chip_ctc15_zh/train.jsonl",
        "chip_ctc15_zh/dev.jsonl",
        "--epochs 12 --batch-size 32 --max-length 64 --allow-leakage",
        scratch=True,
    ),
    "ohsumed23": Set(
        "ohsumed23/train.jsonl",
        "ohsumed23/dev.jsonl",
        "--label-column labels --epochs 1 --learning-rate 2e-4 --head-learning-rate 2e-3 --max-length 128",
    ),
    "medabs5_contradicting": Set(
        "medabs5/train.jsonl", "medabs5/dev.jsonl", "--epochs 1 --learning-rate 1e-4 --max-length 128"
    ),
}


def commands(chosen: Set, data: Path, model: Path, precisions: Sequence[str] = ()) -> dict[str, list[str]]:
    """The commands of one set, by the output that says that a command is done; precisions are those of the bundle."""
    train, test = str(data / chosen.train), str(data / chosen.test)
    named = ["--model", "scratch" if chosen.scratch else str(model), *shlex.split(chosen.options)]
    options = ["--data", train, "--test-data", test, *named]
    models = [part for precision in precisions for part in ("--precision", precision)]
    return {
        "checkpoint": ["medclf-train", *options],
        "bundle": ["medclf-export", *chosen.quantize],
        "verify.json": ["medclf-verify", "--json"],
        "labels.jsonl": ["medclf-predict", "--input", test, "--output", "labels.jsonl", "--json"],
        "evaluate.json": [
            "medclf-evaluate",
            "--data",
            test,
            "--train-data",
            train,
            *chosen.columns,
            *models,
            "--output",
            "evaluate.json",
        ],
        "bench.json": ["medclf-bench", "--batch", "64", "--data", test, "--output", "bench.json"],
    }


def run(command: list[str], output: Path) -> float:
    """Run one command where its output will be; give the seconds, and keep stdout and stderr."""
    print(f"$ {shlex.join(command)}", flush=True)
    started = time.monotonic()
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=output.parent, capture_output=True, text=True)
    (output.parent / f"{command[0]}.stdout").write_text(done.stdout)
    (output.parent / f"{command[0]}.stderr").write_text(done.stderr)
    if done.returncode:
        sys.exit(done.stderr)
    if output.name == "verify.json":
        output.write_text(done.stdout)
    return time.monotonic() - started


def run_set(name: str, data: Path, model: Path, work: Path, *, train_only: bool) -> dict[str, Any]:
    """Run every step that is not done yet, and collect what was measured."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    seconds_file = folder / "seconds.json"
    seconds: dict[str, float] = json.loads(seconds_file.read_text()) if seconds_file.exists() else {}
    shown = {}
    data = without_rare(SETS[name], data, folder)
    for output in commands(SETS[name], data, model):
        command = commands(SETS[name], data, model, precisions(folder / "bundle"))[output]
        shown[command[0]] = shlex.join(part.replace(f"{data}/", "").replace(str(model), "MINILM") for part in command)
        if not (folder / output).exists():
            seconds[command[0]] = run(command, folder / output)
            seconds_file.write_text(json.dumps(seconds))
        if train_only:
            return {}
    printed = {
        f"{command}.{stream}": file.read_text().replace(f"{data}/", "")
        for command in shown
        for stream in ("stdout", "stderr")
        if (file := folder / f"{command}.{stream}").exists() and "--json" not in shown[command]
    }
    return {"set": name, "commands": shown, "seconds": seconds, "printed": printed, **collect(folder)}


def precisions(bundle: Path) -> list[str]:
    """Those of a bundle, INT8 first; none before it is there."""
    file = bundle / "medclf.json"
    return sorted(json.loads(file.read_text())["models"], reverse=True) if file.exists() else []


def without_rare(chosen: Set, data: Path, folder: Path) -> Path:
    """Copy both tables without the classes that have too few training rows; give the folder of the tables."""
    if chosen.least == 1:
        return data
    read = {name: (data / name).read_text(encoding="utf-8").splitlines() for name in (chosen.train, chosen.test)}
    counts = Counter(json.loads(line)["label"] for line in read[chosen.train])
    for name, lines in read.items():
        kept = [line for line in lines if counts[json.loads(line)["label"]] >= chosen.least]
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(kept) + "\n", encoding="utf-8")
    return folder


def collect(folder: Path) -> dict[str, Any]:
    """Read what the commands wrote; label names, numbers and hashes, no text."""
    manifest = json.loads((folder / "bundle" / "medclf.json").read_text())
    predicted = json.loads((folder / "medclf-predict.stdout").read_text())
    evaluation = json.loads((folder / "evaluate.json").read_text())
    predicted["input"] = Path(predicted["input"]).name
    bench = json.loads((folder / "bench.json").read_text())
    for workload in bench["workloads"]:
        workload["texts"]["source"] = Path(workload["texts"]["source"]).name
    return {
        "metrics": json.loads((folder / "checkpoint" / "metrics.json").read_text()),
        "gates": {precision: model["gates"] for precision, model in manifest["models"].items()},
        "versions": manifest["versions"],
        "predict": predicted,
        "evaluation": {
            name: {kind: one[kind] for kind in ("scores", "intervals")}
            for name, one in {**evaluation["baselines"], **evaluation["models"]}.items()
        },
        "bench": bench,
    }


QUALITY = (
    "set",
    "test rows",
    "TF-IDF",
    "TF-IDF, balanced",
    "BERT, fp32",
    "BERT, INT8",
    "fp32 against PyTorch",
    "INT8: labels in common",
)
PATHS = ("torch, padded to max_length", "torch, padded to the longest", "medclf fp32", "medclf int8")
SPEED = ("set", "tokens a text", *PATHS, "INT8 over torch, padded to the longest", "peak MB of INT8")


def tables() -> str:
    """The tables of the docs, in Markdown, from the results that are there."""
    files = [RESULTS / f"main_job_{name}.json" for name in SETS]
    found = [json.loads(file.read_text()) for file in files if file.exists()]
    results = [one for one in found if "evaluation" in one]  # records of an earlier form have none
    quality = markdown(QUALITY, [quality_row(one) for one in results])
    speed = markdown(SPEED, [speed_row(one) for one in results])
    return "\n".join([*quality, "", "Documents a second, in batches of 64:", "", *speed])


def quality_row(one: dict[str, Any]) -> list[str]:
    found, quality = one["evaluation"], one["gates"].get("int8", {}).get("quality")
    return [
        one["set"],
        f"{found['fp32']['scores']['n']:,}",
        *(with_interval(found[name]) for name in ("TF-IDF", "TF-IDF, balanced classes", "fp32")),
        with_interval(found["int8"]) if quality else "refused",
        f"{one['gates']['fp32']['parity']['max_difference']:.1e}",
        f"{100 * quality['agreement']:.2f} % of {quality['n']:,}" if quality else "",
    ]


def with_interval(found: dict[str, Any]) -> str:
    """macro-F1 with its 95 % interval."""
    low, high = found["intervals"]["macro_f1"]
    return f"{found['scores']['macro_f1']:.3f} ({low:.3f} to {high:.3f})"


def speed_row(one: dict[str, Any]) -> list[str]:
    (workload,) = one["bench"]["workloads"]
    found = {path["path"]: path for path in workload["paths"]}
    quantized = found.get("medclf int8")
    return [
        one["set"],
        f"{found['medclf fp32']['tokens_per_s'] / found['medclf fp32']['documents_per_s']:,.0f}",
        *(f"{found[name]['documents_per_s']:,.1f}" if name in found else "" for name in PATHS),
        f"{quantized['speedup']:.1f}" if quantized else "",
        f"{quantized['memory_peak_mb']:,.0f}" if quantized else "",
    ]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-folder", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--train-only", action="store_true", help="leave what is timed for a quiet hour")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(tables())
        return
    for name in options.sets:
        data, model, work = (path.resolve() for path in (options.data_folder, options.model, options.work))
        result = run_set(name, data, model, work, train_only=options.train_only)
        if result:
            (RESULTS / f"main_job_{name}.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
