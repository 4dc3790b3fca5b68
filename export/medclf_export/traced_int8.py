"""INT8 in a traced graph: which of its products are linear layers over tokens, and the graph with some of them INT8.

The arithmetic is that of `linear.py`. A layer's bias stays where the trace has it, after the product.
"""

import re
from collections import Counter
from collections.abc import Iterable, Set

import numpy as np
import onnx
from onnx import numpy_helper

from medclf_export.encoder import AFTER
from medclf_export.graph import Graph
from medclf_export.linear import SYMMETRIC, Rows, int8_product, quantize_rows, zero_points

# A product in a list of layers: /model/deberta/encoder/layer.0/attention/self/query_proj/MatMul. Where ALBERT runs the
# same layer again, PyTorch adds a number to the name.
IN_LAYER = re.compile(r"/.*?\.\d+/(?P<kind>.+?)(_\d+)?/MatMul(_\d+)?")


def linears(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Find the linear layers that can be INT8.

    They multiply tokens by a weight, inside of a layer of the encoder: embeddings, pooler, head, and what a layer makes
    of positions alone are left out.

    Args:
        graph: As PyTorch traced it.

    Returns:
        Name -> product, in the order in which they run. The n-th product of a kind is that of layer n:
        `layer_0.attention.self.query_proj`.
    """
    weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    weights |= {node.output[0] for node in graph.node if node.op_type == "Identity" and node.input[0] in weights}
    tokens = {value.name for value in graph.input}
    found: dict[str, onnx.NodeProto] = {}
    n_found = Counter[str]()
    for node in graph.node:
        if node.op_type == "Shape" or tokens.isdisjoint(node.input):
            continue
        tokens.update(node.output)
        match = IN_LAYER.fullmatch(node.name)
        if node.op_type == "MatMul" and match and node.input[1] in weights:
            kind = match["kind"].replace("/", ".")
            found[f"layer_{n_found[kind]}.{kind}"] = node
            n_found[kind] += 1
    return found


def rebuild(graph: onnx.GraphProto, int8: Set[str]) -> Graph:
    """Copy a traced graph with some of its linear layers in INT8.

    Args:
        graph: As PyTorch traced it.
        int8: Names of `linears`; none of them makes a plain copy.

    Returns:
        The graph, without what nothing needs any more.
    """
    chosen = {node.name for name, node in linears(graph).items() if name in int8}
    products = _Products(graph)
    kept = _needed(graph, chosen)
    for tensor in graph.initializer:
        if tensor.name in kept:
            products.graph.constant(tensor.name, numpy_helper.to_array(tensor))
    for node in graph.node:
        if node.name in chosen:
            products.add(node)
        elif kept.intersection(node.output):
            products.graph.copy(node)
    return products.graph


class _Products:
    """Writes INT8 products; those that share their left side quantize it once, those that share a weight keep one."""

    def __init__(self, traced: onnx.GraphProto) -> None:
        self.graph = Graph()
        self._weights = {tensor.name: tensor for tensor in traced.initializer}
        self._makers = {name: node for node in traced.node for name in node.output}
        self._rows: dict[str, Rows] = {}

    def add(self, product: onnx.NodeProto) -> None:
        """Write `left @ weight`, [..., in] -> [..., out], under the name that it has in the trace."""
        graph, (left, weight), output = self.graph, product.input, product.output[0]
        while weight not in self._weights:  # a weight of several layers reaches the later ones by Identity
            weight = self._makers[weight].input[0]
        values = numpy_helper.to_array(self._weights[weight]).astype(np.float32)
        n_in, n_out = values.shape
        names = (f"{weight}_int8", f"{weight}_scale")
        scaled = int8_product(graph, self._quantized(left, n_in), values, names, f"{output}_rows")
        shape = graph.add("Concat", [f"{left}_leading", graph.int64(n_out)], f"{output}_shape", axis=0)
        graph.add("Reshape", [scaled, shape], output)

    def _quantized(self, left: str, width: int) -> Rows:
        """[..., in] -> quantized [rows, in]; its leading axes are kept as `<left>_leading`."""
        if left not in self._rows:
            graph = self.graph
            graph.add("Shape", [left], f"{left}_leading", start=0, end=-1)
            rows = graph.add("Reshape", [left, graph.int64(-1, width)], f"{left}_rows")
            first = graph.add("Gather", [rows, graph.scalar(0)], f"{left}_first", axis=1)
            maker = self._makers.get(left)
            range_ = AFTER.get(maker.op_type, SYMMETRIC) if maker else SYMMETRIC
            self._rows[left] = quantize_rows(graph, rows, zero_points(graph, first, range_.zero), range_)
        return self._rows[left]


def _needed(graph: onnx.GraphProto, replaced: Iterable[str]) -> set[str]:
    """Name every value that is still read when these products no longer read their weights."""
    needed = {value.name for value in graph.output}
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input[:1] if node.name in replaced else _read(node))
    return needed


def _read(node: onnx.NodeProto) -> set[str]:
    """Name every value that a node reads, its branches included."""
    branches = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    return {*node.input}.union(*(_read(inner) for branch in branches for inner in branch.node))
