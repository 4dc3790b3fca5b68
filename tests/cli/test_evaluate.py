"""`medclf-evaluate`: tables, pages and documents, and every fault in one line."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import LABELS, labelled_rows, write_csv

from medclf.bundle import MANIFEST
from medclf.cli.evaluate import main
from medclf.runtime import Classifier

CANARY = "CANARY-7f3a"
Evaluate = Callable[..., Any]


@pytest.fixture
def evaluate(run_command: Callable[..., Any], tiny_bundle: Path) -> Evaluate:
    def call(data: Path, *arguments: object, bundle: Path = tiny_bundle) -> Any:
        return run_command(main, "--bundle", bundle, "--data", data, *arguments)

    return call


@pytest.fixture
def rows(tiny_bundle: Path, tmp_path: Path) -> Path:
    """60 rows with the labels that the model gives, but for every sixth, of 20 patients at 2 sites."""
    made = labelled_rows(60, seed=3)
    with Classifier.load(tiny_bundle) as classifier:
        given = classifier.predict([row["text"] for row in made])
    for i, (row, label) in enumerate(zip(made, given, strict=True)):
        wrong = LABELS[(LABELS.index(str(label)) + 1) % 3]
        row |= {"label": wrong if i % 6 == 0 else str(label), "patient": str(i // 3), "site": "AB"[i % 2]}
    made[1]["text"] += f" {CANARY}"
    return write_csv(tmp_path / "rows.csv", made)


def test_everything_is_measured_and_no_text_is_left(evaluate: Evaluate, rows: Path, tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", [*labelled_rows(90, seed=7), labelled_rows(60, seed=3)[0]])
    outputs = {name: tmp_path / f"evaluation.{name}" for name in ("html", "md", "json")}
    asked = ("--precision", "int8", "--precision", "fp32", "--train-data", train, "--operating-point", "recall>=0.9")
    files = ("--report", outputs["html"], "--card", outputs["md"], "--output", outputs["json"])
    done = evaluate(rows, *asked, *files, "--group-column", "patient", "--slice-column", "site")
    assert done.code == 0, done.err
    written = {name: path.read_text(encoding="utf-8") for name, path in outputs.items()}
    for text in (*written.values(), done.out, done.err):
        assert CANARY not in text
    document = json.loads(written["json"])
    scores = document["models"]["int8"]["scores"]
    assert (scores["n"], scores["accuracy"]) == (60, 50 / 60)
    assert list(document["models"]) == ["int8", "fp32"]
    assert document["bootstrap"] == {"n_resamples": 1000, "group_column": "patient", "n_groups": 20}
    assert [one["reference"] for one in document["comparisons"]] == ["fp32", "TF-IDF", "TF-IDF, balanced classes"]
    assert document["train_data"]["n_shared"] == 1
    assert "1 of 60 rows have a text that is also in" in " ".join(done.err.split())
    assert [(one["value"], one["n"]) for one in document["models"]["int8"]["slices"]["site"]] == [("A", 30), ("B", 30)]
    assert "83.3\u00a0% got the right label" in written["html"]
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", written["html"])  # the names of SVG are no links
    assert "0.833 (" in written["md"]
    for part in ("60 rows of rows.csv, 20 groups by patient", "TF-IDF", "cardiology", "recall >= 0.9", "McNemar p"):
        assert part in done.out


def test_a_document_on_stdout_and_the_model_that_is_served(evaluate: Evaluate, rows: Path) -> None:
    done = evaluate(rows, "--json")
    document = json.loads(done.out)
    assert list(document["models"]) == ["int8"]
    assert "baselines" not in document
    assert document["comparisons"] == []


def test_another_bundle_whose_labels_have_another_order(
    evaluate: Evaluate, rows: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    manifest = json.loads((other / MANIFEST).read_text())
    names = [manifest["labels"][i] for i in (1, 2, 0)]  # what it calls label 0 is now this bundle's label 1
    from medclf.labels import Labels

    changed = {"labels": names, "labels_sha256": Labels(tuple(names)).sha256}
    (other / MANIFEST).write_text(json.dumps({**manifest, **changed}))
    page, output = tmp_path / "page.html", tmp_path / "document.json"
    done = evaluate(rows, "--compare", other, "--report", page, "--output", output)
    document = json.loads(output.read_text())
    assert "Quality against speed" in done.out
    assert "tokens per second" in page.read_text()
    own, theirs = document["models"].values()
    assert list(document["models"]) == ["int8", "other int8"]
    moved = np.array(own["confusion"])[:, [2, 0, 1]]  # column j holds what is called j now
    assert np.array(theirs["confusion"]).tolist() == moved.tolist()
    assert document["comparisons"][0]["agreement"] == 0.0


def test_paths_of_labels(evaluate: Evaluate, tiny_bundle: Path, rows: Path, tmp_path: Path) -> None:
    from medclf.labels import Labels

    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "paths"))
    manifest = json.loads((bundle / MANIFEST).read_text())
    names = [f"{'inner' if i < 2 else 'outer'}/{name}" for i, name in enumerate(LABELS)]
    changed = {"labels": names, "labels_sha256": Labels(tuple(names)).sha256}
    (bundle / MANIFEST).write_text(json.dumps({**manifest, **changed}))
    with rows.open(newline="") as file:
        table = list(csv.DictReader(file))
    for row in table:
        row["label"] = names[LABELS.index(row["label"])]
    done = evaluate(write_csv(tmp_path / "paths.csv", table), "--hierarchy", "/", "--json", bundle=bundle)
    levels = json.loads(done.out)["models"]["int8"]["levels"]
    assert [one["n_labels"] for one in levels] == [2, 3]
    assert levels[0]["accuracy"] >= levels[1]["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--operating-point", "recall>1"), "is not understood. Write METRIC>=VALUE"),
        (("--operating-point", "urology: recall>=0.9"), "there is no label 'urology'"),
        (("--hierarchy", "/"), "no label holds it, so labels are no paths"),
        (("--slice-column", "id"), "slice column 'id' has 60 values, at most 50 are shown"),
        (("--slice-column", "text"), "slice column 'text' has values of over 60 characters"),
        (("--slice-column", "ward"), "has no column 'ward'"),
        (("--group-column", "constant"), "group column 'constant' has one value"),
        (("--label-column", "site"), "60 row(s) have 2 label(s) that training never saw: A, B"),
        (("--precision", "fp16"), "precision fp16: this bundle holds fp32, int8 only"),
        (("--compare", "elsewhere"), "elsewhere is not a bundle: it does not exist"),
    ],
)
def test_what_cannot_be_evaluated(
    evaluate: Evaluate, rows: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    with rows.open(newline="") as file:
        table = [{**row, "constant": "x"} for row in csv.DictReader(file)]
    table[1]["text"] += f" {CANARY} baba" * 4
    done = evaluate(write_csv(tmp_path / "more.csv", table), *arguments, "--report", tmp_path / "page.html")
    assert done.code == 1
    assert message in done.err
    assert CANARY not in done.err
    assert not (tmp_path / "page.html").exists()


def test_an_output_that_exists_is_refused_before_anything_is_run(
    evaluate: Evaluate, rows: Path, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text("mine")
    done = evaluate(rows, "--report", tmp_path / "page.html")
    assert (done.code, (tmp_path / "page.html").read_text()) == (1, "mine")
    assert "exists already" in done.err


def test_a_table_without_labels(evaluate: Evaluate, tmp_path: Path) -> None:
    done = evaluate(write_csv(tmp_path / "bare.csv", [{"text": "baba"}]))
    assert (done.code, "has no column 'label'" in done.err) == (1, True)
    both = write_csv(tmp_path / "both.csv", [{"text": "baba", "label": "oncology", "labels": "x"}])
    assert "has the columns label and labels. Name one with --label-column" in evaluate(both).err


def test_the_file_of_the_training_is_told(evaluate: Evaluate, rows: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    import hashlib

    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "trained"))
    manifest = json.loads((bundle / MANIFEST).read_text())
    part = {"file": "rows.csv", "sha256": hashlib.sha256(rows.read_bytes()).hexdigest(), "n_rows": 40}
    manifest["training"]["data"] = {"train": part}
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    done = evaluate(rows, "--json", bundle=bundle)
    assert done.code == 0
    assert "is the file that the model was trained on" in " ".join(done.err.split())
