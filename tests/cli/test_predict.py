import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import labelled_rows

from medclf.bundle import MANIFEST, TextColumns, read_manifest
from medclf.cli.predict import main
from medclf.data.tables import read_labelled
from medclf.runtime import Classifier
from medclf.runtime import windows as windows_module

CANARY = "CANARY-7f3a"
ROWS = [
    {"id": "a", "text": "baba cece didi", "more": "nono", "label": "x"},
    {"id": "b", "text": 'fofo, "gugu"', "more": "", "label": "y"},
    {"id": "c", "text": "lele\nmimi", "more": "zozo", "label": "z"},
    {"id": "d", "text": "ruru " * 70, "more": "sasa", "label": "x"},
]
Predict = Callable[..., Any]


@pytest.fixture
def predict(run_command: Callable[..., Any], tiny_bundle: Path) -> Predict:
    def call(source: Path, target: Path, *arguments: object) -> Any:
        return run_command(main, "--bundle", tiny_bundle, "--input", source, "--output", target, *arguments)

    return call


@pytest.fixture(scope="module")
def expected(tiny_bundle: Path) -> list[str]:
    with Classifier.load(tiny_bundle) as classifier:
        return [str(label) for label in classifier.predict([row["text"] for row in ROWS])]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("source", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("target", [".csv", ".tsv", ".jsonl"])
def test_formats(predict: Predict, tmp_path: Path, expected: list[str], source: str, target: str) -> None:
    done = predict(write(tmp_path / f"in{source}", ROWS), tmp_path / f"out{target}")
    assert (done.code, done.out) == (0, "")
    rows = read(tmp_path / f"out{target}")
    assert list(rows[0]) == ["row", "label", "probability", "truncated"]
    assert [row["label"] for row in rows] == expected
    assert [int(row["row"]) for row in rows] == [1, 2, 3, 4]
    assert [row["truncated"] in (True, "true") for row in rows] == [False, False, False, True]
    assert all(0.3 < float(row["probability"]) <= 1 for row in rows)


def test_one_line_of_talk_and_no_bar(predict: Predict, tmp_path: Path) -> None:
    done = predict(write(tmp_path / "in.csv", ROWS), tmp_path / "out.csv")
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("4 rows, ")
    assert "1 truncated (8 tokens not seen), 0 skipped" in done.err


def test_a_summary_for_scripts(predict: Predict, tmp_path: Path) -> None:
    done = predict(write(tmp_path / "in.csv", ROWS), tmp_path / "out.csv", "--json")
    summary = json.loads(done.out)
    assert (summary["n_rows"], summary["n_truncated"], summary["n_skipped"]) == (4, 1, 0)
    assert (summary["precision"], summary["provider"]) == ("int8", "cpu")
    assert summary["n_tokens"] > 64
    assert summary["tokens_per_s"] > 0


def test_kept_columns_and_probabilities(predict: Predict, tmp_path: Path) -> None:
    keep = ("--keep", "id", "--keep", "label", "--probabilities")
    predict(write(tmp_path / "in.csv", ROWS), tmp_path / "out.csv", *keep)
    rows = read(tmp_path / "out.csv")
    names = ["cardiology", "neurology", "oncology"]
    each = [f"probability_{name}" for name in names]
    assert list(rows[0]) == ["row", "id", "input_label", "label", "probability", "truncated", *each]
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["input_label"] for row in rows] == ["x", "y", "z", "x"]
    for row in rows:
        assert sum(float(row[name]) for name in each) == pytest.approx(1, abs=1e-5)
        assert row["probability"] == max((row[name] for name in each), key=float) == row[f"probability_{row['label']}"]


def test_rows_that_are_left_to_a_person(
    run_command: Callable[..., Any], tiny_bundle: Path, tmp_path: Path, expected: list[str]
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    with Classifier.load(tiny_bundle) as classifier:
        confidence = classifier.predict_proba([row["text"] for row in ROWS]).max(axis=1)
    manifest = json.loads((bundle / MANIFEST).read_text())
    below = float(np.sort(confidence)[1:3].mean())
    (bundle / MANIFEST).write_text(json.dumps({**manifest, "abstain_below": below}))
    rows = [*ROWS, {**ROWS[0], "text": ""}]
    files = ("--bundle", bundle, "--input", write(tmp_path / "in.jsonl", rows), "--output", tmp_path / "out.jsonl")
    done = run_command(main, *files, "--on-error", "skip", "--json", "--probabilities")
    assert json.loads(done.out)["n_abstained"] == 2
    assert "1 skipped, 2 left to a person." in done.err
    found = read(tmp_path / "out.jsonl")
    assert [row["abstained"] for row in found] == [*(confidence < below).tolist(), None]
    for row, label in zip(found, expected, strict=False):
        assert row["label"] == (None if row["abstained"] else label)
        assert (row["probability"] is None) == row["abstained"]
        assert row["probability_oncology"] is not None


def test_text_is_written_only_if_kept_by_name(predict: Predict, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [{"text": f"baba {CANARY}"}])
    done = predict(source, tmp_path / "out.csv", "--probabilities")
    assert CANARY not in (tmp_path / "out.csv").read_text() + done.err
    predict(source, tmp_path / "kept.csv", "--keep", "text")
    assert CANARY in (tmp_path / "kept.csv").read_text()


def test_several_text_columns(predict: Predict, tmp_path: Path, tiny_bundle: Path) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    predict(source, tmp_path / "out.jsonl", "--text-column", "more", "--text-column", "text", "--probabilities")
    with Classifier.load(tiny_bundle) as classifier:
        joined = classifier.predict_proba([f"{row['more']} {row['text']}".strip() for row in ROWS])
    found = [row["probability_oncology"] for row in read(tmp_path / "out.jsonl")]
    assert found == pytest.approx(joined[:, 2].tolist(), abs=1e-5)


def test_pairs(predict: Predict, tmp_path: Path, tiny_bundle: Path) -> None:
    source = write(tmp_path / "in.csv", [ROWS[0], ROWS[2]])
    predict(source, tmp_path / "out.jsonl", "--text-pair-column", "more", "--probabilities")
    with Classifier.load(tiny_bundle) as classifier:
        both = classifier.predict_proba([ROWS[0]["text"], ROWS[2]["text"]], ["nono", "zozo"])
    found = [row["probability_oncology"] for row in read(tmp_path / "out.jsonl")]
    assert found == pytest.approx(both[:, 2].tolist(), abs=1e-5)


BAD = [ROWS[0], {**ROWS[1], "text": ""}, {**ROWS[2], "text": f"{CANARY}\ud800"}, ROWS[3]]


def test_the_first_bad_row_stops_everything(predict: Predict, tmp_path: Path) -> None:
    done = predict(write(tmp_path / "in.jsonl", BAD), tmp_path / "out.csv")
    assert done.code == 1
    assert "in.jsonl, row 2, column 'text': is empty. Correct the row, or pass --on-error skip" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


def test_bad_rows_that_are_skipped(predict: Predict, tmp_path: Path, expected: list[str]) -> None:
    done = predict(write(tmp_path / "in.jsonl", BAD), tmp_path / "out.csv", "--on-error", "skip", "--probabilities")
    rows = read(tmp_path / "out.csv")
    assert done.code == 0
    assert "2 skipped" in done.err
    assert [row["label"] for row in rows] == [expected[0], "", "", expected[3]]
    assert [bool(row["error"]) for row in rows] == [False, True, True, False]
    assert rows[1]["error"] == "column 'text' is empty"
    assert (rows[1]["probability"], rows[1]["truncated"], rows[1]["probability_oncology"]) == ("", "", "")
    assert CANARY not in (tmp_path / "out.csv").read_text() + done.err


def test_windows_keep_rows_and_answers_together(
    predict: Predict, tmp_path: Path, texts: list[str], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "WINDOW_TEXTS", 7)
    rows = [{"id": str(i), "text": "" if i % 10 == 3 else text} for i, text in enumerate(texts)]
    predict(write(tmp_path / "in.csv", rows), tmp_path / "out.csv", "--keep", "id", "--on-error", "skip")
    found = read(tmp_path / "out.csv")
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    with Classifier.load(tiny_bundle) as classifier:
        answers = classifier.classify([row["text"] for row in rows], on_error="skip")
    assert [row["label"] or None for row in found] == answers.labels


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"source": "absent.csv"}, 1, r"absent.csv does not exist"),
        ({"target": "out.xlsx"}, 1, "out.xlsx: the suffix must be one of .csv, .tsv, .jsonl, .ndjson"),
        ({"target": "in.csv"}, 1, "in.csv is the input. Name another output"),
        ({"target": "old.csv"}, 1, "old.csv exists already"),
        ({"more": ("--text-column", "notes")}, 1, "has no column 'notes'; it has 'id', 'text', 'more', 'label'"),
        ({"more": ("--keep", "notes")}, 1, "has no column 'notes'"),
        ({"more": ("--keep", "label", "--keep", "input_label")}, 1, "two columns of the output would have the same"),
        ({"more": ("--encoding", "klingon")}, 1, "encoding 'klingon' is not known"),
        ({"more": ("--precision", "int4")}, 1, "precision is 'int4'"),
        ({"more": ("--precision", "fp16")}, 1, "precision fp16: this bundle holds fp32, int8 only"),
        ({"more": ("--provider", "tpu")}, 1, "provider is 'tpu'"),
        ({"more": ("--threads", "0")}, 1, "threads is 0"),
        ({"more": ("--on-error", "hope")}, 2, "on-error"),
        ({"more": ("--batch-size", "8")}, 2, "No such option"),
    ],
)
def test_what_is_refused(predict: Predict, tmp_path: Path, change: dict[str, Any], code: int, message: str) -> None:
    write(tmp_path / "in.csv", ROWS)
    (tmp_path / "old.csv").write_text("old")
    before = sorted(path.name for path in tmp_path.iterdir())
    source, target = tmp_path / change.get("source", "in.csv"), tmp_path / change.get("target", "out.csv")
    done = predict(source, target, *change.get("more", ()))
    assert done.code == code
    assert message in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "old.csv").read_text() == "old"


def test_overwrite(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    assert predict(write(tmp_path / "in.csv", ROWS), tmp_path / "out.csv", "--overwrite").code == 0
    assert len(read(tmp_path / "out.csv")) == 4


def test_no_bundle(run_command: Callable[..., Any], tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", ROWS)
    done = run_command(main, "--bundle", tmp_path, "--input", source, "--output", tmp_path / "out.csv")
    assert done.code == 1
    assert "is not a bundle: it has no medclf.json" in done.err


def test_an_interrupt_leaves_nothing_behind(predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Classifier, "_answer", interrupted)
    done = predict(write(tmp_path / "in.csv", ROWS), tmp_path / "out.csv")
    assert done.code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


# Several labels a text


@pytest.fixture(scope="module")
def several(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle read as one of several labels a text, with thresholds at which every size of set occurs."""
    folder = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("several") / "bundle"))
    manifest = read_manifest(folder)
    labels = replace(manifest.labels, task="multi_label_classification", thresholds=(0.52, 0.5, 0.48))
    (folder / MANIFEST).write_text(replace(manifest, labels=labels).to_json(), encoding="utf-8")
    return folder


def test_several_labels_in_each_format(run_command: Callable[..., Any], several: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", [{"text": row["text"]} for row in labelled_rows(60)])
    with Classifier.load(several) as classifier:
        texts = [row["text"] for row in labelled_rows(60)]
        expected, probabilities = classifier.predict(texts), classifier.predict_proba(texts)
        thresholds = np.array(classifier.labels.thresholds, dtype=np.float32)
    assert {len(labels) for labels in expected} >= {0, 1, 2}
    arguments = ("--bundle", several, "--input", source, "--probabilities", "--output")
    for name in ("out.csv", "out.jsonl"):
        assert run_command(main, *arguments, tmp_path / name).code == 0
    plain, lines = read(tmp_path / "out.csv"), read(tmp_path / "out.jsonl")
    assert [tuple(row["label"].split(";")) if row["label"] else () for row in plain] == expected
    assert [tuple(row["label"]) for row in lines] == expected
    assert [len(row["probability"]) for row in lines] == [len(labels) for labels in expected]
    names = ("cardiology", "neurology", "oncology")
    found = np.array([[row[f"probability_{name}"] for name in names] for row in lines])
    assert found == pytest.approx(probabilities, abs=1e-5)
    assert ((probabilities >= thresholds).sum(axis=1) == [len(labels) for labels in expected]).all()
    for row in plain:
        given = row["label"].split(";") if row["label"] else []
        assert row["probability"] == ";".join(row[f"probability_{name}"] for name in given)


def test_what_is_predicted_can_be_trained_on(run_command: Callable[..., Any], several: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", ROWS)
    target = tmp_path / "out.csv"
    run_command(main, "--bundle", several, "--input", source, "--output", target, "--keep", "text")
    with Classifier.load(several) as classifier:
        expected = classifier.predict([row["text"] for row in ROWS])
    data = read_labelled(target, columns=TextColumns(), label_column=("label",), multi_label=True)
    assert data.labels == expected
