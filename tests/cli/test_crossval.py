"""The command: scores and likely label errors."""

import json
from pathlib import Path

from cli.conftest import Command

from medclf.cli.crossval import main


def test_tfidf_alone(run_command: Command, table: Path, tmp_path: Path) -> None:
    done = run_command(main, "--data", table, "--output", tmp_path / "out", "--folds", 3, "--json")
    assert done.code == 0
    document = json.loads(done.out)
    assert document == json.loads((tmp_path / "out" / "metrics.json").read_bytes())
    scored = document["scores"]["baseline"]["macro_f1"]
    assert f"{scored['mean']:.3f} \u00b1 {scored['sd']:.3f}" in done.err
    assert f"{document['likely_label_errors']} of 150 labels are likely wrong" in " ".join(done.err.split())


def test_errors(run_command: Command, table: Path, tmp_path: Path) -> None:
    failed = run_command(main, "--data", table, "--output", tmp_path / "out", "--folds", 200)
    assert (failed.code, failed.out) == (1, "")
    assert "folds is 200, expected 2 to 100" in failed.err
    assert not (tmp_path / "out").exists()
    failed = run_command(main, "--data", table, "--group-column", "doctor")
    assert "no column 'doctor'" in " ".join(failed.err.split())
