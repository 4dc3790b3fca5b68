"""The same checkpoint in every form: size, labels, F1, calibration error and speed, beside the tools that others use.

    python benchmarks/export_table.py --jobs WORK/medabs5 WORK/ade --output FILE \
        --python optimum_avx2=PYTHON --python openvino_nncf=PYTHON --python ctranslate2_int8=PYTHON

A job is a folder of `main_job.py` with `checkpoint/` and `bundle/`. Rows are those that the checkpoint's record names:
accuracy on its test part, OpenVINO's calibration on its training part. Each way is a process of its own
(`peers/`, whose files say what to install) with the Python that --python names, by default this one; a way that cannot
start is left out, and the table says so. All are given the same token ids. Ways other than medclf sort by length,
16 texts a batch, padded to the longest; one call on all cores and one call a core are tried, the better one counts.
Timed: token ids to logits, every way in turn in each round, the first round left out; tokens are real ones. Agreement
is with PyTorch. The bundle's temperature is in its graphs; the other ways' logits are divided by it here.
Prints Markdown; --output keeps the JSON.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from medclf.bench.environment import environment
from medclf.bundle import Manifest, read_manifest
from medclf.runtime.cores import usable_cores
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import Checkpoint, read_checkpoint
from medclf_export import held_out
from medclf_export.held_out import HeldOut
from peers.process import WAYS, WayError, Worker
from peers.stock_export import export_raw
from peers.worker import save_texts
from scores import scores

REST_S = 0.3  # between turns: threads of some pools spin for a while after their work


@dataclass(frozen=True)
class Job:
    """A checkpoint with its bundle and rows.

    Attributes:
        folder: Where both are.
        checkpoint: The checkpoint.
        manifest: Of the bundle.
        test: Rows of the test part.
        calibration: Rows of the training part.
    """

    folder: Path
    checkpoint: Checkpoint
    manifest: Manifest
    test: HeldOut
    calibration: HeldOut


def read_job(folder: Path, n_rows: int | None) -> Job:
    checkpoint, manifest = read_checkpoint(folder / "checkpoint"), read_manifest(folder / "bundle")
    tokenizer_json = (folder / "bundle" / "tokenizer.json").read_text(encoding="utf-8")
    encoder = TextEncoder(tokenizer_json, max_length=manifest.max_length)

    def part(name: str) -> HeldOut:
        record = checkpoint.record
        if record is None or name not in record.splits:
            sys.exit(f"{checkpoint.folder}: its record names no {name} rows. Train it with medclf-train --test-data.")
        only = replace(record, splits={"test": record.splits[name]})  # from_record reads held-out parts alone
        found = held_out.from_record(only, checkpoint.labels, encoder)
        return found or sys.exit(f"{checkpoint.folder}: the file of its {name} rows has gone or has changed.")

    test = part("test")
    test = replace(test, encoded=test.encoded[:n_rows], label_ids=test.label_ids[:n_rows])
    return Job(folder, checkpoint, manifest, test, part("train"))


def prepare(job: Job, work: Path, n_speed: int) -> None:
    """Write what every way is given."""
    save_texts(work / "test.npz", job.test.encoded)
    save_texts(work / "speed.npz", job.test.encoded[:n_speed])
    save_texts(work / "calibration.npz", job.calibration.encoded[:300])
    folder = job.checkpoint.folder.resolve()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    export_raw(model, work / "raw.onnx")


def start(job: Job, work: Path, pythons: dict[str, str]) -> tuple[dict[str, Worker], dict[str, str]]:
    """Start every way; those that do not start, with the reason."""
    workers, missing = {}, {}
    for way in WAYS:
        folder = work / f"{way.module}{way.precision}"
        folder.mkdir()
        for file in work.glob("*.*"):
            (folder / file.name).symlink_to(file)
        given = {"checkpoint": str(job.checkpoint.folder.resolve()), "cores": usable_cores()}
        (folder / "job.json").write_text(json.dumps(given | {"precision": way.precision}))
        print(f"{job.folder.name}: making {way.name}", file=sys.stderr, flush=True)
        try:
            workers[way.name] = Worker(way, folder, pythons.get(way.module, sys.executable))
        except WayError as error:
            missing[way.name] = str(error)
    return workers, missing


def run_all_rows(workers: dict[str, Worker]) -> dict[str, Any]:
    """Logits of every test row, by way."""
    logits = {}
    for name, worker in workers.items():
        worker.turn("test", worker.ready["threading"][0], worker.folder / "logits.npy")
        logits[name] = np.load(worker.folder / "logits.npy")
    return logits


def time_all(workers: dict[str, Worker], n_tokens: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Tokens per second of each round: way -> threading -> rates."""
    rates: dict[str, dict[str, list[float]]] = {
        name: {threading: [] for threading in worker.ready["threading"]} for name, worker in workers.items()
    }
    for round_ in range(rounds + 1):
        for name, by_threading in rates.items():
            for threading, values in by_threading.items():
                time.sleep(REST_S)
                seconds = workers[name].turn("speed", threading)
                if round_:
                    values.append(n_tokens / seconds)
    return rates


def measure(job: Job, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        prepare(job, work, options.texts)
        workers, missing = start(job, work, dict(one.split("=", 1) for one in options.python))
        logits = run_all_rows(workers)
        n_tokens = sum(map(len, job.test.encoded[: options.texts]))
        rates = time_all(workers, n_tokens, options.rounds)
        for worker in workers.values():
            worker.close()
    labels = job.manifest.labels
    other = {name: values for name, values in logits.items() if not name.startswith("medclf")}
    logits |= {name: values / job.manifest.temperature for name, values in other.items()}
    found = scores(labels, job.test.label_ids, logits, reference="PyTorch fp32")
    ways = {
        name: {"size_bytes": worker.ready["size_bytes"], "versions": worker.ready["versions"]}
        | found[name]
        | {"speed": speed(rates[name])}
        for name, worker in workers.items()
    }
    rows = {
        "n_test": len(job.test),
        "n_speed": min(options.texts, len(job.test)),
        "mean_tokens": n_tokens / options.texts,
    }
    return {"job": job.folder.name, "rows": job.test.source, **rows, "ways": ways, "missing": missing}


def speed(by_threading: dict[str, list[float]]) -> dict[str, Any]:
    """The better threading counts; all are kept."""
    medians = {threading: statistics.median(values) for threading, values in by_threading.items()}
    best = max(medians, key=medians.__getitem__)
    return {"threading": best, "tokens_per_s": medians[best], "rounds": by_threading}


HEADER = ("", "MB", "labels as PyTorch's", "F1", "ECE", "tokens/s", "calls x threads")


def table(result: dict[str, Any]) -> str:
    """One job in Markdown; the best tokens/s and the smallest file are bold."""
    ways = result["ways"]
    fastest = max(one["speed"]["tokens_per_s"] for one in ways.values())
    smallest = min(one["size_bytes"] for one in ways.values())
    lines: list[Sequence[str]] = [HEADER, ["---"] * len(HEADER)]
    for name, one in ways.items():
        size, rate = f"{one['size_bytes'] / 1e6:.1f}", f"{one['speed']['tokens_per_s']:,.0f}"
        size = f"**{size}**" if one["size_bytes"] == smallest else size
        rate = f"**{rate}**" if one["speed"]["tokens_per_s"] == fastest else rate
        agreement, f1, ece = f"{100 * one['agreement']:.2f} %", f"{one['f1']:.4f}", f"{one['ece']:.4f}"
        lines.append([name, size, agreement, f1, ece, rate, one["speed"]["threading"]])
    timed = f"speed on {result['n_speed']} of {result['mean_tokens']:.0f} tokens in the mean"
    head = f"{result['job']}: {result['n_test']:,} test rows; {timed}"
    missing = [f"{name} was left out: {why}" for name, why in result["missing"].items()]
    return "\n".join([head, "", *(f"| {' | '.join(cells)} |" for cells in lines), "", *missing])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=Path, nargs="+", required=True)
    parser.add_argument("--texts", type=int, default=96, help="test rows that are timed")
    parser.add_argument("--rows", type=int, help="test rows for accuracy; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PYTHON")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    results = [measure(read_job(folder, options.rows), options) for folder in options.jobs]
    if options.output:
        document = {"rounds": options.rounds, "jobs": results, "environment": environment()}
        options.output.write_text(json.dumps(document, indent=2) + "\n")
    print("\n\n".join(table(result) for result in results))


if __name__ == "__main__":
    main()
