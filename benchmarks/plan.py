"""medclf-plan against what medclf-predict then takes: predicted over actual seconds, start and all.

    python benchmarks/plan.py --run BUNDLE=TABLE:ROWS [--run ...] --work FOLDER [--output FILE]
    python benchmarks/plan.py --table FILE

For each `--run`, the rows of TABLE, repeated or cut to ROWS, are written to FOLDER; `medclf-plan` is asked twice, with
`--data TABLE` and with the mean number of tokens of the table alone; then `medclf-predict` runs on all rows with each
precision of the bundle, as a program of its own, timed from its start to its end. All of it `--repeats` times in turns;
the medians of the ratios are given. A plan is for cores that are wholly one's own: `--table` prints, beside the ratio
to the seconds of a run, that to what its processor time comes to on such cores. The results hold names, counts and
seconds, no text.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from medclf.bundle import read_manifest


def command(name: str) -> list[str]:
    return [sys.executable, "-c", f"from medclf.cli.{name} import main; main()"]


def repeated(table: Path, rows: int, target: Path) -> None:
    """Write so many rows: those of the table, from the first again when they end."""
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    target.write_text("".join(islice(cycle(lines), rows)), encoding="utf-8")


def planned(bundle: Path, rows: int, *more: object) -> dict[str, Any]:
    arguments = ["--bundle", bundle, "--rows", rows, "--json", *more]
    done = subprocess.run([*command("plan"), *map(str, arguments)], capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def predicted(bundle: Path, precision: str, table: Path, target: Path) -> tuple[float, dict[str, Any]]:
    files = ["--input", table, "--output", target, "--overwrite", "--json"]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command("predict"), "--bundle", str(bundle), "--precision", precision, *map(str, files)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return time.perf_counter() - begun, json.loads(done.stdout)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(report: dict[str, Any], precision: str, actual_s: float) -> dict[str, float]:
    path = next(path for path in report["paths"] if path["path"] == f"medclf {precision}")
    seconds = 3600 * path["hours_here"]
    return {
        "predicted_s": seconds,
        "predicted_s_low": 3600 * path["hours_here_range"][0],
        "predicted_s_high": 3600 * path["hours_here_range"][1],
        "predicted_over_actual": seconds / actual_s,
    }


def check(run: str, work: Path, seconds: float, repeats: int) -> dict[str, Any]:
    bundle, source = (Path(part) for part in run.split("=", 1))
    name, rows = str(source).rsplit(":", 1)
    table = work / f"{bundle.parent.name}.jsonl"
    repeated(Path(name), int(rows), table)
    rounds, reports = [], []
    for _ in range(repeats):
        own = planned(bundle, int(rows), "--data", table, "--seconds", seconds)
        tokens = min(round(own["texts"]["tokens_mean"]), read_manifest(bundle).most_tokens)
        synthetic = planned(bundle, int(rows), "--tokens", tokens, "--seconds", seconds)
        found = {}
        for path in own["paths"]:
            precision = path["path"].removeprefix("medclf ")
            cpu_s = children_cpu_s()
            actual, summary = predicted(bundle, precision, table, work / "labels.csv")
            found[precision] = {
                "actual_s": actual,
                "actual_cores_busy": (children_cpu_s() - cpu_s) / actual,
                "n_rows": summary["n_rows"],
                "with_data": compare(own, precision, actual),
                "with_tokens": compare(synthetic, precision, actual),
            }
            print(json.dumps({bundle.parent.name: precision, **found[precision]}), flush=True)
        rounds.append(found)
        reports.append({"data": own, "tokens": synthetic})
    table.unlink()
    return {
        "bundle": bundle.parent.name,
        "table": Path(name).name,
        "rows": int(rows),
        "predicted_over_actual": {
            precision: {
                by: statistics.median(one[precision][by]["predicted_over_actual"] for one in rounds)
                for by in ("with_data", "with_tokens")
            }
            for precision in rounds[0]
        },
        "rounds": rounds,
        "plans": reports,
    }


def table(report: dict[str, Any]) -> str:
    """The table of the docs: of each run the predicted seconds, the actual ones, and both ratios, all rounds."""
    lines = [
        "| rows | model | predicted s | range | actual s | cores it got | predicted / actual | on whole cores |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in report["runs"]:
        for precision in run["rounds"][0]:
            for one, plan in zip(run["rounds"], run["plans"], strict=True):
                found, threads = one[precision], plan["data"]["threads"]
                by = found["with_data"]
                whole_s = found["actual_s"] * found["actual_cores_busy"] / threads
                lines.append(
                    f"| {run['rows']:,} of {run['bundle']} | {precision} | {by['predicted_s']:.1f} | "
                    f"{by['predicted_s_low']:.1f}-{by['predicted_s_high']:.1f} | {found['actual_s']:.1f} | "
                    f"{found['actual_cores_busy']:.2f} of {threads} | {by['predicted_over_actual']:.2f} | "
                    f"{by['predicted_s'] / whole_s:.2f} |"
                )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="append", metavar="BUNDLE=TABLE:ROWS")
    parser.add_argument("--work", type=Path, help="folder for the tables")
    parser.add_argument("--table", type=Path, help="print the table of recorded results, and do nothing else")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each plan")
    parser.add_argument("--repeats", type=int, default=3, help="plan and run so often, in turns")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_bytes())))
        return
    if not options.run or not options.work:
        parser.error("--run and --work are needed")
    options.work.mkdir(parents=True, exist_ok=True)
    runs = [check(run, options.work, options.seconds, options.repeats) for run in options.run]
    report = {"seconds": options.seconds, "repeats": options.repeats, "runs": runs}
    document = json.dumps(report, indent=2)
    if options.output:
        options.output.write_text(document + "\n", encoding="utf-8")
    print(document)


if __name__ == "__main__":
    main()
