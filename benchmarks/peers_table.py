"""The same classifier as a service would run it, beside the tools that others use: from strings to labels.

    python benchmarks/peers_table.py --jobs WORK/minilm WORK/bert_base --texts abstracts=FILE:256 questions=FILE:15 \
        --python openvino_nncf=PYTHON --python ctranslate2_int8=PYTHON --python optimum_avx2=PYTHON --output FILE
    python benchmarks/peers_table.py --table FILE

A job is a folder with `checkpoint/` and the `bundle/` that was exported from it. A set of texts is a table with a
column `text`; after the colon, the tokens at which every way cuts a text (medclf by the manifest of a copy). Each way
is a process of its own (`peers/`, whose files say what to install) with the Python that --python names; a way that
cannot start is left out and told. Timed, tokenizing included:

- throughput: all texts of a set at once, as many as --tokens real tokens need. Ways other than medclf and the
  tutorial's loop sort by length, 16 texts a batch; every threading is tried, and the best one counts. Ways take turns
  in each round; the first is warm-up. The tutorial's loop, for which all texts are equally long, takes the first 16.
- latency: the first 32 texts one at a time, in the threading that is fastest at it; the first answer of a fresh
  process apart.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from medclf.bench.environment import environment
from medclf.bundle import MANIFEST, read_manifest
from medclf.data.tables import Table
from medclf.runtime.cores import usable_cores
from medclf.tokenizer import TextEncoder
from peers.process import TUTORIAL, WAYS, Way, WayError, Worker
from peers.stock_export import export_raw
from peers.worker import save_texts

REST_S = 0.3  # between turns: threads of some pools spin for a while after their work
OURS = tuple(Way(f"medclf {precision.upper()}", "ours_classifier", precision) for precision in ("fp32", "int8"))
ALL_WAYS = (TUTORIAL, *(way for way in WAYS if way.module != "ours"), *OURS)
N_CALIBRATION = 300
N_PADDED = 16  # texts that the tutorial's loop runs
N_ALONE = 32  # texts that run one at a time
FIELDS = {  # of a way -> what the table says
    "documents_per_s": "documents/s",
    "p50_ms": "ms to answer one text, median",
    "p95_ms": "ms to answer one text, p95",
    "p99_ms": "ms to answer one text, p99",
    "cold_ms": "ms to the first answer of a fresh process, model loaded",
}


@dataclass(frozen=True)
class TextSet:
    """Texts that every way classifies.

    Attributes:
        name: As the table has it.
        strings: The texts.
        max_length: Most tokens of a text.
        n_tokens: Real tokens of all, after truncation.
    """

    name: str
    strings: list[str]
    max_length: int
    n_tokens: int


def read_set(spec: str, tokenizer_json: str, n_tokens: int) -> TextSet:
    """Read `NAME=FILE:LENGTH`: texts of that many real tokens together, or all that the file has."""
    name, _, rest = spec.partition("=")
    file, _, length = rest.rpartition(":")
    encoder, strings, total = TextEncoder(tokenizer_json, max_length=int(length)), [], 0
    with Table(Path(file)) as table:
        for row in table:
            if total >= n_tokens:
                break
            strings.append(str(row.values["text"]))
            total += len(encoder.encode(strings[-1:])[0])
    return TextSet(name, strings, int(length), total)


@contextmanager
def workers_of(job: Path, texts: TextSet, options: argparse.Namespace) -> Iterator[dict[str, Worker]]:
    """Start every way in a folder of its own; those that do not start are told on stderr."""
    pythons = dict(one.split("=", 1) for one in options.python)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        copy = cut_copy(job, work / "job", texts.max_length)
        prepare(copy, work, texts)
        workers = {}
        for way in ALL_WAYS:
            if options.only not in way.name:
                continue
            folder = work / f"{way.module}{way.precision}"
            folder.mkdir()
            for file in work.glob("*.*"):
                (folder / file.name).symlink_to(file)
            given = {"checkpoint": str(copy / "checkpoint"), "cores": usable_cores(), "max_length": texts.max_length}
            (folder / "job.json").write_text(json.dumps(given | {"precision": way.precision}))
            print(f"{job.name}, {texts.name}: making {way.name}", file=sys.stderr, flush=True)
            try:
                workers[way.name] = Worker(way, folder, pythons.get(way.module, sys.executable))
            except WayError as error:
                print(f"{way.name} is left out: {error}", file=sys.stderr, flush=True)
        yield workers
        for worker in workers.values():
            worker.close()


def cut_copy(job: Path, target: Path, max_length: int) -> Path:
    """A copy of the job whose bundle cuts texts at `max_length`, as the other ways do."""
    shutil.copytree(job / "checkpoint", target / "checkpoint")
    shutil.copytree(job / "bundle", target / "bundle")
    manifest = replace(read_manifest(job / "bundle"), max_length=max_length)
    (target / "bundle" / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return target


def prepare(job: Path, work: Path, texts: TextSet) -> None:
    """Write what every way is given."""
    (work / "all.json").write_text(json.dumps(texts.strings))
    for name, n_texts in {"first": 1, "alone": N_ALONE, "padded": N_PADDED}.items():
        (work / f"{name}.json").write_text(json.dumps(texts.strings[:n_texts]))
    tokenizer_json = (job / "checkpoint" / "tokenizer.json").read_text(encoding="utf-8")
    encoded = TextEncoder(tokenizer_json, max_length=texts.max_length).encode(texts.strings[:N_CALIBRATION])
    save_texts(work / "calibration.npz", encoded)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(job / "checkpoint", local_files_only=True)
    export_raw(model.eval(), work / "raw.onnx")


def throughput(workers: Mapping[str, Worker], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each round: way -> threading -> rounds."""
    seconds: dict[str, dict[str, list[float]]] = {
        name: {threading: [] for threading in worker.ready["threading"]} for name, worker in workers.items()
    }
    for round_ in range(rounds + 1):
        for name, by_threading in seconds.items():
            for threading, values in by_threading.items():
                time.sleep(REST_S)
                found = workers[name].classify("padded" if name == TUTORIAL.name else "all", threading)
                if round_:
                    values.append(found)
    return seconds


def latency(workers: Mapping[str, Worker]) -> dict[str, dict[str, Any]]:
    """One text at a time: way -> the first answer, and percentiles of the threading with the lowest median, in ms."""
    found = {}
    for name, worker in workers.items():
        first, *others = worker.ready["threading"]
        cold = worker.latencies("first", first)[0]
        by_threading = {}
        for threading in (first, *others):
            time.sleep(REST_S)
            worker.latencies("first", threading)
            by_threading[threading] = worker.latencies("alone", threading)
        best = min(by_threading, key=lambda one: statistics.median(by_threading[one]))
        values = [1000 * one for one in by_threading[best]]
        percentiles = {f"p{p}_ms": float(np.percentile(values, p)) for p in (50, 95, 99)}
        found[name] = {"threading": best, "cold_ms": 1000 * cold, **percentiles}
    return found


def measure(job: Path, texts: TextSet, options: argparse.Namespace) -> dict[str, Any]:
    with workers_of(job, texts, options) as workers:
        latencies = latency(workers) if options.latency else {}
        seconds = throughput(workers, options.rounds)
        versions = {name: worker.ready["versions"] for name, worker in workers.items()}
    return {
        "job": job.name,
        "texts": texts.name,
        "max_length": texts.max_length,
        "n_texts": len(texts.strings),
        "mean_tokens": texts.n_tokens / len(texts.strings),
        "ways": {
            name: {"latency": latencies.get(name), "versions": versions[name]} | rate(name, by_threading, texts)
            for name, by_threading in seconds.items()
        },
    }


def rate(name: str, by_threading: Mapping[str, Sequence[float]], texts: TextSet) -> dict[str, Any]:
    """The best threading counts; all are kept."""
    medians = {threading: statistics.median(values) for threading, values in by_threading.items()}
    best, n_texts = min(medians, key=medians.__getitem__), len(texts.strings)
    documents_per_s = (min(n_texts, N_PADDED) if name == TUTORIAL.name else n_texts) / medians[best]
    return {
        "threading": best,
        "documents_per_s": documents_per_s,
        "tokens_per_s": documents_per_s * texts.n_tokens / n_texts,
        "seconds": by_threading,
    }


def tables(document: Mapping[str, Any]) -> str:
    """Throughput and latency of each job in Markdown, the best of a column bold."""
    parts = []
    for job in dict.fromkeys(one["job"] for one in document["results"]):
        results = [one for one in document["results"] if one["job"] == job]
        for field, what in FIELDS.items():
            if any(_value(way, field) is not None for way in results[0]["ways"].values()):
                parts.append(_table(f"{job}: {what}", results, field))
    return "\n\n".join(parts)


def _table(title: str, results: Sequence[Mapping[str, Any]], field: str) -> str:
    names = list(dict.fromkeys(name for one in results for name in one["ways"]))
    heads = [f"{one['texts']} ({one['mean_tokens']:.0f} tokens)" for one in results]
    columns = [{name: _value(one["ways"].get(name), field) for name in names} for one in results]
    best = max if field == "documents_per_s" else min
    tops = [best(value for value in column.values() if value is not None) for column in columns]
    lines = [[title, *heads], ["---"] * (len(heads) + 1)]
    for name in names:
        cells = [_cell(column[name], top) for column, top in zip(columns, tops, strict=True)]
        lines.append([name, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _value(way: Mapping[str, Any] | None, field: str) -> float | None:
    if way is None:
        return None
    found = way.get(field, (way["latency"] or {}).get(field))
    return None if found is None else float(found)


def _cell(value: float | None, top: float) -> str:
    if value is None:
        return "-"
    shown = f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"**{shown}**" if value == top else shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=Path, nargs="+", default=[])
    parser.add_argument("--texts", nargs="+", default=[], metavar="NAME=FILE:LENGTH")
    parser.add_argument("--tokens", type=int, default=10_000, help="real tokens of a set")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", action="store_true", help="measure one text at a time too")
    parser.add_argument("--only", default="", help="time the ways with this in their name")
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PYTHON")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--table", type=Path, help="print the tables of a file of --output")
    options = parser.parse_args()
    if options.table:
        print(tables(json.loads(options.table.read_text())))
        return
    before, results = environment(), []
    for job in options.jobs:
        tokenizer_json = (job / "checkpoint" / "tokenizer.json").read_text(encoding="utf-8")
        for spec in options.texts:
            results.append(measure(job, read_set(spec, tokenizer_json, options.tokens), options))
            document = {"rounds": options.rounds, "results": results, "environment": before}
            if options.output:  # after each set: a run takes long
                options.output.write_text(json.dumps(document, indent=2) + "\n")
    print(tables(document))


if __name__ == "__main__":
    main()
