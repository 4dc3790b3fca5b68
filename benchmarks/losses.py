"""What the losses for uneven classes buy: one recipe with each of them, scored on the test rows.

    python benchmarks/losses.py --data-folder DATA --model FOLDER --work WORK --set mts_dialog
    python benchmarks/losses.py --table

Recipe and files are those of `main_job.py`. A run whose checkpoint is in WORK is not repeated. Writes
`benchmarks/results/losses_SET.json`; `--table` prints the tables of the docs from what is there. Label names and
numbers, no text.
"""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from main_job import RESULTS, SETS, commands, markdown, run, without_rare

LOSSES = ("cross-entropy", "weighted", "focal", "logit-adjusted")
RARE = 0.25  # of the classes: those with the fewest test rows
HEADER = ("loss", "macro-F1", "recall of the rarest quarter", "micro-F1 or accuracy", "ECE, %", "temperature")


def measure(name: str, loss: str, data: Path, model: Path, work: Path) -> dict[str, Any]:
    """Train with one loss, unless it is done; give what its metrics say."""
    folder = work / name / loss
    folder.mkdir(parents=True, exist_ok=True)
    command = [*commands(SETS[name], data, model)["checkpoint"], "--loss", loss]
    if not (folder / "checkpoint").exists():
        run(command, folder / "checkpoint")
    metrics = json.loads((folder / "checkpoint" / "metrics.json").read_text())
    test = metrics["test"]["model"]
    by_size = sorted((one for one in test["per_class"].values() if one["support"]), key=lambda one: int(one["support"]))
    rare = by_size[: max(1, round(RARE * len(by_size)))]
    return {
        "loss": loss,
        "command": shlex.join(Path(part).name if part.startswith("/") else part for part in command),
        "macro_f1": test["macro_f1"],
        "rare_recall": sum(one["recall"] for one in rare) / len(rare),
        "overall": test.get("micro_f1", test.get("accuracy")),
        "ece": metrics["calibration"]["test"]["ece_after"],
        "temperature": metrics["calibration"]["temperature"],
        "baselines": {key: metrics["test"][key]["macro_f1"] for key in ("baseline", "baseline_balanced")},
        "run": metrics["run"],
    }


def table(result: dict[str, Any]) -> str:
    """One set in Markdown."""
    rows = [
        (
            one["loss"],
            f"{one['macro_f1']:.3f}",
            f"{one['rare_recall']:.3f}",
            f"{one['overall']:.3f}",
            f"{100 * one['ece']:.1f}",
            f"{one['temperature']:.2f}",
        )
        for one in result["losses"]
    ]
    return "\n".join([f"{result['set']}:", "", *markdown(HEADER, rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-folder", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--set", choices=SETS, default="mts_dialog")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        print("\n\n".join(table(json.loads(file.read_text())) for file in sorted(RESULTS.glob("losses_*.json"))))
        return
    data, model, work = (path.resolve() for path in (given.data_folder, given.model, given.work))
    (work / given.set).mkdir(parents=True, exist_ok=True)
    data = without_rare(SETS[given.set], data, work / given.set)
    result = {"set": given.set, "losses": [measure(given.set, loss, data, model, work) for loss in given.losses]}
    (RESULTS / f"losses_{given.set}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
