"""`medclf-explain`: words go where the user sends them and nowhere else."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import write_csv

from medclf.cli.explain import main
from medclf.runtime import Classifier
from medclf.runtime.occlusion import explain as explanation_of

CANARY = "CANARY-7f3a"
ROWS = [
    {"id": "1", "text": f"chest pain {CANARY}", "more": "seizures"},
    {"id": "2", "text": "a <b>bold</b> word & more", "more": "fever"},
    {"id": "3", "text": "fever " * 90, "more": "pain"},
]
Explain = Callable[..., Any]


@pytest.fixture
def explain(run_command: Callable[..., Any], tiny_bundle: Path) -> Explain:
    def call(*arguments: object) -> Any:
        return run_command(main, "--bundle", tiny_bundle, *arguments)

    return call


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "rows.csv", ROWS)


def test_json_lines_hold_what_the_runtime_says(explain: Explain, rows: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    done = explain("--input", rows, "--output", tmp_path / "why.jsonl")
    assert (done.code, done.out) == (0, "")
    assert CANARY not in done.err
    found = [json.loads(line) for line in (tmp_path / "why.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["row"] for one in found] == [1, 2, 3]
    assert [one["truncated"] for one in found] == [False, False, True]
    assert [piece["text"] for piece in found[0]["pieces"]] == ["chest", "pain", CANARY]
    with Classifier.load(tiny_bundle) as classifier:
        expected = explanation_of(classifier, ROWS[0]["text"])
        column = classifier.classes_.index(str(expected.label))
    assert found[0]["label"] == expected.label
    for piece, effect, without in zip(found[0]["pieces"], expected.effects, expected.without, strict=True):
        assert list(piece["effect"]) == [expected.label]
        assert piece["effect"][expected.label] == pytest.approx(effect[column], abs=2e-2)
        assert piece["without"][expected.label] == pytest.approx(without[column], abs=1e-2)


def test_a_page_with_chosen_rows_and_labels(explain: Explain, rows: Path, tmp_path: Path) -> None:
    chosen = ("--row", 2, "--label", "oncology", "--label", "neurology")
    done = explain("--input", rows, "--output", tmp_path / "why.html", *chosen)
    assert done.code == 0, done.err
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
    assert CANARY not in page  # of a row that was not chosen
    assert page.count('<div class="text">') == 2
    assert page.count("<h2>Row 2: ") == 1


def test_pairs_and_stdout(explain: Explain, rows: Path, tmp_path: Path) -> None:
    pair = ("--text-pair-column", "more", "--row", 1)
    done = explain("--input", rows, "--output", "-", *pair)
    (found,) = [json.loads(line) for line in done.out.splitlines()]
    assert [(piece["text"], piece["second"]) for piece in found["pieces"]][-1] == ("seizures", True)
    assert explain("--input", rows, "--output", tmp_path / "why.html", *pair).code == 0
    assert (tmp_path / "why.html").read_text(encoding="utf-8").count('<div class="text">') == 2


def test_one_text_from_stdin(explain: Explain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"chest pain {CANARY}\n"))
    done = explain("--input", "-", "--output", "-", "--max-pieces", 2)
    (found,) = [json.loads(line) for line in done.out.splitlines()]
    assert [piece["text"] for piece in found["pieces"]] == ["chest pain", CANARY]
    assert CANARY not in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO(" \n"))
    assert "the text is empty" in explain("--input", "-", "--output", "-").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--row", "4"), "has no row 4; rows are counted from 1"),
        (("--row", "0"), "rows are counted from 1"),
        (("--label", "urology"), "the bundle has no label urology; it has cardiology, neurology, oncology"),
        (("--max-pieces", "0"), "max_pieces is 0, expected at least 1"),
        (("--text-column", "id", "--text-column", "notes"), "has no column 'notes'"),
    ],
)
def test_what_cannot_be_explained(
    explain: Explain, rows: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = explain("--input", rows, "--output", tmp_path / "why.jsonl", *arguments)
    assert (done.code, message in done.err) == (1, True), done.err
    assert CANARY not in done.err + done.out
    assert not (tmp_path / "why.jsonl").exists()


def test_a_row_with_a_fault_and_an_output_of_no_format(explain: Explain, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", [{"text": f"{CANARY}"}, {"text": f"a\0{CANARY}"}])
    done = explain("--input", rows, "--output", tmp_path / "why.jsonl")
    assert done.code == 1
    assert "row 2" in done.err
    assert CANARY not in done.err
    assert "the suffix must be one of .html, .jsonl" in explain("--input", rows, "--output", tmp_path / "why.pdf").err
