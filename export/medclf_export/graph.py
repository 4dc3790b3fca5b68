"""A small writer of ONNX graphs: nodes and constants, a node called after its first output."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from medclf_export.model import Array, Model
from medclf_export.signature import Signature

OPSET = 20  # the first with Gelu; ONNX Runtime 1.19 opens it
IR_VERSION = 10  # the newest that ONNX Runtime 1.19 opens
ORT_DOMAIN = "com.microsoft"  # ONNX Runtime's own operators


class Graph:
    """Collects nodes and constants; every method gives back the name of the value it adds."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Add a constant once; a name that is there already must mean the same value.

        Args:
            name: Its name.
            value: Any shape and dtype.

        Returns:
            The name.
        """
        if name not in self._constants:
            self._constants[name] = np.asarray(value)
        return name

    def int64(self, *values: int) -> str:
        """Add a 1-D int64 constant, named after its values."""
        return self.constant("int64_" + "_".join(map(str, values)).replace("-", "m"), np.array(values, np.int64))

    def scalar(self, value: int) -> str:
        """Add an int64 constant without a dimension, named after its value."""
        return self.constant(f"scalar_{value}".replace("-", "m"), np.array(value, np.int64))

    def add(self, op: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output.

        Args:
            op: The operator.
            inputs: Names of values; an empty name leaves an optional input out.
            output: Name of the output, unique in the graph.
            domain: `ORT_DOMAIN` for ONNX Runtime's own operators.
            **attributes: Of the operator.

        Returns:
            The name of the output.
        """
        self._nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def copy(self, node: onnx.NodeProto) -> None:
        """Add a node of another graph as it is; its inputs must be there by the same names."""
        self._nodes.append(node)

    def has(self, output: str) -> bool:
        """Say whether a node with this output was added."""
        return any(node.name == output for node in self._nodes)

    def model(self, signature: Signature, metadata: Mapping[str, str]) -> Model:
        """Close the graph.

        Args:
            signature: Its inputs and its output.
            metadata: The `metadata_props`.

        Returns:
            The model.
        """
        axes = ["batch", "sequence"]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in signature.inputs]
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", signature.n_labels])
        graph = helper.make_graph(self._nodes, "medclf", inputs, [logits])
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ORT_DOMAIN, 1)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="medclf")
        helper.set_model_props(proto, dict(metadata))
        return Model(proto, self._constants)
