"""The graph as Optimum's own exporter makes it, for those who ask for it; the gates are ours.

Needs `medclf[optimum]`, which pins transformers below 4.58. The file has the standard signature, but padding is
computed, and there is no INT8 of ours: its linear layers are not built by `linear.py`.
"""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import transformers
from onnx import helper, numpy_helper

from medclf.errors import ExportError
from medclf.extras import require
from medclf.train.checkpoint import Checkpoint
from medclf_export.checkpoint_model import CheckpointModel
from medclf_export.model import Model
from medclf_export.signature import Signature
from medclf_export.traced import signature_of

AXES = {"batch_size": "batch", "sequence_length": "sequence"}  # Optimum's names of the dynamic axes -> ours
OPSET = 18  # the lowest that Optimum recommends for BERT


@dataclass(frozen=True)
class Optimum:
    """The route through Optimum; it exports once, when its graph is first asked for.

    Attributes:
        checkpoint: What to export.
        model: The same in PyTorch.
        temperature: Divisor of the logits.
    """

    checkpoint: Checkpoint
    model: CheckpointModel
    temperature: float = 1.0

    @property
    def linears(self) -> tuple[str, ...]:
        """No linear layer can be INT8."""
        return ()

    @cached_property
    def signature(self) -> Signature:
        """What the graph takes and gives; token types where Optimum gives it such an input."""
        inputs = tuple(value.name for value in self._exported.proto.graph.input)
        where = str(self.checkpoint.folder / "config.json")
        signature = signature_of(self.model, n_labels=len(self.checkpoint.labels), where=where)
        return replace(signature, inputs=inputs, n_types=signature.n_types if "token_type_ids" in inputs else 1)

    def build(self, metadata: Mapping[str, str], *, int8: Set[str] = frozenset(), half: bool = False) -> Model:
        """Give the graph that Optimum made, with the temperature folded in.

        Args:
            metadata: The `metadata_props`.
            int8: Must be empty.
            half: Must be False.

        Returns:
            The model.

        Raises:
            ExportError: Optimum cannot export the checkpoint, or another precision than fp32 was asked for.
        """
        if int8 or half:
            raise ExportError(
                f"There is no {'fp16' if half else 'INT8'} with backend optimum: medclf makes it of graphs of "
                "its own. Use --backend medclf, or leave the precision out."
            )
        proto, weights = onnx.ModelProto(), dict(self._exported.weights)
        proto.CopyFrom(self._exported.proto)
        if self.temperature != 1:
            weights["temperature"] = np.array(self.temperature, dtype=np.float32)
            _divide_logits(proto.graph, "temperature")
        helper.set_model_props(proto, dict(metadata))
        return Model(proto, weights)

    @cached_property
    def _exported(self) -> Model:
        with tempfile.TemporaryDirectory() as folder:
            proto = export_optimum(self.checkpoint.folder, Path(folder))
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        proto.graph.ClearField("initializer")
        return Model(proto, weights)


def _divide_logits(graph: onnx.GraphProto, divisor: str) -> None:
    for node in graph.node:
        node.output[:] = ["logits_uncalibrated" if name == "logits" else name for name in node.output]
    graph.node.append(helper.make_node("Div", ["logits_uncalibrated", divisor], ["logits"], name="calibrate_logits"))


def export_optimum(checkpoint: Path, folder: Path) -> onnx.ModelProto:
    """Export a classifier through Optimum, without a look at the hub.

    Args:
        checkpoint: A Hugging Face folder of a classifier.
        folder: An empty folder, for the files that Optimum writes.

    Returns:
        The graph, `input_ids`, `attention_mask` and, if the model has it, `token_type_ids` -> `logits`, as yet
        unproved.

    Raises:
        ExtraError: Optimum is not installed.
        ExportError: Optimum fails.
    """
    exporter = require("optimum.exporters.onnx", extra="optimum")
    transformers.utils.logging.set_verbosity_error()
    talk = io.StringIO()  # warnings of the tracer: our gates tell what came of it
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
            warnings.simplefilter("ignore")
            exporter.main_export(
                str(checkpoint),
                output=folder,
                task="text-classification",
                opset=OPSET,
                library_name="transformers",
                local_files_only=True,
                do_validation=False,  # it only warns of a difference; our gates refuse it
            )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ExportError(
            f"{checkpoint}: Optimum cannot export it ({type(error).__name__}). Try --backend medclf."
        ) from error
    model = onnx.load(folder / "model.onnx")
    for value in (*model.graph.input, *model.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = AXES.get(axis.dim_param, axis.dim_param)
    return model
