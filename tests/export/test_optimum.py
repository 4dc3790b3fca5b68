"""The route through Optimum, whose exporter is stood in for by a graph of ours: it has an environment of its own."""

import json
import shutil
import sys
from pathlib import Path

import onnx
import pytest

from medclf.errors import ExportError, ExtraError, GateError
from medclf.runtime import Classifier
from medclf_export import optimum
from medclf_export.pipeline import ExportOptions, export_bundle


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path) -> None:
    """Optimum, as it would export the tiny checkpoint: fp32, without a temperature, of an older opset."""

    def export(_: Path, __: Path) -> onnx.ModelProto:
        model = onnx.load(tiny_bundle / "onnx/model.onnx")
        model.ir_version, model.producer_name = 9, "pytorch"
        return model

    monkeypatch.setattr(optimum, "export_optimum", export)


@pytest.mark.usefixtures("exporter")
def test_its_graph_passes_the_gates_with_the_temperature_folded_in(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path, texts: list[str]
) -> None:
    checkpoint = Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))
    record = {"columns": {"text": ["text"], "pair": []}, "label_column": ["label"], "max_length": 64, "splits": {}}
    (checkpoint / "training.json").write_text(json.dumps(record | {"temperature": 2.5}))
    options = ExportOptions(checkpoint, tmp_path / "bundle", backend="optimum", quantize="auto")
    manifest = export_bundle(options)
    assert set(manifest.models) == {"fp32"}
    assert "INT8: the graph of backend optimum has no linear layer" in manifest.refused["int8"]
    assert (manifest.models["fp32"].opset, manifest.models["fp32"].ir_version) == (20, 9)
    assert manifest.models["fp32"].gates["signature"]["producer"] == "pytorch"
    props = {one.key: one.value for one in onnx.load(tmp_path / "bundle/onnx/model.onnx").metadata_props}
    assert json.loads(props["medclf.labels"]) == list(manifest.labels.names)
    with Classifier.load(tmp_path / "bundle") as warm, Classifier.load(tiny_bundle, precision="fp32") as plain:
        assert warm.logits(texts) * 2.5 == pytest.approx(plain.logits(texts), abs=1e-4)


@pytest.mark.usefixtures("exporter")
@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        ({"quantize": "on"}, GateError, "has no linear layer .* or use --backend medclf, which makes .* No bundle was"),
        ({"fp16": True}, ExportError, "There is no fp16 with backend optimum: .* Use --backend medclf"),
    ],
)
def test_other_precisions_are_refused(
    tiny_checkpoint: Path, tmp_path: Path, asked: dict[str, object], error: type[ExportError], match: str
) -> None:
    with pytest.raises(error, match=match):
        export_bundle(ExportOptions(tiny_checkpoint, tmp_path / "bundle", backend="optimum", **asked))
    assert not any(tmp_path.iterdir())


def test_optimum_that_is_not_installed(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optimum", None)  # an import of it fails
    with pytest.raises(ExtraError, match=r"optimum.* is not installed.*pip install 'medclf\[optimum\]'"):
        export_bundle(ExportOptions(tiny_checkpoint, tmp_path / "bundle", backend="optimum"))
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_that_optimum_cannot_export(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exporter:
        @staticmethod
        def main_export(*_: object, **__: object) -> None:
            raise ValueError("CANARY-7f3a")

    monkeypatch.setattr(optimum, "require", lambda *_, **__: Exporter)
    with pytest.raises(ExportError, match=r"Optimum cannot export it \(ValueError\). Try --backend medclf") as caught:
        export_bundle(ExportOptions(tiny_checkpoint, tmp_path / "bundle", backend="optimum"))
    assert "CANARY" not in str(caught.value)
