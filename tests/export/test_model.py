"""Models on disk: the bytes are protobuf's, and weights outside of the file are hashed and opened like the file."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from medclf.bundle import MANIFEST, FileRecord, read_manifest
from medclf.errors import BundleError, IntegrityError
from medclf.runtime import Classifier
from medclf_export.model import Model, _varint


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Model:
    """The fp32 model of the tiny bundle, taken apart."""
    proto = onnx.load(tiny_bundle / "onnx/model.onnx")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    proto.graph.ClearField("initializer")
    return Model(proto, weights)


@given(st.integers(0, 2**40))
def test_varints_are_those_of_protobuf(value: int) -> None:
    tensor = onnx.TensorProto(dims=[value])  # tag, varint
    assert tensor.SerializeToString()[1:] == _varint(value)


def test_the_file_is_what_protobuf_would_write(model: Model, tmp_path: Path) -> None:
    paths = model.save(tmp_path / "new" / "model.onnx")
    assert [path.name for path in paths] == ["model.onnx"]
    assert paths[0].read_bytes() == model.to_bytes()
    proto = onnx.load(paths[0])
    onnx.checker.check_model(proto)
    assert proto.metadata_props == model.proto.metadata_props
    assert proto.graph.node == model.proto.graph.node
    for tensor in proto.graph.initializer:
        assert numpy_helper.to_array(tensor).dtype == model.weights[tensor.name].dtype
        assert (numpy_helper.to_array(tensor) == model.weights[tensor.name]).all()
    assert {tensor.name for tensor in proto.graph.initializer} == set(model.weights)


@pytest.fixture
def split_bundle(tiny_bundle: Path, model: Model, tmp_path: Path) -> Path:
    """The tiny bundle with the weights of fp32 in a second file, as a model over 2 GB has them."""
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    paths = model.save(bundle / "onnx/model.onnx", size_limit=10_000)
    assert [path.name for path in paths] == ["model.onnx", "model.onnx_data"]
    assert paths[0].stat().st_size < paths[1].stat().st_size
    manifest = read_manifest(bundle)
    names = ["onnx/model.onnx", "onnx/model.onnx_data"]
    fp32 = replace(manifest.models["fp32"], data_file=names[1])
    files = manifest.files | {name: FileRecord.of_file(bundle / name) for name in names}
    changed = replace(manifest, models={**manifest.models, "fp32": fp32}, files=files)
    (bundle / MANIFEST).write_text(changed.to_json())
    return bundle


def logits(bundle: Path, texts: list[str]) -> np.ndarray:
    with Classifier.load(bundle, provider="cpu", precision="fp32", threads=1) as classifier:
        return classifier.logits(texts)


def test_weights_in_a_second_file_give_the_same_answers(
    split_bundle: Path, tiny_bundle: Path, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert logits(split_bundle, texts[:8]) == pytest.approx(logits(tiny_bundle, texts[:8]), abs=1e-6)


@pytest.mark.parametrize("fault", ["changed", "missing", "unlisted", "elsewhere", "undeclared"])
def test_weights_that_were_not_checked_are_not_opened(split_bundle: Path, fault: str) -> None:
    data, manifest = split_bundle / "onnx/model.onnx_data", read_manifest(split_bundle)
    model = manifest.models["fp32"]
    if fault == "changed":
        contents = bytearray(data.read_bytes())
        contents[100] ^= 1
        data.write_bytes(contents)
    elif fault == "missing":
        data.unlink()
    elif fault == "unlisted":
        manifest = replace(manifest, files={name: one for name, one in manifest.files.items() if "_data" not in name})
    elif fault == "elsewhere":
        manifest = replace(manifest, models={"fp32": replace(model, data_file="../model.onnx_data")})
    else:  # the file names weights that the manifest does not: they lie beside it, and are not taken
        manifest = replace(manifest, models={"fp32": replace(model, data_file=None)})
    (split_bundle / MANIFEST).write_text(manifest.to_json())
    errors = {"changed": "SHA-256", "missing": "cannot be read", "unlisted": "no hash is listed",
              "elsewhere": "leaves the bundle", "undeclared": "cannot be opened by onnxruntime"}  # fmt: skip
    with pytest.raises((IntegrityError, BundleError), match=errors[fault]):
        logits(split_bundle, ["baba"])
