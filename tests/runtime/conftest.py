"""Small graphs made by hand, for what a real bundle never shows."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from medclf.labels import Labels


@pytest.fixture(scope="session")
def graph() -> Callable[..., bytes]:
    """A model of 3 labels whose logits are the sum of a text's token ids, times `scale`, plus 0, 1 and 2."""
    from onnx import TensorProto, helper

    def make(
        inputs: Sequence[str] = ("input_ids", "attention_mask"),
        output: str = "logits",
        scale: float = 1.0,
    ) -> bytes:
        constants = [
            helper.make_tensor("scale", TensorProto.FLOAT, [1], [scale]),
            helper.make_tensor("steps", TensorProto.FLOAT, [3], [0.0, 1.0, 2.0]),
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
        ]
        nodes = [
            helper.make_node("ReduceSum", [inputs[0], "axes"], ["sum"], keepdims=1),
            helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["float", "scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", "steps"], [output]),
        ]
        given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs]
        taken = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 3])]
        made = helper.make_graph(nodes, "sum", given, taken, constants)
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()

    return make


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def tiny_multi_label_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle as one of several labels a text, with a threshold for each."""
    folder = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("several") / "bundle"))
    manifest = json.loads((folder / "medclf.json").read_bytes())
    labels = Labels(tuple(manifest["labels"]), "multi_label_classification", (0.5, 0.25, 0.75))
    manifest |= {"task": labels.task, "thresholds": list(labels.thresholds or ()), "labels_sha256": labels.sha256}
    (folder / "medclf.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
