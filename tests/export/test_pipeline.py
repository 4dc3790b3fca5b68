"""Exports that must succeed, and every way in which one must fail without leaving a bundle."""

import errno
import importlib.metadata
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import LABELS, MAX_LENGTH, labelled_rows, write_csv
from safetensors.numpy import load_file, save_file

from medclf.bundle import FileRecord, read_manifest
from medclf.errors import CheckpointError, DataError, ExportError, GateError, MedclfError, OptionError, OutputError
from medclf.runtime import Classifier
from medclf_export import pipeline
from medclf_export.linear import quantize_weight
from medclf_export.pipeline import ExportOptions, export_bundle
from medclf_export.quality import Budget

# Weights of another architecture: transformers 4 refuses them by itself
OTHER_WEIGHTS = (
    r"the weights cannot be loaded \(ValueError\)"
    if importlib.metadata.version("transformers").startswith("4.")
    else r"weight\(s\) are missing, such as "
)
WIDE = Budget(min_agreement=90.0, max_f1_drop=10.0, min_speedup=0.0)


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may break."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "held_out.csv", labelled_rows(120))


def change_json(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def refused(options: ExportOptions, error: type[MedclfError], match: str) -> None:
    """Assert that an export fails with this message and leaves nothing, not even a temporary folder."""
    before = sorted(options.output.parent.iterdir())
    with pytest.raises(error, match=match):
        export_bundle(options)
    assert sorted(options.output.parent.iterdir()) == before


def test_a_bundle_holds_what_its_manifest_says(tiny_bundle: Path) -> None:
    manifest = read_manifest(tiny_bundle)
    files = {str(path.relative_to(tiny_bundle)) for path in tiny_bundle.rglob("*") if path.is_file()}
    assert files == {*manifest.files, "medclf.json"}
    assert files > {"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"}
    assert all(FileRecord.of((tiny_bundle / name).read_bytes()) == record for name, record in manifest.files.items())
    assert manifest.labels.names == LABELS
    assert set(manifest.models) == {"fp32", "int8"}
    assert set(manifest.models["int8"].gates) == {"signature", "batch_invariance", "quality", "speed"}


def test_old_readers_open_the_file(tiny_bundle: Path) -> None:
    for model in read_manifest(tiny_bundle).models.values():
        proto = onnx.load(tiny_bundle / model.file)
        assert proto.ir_version == model.ir_version <= 10
        assert max(entry.version for entry in proto.opset_import if not entry.domain) == model.opset <= 20


def test_one_file_carries_vocabulary_and_labels(tiny_bundle: Path) -> None:
    props = {entry.key: entry.value for entry in onnx.load(tiny_bundle / "onnx/model.onnx").metadata_props}
    assert json.loads(props["medclf.labels"]) == list(LABELS)
    assert props["medclf.vocabulary"].split("\n") == (tiny_bundle / "vocab.txt").read_text().splitlines()
    assert json.loads(props["medclf.normalizer"])["lowercase"] is True
    assert props["medclf.max_length"] == str(MAX_LENGTH)


def test_the_report_and_the_card_tell_the_gates_and_need_no_network(tiny_bundle: Path) -> None:
    html, card = ((tiny_bundle / name).read_text() for name in ("report.html", "README.md"))
    agreement = read_manifest(tiny_bundle).models["int8"].gates["quality"]["agreement"]
    assert f"{100 * agreement:.2f} %" in html
    assert f"{100 * agreement:.2f} %" in card
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", html)  # the names of SVG are no links
    assert "95 % intervals" in card
    assert "Can its probabilities be trusted?" in html
    assert all(name in html for name in LABELS)


def test_fp32_alone_needs_no_data(checkpoint: Path, tmp_path: Path) -> None:
    manifest = export_bundle(ExportOptions(checkpoint, tmp_path / "bundle", max_length=32))
    assert set(manifest.models) == {"fp32"}
    with Classifier.load(tmp_path / "bundle") as classifier:
        assert classifier.classify(["baba " * 50]).n_tokens.tolist() == [52]
        assert classifier.manifest.max_length == 32


def test_a_bert_is_traced_where_that_is_asked_for(
    tiny_bundle: Path, tiny_traced_bundle: Path, texts: list[str]
) -> None:
    built, traced = read_manifest(tiny_bundle).models, read_manifest(tiny_traced_bundle).models
    assert {name: model.static_shapes for name, model in built.items()} == {"fp32": False, "int8": False}
    assert {name: model.static_shapes for name, model in traced.items()} == {"fp32": True}
    operators = {node.op_type for node in onnx.load(tiny_traced_bundle / "onnx/model.onnx").graph.node}
    assert operators.isdisjoint({"NonZero", "MultiHeadAttention"})
    with (
        Classifier.load(tiny_bundle, precision="fp32") as ours,
        Classifier.load(tiny_traced_bundle) as pytorch,
    ):
        assert pytorch.logits(texts) == pytest.approx(ours.logits(texts), abs=1e-4)


def test_a_traced_bert_has_int8_and_no_fp16(checkpoint: Path, rows: Path, tmp_path: Path) -> None:
    options = ExportOptions(
        checkpoint, tmp_path / "bundle", backend="traced", quantize="on", eval_data=rows, budget=WIDE
    )
    assert set(export_bundle(options).models) == {"fp32", "int8"}
    refused(replace(options, output=tmp_path / "other", fp16=True), ExportError, "fp16: a traced graph cannot be")


def test_abstention_is_written_for_every_reader(checkpoint: Path, tmp_path: Path) -> None:
    export_bundle(ExportOptions(checkpoint, tmp_path / "bundle", abstain_below=0.6))
    assert read_manifest(tmp_path / "bundle").labels.abstain_below == 0.6
    props = {prop.key: prop.value for prop in onnx.load(tmp_path / "bundle" / "onnx" / "model.onnx").metadata_props}
    assert props["medclf.abstain_below"] == "0.6"
    assert "no label where the confidence is below 0.6" in (tmp_path / "bundle" / "README.md").read_text()
    options = ExportOptions(checkpoint, tmp_path / "other", abstain_below=60)
    refused(options, OptionError, "abstain_below is 60, expected a probability, 0 to 1")


def test_held_out_rows_come_from_the_training_record(checkpoint: Path, rows: Path, tmp_path: Path) -> None:
    record = {
        "columns": {"text": ["text"], "pair": []},
        "label_column": ["label"],
        "max_length": MAX_LENGTH,
        "splits": {
            part: {"file": str(rows), "sha256": FileRecord.of(rows.read_bytes()).sha256, "n_rows": 55, "rows": numbers}
            for part, numbers in (("validation", list(range(1, 56))), ("test", list(range(56, 111))))
        },
    }
    (checkpoint / "training.json").write_text(json.dumps(record))
    manifest = export_bundle(ExportOptions(checkpoint, tmp_path / "bundle", quantize="on", budget=WIDE))
    assert manifest.models["int8"].gates["quality"]["n"] == 110
    assert str(tmp_path) not in (tmp_path / "bundle/medclf.json").read_text()  # hashes and names, no path

    rows.write_text(rows.read_text() + "x,baba,oncology\n")
    options = ExportOptions(checkpoint, tmp_path / "again", quantize="on", budget=WIDE)
    refused(options, GateError, "names none that are still there. Pass --eval-data FILE")


def test_int8_is_refused_where_it_is_not_what_was_asked(checkpoint: Path, rows: Path, tmp_path: Path) -> None:
    def options(**budget: float) -> ExportOptions:
        limits = Budget(**{**vars(WIDE), **budget})
        return ExportOptions(checkpoint, tmp_path / "bundle", quantize="on", eval_data=rows, budget=limits)

    refused(options(min_speedup=1000), GateError, r"INT8 runs .* times as fast as fp32 .* No bundle was written")
    refused(options(min_rows=500), GateError, "at least 500 held-out rows, .*held_out.csv.* has 120")
    few = write_csv(tmp_path / "few.csv", labelled_rows(99))
    refused(replace(options(), eval_data=few), GateError, "at least 100 held-out rows, few.csv .* has 99. Pass --eval")


def test_int8_is_refused_where_it_disagrees(
    checkpoint: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shuffled(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rounded, scale = quantize_weight(weight)
        return rounded[::-1], scale  # a quantization that is wrong, and still fast

    monkeypatch.setattr("medclf_export.linear.quantize_weight", shuffled)
    options = ExportOptions(checkpoint, tmp_path / "bundle", quantize="on", eval_data=rows, budget=Budget())
    refused(options, GateError, "outside its budget on 120 held-out rows even with half of its linear layers")
    more = write_csv(tmp_path / "more.csv", labelled_rows(220))
    options = replace(options, eval_data=more)
    refused(options, GateError, "outside its budget on 110 .* even with half of its linear layers in fp32.* No bundle")
    auto = export_bundle(replace(options, quantize="auto"))
    assert set(auto.models) == {"fp32"}
    assert "even with half" in auto.refused["int8"]
    assert not (options.output / "onnx/model_quantized.onnx").exists()
    assert "even with half" in (options.output / "report.html").read_text()


# With 200 rows or more, the half that did not choose certifies.
@pytest.mark.parametrize(("n_rows", "n_certified"), [(220, 110), (120, 120)])
def test_the_layer_that_does_the_harm_stays_fp32(
    n_rows: int, n_certified: int, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = load_file(checkpoint / "model.safetensors")
    harmed = np.abs(state["bert.encoder.layer.0.intermediate.dense.weight"]).max()

    def one_bad(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rounded, scale = quantize_weight(weight)
        return (rounded[::-1] if np.abs(weight).max() == harmed else rounded), scale

    monkeypatch.setattr("medclf_export.linear.quantize_weight", one_bad)
    rows = write_csv(tmp_path / "held_out.csv", labelled_rows(n_rows))
    budget = Budget(min_agreement=88.0, max_f1_drop=15.0, min_speedup=0.0)
    options = ExportOptions(checkpoint, tmp_path / "bundle", quantize="on", eval_data=rows, budget=budget)
    quality = export_bundle(options).models["int8"].gates["quality"]
    assert quality["fp32_linears"] == ["layer_0.feed_forward_in"]
    assert (quality["n"], quality["same_rows_chose"]) == (n_certified, n_certified == n_rows)
    assert quality["agreement"] >= 0.88
    assert "layer_0.feed_forward_in" in (tmp_path / "bundle/report.html").read_text()


def test_the_temperature_is_folded_and_fp16_is_added(checkpoint: Path, rows: Path, tmp_path: Path) -> None:
    record = {"columns": {"text": ["text"], "pair": []}, "label_column": ["label"], "max_length": 32, "splits": {}}
    (checkpoint / "training.json").write_text(json.dumps(record | {"temperature": 2.5}))
    warm = export_bundle(ExportOptions(checkpoint, tmp_path / "warm", fp16=True, eval_data=rows))
    (checkpoint / "training.json").write_text(json.dumps(record))
    plain = export_bundle(ExportOptions(checkpoint, tmp_path / "plain"))
    assert (warm.temperature, plain.temperature) == (2.5, 1.0)
    assert np.array(warm.golden["fp32"]) * 2.5 == pytest.approx(np.array(plain.golden["fp32"]), abs=1e-4)
    assert warm.models["fp16"].gates["parity"]["max_difference"] < 1e-2
    assert (tmp_path / "warm/onnx/model_fp16.onnx").stat().st_size < 0.7 * (
        tmp_path / "warm/onnx/model.onnx"
    ).stat().st_size
    with (
        Classifier.load(tmp_path / "warm", provider="cpu") as best,
        Classifier.load(tmp_path / "warm", provider="cpu", precision="fp16") as half,
    ):
        assert (best.precision, half.precision) == ("fp32", "fp16")
        assert half.logits(["baba cedi"]) == pytest.approx(best.logits(["baba cedi"]), abs=2e-2)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"model_type": "vit"}, ExportError, "model_type is 'vit', expected an encoder that transformers"),
        ({"model_type": "distilbert"}, ExportError, OTHER_WEIGHTS),
        ({"hidden_act": "silu"}, ExportError, "does not support hidden_act = 'silu'"),
        ({"position_embedding_type": "relative_key"}, ExportError, "position_embedding_type = 'relative_key'"),
        ({"vocab_size": 9}, ExportError, "the tokenizer gives ids up to .* and the model has only 9 embeddings"),
        ({"num_hidden_layers": None}, ExportError, "a field that shapes the model is missing or wrong"),
        ({"num_hidden_layers": 3}, ExportError, r"weight\(s\) are missing, such as bert.encoder.layer.2"),
        ({"id2label": None, "label2id": None}, CheckpointError, "no id2label"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, CheckpointError, "placeholders"),
        ({"id2label": {"0": "a", "2": "b"}}, CheckpointError, r"ids \[0, 2\], expected 0 to 1"),
    ],
)
def test_checkpoints_that_cannot_be_exported(
    checkpoint: Path, tmp_path: Path, changes: dict[str, Any], error: type[MedclfError], match: str
) -> None:
    change_json(checkpoint / "config.json", **changes)
    refused(ExportOptions(checkpoint, tmp_path / "bundle"), error, match)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(checkpoint: Path, tmp_path: Path, name: str) -> None:
    (checkpoint / name).unlink()
    refused(ExportOptions(checkpoint, tmp_path / "bundle"), CheckpointError, f"not a checkpoint: {name} missing")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refused(ExportOptions(tmp_path / "none", tmp_path / "bundle"), CheckpointError, "none does not exist")
    (tmp_path / "file").touch()
    refused(ExportOptions(tmp_path / "file", tmp_path / "bundle"), CheckpointError, "file is a file, a folder was")


@pytest.mark.parametrize(
    ("name", "contents", "match"),
    [
        ("config.json", "{", "config.json is not JSON"),
        ("tokenizer.json", "{}", r"tokenizer.json: it cannot be read by tokenizers \d.* Take the file of the model"),
        ("tokenizer_config.json", "{", "tokenizer_config.json is not a JSON object"),
        ("special_tokens_map.json", "[1]", "special_tokens_map.json is not a JSON object"),
        ("training.json", "{}", "training.json is damaged: a field is missing or wrong"),
    ],
)
def test_a_damaged_file_is_named(checkpoint: Path, tmp_path: Path, name: str, contents: str, match: str) -> None:
    (checkpoint / name).write_text(contents)
    refused(ExportOptions(checkpoint, tmp_path / "bundle"), CheckpointError, match)


def test_an_id_beyond_the_embeddings(checkpoint: Path, tmp_path: Path) -> None:
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_bytes())
    tokenizer["model"]["vocab"]["zozo"] = 5000  # no more tokens than before, and one with an id of its own
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused(ExportOptions(checkpoint, tmp_path / "bundle"), ExportError, "gives ids up to 5000 and the model has only")


def test_a_tokenizer_that_libmedclf_cannot_mirror(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_bytes())
    tokenizer["normalizer"] = {"type": "Lowercase"}
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer))
    export_bundle(ExportOptions(checkpoint, tmp_path / "bundle"))
    assert re.search("libmedclf will not open them: the normalizer of its tokenizer is Lowercase", caplog.text)
    props = {entry.key for entry in onnx.load(tmp_path / "bundle/onnx/model.onnx").metadata_props}
    assert props == {f"medclf.{key}" for key in ("schema_version", "task", "labels", "thresholds", "abstain_below",
                                                 "max_length", "long_text")}  # fmt: skip
    with Classifier.load(tmp_path / "bundle") as classifier:
        assert classifier.predict(["baba CEDI"]) == classifier.predict(["BABA cedi"])


def test_weights_that_are_not_finite(checkpoint: Path, tmp_path: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    weights["classifier.bias"][1] = np.nan
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    refused(ExportOptions(checkpoint, tmp_path / "bundle"), ExportError, "NaN or infinity, such as classifier.bias")


def test_weights_that_are_cut_off(checkpoint: Path, tmp_path: Path) -> None:
    data = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(data[: len(data) // 2])
    refused(ExportOptions(checkpoint, tmp_path / "bundle"), ExportError, "the weights cannot be loaded")


def test_labels_that_training_never_saw(checkpoint: Path, tmp_path: Path) -> None:
    rows = labelled_rows(120)
    rows[6]["label"] = "dermatology"
    table = write_csv(tmp_path / "other.csv", rows)
    options = ExportOptions(checkpoint, tmp_path / "bundle", eval_data=table)
    refused(options, DataError, r"1 row\(s\) have 1 label\(s\) that training never saw: dermatology \(rows 7\)")


def test_an_output_that_exists_is_kept(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine.txt").write_text("keep")
    refused(ExportOptions(checkpoint, tmp_path / "bundle"), OutputError, "exists already.*--overwrite")
    assert (tmp_path / "bundle" / "mine.txt").read_text() == "keep"
    export_bundle(ExportOptions(checkpoint, tmp_path / "bundle", overwrite=True))
    assert not (tmp_path / "bundle" / "mine.txt").exists()


def test_an_output_that_cannot_be_written(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written: .*file is a file, a folder was expected"):
        export_bundle(ExportOptions(checkpoint, tmp_path / "file" / "bundle"))
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    refused(ExportOptions(checkpoint, tmp_path / "bundle"), OutputError, "no permission to write into")


def test_a_length_that_the_model_does_not_have(checkpoint: Path, tmp_path: Path) -> None:
    refused(ExportOptions(checkpoint, tmp_path / "bundle", max_length=65), OptionError, "max_length is 65, expected 3")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interruption_or_a_full_disk_leaves_nothing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(folder: Path, *_: object) -> None:
        (folder / "half").write_text("half")
        raise error

    monkeypatch.setattr(pipeline, "write_bundle", fail)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((KeyboardInterrupt, OutputError), match=r"No space left on device. Nothing was left|^$"):
        export_bundle(ExportOptions(checkpoint, tmp_path / "bundle"))
    assert sorted(tmp_path.iterdir()) == before
