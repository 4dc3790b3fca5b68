"""`medclf-run` gives the answers of the Python runtime, live, on the tiny bundle."""

import json
import re
import shutil
from pathlib import Path

import pytest
from golden_native import NASTY
from native_run import Run, lines, same

from medclf.text import text_fault


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_answers_are_those_of_python(medclf_run: Run, tiny_bundle: Path, texts: list[str], precision: str) -> None:
    same(medclf_run, tiny_bundle, precision, [{"text": text} for text in [*texts, *NASTY, *texts]])


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_answers_to_pairs_are_those_of_python(
    medclf_run: Run, tiny_bundle: Path, texts: list[str], precision: str
) -> None:
    mixed = [*texts, *NASTY]
    pairs = zip(mixed, reversed(mixed), strict=True)
    same(medclf_run, tiny_bundle, precision, [{"text": text, "text_pair": pair} for text, pair in pairs])


@pytest.mark.parametrize("name", ["onnx/model.onnx", "onnx/model_quantized.onnx"])
def test_one_file_is_enough(medclf_run: Run, tiny_bundle: Path, tmp_path: Path, texts: list[str], name: str) -> None:
    model = tmp_path / "alone.onnx"
    model.write_bytes((tiny_bundle / name).read_bytes())
    rows = [{"text": text} for text in texts]
    precision = "int8" if "quantized" in name else "fp32"
    assert lines(medclf_run(rows, model)) == lines(medclf_run(rows, tiny_bundle, "--precision", precision))


@pytest.mark.parametrize("options", [("--threads", "1"), ("--threads", "4"), ("--mode", "latency")])
def test_threads_do_not_change_labels(
    medclf_run: Run, tiny_bundle: Path, texts: list[str], options: tuple[str, ...]
) -> None:
    rows = [{"text": text} for text in texts]
    labels = [[line["label"] for line in lines(medclf_run(rows, tiny_bundle, *more))] for more in ((), options)]
    assert labels[0] == labels[1]


def test_a_row_that_is_left_to_a_person(medclf_run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    manifest = json.loads((bundle / "medclf.json").read_text())
    (bundle / "medclf.json").write_text(json.dumps({**manifest, "abstain_below": 1.0}))
    (line,) = lines(medclf_run([{"text": "baba"}], bundle))
    assert (line["label"], line["abstained"]) == (None, True)
    assert set(line["probabilities"]) == set(manifest["labels"])


def test_more_texts_than_a_window(medclf_run: Run, tiny_bundle: Path, texts: list[str]) -> None:
    rows = [{"text": texts[i % len(texts)].partition(" ")[0]} for i in range(5_000)]
    found = lines(medclf_run(rows, tiny_bundle))
    assert [line["row"] for line in found] == list(range(1, 5_001))
    by_text = {row["text"]: line["label"] for row, line in zip(rows, found, strict=True)}
    assert [line["label"] for line in found] == [by_text[row["text"]] for row in rows]


def test_no_texts(medclf_run: Run, tiny_bundle: Path) -> None:
    assert lines(medclf_run("", tiny_bundle)) == []


def test_a_row_that_cannot_be_classified_ends_the_run(medclf_run: Run, tiny_bundle: Path) -> None:
    done = medclf_run([{"text": "baba"}, {"text": "CANARY-7f3a\0"}], tiny_bundle)
    assert done.returncode == 1
    assert "row 2: the text holds a NUL character. Correct the row" in done.stderr
    assert "CANARY" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "CANARY-7f3a', "row 2: a string does not end at byte"),
        ('{"texts": "CANARY-7f3a"}', "row 2: field 'text' is missing"),
        ('{"text": 7}', "row 2: expected a string"),
        ('["CANARY-7f3a"]', "row 2: expected an object"),
        ('{"text": "CANARY-7f3a", "text_pair": "b"}', "row 2: some rows have a text_pair and some have none"),
    ],
)
def test_a_line_that_cannot_be_read(medclf_run: Run, tiny_bundle: Path, line: str, message: str) -> None:
    done = medclf_run(f'{{"text": "baba"}}\n{line}\n', tiny_bundle, "--on-error", "skip")
    assert done.returncode == 1
    assert message in done.stderr
    assert "CANARY" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no bundle is named"),
        (("bundle", "--precision", "int4"), "--precision: 'int4' is not one of its values"),
        (("bundle", "--threads", "0"), "--threads: '0' is not a number from 1 to 1024"),
        (("bundle", "--colour", "red"), "unknown option --colour"),
        (("bundle", "other"), "other has no value, or is one too many"),
    ],
)
def test_a_wrong_command_line(medclf_run: Run, arguments: tuple[str, ...], message: str) -> None:
    done = medclf_run("", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_version_is_that_of_python(medclf_run: Run) -> None:
    from medclf import __version__

    assert medclf_run("", "--version").stdout == f"{__version__}\n"
    assert re.match("medclf-run BUNDLE", medclf_run("", "--help").stdout)


def test_onnx_runtime_is_missing(medclf_run: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    done = medclf_run("", tiny_bundle, "--runtime", tmp_path / "absent.so")
    assert done.returncode == 1
    assert "ONNX Runtime cannot be loaded" in done.stderr


def test_a_library_that_is_not_onnx_runtime(medclf_run: Run, tiny_bundle: Path, library: Path) -> None:
    done = medclf_run("", tiny_bundle, "--runtime", library)
    assert done.returncode == 1
    assert "is not ONNX Runtime" in done.stderr


def test_nasty_texts_hold_faults_and_answers() -> None:
    faults = [text_fault(text) for text in NASTY]
    assert any(faults)
    assert not all(faults)
