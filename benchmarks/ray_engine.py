"""`medclf-predict --engine ray` beside the local engine, on the same rows of this machine: speed, faults, memory.

    python benchmarks/ray_engine.py --data TABLE --bundle FOLDER --work FOLDER [--rows 50000] [--rounds 3]
    python benchmarks/ray_engine.py --table

The rows of TABLE (JSON lines with a column `text`) are repeated with new ids into one Parquet file of row groups of
4,096 rows, which stays in WORK. In turns: the local engine with all cores; Ray with one worker of all cores; Ray with
one worker a core. Then one worker of one core with its share of the rows, for weak scaling; and a worker that gets
SIGKILL when half of the parts are committed. A rate counts from the first worker that is ready (locally: from the first
row) to the last commit; what it takes to start is told apart. Every output is held against that of the local engine:
rows, ids, and a hash over all columns in order. Writes `benchmarks/results/ray_engine.json`; `--table` prints the
tables of docs/ray.md from it. Not timed here: a network, and more than one machine.
"""

import argparse
import hashlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from medclf.bench.environment import environment

RESULTS = Path(__file__).resolve().parent / "results" / "ray_engine.json"
COLUMNS = ("row", "id", "label", "probability", "truncated")
GROUP_ROWS = 4_096
CORES = len(os.sched_getaffinity(0))


def make_input(data: Path, path: Path, n_rows: int) -> None:
    """Repeat the rows of a table with new ids."""
    with data.open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    repeated = [texts[i % len(texts)] for i in range(n_rows)]
    pq.write_table(pa.table({"id": pa.array(range(n_rows)), "text": repeated}), path, row_group_size=GROUP_ROWS)


class Watch(threading.Thread):
    """Notes the resident memory of a process, and does something to it once."""

    def __init__(self, process: psutil.Process, act: Callable[[psutil.Process], bool] | None) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.act = act
        self.begun = time.monotonic()
        self.resident_mb: list[tuple[float, float]] = []

    def run(self) -> None:
        while True:
            try:
                resident = self.process.memory_info().rss / 1e6
                self.resident_mb.append((round(time.monotonic() - self.begun, 1), round(resident, 1)))
                if self.act and self.act(self.process):
                    self.act = None
            except psutil.NoSuchProcess:
                return
            time.sleep(0.5)


def predict(
    options: argparse.Namespace,
    source: Path,
    name: str,
    *more: str,
    act: Callable[[psutil.Process], bool] | None = None,
) -> dict[str, Any]:
    """Run the command once; give its summary, its wall time and the memory of its driver."""
    target = options.work / name
    shutil.rmtree(target, ignore_errors=True)
    command = ["--bundle", str(options.bundle), "--input", str(source), "--output", str(target), "--keep", "id", *more]
    begun = time.monotonic()
    program = [str(Path(sys.executable).parent / "medclf-predict"), *command, "--overwrite", "--json"]
    running = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = Watch(psutil.Process(running.pid), act)
    watch.start()
    out, err = running.communicate()
    if running.returncode:
        sys.exit(err)
    summary = json.loads(out)
    print(f"{name}: {summary['rows_per_s']:.1f} rows/s, {time.monotonic() - begun:.0f} s in all", file=sys.stderr)
    kept = (
        "n_rows",
        "n_tokens",
        "rows_per_s",
        "tokens_per_s",
        "seconds",
        "start_s",
        "n_parts",
        "n_workers",
        "n_deaths",
    )
    return {
        "options": shlex.join(more),
        **{key: summary[key] for key in kept if key in summary},
        "wall_s": round(time.monotonic() - begun, 2),
        "driver_resident_mb": watch.resident_mb,
        "output": fingerprint(target),
    }


def fingerprint(target: Path) -> dict[str, Any]:
    """Give what makes two outputs the same: rows, ids that differ, and a hash over all columns in order."""
    parts = [target] if target.is_file() else sorted(target.glob("part-*.parquet"))
    digest, n_rows, ids = hashlib.sha256(), 0, set[int]()
    for part in parts:
        table = pq.ParquetFile(part).read(list(COLUMNS))
        n_rows += table.num_rows
        ids.update(table.column("id").to_pylist())
        for row in zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True):
            digest.update(json.dumps(row).encode())
    return {"n_rows": n_rows, "n_ids": len(ids), "sha256": digest.hexdigest()}


def kill_half_way(target: Path, n_parts: int) -> Callable[[psutil.Process], bool]:
    """Make what sends SIGKILL to a worker when half of the parts are committed."""

    def act(driver: psutil.Process) -> bool:
        if len(list(target.glob("_work/part-*.json"))) < max(1, n_parts // 2):
            return False
        for child in driver.children(recursive=True):
            if child.cmdline()[:1] and child.cmdline()[0].startswith("ray::Worker"):
                child.kill()
                return True
        return False

    return act


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All runs, in turns."""
    options.work.mkdir(parents=True, exist_ok=True)
    source, share = options.work / "in.parquet", options.work / "share.parquet"
    make_input(options.data, source, options.rows)
    make_input(options.data, share, options.rows // CORES)
    before = environment()
    ways = {
        "local": (source, ("--threads", str(CORES))),
        "one_worker": (source, ("--engine", "ray", "--workers", "1", "--threads", str(CORES))),
        "worker_a_core": (source, ("--engine", "ray", "--workers", str(CORES), "--threads", "1")),
        "share": (share, ("--engine", "ray", "--workers", "1", "--threads", "1")),
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (table, more) in ways.items():
            suffix = ".parquet" if name == "local" else ""
            runs[name].append(predict(options, table, f"{name}{suffix}", *more))
    n_parts = runs["worker_a_core"][0]["n_parts"]
    act = kill_half_way(options.work / "killed", n_parts)
    killed = predict(options, source, "killed", *ways["worker_a_core"][1], act=act)
    return {
        "command": f"python benchmarks/ray_engine.py --data {options.data.name} --rows {options.rows} "
        f"--rounds {options.rounds} --bundle {options.bundle.parent.name}/{options.bundle.name}",
        "environment": before,
        "cores": CORES,
        "runs": runs,
        "killed": killed,
        **conclusions(runs, killed),
    }


def conclusions(runs: dict[str, list[dict[str, Any]]], killed: dict[str, Any]) -> dict[str, Any]:
    """Ratios within each round, so that a disturbance strikes both sides; whether all outputs are the same."""

    def ratio(name: str, to: str, times: float = 1.0) -> list[float]:
        pairs = zip(runs[name], runs[to], strict=True)
        return [round(one["rows_per_s"] / (times * other["rows_per_s"]), 3) for one, other in pairs]

    whole = [run["output"] for name in ("local", "one_worker", "worker_a_core") for run in runs[name]]
    return {
        "one_worker_to_local": ratio("one_worker", "local"),
        "worker_a_core_to_local": ratio("worker_a_core", "local"),
        "weak_scaling": ratio("worker_a_core", "share", CORES),
        "start_s": statistics.median(run["start_s"] for run in runs["one_worker"]),
        "all_outputs_equal": all(output == whole[0] for output in [*whole, killed["output"]]),
    }


def resident(run: dict[str, Any]) -> list[float]:
    """The memory of a driver when a quarter, a half and all of its time had passed, and at most."""
    samples = [mb for _, mb in run["driver_resident_mb"]]
    return [*(samples[len(samples) * quarter // 4 - 1] for quarter in (1, 2, 3, 4)), max(samples)]


def table(result: dict[str, Any]) -> str:
    """The tables of docs/ray.md, in Markdown."""
    names = {
        "local": "local engine, all cores",
        "one_worker": "Ray, one worker of all cores",
        "worker_a_core": "Ray, one worker a core",
        "share": "Ray, one worker of one core, its share of the rows",
    }
    ratios = {"one_worker": "one_worker_to_local", "worker_a_core": "worker_a_core_to_local"}
    lines = ["| | rows/s, by round | of the local engine | driver MB at 1/4, 1/2, 3/4, end; most |"]
    lines.append("|---|---|---|---|")
    for name, text in names.items():
        runs = result["runs"][name]
        rates = ", ".join(f"{run['rows_per_s']:,.0f}" for run in runs)
        part = ", ".join(f"{one:.2f}" for one in result[ratios[name]]) if name in ratios else ""
        memory = ", ".join(f"{mb:.0f}" for mb in resident(runs[-1])[:4])
        lines.append(f"| {text} | {rates} | {part} | {memory}; {resident(runs[-1])[4]:.0f} |")
    killed = result["killed"]
    lines.append(f"| Ray, one worker a core, one killed half-way | {killed['rows_per_s']:,.0f} | | |")
    weak = ", ".join(f"{one:.3f}" for one in result["weak_scaling"])
    output = killed["output"]
    lines += [
        "",
        f"Weak scaling, 1 to {result['cores']} workers, by round: {weak}. Until a worker is ready: "
        f"{result['start_s']:.1f} s. Workers killed: {killed['n_deaths']}. All outputs equal: "
        f"{result['all_outputs_equal']} ({output['n_rows']:,} rows, {output['n_ids']:,} ids).",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        options.output.write_text(json.dumps(measure(options)) + "\n")
    print(table(json.loads(options.output.read_text())))


if __name__ == "__main__":
    main()
