"""Linear layers of the graph, in fp32 and in INT8 with one activation scale a token.

INT8 follows two rules. Every row (token) is quantized by its own largest magnitude, so that a text gets the same answer
alone and in any batch. Weights take 7 of their 8 bits: the AVX2 kernel adds two products of a uint8 and an int8 in
int16, and 2 * 255 * 64 = 32,640 cannot saturate there (32,767).
"""

from dataclasses import dataclass

import numpy as np

from medclf_export.graph import ORT_DOMAIN, Array, Graph

WEIGHT_LIMIT = 63  # symmetric 7 bits
ACTIVATION_LIMIT = 127  # symmetric around the zero point
ACTIVATION_ZERO = 128  # uint8


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
        scale: float32 [rows, 1]; value is about (quantized - 128) * scale. Empty in fp32.
    """

    value: str
    quantized: str = ""
    scale: str = ""


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


def quantize_rows(graph: Graph, value: str, zeros: str) -> Rows:
    """Quantize each row by its own largest magnitude.

    A row of zeros has scale 0: whatever integers the division by zero gives, they are multiplied by 0 again.

    Args:
        graph: Where to add the nodes.
        value: float32 [rows, width].
        zeros: uint8 [rows]; `ACTIVATION_ZERO` for each row.

    Returns:
        The value in both forms.
    """
    magnitude = graph.add("ReduceMax", [graph.add("Abs", [value], f"{value}_abs"), graph.int64(1)], f"{value}_max")
    limit = graph.constant("activation_limit", np.array(1 / ACTIVATION_LIMIT, np.float32))
    scale = graph.add("Mul", [magnitude, limit], f"{value}_scale")
    # One scale a row: QuantizeLinear along axis 0 divides and rounds in a single pass.
    per_row = graph.add("Reshape", [scale, graph.int64(-1)], f"{value}_scales")
    return Rows(value, graph.add("QuantizeLinear", [value, per_row, zeros], f"{value}_quantized", axis=0), scale)


def zero_points(graph: Graph, like: str, output: str) -> str:
    """Give the zero point of every row, once a run.

    Args:
        graph: Where to add the nodes.
        like: Any 1-D value with one entry a row.
        output: Name of the result.

    Returns:
        Name of the result, uint8 [rows].
    """
    zero = graph.constant("activation_zero", np.array([ACTIVATION_ZERO], np.uint8))
    return graph.add("Expand", [zero, graph.add("Shape", [like], f"{output}_shape")], output)


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
    return graph.add("Add", [product(graph, rows, layer, f"{output}_product"), bias], output)


def product(graph: Graph, rows: Rows, layer: Linear, output: str) -> str:
    """Add `rows @ weight.T`, in INT8 where the rows are quantized; the bias is the caller's.

    Args:
        graph: Where to add the nodes.
        rows: float32 [rows, in].
        layer: The weights.
        output: Name of the result.

    Returns:
        Name of the result, float32 [rows, out].
    """
    if not rows.quantized:
        return graph.add("MatMul", [rows.value, graph.constant(f"{output}_weight", layer.weight.T)], output)
    weight, scale = quantize_weight(layer.weight.T)
    inputs = [
        rows.quantized,
        graph.constant(f"{output}_weight", weight),
        graph.constant("one", np.array(1.0, np.float32)),  # the rows' own scales come after the integer product
        graph.constant(f"{output}_scale", scale),
        graph.constant("activation_zero", np.array([ACTIVATION_ZERO], np.uint8)),
        graph.constant(f"zeros_{len(scale)}", np.zeros(len(scale), np.int8)),
    ]
    unscaled = graph.add("MatMulIntegerToFloat", inputs, f"{output}_unscaled", domain=ORT_DOMAIN)
    return graph.add("Mul", [unscaled, rows.scale], output)
