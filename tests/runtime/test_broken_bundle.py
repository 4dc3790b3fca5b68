"""Every way to break a bundle: the classifier refuses it and says why, and the verification finds it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medclf.bundle import MANIFEST, FileRecord, read_manifest
from medclf.errors import BundleError, BundleVersionError, IntegrityError, ProviderError
from medclf.runtime import Classifier
from medclf.runtime.verify import verify

MODEL, QUANTIZED, TOKENIZER = "onnx/model.onnx", "onnx/model_quantized.onnx", "tokenizer.json"


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest))


def replace_file(bundle: Path, name: str, data: bytes) -> None:
    """Replace a file and its hash, as who damages a bundle with care would."""
    (bundle / name).write_bytes(data)
    record = FileRecord.of(data)
    edit(bundle, lambda m: m["files"].update({name: {"sha256": record.sha256, "size_bytes": record.size_bytes}}))


def flip(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)


def refused(bundle: Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Classifier.load(bundle, provider="cpu")
    assert not all(check.passed for check in verify(bundle))


@pytest.mark.parametrize("name", [QUANTIZED, TOKENIZER])
def test_a_byte_flipped(bundle: Path, name: str) -> None:
    flip(bundle, name)
    refused(bundle, IntegrityError, f"{re.escape(name)} has the right size and the wrong SHA-256")


@pytest.mark.parametrize("name", [QUANTIZED, TOKENIZER])
def test_a_file_cut_short(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes((bundle / name).read_bytes()[:-100])
    refused(bundle, IntegrityError, f"{re.escape(name)} has [0-9,]+ bytes, medclf.json says [0-9,]+")


@pytest.mark.parametrize("name", [QUANTIZED, TOKENIZER])
def test_a_file_missing(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    refused(bundle, IntegrityError, f"{re.escape(name)} cannot be read: No such file")


def test_the_fp32_model_is_checked_when_it_is_used(bundle: Path) -> None:
    flip(bundle, MODEL)
    with pytest.raises(IntegrityError, match="wrong SHA-256"):
        Classifier.load(bundle, provider="cpu", precision="fp32")


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_static_shapes_that_are_no_truth_value(bundle: Path, value: object) -> None:
    edit(bundle, lambda m: m["models"]["fp32"].update(static_shapes=value))
    refused(bundle, BundleError, "static_shapes of fp32 is neither true nor false. The bundle is damaged")


def test_a_bundle_that_does_not_tell_whether_shapes_are_static(bundle: Path) -> None:
    edit(bundle, lambda m: [model.pop("static_shapes") for model in m["models"].values()])
    assert not any(model.static_shapes for model in read_manifest(bundle).models.values())
    assert all(check.passed for check in verify(bundle))
    with pytest.raises(ProviderError, match="or was exported before medclf recorded it"):
        Classifier.load(bundle, provider="cuda", cuda_graphs=True)


def test_a_tokenizer_that_is_not_listed(bundle: Path) -> None:
    edit(bundle, lambda m: m["files"].pop(TOKENIZER))
    refused(bundle, IntegrityError, r"tokenizer\.json is not listed in medclf\.json")


def test_a_tokenizer_that_is_none(bundle: Path) -> None:
    replace_file(bundle, TOKENIZER, b"{}")
    refused(bundle, BundleError, r"tokenizer\.json: it cannot be read by tokenizers .* Update")


def test_a_tokenizer_of_another_kind(bundle: Path) -> None:
    tokenizer = json.loads((bundle / TOKENIZER).read_bytes())
    replace_file(bundle, TOKENIZER, json.dumps({**tokenizer, "post_processor": None}).encode())
    refused(bundle, BundleError, r"does not add special tokens as BERT .* or RoBERTa")


def test_a_model_that_is_none(bundle: Path) -> None:
    replace_file(bundle, QUANTIZED, b"not a model")
    refused(bundle, BundleError, r"model_quantized\.onnx cannot be opened by onnxruntime")


def test_a_model_of_another_training(bundle: Path, graph: Callable[..., bytes]) -> None:
    replace_file(bundle, QUANTIZED, graph())  # opens, has 3 labels, and answers something else
    checks = {check.name: check for check in verify(bundle)}
    assert checks["int8 opens"].passed
    assert checks["fp32 golden texts"].passed
    assert not checks["int8 golden texts"].passed
    assert re.search(r"logits differ by up to .* at most .* is allowed", checks["int8 golden texts"].detail)


def test_no_manifest(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()
    refused(bundle, BundleError, r"is not a bundle: it has no medclf\.json")


def test_no_folder(tmp_path: Path) -> None:
    refused(tmp_path / "absent", BundleError, "is not a bundle: it does not exist")


def test_a_manifest_that_is_not_json(bundle: Path) -> None:
    (bundle / MANIFEST).write_text((bundle / MANIFEST).read_text()[:-20])
    refused(bundle, BundleError, "is not JSON")


@pytest.mark.parametrize(
    "field", ["task", "labels", "thresholds", "columns", "max_length", "models", "files", "golden"]
)
def test_a_field_missing(bundle: Path, field: str) -> None:
    edit(bundle, lambda m: m.pop(field))
    refused(bundle, BundleError, f"field '{field}' is missing")


def test_a_field_of_a_later_medclf(bundle: Path) -> None:
    expected = read_manifest(bundle)
    edit(bundle, lambda m: m.update(later=1, models={name: {**one, "later": 1} for name, one in m["models"].items()}))
    assert read_manifest(bundle) == expected


def test_a_field_of_the_wrong_type(bundle: Path) -> None:
    edit(bundle, lambda m: m.update(max_length="long"))
    refused(bundle, BundleError, "a field has the wrong type or value")


@pytest.mark.parametrize("below", [1.5, "high", [0.5]])
def test_abstention_that_is_no_probability(bundle: Path, below: object) -> None:
    edit(bundle, lambda m: m.update(abstain_below=below))
    refused(bundle, BundleError, "a field has the wrong type or value")


def test_a_bundle_without_a_word_on_abstention(bundle: Path) -> None:
    edit(bundle, lambda m: m.pop("abstain_below"))
    with Classifier.load(bundle) as classifier:
        assert classifier.labels.abstain_below is None


def test_a_newer_schema(bundle: Path) -> None:
    edit(bundle, lambda m: m.update(schema_version=99))
    refused(bundle, BundleVersionError, "has schema version 99, this medclf reads 1")


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/model.onnx", "onnx\\model.onnx"])
def test_a_path_that_leaves_the_bundle(bundle: Path, path: str) -> None:
    def move(manifest: dict[str, Any]) -> None:
        manifest["models"]["fp32"]["file"] = path
        manifest["files"][path] = manifest["files"][MODEL]

    edit(bundle, move)
    refused(bundle, BundleError, "leaves the bundle")


def test_labels_edited(bundle: Path) -> None:
    edit(bundle, lambda m: m["labels"].reverse())
    refused(bundle, BundleError, "labels_sha256 is not the hash of the labels")


def test_golden_logits_edited(bundle: Path) -> None:
    edit(bundle, lambda m: m["golden"]["fp32"][0].__setitem__(0, 99.0))
    assert [check.name for check in verify(bundle) if not check.passed] == ["fp32 golden texts"]


def test_no_golden_logits(bundle: Path) -> None:
    edit(bundle, lambda m: m.update(golden={}))
    failed = {check.name: check.detail for check in verify(bundle) if not check.passed}
    assert sorted(failed) == ["fp32 golden texts", "int8 golden texts"]
    assert "records logits of shape [0]" in failed["fp32 golden texts"]


def test_a_damaged_model_does_not_stop_the_check_of_the_other(bundle: Path) -> None:
    flip(bundle, QUANTIZED)
    checks = {check.name: check.passed for check in verify(bundle)}
    assert checks[QUANTIZED] is False
    assert checks["fp32 golden texts"] is True
    assert "int8 opens" not in checks


def test_a_whole_bundle_passes(tiny_bundle: Path) -> None:
    checks = verify(tiny_bundle)
    assert all(check.passed for check in checks)
    listed = json.loads((tiny_bundle / MANIFEST).read_text())["files"]
    models = [
        f"{precision} {what}" for precision in ("fp32", "int8") for what in ("opens", "golden texts", "operators")
    ]
    assert sorted(check.name for check in checks) == sorted(["manifest", *listed, *models])
