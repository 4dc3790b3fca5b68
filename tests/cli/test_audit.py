"""The command: what it prints and writes, and its exit codes."""

import json
import re
from pathlib import Path

from cli.conftest import Command
from conftest import labelled_rows, write_csv

from medclf.cli.audit import main

CANARY = "CANARY-7f3a"


def planted(tmp_path: Path) -> Path:
    rows = [{**row, "text": f"{CANARY} {row['text']}"} for row in labelled_rows(60)]
    return write_csv(tmp_path / "notes.csv", [*rows, {**rows[0], "label": "<oncology & more>"}])


def test_terminal_json_and_page_hold_findings_and_no_text(
    run_command: Command, tmp_path: Path, tiny_encoder: Path
) -> None:
    table, page = planted(tmp_path), tmp_path / "audit.html"
    done = run_command(main, table, "--test", table, "--model", tiny_encoder, "--html", page)
    assert done.code == 0
    assert "61 rows, 60 different texts, 4 labels" in done.out
    assert "error contradictions in notes.csv, rows 1, 61" in done.out
    assert "error leaked_texts in notes.csv, rows 1, 2, 3, 4, 5, \u2026" in done.out
    written = page.read_text(encoding="utf-8")
    assert written.count("<svg ") == 2
    assert "&lt;oncology &amp; more&gt;" in written
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', written) == []
    as_json = run_command(main, table, "--model", tiny_encoder, "--json")
    document = json.loads(as_json.out)
    assert document["tables"][0]["classes"]["oncology"] == 20
    assert {"check", "severity", "file", "n", "what", "do", "rows"} == set(document["findings"][0])
    assert CANARY not in done.out + done.err + written + as_json.out + as_json.err


def test_exit_codes(run_command: Command, tmp_path: Path, tiny_encoder: Path) -> None:
    table, page = planted(tmp_path), tmp_path / "audit.html"
    assert run_command(main, table, "--model", tiny_encoder, "--strict").code == 1
    good = write_csv(tmp_path / "good.csv", labelled_rows(60))
    assert run_command(main, good, "--model", tiny_encoder, "--strict", "--max-length", "64").code == 0
    page.write_text("mine")
    refused = run_command(main, table, "--html", page)
    assert (refused.code, page.read_text()) == (1, "mine")
    assert "exists already" in refused.err
    missing = run_command(main, tmp_path / "none.csv")
    assert (missing.code, missing.out) == (1, "")
    assert "does not exist" in missing.err
    nowhere = run_command(main, table, "--model", tmp_path / "nowhere")
    assert "no tokenizer.json there" in " ".join(nowhere.err.split())
