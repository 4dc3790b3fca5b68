"""Audits of real data sets: `python benchmarks/audit_sets.py --data-folder DATA --model FOLDER`.

Writes `benchmarks/results/audit_SET.json`: what `medclf-audit SET/train.jsonl --test SET/dev.jsonl --model FOLDER
--json` prints, with the command. It holds counts, label names and row numbers, and no text. The last line of stdout is
JSON. `--table` prints the Markdown table of docs/audit.md from the recorded results.
"""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

from medclf.data.audit.audit import AuditOptions, audit
from medclf.data.audit.lengths import read_ruler

RESULTS = Path(__file__).resolve().parent / "results"
LABELS = {"medabs5": "label", "hoc": "labels", "symptom2disease": "label", "chip_ctc15_zh": "label"}
SHOWN = ("error", "warning")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-folder", type=Path)
    parser.add_argument("--model", type=Path, help="folder with a tokenizer.json")
    parser.add_argument("--model-name", default="all-MiniLM-L6-v2", help="how results call it")
    parser.add_argument("--table", action="store_true", help="print a Markdown table of the recorded results")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return
    ruler = replace(read_ruler(arguments.model.resolve()), name=arguments.model_name)
    os.chdir(arguments.data_folder)  # results name files as a user there would, and no folder of this machine
    found = {}
    for name, column in LABELS.items():
        train, dev = Path(name, "train.jsonl"), Path(name, "dev.jsonl")
        outcome = audit(AuditOptions(train, dev, label_column=(column,)), ruler)
        command = f"medclf-audit {train} --test {dev} --label-column {column} --model {arguments.model_name} --json"
        document = {"command": command, **outcome.to_json()}
        (RESULTS / f"audit_{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        found[name] = {severity: outcome.n(severity) for severity in ("error", "warning", "note")}
    print(json.dumps(found))


def table() -> str:
    lines = [
        "| table | rows | different texts | ceiling | over 256 tokens | errors and warnings |",
        "|---|---|---|---|---|---|",
    ]
    for name in LABELS:
        document = json.loads((RESULTS / f"audit_{name}.json").read_bytes())
        for one in document["tables"]:
            findings = [
                f"`{found['check']}` {found['n']:,}"
                for found in document["findings"]
                if found["file"] == one["file"] and found["severity"] in SHOWN and found["check"] != "truncation"
            ]
            cut = 100 * one["lengths"]["n_cut"] / one["n_usable"]
            lines.append(
                f"| `{one['file']}` | {one['n_rows']:,} | {one['n_texts']:,} | {one['ceiling']:.3f} | {cut:.1f} % | "
                f"{', '.join(findings) or 'none'} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
