"""What a smaller model costs and buys: students of a teacher, their macro-F1 against tokens a second.

    python benchmarks/ladder.py --teacher RUN/checkpoint --bundle RUN/bundle --work WORK [--layers 3 2] [--epochs 3]
    python benchmarks/ladder.py --table

Cuts students out of the teacher (`medclf-train --teacher`, on the table, split and length of the teacher's own
record), exports them with INT8, scores every model of every bundle on the test rows of that record (`medclf-evaluate
--compare`) and times them all in turns on the same texts (`medclf-bench --compare`). A step whose output is in WORK is
not repeated, and a training that was stopped goes on. `--train-only` stops before the export, `--no-train` starts
there: trainings run for long, timings want a quiet machine. Writes `benchmarks/results/ladder_SET.json`; `--table`
prints the table of the docs from it. Label names, numbers and hashes, no text.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from main_job import markdown
from medclf.train.checkpoint import TrainingRecord, read_checkpoint

RESULTS = Path(__file__).resolve().parent / "results"
BIN = Path(sys.executable).parent
RUNGS = ("model", "macro-F1", "points against the teacher INT8", "tokens/s", "range", "over the teacher INT8", "MB")


def run(arguments: list[str], folder: Path) -> None:
    """Run one command in a folder; its words go to a file there."""
    print(f"$ {shlex.join(arguments)}", flush=True)
    log = folder / f"{arguments[0]}.log"
    with log.open("a") as file:
        done = subprocess.run([BIN / arguments[0], *arguments[1:]], cwd=folder, stdout=file, stderr=file, check=False)
    if done.returncode:
        sys.exit(log.read_text())


def train(record: TrainingRecord, options: argparse.Namespace, layers: int) -> list[str]:
    """The command that trains one student, on what its teacher was trained on."""
    given = record.options
    command = [
        "medclf-train", "--teacher", str(options.teacher), "--layers", str(layers),
        "--data", record.splits["train"].file, "--test-data", record.splits["test"].file,
        "--max-length", str(record.max_length), "--seed", str(given["seed"]),
        "--batch-size", str(given["batch_size"]), "--epochs", str(options.epochs),
        "--learning-rate", str(options.learning_rate), "--patience", "0", "--alpha", str(options.alpha),
    ]  # fmt: skip
    for name in given["label_column"]:
        command += ["--label-column", name]
    return command


def make(record: TrainingRecord, options: argparse.Namespace, layers: int) -> str:
    """Train and export one student, as far as it is not done; give the name of its bundle."""
    name = f"layers{layers}"
    checkpoint = f"{name}.checkpoint"
    if not (options.work / checkpoint).exists() and not options.no_train:
        stopped = any((options.work / f"{checkpoint}.work").glob("checkpoint-*"))
        begin = "--resume" if stopped else "--overwrite"
        run([*train(record, options, layers), "--output", checkpoint, begin], options.work)
    if not (options.work / name).exists() and not options.train_only:
        run(["medclf-export", "--quantize", "--checkpoint", checkpoint, "--output", name], options.work)
    return name


def measure(record: TrainingRecord, options: argparse.Namespace, students: list[str]) -> dict[str, Any]:
    """Score and time the teacher's bundle and the students'."""
    test, work = record.splits["test"].file, options.work
    bundles = ["--bundle", str(options.bundle), *(part for student in students for part in ("--compare", student))]
    run(["medclf-evaluate", *bundles, "--data", test, "--precision", "int8", "--precision", "fp32",
         "--output", "evaluate.json", "--overwrite"], work)  # fmt: skip
    run(["medclf-bench", *bundles, "--data", test, "--batch", "64", "--n-batches", "3",
         "--repeats", str(options.rounds), "--checkpoint", str(options.teacher),
         "--output", "bench.json", "--overwrite"], work)  # fmt: skip
    return {name: json.loads((work / f"{name}.json").read_text()) for name in ("evaluate", "bench")}


def rungs(measured: dict[str, Any], folders: dict[str, Path]) -> list[dict[str, Any]]:
    """Every model of every bundle: how good, how fast, how large; the teacher's bundle is the first of the folders."""
    (workload,), evaluated = measured["bench"]["workloads"], measured["evaluate"]
    speeds = {path["path"]: path for path in workload["paths"]}
    drops = {one["reference"]: one for one in evaluated["comparisons"]}  # against the teacher's INT8
    found = []
    for number, (name, folder) in enumerate(folders.items()):
        for precision, file in (("fp32", "model.onnx"), ("int8", "model_quantized.onnx")):
            if not (folder / "onnx" / file).exists():
                continue  # INT8 that did not pass its gate
            known = f"{name} {precision}" if number else precision
            speed = speeds[f"medclf {precision}" + (f" of {name}" if number else "")]
            scored, drop = evaluated["models"][known], drops.get(known)
            found.append({
                "model": f"{name} {precision}",
                "macro_f1": scored["scores"]["macro_f1"],
                "interval": scored["intervals"]["macro_f1"],
                "points": drop and drop["f1_drop"],
                "points_interval": drop and drop["f1_drop_interval"],
                "tokens_per_s": speed["tokens_per_s"],
                "range": [speed[key] / speed["documents_per_s"] * speed["tokens_per_s"]
                          for key in ("documents_per_s_min", "documents_per_s_max")],
                "size_bytes": (folder / "onnx" / file).stat().st_size,
            })  # fmt: skip
    return found


def table(result: dict[str, Any]) -> str:
    """The ladder in Markdown, the slowest first."""
    reference = next(one for one in result["rungs"] if one["model"] == "teacher int8")
    rows = [
        (
            one["model"], f"{one['macro_f1']:.3f} ({one['interval'][0]:.3f} to {one['interval'][1]:.3f})",
            "" if one["points"] is None else f"{one['points']:+.2f} ({one['points_interval'][0]:+.2f} to "
            f"{one['points_interval'][1]:+.2f})",
            f"{one['tokens_per_s']:,.0f}", f"{one['range'][0]:,.0f} to {one['range'][1]:,.0f}",
            f"{one['tokens_per_s'] / reference['tokens_per_s']:.2f}", f"{one['size_bytes'] / 1e6:.1f}",
        )
        for one in sorted(result["rungs"], key=lambda one: float(one["tokens_per_s"]))
    ]  # fmt: skip
    return "\n".join(markdown(RUNGS, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--name", default="medabs5")
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--alpha", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--no-train", action="store_true")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    output = RESULTS / f"ladder_{options.name}.json"
    if options.table:
        print(table(json.loads(output.read_text())))
        return
    options.teacher, options.bundle, options.work = (
        path.resolve() for path in (options.teacher, options.bundle, options.work)
    )
    options.work.mkdir(parents=True, exist_ok=True)
    record = read_checkpoint(options.teacher).record or sys.exit(f"{options.teacher} was not trained by medclf.")
    students = [make(record, options, layers) for layers in options.layers]
    if options.train_only:
        return
    measured = measure(record, options, students)
    folders = {"teacher": options.bundle, **{name: options.work / name for name in students}}
    result = {
        "name": options.name,
        "layers": options.layers,
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "alpha": options.alpha,
        "commands": {name: shlex.join(shown(command)) for name, command in commands(record, options).items()},
        "training": {name: training(options.work / f"{name}.checkpoint") for name in students},
        "rungs": rungs(measured, folders),
        "bench": {key: measured["bench"][key] for key in ("repeats", "threads", "environment")},
    }
    output.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


def commands(record: TrainingRecord, options: argparse.Namespace) -> dict[str, list[str]]:
    return {f"layers{layers}": train(record, options, layers) for layers in options.layers}


def shown(command: list[str]) -> list[str]:
    """The command without the folders of a machine."""
    return [Path(part).name if part.startswith("/") else part for part in command]


def training(checkpoint: Path) -> dict[str, Any]:
    """What a student's record says of its training."""
    metrics = json.loads((checkpoint / "metrics.json").read_text())
    scores = {part: {name: metrics[part][name]["macro_f1"] for name in ("teacher", "model")}
              for part in ("validation", "test")}  # fmt: skip
    return {"seconds": metrics["run"]["seconds"], "steps": metrics["run"]["steps"], "macro_f1": scores}


if __name__ == "__main__":
    main()
