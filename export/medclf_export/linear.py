"""Linear layers of the graph, in fp32 and in INT8 with one activation scale a token.

INT8 follows two rules. Every row (token) is quantized by its own largest magnitude, so that a text gets the same answer
alone and in any batch. Weights take 7 of their 8 bits: the AVX2 kernel adds two products of a uint8 and an int8 in
int16, and 2 * 255 * 64 = 32,640 cannot saturate there (32,767).
"""

from dataclasses import dataclass

import numpy as np

from medclf_export.graph import ORT_DOMAIN, Graph
from medclf_export.model import Array

WEIGHT_LIMIT = 63  # symmetric 7 bits


@dataclass(frozen=True)
class Linear:
    """Weights of a linear layer, as PyTorch keeps them.

    Attributes:
        weight: float32 [out, in].
        bias: float32 [out].
    """

    weight: Array
    bias: Array

    @classmethod
    def stacked(cls, *layers: "Linear") -> "Linear":
        """Make one layer of several that share their input; its outputs lie side by side."""
        weight = np.concatenate([layer.weight for layer in layers])
        return cls(weight, np.concatenate([layer.bias for layer in layers]))


@dataclass(frozen=True)
class Rows:
    """A float value of the graph and, where an INT8 layer reads it, its quantized form.

    Attributes:
        value: float32 [rows, width].
        quantized: uint8 [rows, width]; empty in fp32.
        scale: float32 [rows, 1]; value is about (quantized - zero) * scale. Empty in fp32.
        zero: The integer that means 0.
    """

    value: str
    quantized: str = ""
    scale: str = ""
    zero: int = 0


def quantize_weight(weight: Array) -> tuple[Array, Array]:
    """Round a weight to 7 bits, each output channel by its own largest magnitude.

    Args:
        weight: float32 [in, out].

    Returns:
        int8 [in, out] within [-63, 63], and float32 [out] scales; weight is about the first times the second.
    """
    scale = np.abs(weight).max(axis=0) / WEIGHT_LIMIT
    scale[scale == 0] = 1.0
    rounded = np.clip(np.rint(weight / scale), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return rounded.astype(np.int8), scale.astype(np.float32)


def quantize_embeddings(table: Array) -> tuple[Array, Array]:
    """Round embeddings to 8 bits, each row by its own largest magnitude.

    Args:
        table: float32 [entries, width].

    Returns:
        int8 [entries, width] within [-127, 127], and float32 [entries] scales.
    """
    scale = np.abs(table).max(axis=1) / 127
    scale[scale == 0] = 1.0
    return np.rint(table / scale[:, None]).astype(np.int8), scale.astype(np.float32)


@dataclass(frozen=True)
class Range:
    """How activations are mapped to uint8: `quantized = value / scale + zero`, each row with a scale of its own.

    Attributes:
        zero: The integer that means 0.
        levels: Steps from 0 to the row's largest value (magnitude, where `floor` is 0).
        floor: The activation never goes below minus this; 0 for one that is symmetric.
    """

    zero: int
    levels: int
    floor: float


SYMMETRIC = Range(zero=128, levels=127, floor=0.0)
# GELU is never below -0.17 (Hendrycks and Gimpel 2016: its minimum is -0.16997): 32 steps are enough for that side,
# and leave 223 for the other one, where 127 would be.
AFTER_GELU = Range(zero=32, levels=223, floor=0.17)
AFTER_RELU = Range(zero=0, levels=255, floor=1e-6)


def quantize_rows(graph: Graph, value: str, zeros: str, range_: Range = SYMMETRIC) -> Rows:
    """Quantize each row by its own largest value.

    A row of zeros has scale 0 where the range is symmetric: whatever integers the division by zero gives, they are
    multiplied by 0 again.

    Args:
        graph: Where to add the nodes.
        value: float32 [rows, width].
        zeros: uint8 [rows]; `range_.zero` for each row.
        range_: How values are mapped.

    Returns:
        The value in both forms.
    """
    magnitude = value if range_.floor else graph.add("Abs", [value], f"{value}_abs")
    largest = graph.add("ReduceMax", [magnitude, graph.int64(1)], f"{value}_max")
    step = graph.constant(f"step_{range_.levels}", np.float32(1 / range_.levels))
    scale = graph.add("Mul", [largest, step], f"{value}_scale")
    if range_.floor:  # the scale is large enough for the lowest value too, so that nothing is cut off
        least = graph.constant(f"least_{range_.zero}", np.float32(range_.floor / max(1, range_.zero)))
        scale = graph.add("Max", [scale, least], f"{value}_safe_scale")
    # One scale a row: QuantizeLinear along axis 0 divides and rounds in a single pass.
    per_row = graph.add("Reshape", [scale, graph.int64(-1)], f"{value}_scales")
    quantized = graph.add("QuantizeLinear", [value, per_row, zeros], f"{value}_quantized", axis=0)
    return Rows(value, quantized, scale, range_.zero)


def zero_points(graph: Graph, like: str, zero: int) -> str:
    """Give a zero point for every row, once a run.

    Args:
        graph: Where to add the nodes.
        like: Any 1-D value with one entry a row.
        zero: The zero point.

    Returns:
        Name of the result, uint8 [rows].
    """
    output = f"{like}_zeros_{zero}"
    if graph.has(output):
        return output
    value = graph.constant(f"zero_{zero}", np.array([zero], np.uint8))
    return graph.add("Expand", [value, graph.add("Shape", [like], f"{output}_shape")], output)


def linear(graph: Graph, rows: Rows, layer: Linear, output: str) -> str:
    """Add `rows @ weight.T + bias`, in INT8 where the rows are quantized.

    Args:
        graph: Where to add the nodes.
        rows: float32 [rows, in].
        layer: The weights.
        output: Name of the result.

    Returns:
        Name of the result, float32 [rows, out].
    """
    bias = graph.constant(f"{output}_bias", layer.bias)
    if not rows.quantized:
        return graph.add("Gemm", [rows.value, graph.constant(f"{output}_weight", layer.weight.T), bias], output)
    product = f"{output}_product"
    scaled = int8_product(graph, rows, layer.weight.T, (f"{product}_weight", f"{product}_scale"), product)
    return graph.add("Add", [scaled, bias], output)


def int8_product(graph: Graph, rows: Rows, weight: Array, names: tuple[str, str], output: str) -> str:
    """Add `rows @ weight` of quantized rows.

    Args:
        graph: Where to add the nodes.
        rows: Quantized, [rows, in].
        weight: float32 [in, out].
        names: Of the constants: the rounded weight, its scales. Products that share a weight share them.
        output: Name of the result.

    Returns:
        Name of the result, float32 [rows, out].
    """
    rounded, scale = quantize_weight(weight)
    inputs = [
        rows.quantized,
        graph.constant(names[0], rounded),
        graph.constant("one", np.array(1.0, np.float32)),  # the rows' own scales come after the integer product
        graph.constant(names[1], scale),
        graph.constant(f"zero_{rows.zero}", np.array([rows.zero], np.uint8)),
        graph.constant(f"zeros_{len(scale)}", np.zeros(len(scale), np.int8)),
    ]
    unscaled = graph.add("MatMulIntegerToFloat", inputs, f"{output}_unscaled", domain=ORT_DOMAIN)
    return graph.add("Mul", [unscaled, rows.scale], output)
